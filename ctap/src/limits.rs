//! What a host, or a key's owner, can make a key hold at most.
//!
//! Every bound that is ours stands here with its unit, its reason and what happens one beyond it.
//! What a profile says of itself in getInfo is bounded by [`crate::Profile`]: credentials
//! ([`crate::Profile::room`], then CTAP2_ERR_KEY_STORE_FULL), the large-blob array
//! (CTAP2_ERR_LARGE_BLOB_STORAGE_FULL), fingers (CTAP2_ERR_FP_DATABASE_FULL), lists of credentials
//! (CTAP2_ERR_LIMIT_EXCEEDED), messages (CTAP2_ERR_REQUEST_TOO_LARGE). What the standard fixes stays
//! where it is used: [`crate::MAX_MESSAGE_LEN`], [`crate::MAX_PIN_LEN`],
//! [`crate::MAX_CREDENTIAL_ID_LEN`], four levels of CBOR.
//!
//! Channels need no bound: those that were handed out are a range of numbers, in constant memory.
//! One transaction runs at a time, so there is one request for a touch, one enumeration and one
//! array of large blobs under way.

/// Messages that wait for a reader; more come only from a host that writes and never reads, which
/// loses them and nothing else. The response to a command is one beside them.
pub const MAX_QUEUED: usize = 64;
/// The longest lock of a channel that a client may ask for, in seconds (CTAP 2.1 §11.2.9.2.2). A
/// longer one is an invalid parameter.
pub const MAX_LOCK_S: u8 = 10;
/// Faults that a key has armed: each is looked at for every command. One more is refused.
pub const MAX_RULES: usize = 64;
/// The last counters of this many credentials are known, so that a fault can repeat them. The
/// oldest is forgotten for a new one.
pub const MAX_COUNTS: usize = 256;
/// How many credentials a key stores that stores all and has no discoverable ones. With one more,
/// CTAP2_ERR_KEY_STORE_FULL.
pub const ROOM_WITHOUT_RK: u32 = 1_000;
/// The longest large blob that is unpacked or packed for a key's owner, in bytes: more than any
/// array holds unpacked by a site's own doing, and no bomb. A longer one is refused, or not shown.
pub const MAX_BLOB_LEN: usize = 1 << 20;
