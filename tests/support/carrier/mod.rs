//! What host models run over: a TCP socket to a server with real keys, or the same parts without
//! I/O in virtual time.

mod socket;
mod virtual_time;
mod work;

pub(crate) use socket::{Sockets, raw_connection, request_import, try_import};
pub(crate) use virtual_time::World;
pub(crate) use work::WORK_MS;

/// What [`Link::recv`] met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// Bytes were appended.
    Some,
    /// The time passed.
    Nothing,
    /// The server ended the connection.
    Closed,
}

/// A connection on which a key was imported. Dropping it detaches the key.
pub(crate) trait Link {
    /// Sends bytes, as one segment if that depends on us.
    fn send(&mut self, bytes: &[u8]);
    /// Appends what the server sends next, if it sends anything within the time.
    fn recv(&mut self, into: &mut Vec<u8>, wait_ms: u64) -> Received;
    /// The carrier's time, in milliseconds since some origin.
    fn now_ms(&self) -> u64;
    /// devid, from the reply to the import.
    fn devid(&self) -> u32;
}

/// A connection that delivers what is sent a byte at a time, as a slow network may.
pub(crate) struct SingleBytes(pub(crate) Box<dyn Link>);

impl Link for SingleBytes {
    fn send(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0.send(&[*byte]);
        }
    }

    fn recv(&mut self, into: &mut Vec<u8>, wait_ms: u64) -> Received {
        self.0.recv(into, wait_ms)
    }

    fn now_ms(&self) -> u64 {
        self.0.now_ms()
    }

    fn devid(&self) -> u32 {
        self.0.devid()
    }
}
