//! Report streams into a [`Device`], with everything around it that a driver does: time, readers,
//! power, people, a vault, slow work.
//!
//! Whatever comes, what the key says is what [`Ear`] lets pass; the queue drains; nobody is asked
//! for nothing; and in the end the key rests and serves a fresh client.
//!
//! Input: a byte for the profile, then steps (see [`Rig::step`]). Deliberately absent: what the
//! answers say (`sequences`).

use std::collections::BTreeSet;

use roamkey_ctap::{
    ChangeSet, CommitFailed, CommitId, Decision, Device, Event, Instant, PresenceId, REPORT_LEN,
    Trace, WorkDone, WorkId,
};

use crate::{
    bytes::Bytes,
    hid::{self, BROADCAST, Ear, Message, Report, command},
    key::Vault,
};

/// 64 messages that wait, and one answer of the longest kind.
const QUEUE_BOUND: usize = 64 + 129 + 1;
/// Keepalives for as long as a touch is waited for are 600.
const TIMERS_BOUND: usize = 3_000;
/// The longest lock, and the longest that anything is remembered.
const LONG_MS: u64 = 700_000;

struct Rig {
    profile: u8,
    device: Device,
    vault: Vault,
    ear: Ear,
    now: u64,
    /// Whether reports are taken as soon as they are there.
    reading: bool,
    asked: BTreeSet<PresenceId>,
    commits: Vec<(CommitId, ChangeSet)>,
    work: Vec<WorkId>,
    /// The operation that runs, as traces tell; `None` also where nobody listens.
    traced: Option<u64>,
    nonces: u8,
}

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut input = Bytes::new(data);
    let profile = input.byte();
    let vault = Vault::new(profile);
    let mut rig = Rig {
        profile,
        device: vault.device(profile, 0),
        vault,
        ear: Ear::default(),
        now: 0,
        reading: true,
        asked: BTreeSet::new(),
        commits: Vec::new(),
        work: Vec::new(),
        traced: None,
        nonces: 0,
    };
    rig.power(true);
    rig.init(BROADCAST);
    while !input.is_empty() {
        rig.step(&mut input);
        rig.settle();
    }
    rig.rest();
}

impl Rig {
    fn now(&self) -> Instant {
        Instant::from_millis(self.now)
    }

    fn step(&mut self, input: &mut Bytes<'_>) {
        match input.byte() % 16 {
            // A report as it is.
            0 => {
                let mut report = [0; REPORT_LEN];
                let taken = input.take(REPORT_LEN);
                report[..taken.len()].copy_from_slice(taken);
                self.send(&report);
            }
            1 => {
                let channel = self.channel(input.byte());
                self.init(channel);
            }
            2 => {
                let channel = self.channel(input.byte());
                let (command, length, count) = (input.byte(), input.word(), input.byte());
                let data = input.take(usize::from(count % 58));
                self.send(&hid::first(channel, command, length, data));
            }
            3 => {
                let channel = self.channel(input.byte());
                let (sequence, count) = (input.byte(), input.byte());
                let data = input.take(usize::from(count % 60));
                self.send(&hid::continuation(channel, sequence, data));
            }
            4 => self.message(input),
            5 => {
                let channel = self.channel(input.byte());
                self.send(&hid::first(channel, command::CANCEL, 0, &[]));
            }
            6 => self.now += u64::from(input.word()),
            7 => self.pass_to_timeout(),
            8 => {
                self.reading = input.byte() & 1 == 1;
                let now = self.now();
                self.device.handle_reader(now, self.reading);
            }
            9 => self.power(input.byte() & 1 == 1),
            10 => self.decide(input.byte()),
            11 => self.commit(input.byte()),
            12 => self.finish_work(),
            13 => {
                for _ in 0..input.byte() {
                    self.read();
                }
            }
            14 => {
                self.device.handle_tracing(input.byte() & 1 == 1);
                self.traced = None;
            }
            // An id that nobody awaits is ignored.
            _ => {
                let (now, id) = (self.now(), u64::from(input.byte()) + 1_000_000);
                let decision = Decision::Approved;
                self.device.handle_decision(now, PresenceId(id), decision);
                self.device.handle_committed(now, CommitId(id), Ok(()));
                self.device
                    .handle_work_done(now, WorkId(id), WorkDone::failed());
            }
        }
    }

    /// One of our channels, the broadcast one, the reserved one, or one that was never given.
    fn channel(&self, number: u8) -> u32 {
        match number {
            0xff => BROADCAST,
            0xfe => 0,
            0xfd => 0x1234_5678,
            _ => {
                let channels = &self.ear.channels;
                let at = usize::from(number) % channels.len().max(1);
                channels.get(at).copied().unwrap_or(BROADCAST)
            }
        }
    }

    /// A well-formed message: channel, command, length, bytes.
    fn message(&mut self, input: &mut Bytes<'_>) {
        let channel = self.channel(input.byte());
        let (command, length) = (input.byte(), input.word());
        let payload = input.take(usize::from(length).min(7609));
        for report in hid::packets(channel, command, payload) {
            self.send(&report);
            self.settle();
        }
    }

    fn init(&mut self, channel: u32) {
        self.nonces = self.nonces.wrapping_add(1);
        self.send(&hid::first(channel, command::INIT, 8, &[self.nonces; 8]));
    }

    fn send(&mut self, report: &Report) {
        self.ear.said(report);
        let now = self.now();
        self.device.handle_report(now, report);
    }

    fn power(&mut self, on: bool) {
        self.ear.power();
        let now = self.now();
        self.device.handle_power(now, on);
        assert!(
            self.device.poll_report().is_none(),
            "a queue over a power cycle"
        );
        self.traced = None;
    }

    fn pass_to_timeout(&mut self) {
        if let Some(due) = self.device.poll_timeout() {
            self.now = self.now.max(due.as_millis());
        }
        let now = self.now();
        self.device.handle_timeout(now);
    }

    fn decide(&mut self, how: u8) {
        let decision = match how % 3 {
            0 => Decision::Approved,
            1 => Decision::Unverified,
            _ => Decision::Denied,
        };
        if let Some(id) = self.asked.pop_first() {
            let now = self.now();
            self.device.handle_decision(now, id, decision);
        }
    }

    /// The vault answers: done, failed and not stored, or failed and stored all the same.
    fn commit(&mut self, how: u8) {
        let Some((id, set)) = self.commits.pop() else {
            return;
        };
        let now = self.now();
        let (stored, told) = match how % 4 {
            0 | 1 => (true, Ok(())),
            2 => (false, Err(CommitFailed)),
            _ => (true, Err(CommitFailed)),
        };
        if stored {
            self.vault.apply(set);
        }
        self.device.handle_committed(now, id, told);
        if told.is_err() {
            self.events();
            self.device.handle_restored(self.vault.load());
        }
    }

    fn finish_work(&mut self) {
        if let Some(id) = self.work.pop() {
            let now = self.now();
            self.device.handle_work_done(now, id, WorkDone::failed());
        }
    }

    /// Takes a report, if there is one.
    fn read(&mut self) -> Option<Option<Message>> {
        let report = self.device.poll_report()?;
        let message = self.ear.heard(&report);
        Some(message)
    }

    fn events(&mut self) {
        while let Some(event) = self.device.poll_event() {
            match event {
                Event::PresenceNeeded { id, .. } => {
                    assert!(self.asked.insert(id), "asked twice");
                }
                Event::PresenceWithdrawn { id, .. } => {
                    assert!(self.asked.remove(&id), "withdrawn, and nobody was asked");
                }
                Event::Commit { id, set } => {
                    self.commits.push((id, set));
                    assert_eq!(self.commits.len(), 1, "one set at a time");
                }
                Event::Work { id, .. } => {
                    self.work.push(id);
                    assert_eq!(self.work.len(), 1, "one piece at a time");
                }
                Event::Wink => {}
                Event::FaultMet { .. } | Event::Unplug => panic!("nobody armed a fault"),
            }
        }
    }

    fn settle(&mut self) {
        self.events();
        let mut count = 0;
        while self.reading && self.read().is_some() {
            count += 1;
            assert!(count < QUEUE_BOUND, "the queue does not drain");
        }
        while let Some(trace) = self.device.poll_trace() {
            match trace {
                Trace::Started { operation, .. } => {
                    assert_eq!(self.traced.replace(operation), None, "two at a time");
                }
                Trace::Finished { operation, .. } => {
                    let running = self.traced.take();
                    assert!(running.is_none_or(|running| running == operation));
                }
                Trace::Hid { .. } => {}
            }
        }
    }

    /// Everything that is under way ends by itself.
    fn rest(&mut self) {
        self.reading = true;
        let now = self.now();
        self.device.handle_reader(now, true);
        let mut timers = 0;
        loop {
            self.settle();
            if !self.commits.is_empty() {
                self.commit(0);
            } else if !self.work.is_empty() {
                self.finish_work();
            } else if self.device.poll_timeout().is_some() {
                timers += 1;
                assert!(timers < TIMERS_BOUND, "the key never rests");
                self.pass_to_timeout();
            } else {
                break;
            }
        }
        assert!(self.asked.is_empty(), "asked, and nobody waits");
        self.now += LONG_MS;
        if !self.profile.is_multiple_of(2) {
            self.power(true);
        }
        self.serve();
    }

    /// A fresh client is served at once.
    fn serve(&mut self) {
        self.init(BROADCAST);
        let [message] = &self.hear()[..] else {
            panic!("one answer to INIT")
        };
        assert_eq!(message.command, command::INIT);
        assert_eq!(message.payload[..8], [self.nonces; 8], "INIT's nonce");
        let channel = *self.ear.channels.last().expect("a channel");
        self.send(&hid::first(channel, command::PING, 3, b"abc"));
        let heard = self.hear();
        let ping = Message {
            channel,
            command: command::PING,
            payload: b"abc".to_vec(),
        };
        assert_eq!(heard, [ping], "PING on a key that rests");
        assert!(self.device.poll_timeout().is_none());
    }

    fn hear(&mut self) -> Vec<Message> {
        self.events();
        let reports = std::iter::from_fn(|| self.read());
        reports.flatten().collect()
    }
}
