//! What goes in and out of a rig as plain data: the same for Rust, HTTP and the command line.
//!
//! Bytes are lower-case hexadecimal, times milliseconds where nothing else is said. Nothing here
//! is secret but what says so.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// The process that keys run in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ServerView {
    /// roamkey's version.
    pub version: String,
    /// The process's number.
    pub process: u32,
    /// `usbip`, `uhid` or `memory`.
    pub backend: String,
    /// Where USB/IP hosts connect, if they can.
    pub listen: Option<String>,
    /// The vault's file, if there is one.
    pub vault: Option<String>,
    /// How many keys there are.
    pub keys: usize,
    /// The number of the newest event; a test remembers it to ask for what came since.
    pub last_event: u64,
}

/// A key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct KeyView {
    /// Its bus id, such as `1-1`.
    pub bus_id: String,
    /// What its owner calls it; a key that is not stored may have no name.
    pub name: Option<String>,
    /// Its id in the vault, if it is stored.
    pub id: Option<String>,
    /// The serial number of the USB device.
    pub serial: String,
    /// What it is made after.
    pub profile: String,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// Whether it outlives the process.
    pub stored: bool,
    /// Whether private keys can be read out of it.
    pub exportable: bool,
    /// How many passkeys it has.
    pub passkeys: usize,
    /// Whether a PIN is set.
    pub pin_is_set: bool,
    /// Whether hosts can see it.
    pub plugged: bool,
    /// Who has it attached.
    pub host: Option<String>,
    /// How its touches are decided.
    pub touch: TouchPolicy,
}

/// A key to be made. Without a profile it is as `default`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NewKey {
    /// What it is called; a stored key needs a name.
    pub name: Option<String>,
    /// A built-in profile, such as `fido-2.0`; or what to call the one in `profile_toml`.
    pub profile: Option<String>,
    /// A profile of one's own, in TOML, in which what is left out is as in `default`.
    pub profile_toml: Option<String>,
    /// Members that differ from the profile, by the names and in the shape of a profile's file.
    #[schema(value_type = Option<Object>)]
    pub overrides: Option<serde_json::Map<String, Value>>,
    /// Whether it goes into the vault and outlives the process.
    pub stored: bool,
    /// Whether it stays unplugged at first.
    pub unplugged: bool,
    /// How its touches are decided; as the process was started with, where this is absent.
    pub touch: Option<TouchPolicy>,
}

/// What happens when a touch is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TouchRule {
    /// It is given at once.
    Auto,
    /// It is refused at once.
    Deny,
    /// Nobody answers.
    Never,
    /// It is given after `delay_ms`.
    Delay,
    /// Somebody is asked.
    Ask,
}

/// What a finger is when a request for one is approved, on keys with built-in verification.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum VerifyRule {
    /// One that the key knows.
    #[default]
    Pass,
    /// One that it does not know.
    Fail,
    /// Somebody is asked.
    Ask,
}

/// What happens to requests for sites that a policy does not name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OtherSites {
    /// They are refused.
    #[default]
    Deny,
    /// Somebody is asked.
    Ask,
}

/// How the touches of a key are decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TouchPolicy {
    /// What happens once the script is over.
    pub touch: TouchRule,
    /// With `delay`: after how long; 600,000 at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 600_000)]
    pub delay_ms: Option<u64>,
    /// What a finger is that is approved, where the script does not say.
    #[serde(default)]
    pub verify: VerifyRule,
    /// RP ids that this is for; none means any.
    #[serde(default)]
    pub sites: Vec<String>,
    /// What happens to other sites.
    #[serde(default)]
    pub others: OtherSites,
    /// Answers to the next requests: `approve, deny, wait 3 s then approve, ignore`. Behind
    /// approve may stand `verified=true` or `verified=false`: what a finger is.
    #[serde(default)]
    pub script: String,
}

impl TouchPolicy {
    /// One that does this for any site, and knows who touches.
    pub fn of(touch: TouchRule) -> Self {
        Self {
            touch,
            delay_ms: None,
            verify: VerifyRule::Pass,
            sites: Vec::new(),
            others: OtherSites::Deny,
            script: String::new(),
        }
    }
}

/// A touch that somebody has to give.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TouchView {
    /// To answer with.
    pub id: u64,
    /// The key's bus id.
    pub key: String,
    /// `register`, `register-excluded`, `authenticate`, `select`, `reset`, `verify` or `enroll`.
    pub operation: String,
    /// What somebody does to answer: `touch`, `long-touch` (10 s) or `finger`.
    pub gesture: String,
    /// For which site; U2F does not tell.
    pub rp: Option<String>,
    /// SHA-256 of the site's id.
    pub rp_id_hash: Option<String>,
    /// Which account.
    pub account: Option<String>,
    /// For how long it has been asked.
    pub waited_ms: u64,
}

/// The answer to a touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TouchAnswer {
    /// Somebody is there and agrees; where a finger is asked for, one that the key knows.
    Approve,
    /// A finger that the key does not know.
    NotVerified,
    /// No.
    Deny,
}

/// A passkey.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PasskeyView {
    /// Its credential id, as the site knows it.
    pub id: String,
    /// The key it is in: its name, or its bus id where it has none.
    pub key: String,
    /// The site's id; empty where U2F told no more than its hash.
    pub rp_id: String,
    /// SHA-256 of the site's id.
    #[serde(default)]
    pub rp_id_hash: String,
    /// The site's name, if it gave one.
    pub rp_name: Option<String>,
    /// The account's handle.
    pub user_handle: String,
    /// The account's name.
    pub user_name: Option<String>,
    /// The person's name.
    pub user_display_name: Option<String>,
    /// COSE number of its algorithm.
    pub algorithm: i32,
    /// credProtect, 1 to 3.
    pub cred_protect: u8,
    /// How many bytes the site stored in it (credBlob).
    pub cred_blob_len: Option<usize>,
    /// Whether it has a key for large blobs.
    pub large_blob_key: bool,
    /// The counter of its last signature, as far as this process knows it.
    #[serde(default)]
    pub counter: u32,
    /// No signature of it had a higher counter.
    pub counter_ceiling: u32,
    /// Whether it may be copied (flag BE).
    pub backup_eligible: bool,
    /// Whether it says that it was (flag BS).
    pub backup_state: bool,
    /// Whether it is found without its id. One that is not is stored because it is an RS256 key,
    /// was put in, or is in a key that stores all.
    #[serde(default = "yes")]
    pub discoverable: bool,
    /// Rises from one passkey of the key to the next.
    pub sequence: u64,
    /// Its COSE_Key.
    pub public_key: Option<String>,
}

/// What roamkeys before RS256 leave out.
fn yes() -> bool {
    true
}

/// A passkey to be put into a key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPasskey {
    /// The site's id, such as `example.com`.
    pub rp_id: String,
    /// The site's name.
    #[serde(default)]
    pub rp_name: Option<String>,
    /// The account's handle, 1 to 64 bytes; empty for one that is not discoverable.
    pub user_handle: String,
    /// The account's name.
    #[serde(default)]
    pub user_name: Option<String>,
    /// The person's name.
    #[serde(default)]
    pub user_display_name: Option<String>,
    /// Secret: its private key in PKCS#8, as PEM or as base64 of the DER. Its kind says what the
    /// passkey signs with.
    pub private_key: String,
    /// Its credential id, of 1 byte to as many as the key's profile takes (64, if it says no
    /// more); 64 are drawn where this is absent.
    #[serde(default)]
    pub id: Option<String>,
    /// Whether it is found without its id.
    #[serde(default = "yes")]
    pub discoverable: bool,
    /// credProtect, 1 to 3.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 3)]
    pub cred_protect: Option<u8>,
    /// What the site stored in it (credBlob).
    #[serde(default)]
    pub cred_blob: Option<String>,
    /// Whether it gets a key for large blobs.
    #[serde(default)]
    pub large_blob_key: bool,
    /// Signatures go on from this counter.
    #[serde(default)]
    pub counter: Option<u32>,
    /// Flag BE; as the profile says, where this is absent.
    #[serde(default)]
    pub backup_eligible: Option<bool>,
    /// Flag BS; as the profile says, where this is absent.
    #[serde(default)]
    pub backup_state: Option<bool>,
}

/// What of a passkey is changed; what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PasskeyEdit {
    /// The account's name; an empty one removes it.
    pub user_name: Option<String>,
    /// The person's name; an empty one removes it.
    pub user_display_name: Option<String>,
    /// The account's handle, 1 to 64 bytes.
    pub user_handle: Option<String>,
    /// Signatures go on from this counter. A stored key that is not exportable takes only a
    /// higher one.
    pub counter: Option<u32>,
    /// Flag BE.
    pub backup_eligible: Option<bool>,
    /// Flag BS.
    pub backup_state: Option<bool>,
}

/// Secret: a passkey's private key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PrivateKeyView {
    /// PKCS#8 in PEM.
    pub private_key: String,
}

/// The PIN of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PinView {
    /// The key's name, or its bus id where it has none.
    pub key: String,
    /// Whether its profile has PINs.
    pub offered: bool,
    /// Whether one is set.
    pub is_set: bool,
    /// Attempts that are left.
    pub retries: u8,
    /// Whether none is left.
    pub blocked: bool,
    /// The least characters of a new one.
    pub min_length: u8,
    /// It serves for nothing but to be changed.
    pub must_change: bool,
}

/// Secret: a PIN to be set, or changed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPin {
    /// The PIN that is set; absent where none is.
    #[serde(default)]
    pub pin: Option<String>,
    /// The new one.
    pub new_pin: String,
}

/// What a key lost when it was wiped or removed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LossView {
    /// The key as it was.
    pub key: KeyView,
    /// Its passkeys.
    pub passkeys: Vec<PasskeyView>,
    /// Whether a PIN was set.
    pub pin: bool,
}
