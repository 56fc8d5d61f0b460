//! Reads the journal while the command runs, so that the report has what the journal no longer
//! keeps.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::Value;
use tokio::task::JoinHandle;

use crate::{
    journal::{Event, Followed, Follower, Journal},
    limits::REPORT_EVENTS,
    rig::Contact,
};

/// How often it is looked at whether all was read.
const LOOK_INTERVAL: Duration = Duration::from_millis(1);

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    /// Commands of CTAP2 and U2F that are over.
    pub(super) operations: u64,
    /// What operations, touches and faults there were, the oldest first.
    pub(super) events: Vec<Value>,
    /// Such events that are left out.
    pub(super) left_out: u64,
    /// Events that the journal dropped before they were read.
    pub(super) missed: u64,
    /// The number of the newest event that was read.
    last: u64,
    /// How far programs have come, by bus id.
    contact: BTreeMap<String, Contact>,
}

impl Recorded {
    /// How far programs have come with a key, where one has spoken to it.
    pub(super) fn contact(&self, bus_id: &str) -> Option<Contact> {
        self.contact.get(bus_id).copied()
    }

    fn read(&mut self, followed: Followed) {
        let entry = match followed {
            Followed::Entry(entry) => {
                self.last = entry.sequence;
                entry
            }
            Followed::Missed(count) => {
                self.last = self.last.saturating_add(count);
                self.missed = self.missed.saturating_add(count);
                return;
            }
        };
        let contact = match &entry.event {
            Event::Hid { .. } => Some(Contact::Opened),
            Event::Started { .. } => Some(Contact::Used),
            Event::Finished { .. } => {
                self.operations += 1;
                Some(Contact::Used)
            }
            Event::Touch { .. } | Event::Fault { .. } => None,
            Event::Added { .. }
            | Event::Removed
            | Event::Plugged
            | Event::Unplugged
            | Event::PowerCycled
            | Event::Attach { .. }
            | Event::Detach { .. }
            | Event::Wink
            | Event::Changed { .. } => return,
        };
        if let Some(contact) = contact {
            let known = self.contact.entry(entry.key.clone()).or_insert(contact);
            *known = contact.max(*known);
        }
        if matches!(entry.event, Event::Hid { .. }) {
            return;
        }
        match self.events.len() < REPORT_EVENTS {
            true => self.events.push(entry.to_json()),
            false => self.left_out += 1,
        }
    }
}

/// A reader that runs until the journal is closed.
pub(super) struct Recorder {
    recorded: Arc<Mutex<Recorded>>,
    task: JoinHandle<()>,
}

impl Recorder {
    /// Reads from the first event on.
    pub(super) fn start(journal: &Journal) -> Self {
        let recorded = Arc::new(Mutex::default());
        let task = read(journal.follow_after(0), Arc::clone(&recorded));
        Self {
            recorded,
            task: tokio::spawn(task),
        }
    }

    /// What was read so far.
    pub(super) fn recorded(&self) -> MutexGuard<'_, Recorded> {
        lock(&self.recorded)
    }

    /// Waits until all that is in the journal now is read.
    pub(super) async fn caught_up(&self, journal: &Journal) {
        let last = journal.last();
        while !self.task.is_finished() && self.recorded().last < last {
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }
}

/// No code between lock and unlock can panic, so what was read is still whole.
fn lock(recorded: &Mutex<Recorded>) -> MutexGuard<'_, Recorded> {
    recorded.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn read(mut follower: Follower, recorded: Arc<Mutex<Recorded>>) {
    while let Some(next) = follower.next().await {
        lock(&recorded).read(next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finished(operation: u64) -> Event {
        Event::Finished {
            operation,
            command: "get-info".to_owned(),
            rp_id: None,
            status: "CTAP2_OK".to_owned(),
            status_code: 0,
            answered: true,
            duration_ms: 0,
            touch: "none".to_owned(),
            details: BTreeMap::new(),
        }
    }

    #[tokio::test]
    async fn operations_are_counted_and_events_bounded() {
        let journal = Journal::new();
        journal.record("1-1", Event::Plugged);
        let recorder = Recorder::start(&journal);
        let many = u64::try_from(REPORT_EVENTS).unwrap() + 7;
        for number in 1..=many {
            journal.record("1-1", finished(number));
            if number % 1_000 == 0 {
                while recorder.recorded().operations < number {
                    tokio::task::yield_now().await;
                }
            }
        }
        recorder.caught_up(&journal).await;
        let recorded = recorder.recorded();
        assert_eq!(recorded.operations, many);
        assert_eq!(recorded.events.len(), REPORT_EVENTS);
        assert_eq!((recorded.left_out, recorded.missed), (7, 0));
        assert_eq!(recorded.events[0]["operation"], 1);
        assert_eq!(recorded.contact("1-1"), Some(Contact::Used));
        assert_eq!(recorded.contact("1-2"), None);
    }

    #[tokio::test]
    async fn program_that_only_opened_a_key_has_contacted_it() {
        let journal = Journal::new();
        let init = Event::Hid {
            channel: "ffffffff".to_owned(),
            command: "init".to_owned(),
            value: 8,
        };
        journal.record("1-2", init);
        let recorder = Recorder::start(&journal);
        recorder.caught_up(&journal).await;
        let recorded = recorder.recorded();
        assert_eq!(recorded.contact("1-2"), Some(Contact::Opened));
        assert_eq!((recorded.operations, recorded.events.len()), (0, 0));
    }
}
