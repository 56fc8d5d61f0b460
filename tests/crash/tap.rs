//! What stands between a client and its key: it kills the process at a chosen moment of the
//! traffic, and ends the client when the process is gone.

use std::{
    panic::resume_unwind,
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
    time::Duration,
};

use super::process::Roamkey;
use crate::support::{
    carrier::{Link, Received},
    ctaphid::command,
    host::{Host, Report},
};

/// What a client unwinds with when its connection ends. It goes around the panic hook, for it
/// is nothing to report: a client in the middle of anything has no other way out.
pub(super) struct Gone;

impl Gone {
    pub(super) fn unwind() -> ! {
        resume_unwind(Box::new(Self))
    }
}

/// A connection whose end unwinds.
pub(super) struct Watched(pub(super) Box<dyn Link>);

impl Link for Watched {
    fn send(&mut self, bytes: &[u8]) {
        self.0.send(bytes);
    }

    fn recv(&mut self, into: &mut Vec<u8>, wait_ms: u64) -> Received {
        match self.0.recv(into, wait_ms) {
            Received::Closed => Gone::unwind(),
            received @ (Received::Some | Received::Nothing) => received,
        }
    }

    fn now_ms(&self) -> u64 {
        self.0.now_ms()
    }

    fn devid(&self) -> u32 {
        self.0.devid()
    }
}

/// A moment of a key's traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// A whole request was sent.
    Sent,
    /// The first packet of an answer came.
    Answered,
}

/// When a trigger kills.
#[derive(Clone, Copy, Debug)]
pub(super) struct Aim {
    pub(super) key: usize,
    pub(super) moment: Moment,
    /// How many such moments pass first.
    pub(super) passes: u32,
    pub(super) delay: Duration,
}

/// Kills the process from a client's own thread, so that nothing comes in between.
pub(super) struct Trigger {
    process: Arc<Roamkey>,
    aim: Mutex<Option<Aim>>,
    fired: Sender<()>,
}

impl Trigger {
    /// Not armed yet. The receiver hears of the kill.
    pub(super) fn new(process: Arc<Roamkey>) -> (Arc<Self>, Receiver<()>) {
        let (fired, heard) = channel();
        let trigger = Self {
            process,
            aim: Mutex::default(),
            fired,
        };
        (Arc::new(trigger), heard)
    }

    pub(super) fn process(&self) -> &Roamkey {
        &self.process
    }

    pub(super) fn arm(&self, aim: Aim) {
        *self.aim.lock().expect("a lock") = Some(aim);
    }

    fn at(&self, key: usize, moment: Moment) {
        let mut armed = self.aim.lock().expect("a lock");
        let Some(aim) = armed
            .as_mut()
            .filter(|aim| (aim.key, aim.moment) == (key, moment))
        else {
            return;
        };
        if let Some(passes) = aim.passes.checked_sub(1) {
            aim.passes = passes;
            return;
        }
        let delay = aim.delay;
        *armed = None;
        drop(armed);
        if !delay.is_zero() {
            thread::sleep(delay);
        }
        self.process.kill();
        let _ = self.fired.send(()); // who waited has killed it meanwhile
    }
}

/// Waits for the trigger, or for the time to pass. False if the time did.
pub(super) fn is_heard(heard: &Receiver<()>, limit: Duration) -> bool {
    match heard.recv_timeout(limit) {
        Ok(()) => true,
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => false,
    }
}

/// A host whose traffic pulls a trigger.
pub(super) struct Tapped {
    pub(super) host: Box<dyn Host>,
    pub(super) key: usize,
    pub(super) trigger: Arc<Trigger>,
    /// A report was written, and none read since.
    pub(super) wrote: bool,
}

impl Host for Tapped {
    fn open(&mut self) {
        self.host.open();
    }

    fn close(&mut self) {
        self.host.close();
    }

    fn write(&mut self, report: &Report) {
        self.host.write(report);
        self.wrote = true;
    }

    fn read(&mut self, wait_ms: u64) -> Option<Report> {
        if std::mem::take(&mut self.wrote) {
            self.trigger.at(self.key, Moment::Sent);
        }
        let report = self.host.read(wait_ms)?;
        let is_first = report[4] & 0x80 != 0;
        if is_first && report[4] & 0x7f != command::KEEPALIVE {
            self.trigger.at(self.key, Moment::Answered);
        }
        Some(report)
    }

    fn control(&mut self, setup: [u8; 8], data: &[u8]) -> Result<Vec<u8>, i32> {
        self.host.control(setup, data)
    }

    fn now_ms(&self) -> u64 {
        self.host.now_ms()
    }

    fn is_gone_within(&mut self, wait_ms: u64) -> bool {
        self.host.is_gone_within(wait_ms)
    }

    fn take_reply_count(&mut self) -> usize {
        self.host.take_reply_count()
    }

    fn send_raw(&mut self, bytes: &[u8]) {
        self.host.send_raw(bytes);
    }

    fn devid(&self) -> u32 {
        self.host.devid()
    }
}
