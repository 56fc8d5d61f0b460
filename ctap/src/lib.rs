//! A FIDO2 security key as a state machine: CTAPHID, CTAP2 and U2F.
//!
//! Pinned text: CTAP 2.1 PS 2021-06-15 with errata of 2022-06-21, where a comment does not name
//! another; U2F raw message formats 1.2.
//!
//! Layers, each knowing only what stands below it:
//!
//! | module | does | knows nothing of |
//! | --- | --- | --- |
//! | [`Device`] | one interface for what follows | |
//! | `hid` | packets, channels, transactions, keepalives | CBOR, statuses |
//! | `authenticator` | decides | packets, byte offsets, CBOR keys |
//! | `wire`, `u2f` | parse requests, emit responses | state, policy |
//! | `admin` | views and changes for the owner, shared by `authenticator` | protocols, policy |
//! | `fault` | says what goes wrong on purpose, and in which operations | who arms it |
//! | `credential`, `state`, `attestation` | what a key remembers | protocols |
//! | `pin` | PIN protocols and tokens | when they are asked for |
//! | `work` | what takes too long for a key's task | who runs it |
//! | `trace` | what messages say, for people, on demand | state, policy |
//! | `crypto` | algorithms | what they are for |
//!
//! Deliberately absent: clock, file, socket, thread, environment, OS randomness, async. Time and
//! the CSPRNG are arguments; waiting is data.

mod admin;
mod attestation;
mod authenticator;
mod command;
mod credential;
mod crypto;
mod device;
mod event;
mod fault;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzz;
mod hid;
pub mod limits;
mod pin;
mod profile;
mod state;
mod status;
mod time;
mod trace;
mod u2f;
mod wire;
mod work;

pub use admin::{NewPasskey, Passkey, PasskeyEdit, PasskeyRefusal, PinRefusal, PinStatus};
pub use attestation::{Attestation, AttestationAuthority, MetadataSigner};
pub use authenticator::{NEXT_ASSERTION_TIMEOUT_MS, PRESENCE_TIMEOUT_MS, RESET_WINDOW_MS};
pub use command::Command;
pub use credential::{
    Algorithm, CREDENTIAL_ID_LEN, CredProtect, CredRandom, Credential, CredentialId,
    MAX_CREDENTIAL_ID_LEN, MAX_USER_ID_LEN, RpIdHash, User,
};
pub use crypto::{KeyBytes, Rng, Secret};
pub use device::Device;
pub use event::{
    AdminRefusal, CommitFailed, CommitId, Decision, Event, Gesture, Operation, PresenceId, Prompt,
    Withdrawn,
};
pub use fault::{
    Fault, FaultId, FaultInfo, FaultLayer, FaultRefusal, FaultRule, NoSuchFault, Parameter,
};
pub use hid::{
    ChannelId, KEEPALIVE_INTERVAL_MS, MAX_MESSAGE_LEN, READER_GONE_MS, READER_LEFT_MS, REPORT_LEN,
    TRANSACTION_TIMEOUT_MS,
};
pub use pin::{
    MAX_PIN_LEN, MAX_PIN_RETRIES, PinHash, PinProtocol, StoredPin, TOKEN_INITIAL_USAGE_MS,
    TOKEN_MAX_USAGE_MS,
};
pub use profile::{AttestationType, Extension, Profile, Version, Violation};
pub use state::{
    COUNTER_LEASE, Change, ChangeSet, Config, Fingerprint, KeyState, LoadError, MAX_UV_RETRIES,
    Place, Record, TEMPLATE_ID_LEN, UvState,
};
pub use status::Status;
pub use time::Instant;
pub use trace::{Detail, DetailValue, Touched, Trace};
pub use work::{Work, WorkDone, WorkId};
