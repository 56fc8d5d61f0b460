//! What a host, or whoever else reaches the server, can make this crate hold at most.
//!
//! Every bound stands here with its unit, its reason and what happens one beyond it. Lengths that
//! a standard fixes stay beside their codecs: a header, a report, a bus id, USBIP_MAX_ISO_PACKETS.
//! How many sessions there are at all needs no number: a key has one host at a time, so there are
//! never more than keys ([`crate::usbip::Exports`]).

use std::time::Duration;

/// How many interrupt-IN transfers of a session wait at most. Linux keeps one, Windows a few. The
/// next is answered with -ENOMEM, and the session goes on.
pub const PARKED_LIMIT: usize = 32;
/// The longest payload of an OUT transfer, in bytes: what wLength can ask for. More than a report
/// of it is skipped as it comes, not kept. A longer one ends the session.
pub const TRANSFER_LIMIT: u32 = 0xffff;
/// From so many bytes of unsent output on, no input of a session is handled: TCP makes the host
/// wait. One unit of input adds less than 400 bytes beyond it.
pub const OUTPUT_LIMIT: usize = 16 * 1024;
/// How long a host may leave answers untaken. Then its session ends with
/// [`crate::Ended::SlowReader`], and the key can be imported at once.
pub const STUCK_LIMIT: Duration = Duration::from_secs(10);
/// How long an import waits for a host that is just going away; then the key is busy.
pub const RELEASE_LIMIT: Duration = Duration::from_secs(1);
/// Reports from a host in this process that may wait for the key. Sending the next one waits.
pub const TO_KEY_LIMIT: usize = 32;
/// Reports from the key that may wait for a host in this process, as through Linux's hidraw. The
/// key keeps the next.
pub const TO_HOST_LIMIT: usize = 1;
/// The most bytes of a list of the system's sockets that are read: 200,000 sockets. What stands
/// behind them is not found, and its import refused.
#[cfg(target_os = "linux")]
pub(crate) const SOCKET_LIST_LIMIT: u64 = 32 << 20;

/// A peer that vanished is found after 15 + 3 x 5 s, so that its key is free before Windows'
/// client comes back after 30 s.
pub const KEEPALIVE_TIME: Duration = Duration::from_secs(15);
/// Between the questions to a peer that may have vanished.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// How many of them it may leave unanswered.
pub const KEEPALIVE_RETRIES: u32 = 3;
/// The same for a peer that vanished while data was under way to it, where TCP sends no
/// keepalives and would try again for a quarter of an hour.
pub const UNACKNOWLEDGED_LIMIT: Duration = Duration::from_secs(30);

/// What the clients of a [`crate::usbip::Server`] may take, so that slow or many ones keep nobody
/// else out. An address is an IPv4 address, or the /64 of an IPv6 one, which is one host's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long a client may take for its request, and for the reply to a list. Then its
    /// connection is closed.
    pub request: Duration,
    /// A connection that has had so long may be closed before that, where there are more than the
    /// two bounds below. A client asks as soon as it is connected.
    pub grace: Duration,
    /// Connections of an address that are not yet imported. With one more, the oldest of them
    /// that has not asked for anything within `grace` is closed.
    pub requests_per_address: usize,
    /// Connections that are not yet imported. With one more, that of the address with the most of
    /// them is closed; where all are younger than `grace`, the new one waits in the listener's
    /// queue for as long at most.
    pub requests: usize,
    /// Keys that an address has at once: as many as a process serves, since whoever may import
    /// one may import all. The next import is answered with status 1 (NA).
    pub sessions_per_address: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request: Duration::from_secs(5),
            grace: Duration::from_millis(250),
            requests_per_address: 64,
            requests: 256,
            sessions_per_address: 10_000,
        }
    }
}
