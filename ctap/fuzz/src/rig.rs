//! A device with a vault and a person, and a platform that sends it whole messages: for
//! `sequences`.
//!
//! Commits fail when they are told to; then the device goes on from what is durable. Deliberately
//! absent: what messages mean.

use roamkey_ctap::{CommitFailed, Decision, Device, Event, Instant};

use crate::{
    hid::{self, BROADCAST, Ear, command},
    key::{TINY, Vault},
};

/// What a person does about the next touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, arbitrary::Arbitrary)]
pub(crate) enum Touch {
    Approve,
    Deny,
    /// Nobody is there.
    Ignore,
    /// The platform cancels.
    Cancel,
}

/// What became of a change set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Commit {
    Done,
    /// Whether it was stored all the same.
    Failed {
        stored: bool,
    },
}

pub(crate) struct Rig {
    device: Device,
    pub(crate) vault: Vault,
    /// How often the key was started again.
    starts: u8,
    ear: Ear,
    channel: u32,
    pub(crate) now: u64,
    pub(crate) touch: Touch,
    /// After how many commits one fails, and whether it is stored.
    pub(crate) failure: Option<(u8, bool)>,
    pub(crate) commits: Vec<Commit>,
}

impl Rig {
    pub(crate) fn new() -> Self {
        let vault = Vault::new(TINY);
        let mut rig = Self {
            device: vault.device(TINY, 0),
            starts: 0,
            vault,
            ear: Ear::default(),
            channel: BROADCAST,
            now: 0,
            touch: Touch::Approve,
            failure: None,
            commits: Vec::new(),
        };
        rig.plug();
        rig
    }

    fn now(&self) -> Instant {
        Instant::from_millis(self.now)
    }

    /// Power on, and a channel.
    fn plug(&mut self) {
        let now = self.now();
        self.ear.power();
        self.device.handle_power(now, true);
        self.channel = BROADCAST;
        let init = self.call(command::INIT, &[7; 8]);
        let channel = init[8..12].try_into().expect("a channel");
        self.channel = u32::from_be_bytes(channel);
    }

    pub(crate) fn replug(&mut self) {
        let now = self.now();
        self.device.handle_power(now, false);
        self.events();
        self.plug();
    }

    /// Another process goes on with what is durable.
    pub(crate) fn restart(&mut self) {
        self.starts += 1;
        self.device = self.vault.device(TINY, self.starts);
        self.plug();
    }

    pub(crate) fn pass(&mut self, ms: u64) {
        let end = self.now + ms;
        while let Some(due) = self
            .device
            .poll_timeout()
            .filter(|due| due.as_millis() <= end)
        {
            self.now = self.now.max(due.as_millis());
            self.device.handle_timeout(due.max(self.now()));
            self.events();
            while let Some(report) = self.device.poll_report() {
                self.ear.heard(&report);
            }
        }
        self.now = end;
    }

    /// A message and its answer, however long that takes.
    pub(crate) fn call(&mut self, command: u8, payload: &[u8]) -> Vec<u8> {
        for packet in hid::packets(self.channel, command, payload) {
            self.ear.said(&packet);
            let now = self.now();
            self.device.handle_report(now, &packet);
        }
        loop {
            self.events();
            while let Some(report) = self.device.poll_report() {
                let message = self.ear.heard(&report);
                let answer = message.filter(|message| message.command != command::KEEPALIVE);
                if let Some(answer) = answer {
                    assert_eq!((answer.channel, answer.command), (self.channel, command));
                    self.events();
                    assert!(self.device.poll_report().is_none(), "more than an answer");
                    return answer.payload;
                }
            }
            let due = self.device.poll_timeout().expect("an answer, or a timer");
            self.now = self.now.max(due.as_millis());
            let now = self.now();
            self.device.handle_timeout(now);
        }
    }

    fn events(&mut self) {
        while let Some(event) = self.device.poll_event() {
            let now = self.now();
            match event {
                Event::PresenceNeeded { id, .. } => match self.touch {
                    Touch::Approve => self.device.handle_decision(now, id, Decision::Approved),
                    Touch::Deny => self.device.handle_decision(now, id, Decision::Denied),
                    Touch::Ignore => {}
                    Touch::Cancel => {
                        let cancel = hid::first(self.channel, command::CANCEL, 0, &[]);
                        self.device.handle_report(now, &cancel);
                    }
                },
                Event::Commit { id, set } => {
                    let commit = match &mut self.failure {
                        Some((0, stored)) => Commit::Failed { stored: *stored },
                        Some((left, _)) => {
                            *left -= 1;
                            Commit::Done
                        }
                        None => Commit::Done,
                    };
                    self.commits.push(commit);
                    if commit != (Commit::Failed { stored: false }) {
                        self.vault.apply(set);
                    }
                    if commit == Commit::Done {
                        self.device.handle_committed(now, id, Ok(()));
                    } else {
                        self.failure = None;
                        self.device.handle_committed(now, id, Err(CommitFailed));
                        self.device.handle_restored(self.vault.load());
                    }
                }
                Event::PresenceWithdrawn { .. } | Event::Wink => {}
                Event::Work { .. } | Event::FaultMet { .. } | Event::Unplug => {
                    panic!("nobody wanted {event:?}")
                }
            }
        }
    }
}
