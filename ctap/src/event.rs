//! What the state machine asks of the world, as data.

use crate::{
    credential::RpIdHash,
    fault::{Fault, FaultId},
    state::ChangeSet,
    work::{Work, WorkId},
};

/// Names one request for presence; an answer to one that is over is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PresenceId(pub u64);

/// Names one change set on its way to the vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommitId(pub u64);

/// What a person is asked to agree to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Make a credential (CTAP2 or U2F).
    Register,
    /// A credential that the site excludes is on this key: the site will learn that it is.
    RegisterExcluded,
    /// Sign in (CTAP2 or U2F).
    Authenticate,
    /// Say "this key" when several are attached.
    Select,
    /// Erase every credential.
    Reset,
    /// Verify a person for a token, whatever it is for (CTAP 2.1 §6.5.5.7.3).
    Verify,
    /// Enroll a finger: each sample asks anew (§6.7).
    Enroll,
}

/// What a person does to answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Gesture {
    /// A touch: somebody is there.
    #[default]
    Touch,
    /// A touch of ten seconds (CTAP 2.3 §6.6, longTouchForReset). What answers gives the decision
    /// once it has lasted.
    LongTouch,
    /// A finger on the sensor, which the key knows or does not know (§6.5.3).
    Finger,
}

/// What a person must see to decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// What would be done.
    pub operation: Operation,
    /// For which site; U2F does not tell, nor do [`Operation::Select`] and [`Operation::Reset`].
    pub rp_id: Option<String>,
    /// The hash of the site, known for U2F as well.
    pub rp_id_hash: Option<RpIdHash>,
    /// Which account, where it is known to be one.
    pub account: Option<String>,
    /// What answers it.
    pub gesture: Gesture,
}

/// Why a person is no longer asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withdrawn {
    /// The platform cancelled, or started over.
    Cancelled,
    /// Nobody answered in time.
    TimedOut,
    /// The platform's program or the connection is gone.
    HostGone,
}

/// What a person, or a policy, answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A person is there and agrees; asked for [`Gesture::Finger`], one that the key knows.
    Approved,
    /// A person is there and agrees, and is none that the key knows: as good as
    /// [`Self::Approved`] where a touch is asked for, a failed attempt where a finger is.
    Unverified,
    /// No.
    Denied,
}

/// A change set that did not become durable, or of which nobody knows whether it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitFailed;

/// Why the owner's change of a key did not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminRefusal<E> {
    /// A change set is on its way to the vault; ask again once it is there.
    Busy,
    /// A commit failed, and the key has not been read again yet.
    Fenced,
    /// The change itself cannot be.
    Refused(E),
}

/// What the driver of a device has to see to.
#[derive(Debug)]
pub enum Event {
    /// Ask for presence; answer with [`crate::Device::handle_decision`].
    PresenceNeeded {
        /// To be given back with the answer.
        id: PresenceId,
        /// What to show.
        prompt: Prompt,
    },
    /// Stop asking.
    PresenceWithdrawn {
        /// What was asked.
        id: PresenceId,
        /// Why.
        reason: Withdrawn,
    },
    /// Make the set durable; answer with [`crate::Device::handle_committed`].
    Commit {
        /// To be given back with the answer.
        id: CommitId,
        /// What changes.
        set: ChangeSet,
    },
    /// Run the work off the key's task; answer with [`crate::Device::handle_work_done`], always:
    /// the key begins no other piece before.
    Work {
        /// To be given back with the answer.
        id: WorkId,
        /// What is to be done.
        work: Work,
    },
    /// Show which key this is (CTAPHID_WINK).
    Wink,
    /// An operation met an armed fault.
    FaultMet {
        /// Which rule's.
        id: FaultId,
        /// What goes wrong.
        fault: Fault,
        /// The operation, as in [`crate::Trace::Started`]; `None` where it strikes below them.
        operation: Option<u64>,
    },
    /// End this attachment as if the key were pulled out: a fault wants it.
    Unplug,
}
