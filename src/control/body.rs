//! Bodies that are not a rig's own types.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    journal::Entry,
    rig::{
        ArmedFault, FaultView, KeyView, PasskeyView, SnapshotLoss, SnapshotView, TouchAnswer,
        TouchView,
    },
};

/// What keys can be made after.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Profiles {
    /// The names of the built-in ones.
    pub profiles: Vec<String>,
}

/// Every key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Keys {
    /// In the order of their bus ids.
    pub keys: Vec<KeyView>,
}

/// A name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewName {
    /// What it is called.
    pub name: String,
}

/// Passkeys of a key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Passkeys {
    /// The oldest first.
    pub passkeys: Vec<PasskeyView>,
}

/// The armed faults of a key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ArmedFaults {
    /// The oldest first.
    pub faults: Vec<ArmedFault>,
}

/// Every fault that there is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FaultCatalogue {
    /// One by one.
    pub faults: Vec<FaultView>,
}

/// Touches that somebody has to give.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Touches {
    /// The oldest first.
    pub touches: Vec<TouchView>,
}

/// What becomes of a touch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TouchReply {
    /// The answer.
    pub answer: TouchAnswer,
}

/// What happened last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Events {
    /// The oldest first.
    pub events: Vec<Entry>,
    /// The number of the newest event of all.
    pub last_event: u64,
}

/// The data of an event `missed` of the stream: the reader was too slow for so many.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Missed {
    /// How many are no longer kept.
    pub missed: u64,
}

/// The snapshots of a vault.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Snapshots {
    /// The oldest first.
    pub snapshots: Vec<SnapshotView>,
}

/// What a rollback loses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Losses {
    /// By key.
    pub lost: Vec<SnapshotLoss>,
}

/// Secret: a backup to be written, and who can open it: either `passphrase` or `recipients`.
#[derive(Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewBackup {
    /// A new file on the server's machine; its path begins at the root.
    pub path: String,
    /// Secret: who has this passphrase, of 8 characters at least.
    #[serde(default)]
    pub passphrase: Option<String>,
    /// Who has the identity of one of these recipients of age, each an `age1…`.
    #[serde(default)]
    pub recipients: Vec<String>,
}
