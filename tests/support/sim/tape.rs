//! What happened in a world: a digest of every byte on every wire with its time, and the last
//! events in words for who has to find out.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
};

use sha2::{Digest, Sha256};
use tokio::time::Instant;

/// Events that a failure shows.
const LAST: usize = 120;

struct Inner {
    hasher: Sha256,
    last: VecDeque<String>,
    events: u64,
    bytes: u64,
}

/// Clones are handles to the same one.
#[derive(Clone)]
pub(crate) struct Tape {
    inner: Arc<Mutex<Inner>>,
    origin: Instant,
}

impl Tape {
    pub(crate) fn new() -> Self {
        let inner = Inner {
            hasher: Sha256::new(),
            last: VecDeque::new(),
            events: 0,
            bytes: 0,
        };
        Self {
            inner: Arc::new(Mutex::new(inner)),
            origin: Instant::now(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no test panics on the tape")
    }

    /// Milliseconds of virtual time since the world began.
    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_millis()).expect("64 bits")
    }

    /// Bytes that came out of a wire.
    pub(crate) fn wire(&self, wire: u32, bytes: &[u8]) {
        let now = self.now_ms();
        let mut inner = self.lock();
        inner.hasher.update(now.to_be_bytes());
        inner.hasher.update(wire.to_be_bytes());
        inner.hasher.update(bytes);
        inner.bytes += u64::try_from(bytes.len()).expect("64 bits");
    }

    pub(crate) fn note(&self, text: &str) {
        let now = self.now_ms();
        let mut inner = self.lock();
        inner.hasher.update(now.to_be_bytes());
        inner.hasher.update(text);
        inner.events += 1;
        if inner.last.len() == LAST {
            inner.last.pop_front();
        }
        inner.last.push_back(format!("{now:>8} {text}"));
    }

    /// The last events, a line each.
    pub(crate) fn last(&self) -> String {
        let inner = self.lock();
        let lines: Vec<&str> = inner.last.iter().map(String::as_str).collect();
        lines.join("\n")
    }

    /// What tells this run from another: digest, events, bytes on the wires.
    pub(crate) fn digest(&self) -> ([u8; 32], u64, u64) {
        let inner = self.lock();
        let digest = inner.hasher.clone().finalize().into();
        (digest, inner.events, inner.bytes)
    }
}
