//! What whoever is outside can make a process hold at most: hosts and their programs, clients of
//! the control plane and of the fronts, browsers and drivers, and what is read from stdin.
//!
//! Every bound stands here with its unit, its reason and what happens one beyond it. Sockets of
//! USB/IP have theirs in [`roamkey_transport::limits`], messages and credentials in
//! [`roamkey_ctap::limits`]. What belongs to a format stays beside its codec: a vault's records
//! (`vault::record`), a backup's lines (`vault::backup`), how dear a passphrase may be to check
//! (`vault::unlock`).

use std::time::Duration;

/// Keys of a process, and of a vault. Adding one more is refused; the control plane says 409.
pub const MOST_KEYS: u32 = 10_000;
/// Snapshots of a vault. One more is refused.
pub const MOST_SNAPSHOTS: usize = 1_000;
/// Bytes in a profile's file. A longer one is refused.
pub const MAX_PROFILE_LEN: usize = 64 * 1024;
/// Steps of a script that answers touches. A longer one is refused.
pub const MOST_STEPS: usize = 1_000;
/// Sites that a touch policy names. One with more is refused.
pub const MOST_SITES: usize = 1_000;
/// Models, and statuses, that one BLOB of metadata is asked for by name. More are refused.
pub const MOST_NAMED: usize = 100;
/// Wishes of a key's owner that wait for its task. Who has one more waits.
pub const WISHES: usize = 64;
/// Traces of a key that wait to be noted, however busy its host keeps it; then all are noted.
pub const MOST_TRACES: usize = 64;
/// Entries of the journal. The oldest goes for a new one, and who had not read it is told how
/// many are missing.
pub const JOURNAL_KEPT: usize = 10_000;
/// Bytes of a site's or an account's name in the journal: a host may send as much as a message
/// holds, ten thousand times, and no domain is longer than 253. The rest is cut off.
pub const JOURNAL_NAME_LEN: usize = 1_024;
/// Notices that wait for whoever shows them. More are dropped with a warning.
pub const NOTICES: usize = 1_024;
/// Events in the report of `roamkey exec`. How many more there were, it says.
pub const REPORT_EVENTS: usize = 20_000;
/// Bytes in a line of stdin that answers a touch. A longer one is no answer, and skipped.
pub const ANSWER_LINE_LEN: usize = 256;

/// Bytes in the head of an HTTP request. Once so many were read without its end, the answer is
/// 431; what the last read brought beyond that may still be its end.
pub const HEAD_LEN: usize = 64 * 1024;
/// Events that one request for the last ones gets. A request for more is answered with 400.
pub const LAST_EVENTS: usize = 1_000;
/// How long a request may wait for a touch, in milliseconds. One for longer is answered with 400.
pub const LONGEST_WAIT_MS: u64 = 60_000;

/// What HTTP clients may take, so that slow or many ones keep nobody else out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Http {
    pub(crate) head: Duration,
    pub(crate) stuck: Duration,
    pub(crate) connections: usize,
}

/// What clients of the control plane may take.
#[derive(Clone, Debug)]
pub struct Control {
    /// How long the head of a request may take, and how long a connection may be idle. Then it is
    /// closed.
    pub head: Duration,
    /// How long a body may take. Then the answer is 408.
    pub body: Duration,
    /// The longest body, in bytes. A longer one is answered with 413.
    pub body_len: usize,
    /// How long a client may leave an answer unread, such as a stream of events. Then its
    /// connection is closed.
    pub stuck: Duration,
    /// Connections at once, to the socket and over TCP each. With one more, the oldest on which
    /// nothing is done is closed; where there is none, the new one.
    pub connections: usize,
    /// Requests that wait or follow at once, among them streams of events. One more is answered
    /// with 503; the rest of the connections are for those that answer touches.
    pub waiting: usize,
    /// Changes that are on their way at once: each is done to the end, whether or not its client
    /// waits for it. One more is answered with 503.
    pub working: usize,
    /// A stream of events is not silent for longer.
    pub silence: Duration,
}

impl Default for Control {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            body: Duration::from_secs(10),
            body_len: 64 * 1024,
            stuck: Duration::from_secs(60),
            connections: 64,
            waiting: 48,
            working: 64,
            silence: Duration::from_secs(15),
        }
    }
}

impl Control {
    pub(crate) fn http(&self) -> Http {
        Http {
            head: self.head,
            stuck: self.stuck,
            connections: self.connections,
        }
    }
}

/// What clients of a front may take, and the browser or driver behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Front {
    /// How long the head of a request may take, and how long a connection may be idle: a little
    /// more than drivers give (geckodriver 90 s), so that no client learns of it first here. Then
    /// it is closed.
    pub head: Duration,
    /// How long nothing of a body may come. Then the command fails.
    pub pause: Duration,
    /// How long a client or a browser may read nothing: a person may have stopped a test in a
    /// debugger meanwhile. Then its connection is closed.
    pub stuck: Duration,
    /// Connections at once. With one more, the oldest on which nothing is done is closed; where
    /// there is none, the new one.
    pub connections: usize,
    /// The longest command of WebAuthn §11, in bytes: a credential with a large blob. A longer
    /// one is an invalid argument.
    pub body_len: usize,
    /// The longest capabilities, in bytes: extensions of a browser may be in them. Longer ones
    /// are an invalid argument.
    pub capabilities_len: usize,
    /// Commands of WebAuthn §11 that are on their way at once: each is done to the end, whether
    /// or not its client waits for it. One more fails.
    pub commands: usize,
    /// WebDriver sessions whose keys are known. In one more, no authenticator is added.
    pub sessions: usize,
    /// WebSockets: DevTools clients, and those that pass a WebDriver front. One more is answered
    /// with 503, or fails.
    pub sockets: usize,
    /// DevTools sessions of a client that have used the domain WebAuthn: nothing says that a
    /// session is one of the browser's, and each has a task. Commands of one more fail.
    pub domains: usize,
    /// Commands of a DevTools session that wait for the one before. One more fails.
    pub waiting: usize,
    /// The longest DevTools message, in bytes: browsers send screenshots and traces in one. A
    /// longer one ends the connection.
    pub message_len: usize,
    /// Bytes of DevTools messages that are on their way to one side. Who sends more waits.
    pub on_the_way_len: usize,
    /// The longest answer to a question of the front's own, and the longest list of targets, in
    /// bytes. A longer one is no answer.
    pub answer_len: usize,
    /// How long a driver may take to answer a question of the front's own: a page may load for
    /// 300 s, and commands of a session wait for one another. Then it has not answered.
    pub answer: Duration,
}

impl Default for Front {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(120),
            pause: Duration::from_secs(30),
            stuck: Duration::from_secs(600),
            connections: 256,
            body_len: 1 << 20,
            capabilities_len: 64 << 20,
            commands: 64,
            sessions: 1_000,
            sockets: 64,
            domains: 256,
            waiting: 64,
            message_len: 256 << 20,
            on_the_way_len: 256 << 20,
            answer_len: 16 << 20,
            answer: Duration::from_secs(330),
        }
    }
}

impl Front {
    pub(crate) fn http(&self) -> Http {
        Http {
            head: self.head,
            stuck: self.stuck,
            connections: self.connections,
        }
    }
}

/// Virtual authenticators of a front's session: each is a device of the machine. One more fails.
pub const MOST_AUTHENTICATORS: usize = 64;
/// Notes of a front. A run that goes on for days says the first ones.
pub const MOST_NOTES: usize = 1_000;
