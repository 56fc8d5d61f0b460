//! Who answers "touch me": a policy at once, or a person through a prompt.
//!
//! A [`Broker`] serves all keys of a process. Each key has a [`Seat`] at it and at most one
//! request at a time; requests of several keys wait beside one another, since a browser asks
//! every attached key and withdraws the rest when one answers.
//!
//! A long touch ([`Gesture::LongTouch`]) is over [`LONG_TOUCH`] after somebody approves it. It
//! waits on until then, so that a host can withdraw it and a person can still refuse; a refusal
//! comes at once.

mod notice;
mod policy;
mod script;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use roamkey_ctap::{Decision, Device, Gesture, PresenceId, Prompt, Withdrawn};
use roamkey_transport::{Ended, Peer};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};
use tracing::{info, warn};

pub use crate::limits::MOST_STEPS;
pub use notice::Notice;
pub use policy::{Others, Policy, Touch, Verdict, Verify};
pub use script::{Answer, Step, parse as parse_script};

use crate::{
    journal::{Event, Journal},
    limits::NOTICES,
};

/// How long a long touch lasts (CTAP 2.3 §6.6).
pub const LONG_TOUCH: Duration = Duration::from_secs(10);

/// Numbers the requests of a broker, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// A request that waits for a person.
struct Request {
    key: String,
    prompt: Prompt,
    presence: PresenceId,
    since: Instant,
    /// Whether somebody has begun a long touch: once is enough.
    held: bool,
    answers: mpsc::UnboundedSender<Reply>,
}

/// What a seat hears of its request.
enum Reply {
    /// The answer.
    Decided(PresenceId, Decision),
    /// Somebody holds the key: it is approved at that time.
    Held(RequestId, Instant),
}

/// A request that waits, for who may answer it.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// To answer with.
    pub id: RequestId,
    /// Which key.
    pub key: String,
    /// What for.
    pub prompt: Prompt,
    /// Since when.
    pub since: Instant,
}

struct Shared {
    /// Of keys that have none of their own.
    policy: Policy,
    policies: BTreeMap<String, Policy>,
    last_id: u64,
    requests: BTreeMap<RequestId, Request>,
    notices: Option<mpsc::Sender<Notice>>,
    journal: Journal,
    /// How long a long touch lasts.
    long_touch: Duration,
}

/// Decides touches for all keys of a process. Clones are handles to the same one.
#[derive(Clone)]
pub struct Broker(Arc<Mutex<Shared>>);

impl Broker {
    /// A broker without an audience: notices go nowhere.
    pub fn new(policy: Policy) -> Self {
        Self(Arc::new(Mutex::new(Shared {
            policy,
            policies: BTreeMap::new(),
            last_id: 0,
            requests: BTreeMap::new(),
            notices: None,
            journal: Journal::new(),
            long_touch: LONG_TOUCH,
        })))
    }

    /// The last has happened: the audience and everybody who follows the journal have an end.
    pub fn close(&self) {
        let mut shared = self.lock();
        shared.notices = None;
        shared.journal.close();
    }

    /// Where everything is noted.
    pub fn journal(&self) -> Journal {
        self.lock().journal.clone()
    }

    /// How the touches of a key are decided.
    pub fn policy(&self, key: &str) -> Policy {
        let shared = self.lock();
        let own = shared.policies.get(key);
        own.unwrap_or(&shared.policy).clone()
    }

    /// Decides the touches of a key by a policy of its own from now on. A request that waits
    /// already goes on waiting.
    pub fn set_policy(&self, key: &str, policy: Policy) {
        self.lock().policies.insert(key.to_owned(), policy);
    }

    /// Decides the touches of a key as those of any other again.
    pub fn forget_policy(&self, key: &str) {
        self.lock().policies.remove(key);
    }

    /// Lets long touches last so long, for tests that have no time.
    pub fn set_long_touch(&self, lasts: Duration) {
        self.lock().long_touch = lasts;
    }

    /// Everything that happens from now on; replaces an earlier audience.
    pub fn notices(&self) -> mpsc::Receiver<Notice> {
        let (sender, receiver) = mpsc::channel(NOTICES);
        self.lock().notices = Some(sender);
        receiver
    }

    /// A place for a key, which is called `key` in notices.
    pub fn seat(&self, key: &str) -> Seat {
        let (sender, answers) = mpsc::unbounded_channel();
        Seat {
            broker: self.clone(),
            key: key.to_owned(),
            sender,
            answers,
            open: None,
            due: None,
        }
    }

    /// What waits for a person, the oldest first.
    pub fn pending(&self) -> Vec<RequestId> {
        self.lock().requests.keys().copied().collect()
    }

    /// What waits, the oldest first, with what it is for.
    pub fn waiting(&self) -> Vec<Waiting> {
        let shared = self.lock();
        let requests = shared.requests.iter();
        let waiting = requests.map(|(id, request)| Waiting {
            id: *id,
            key: request.key.clone(),
            prompt: request.prompt.clone(),
            since: request.since,
        });
        waiting.collect()
    }

    /// A person answers. False if the request is over.
    ///
    /// Any finger gives a touch: [`Decision::Unverified`] is as good as an approval there.
    pub fn decide(&self, id: RequestId, decision: Decision) -> bool {
        let mut shared = self.lock();
        let long_touch = shared.long_touch;
        let Some(request) = shared.requests.get_mut(&id) else {
            return false;
        };
        let decision = match (decision, request.prompt.gesture) {
            (Decision::Unverified, Gesture::Touch | Gesture::LongTouch) => Decision::Approved,
            (decision, _) => decision,
        };
        let lasts = lasts(&request.prompt, long_touch);
        if decision == Decision::Approved && !lasts.is_zero() {
            let held = Reply::Held(id, Instant::now() + lasts);
            return std::mem::replace(&mut request.held, true)
                || request.answers.send(held).is_ok();
        }
        drop(shared);
        self.answer(id, decision)
    }

    /// The answer is there.
    fn answer(&self, id: RequestId, decision: Decision) -> bool {
        let mut shared = self.lock();
        let Some(request) = shared.requests.remove(&id) else {
            return false;
        };
        let reply = Reply::Decided(request.presence, decision);
        let sent = request.answers.send(reply).is_ok();
        shared.notify(Notice::Answered {
            id,
            key: request.key,
            prompt: request.prompt,
            decision,
            refusal: None,
        });
        sent
    }

    /// No code between lock and unlock can panic, so a poisoned list is still whole.
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn judge(&mut self, key: &str, prompt: &Prompt) -> Verdict {
        match self.policies.get_mut(key) {
            Some(own) => own.judge(prompt),
            None => self.policy.judge(prompt),
        }
    }

    fn notify(&mut self, notice: Notice) {
        self.journal.record(notice.key(), notice.to_event());
        let Some(notices) = &self.notices else { return };
        match notices.try_send(notice) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => {
                warn!("nobody reads stdout: events are lost")
            }
            Err(mpsc::error::TrySendError::Closed(_)) => self.notices = None,
        }
    }
}

/// How long a touch must last.
fn lasts(prompt: &Prompt, long_touch: Duration) -> Duration {
    match prompt.gesture {
        Gesture::LongTouch => long_touch,
        Gesture::Touch | Gesture::Finger => Duration::ZERO,
    }
}

/// Notes what happens to one key.
pub(crate) struct Scribe {
    journal: Journal,
    key: String,
}

impl Scribe {
    pub(crate) fn note(&self, event: Event) {
        self.journal.record(&self.key, event);
    }

    /// Notes what happened on the wires of the key.
    pub(crate) fn note_traces(&self, device: &mut Device) {
        while let Some(trace) = device.poll_trace() {
            self.note(trace.into());
        }
    }
}

/// A key's place at the broker.
pub struct Seat {
    broker: Broker,
    key: String,
    sender: mpsc::UnboundedSender<Reply>,
    /// A key has one request at a time.
    answers: mpsc::UnboundedReceiver<Reply>,
    open: Option<(PresenceId, RequestId)>,
    /// What a policy, or a long touch, answers later, and when.
    due: Option<(Instant, RequestId, Decision)>,
}

impl Seat {
    /// What the key is called.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Asks for a touch. A policy answers at once; a person through [`Self::decision`].
    pub fn ask(&mut self, presence: PresenceId, prompt: &Prompt) -> Option<Decision> {
        let mut shared = self.broker.lock();
        shared.last_id += 1;
        let id = RequestId(shared.last_id);
        let (key, prompt) = (self.key.clone(), prompt.clone());
        info!(key, operation = ?prompt.operation, rp = prompt.rp_id, "touch needed");
        let lasts = lasts(&prompt, shared.long_touch);
        let verdict = shared.judge(&key, &prompt).lasting(lasts);
        let (decision, refusal) = match verdict {
            Verdict::Ask | Verdict::After(..) => {
                if let Verdict::After(wait, decision) = verdict {
                    self.due = Some((Instant::now() + wait, id, decision));
                }
                let request = Request {
                    key: key.clone(),
                    prompt: prompt.clone(),
                    presence,
                    since: Instant::now(),
                    held: false,
                    answers: self.sender.clone(),
                };
                shared.requests.insert(id, request);
                // A key has one at a time: there are never more than keys.
                if let Some((_, before)) = self.open.replace((presence, id)) {
                    shared.requests.remove(&before);
                }
                shared.notify(Notice::Asked { id, key, prompt });
                return None;
            }
            Verdict::Approve => (Decision::Approved, None),
            Verdict::Unverified => (Decision::Unverified, None),
            Verdict::Deny(why) => (Decision::Denied, Some(why)),
        };
        shared.notify(Notice::Answered {
            id,
            key,
            prompt,
            decision,
            refusal,
        });
        Some(decision)
    }

    /// The key no longer needs the touch.
    pub fn withdraw(&mut self, presence: PresenceId, reason: Withdrawn) {
        let Some((_, id)) = self.open.take_if(|(asked, _)| *asked == presence) else {
            return;
        };
        let mut shared = self.broker.lock();
        if let Some(request) = shared.requests.remove(&id) {
            shared.notify(Notice::Withdrawn {
                id,
                key: request.key,
                prompt: request.prompt,
                reason,
            });
        }
    }

    /// The next answer, of a person or of a policy that takes its time. Cancel-safe.
    pub async fn decision(&mut self) -> (PresenceId, Decision) {
        loop {
            let due = self.due;
            let answer = tokio::select! {
                biased;
                answer = self.answers.recv() => answer,
                () = until(due) => {
                    if let Some((_, id, decision)) = self.due.take() {
                        // It is over where a person was faster.
                        self.broker.answer(id, decision);
                    }
                    continue;
                }
            };
            match answer {
                Some(Reply::Decided(presence, decision)) => return (presence, decision),
                Some(Reply::Held(id, until)) => self.hold(id, until),
                // Not reached: the seat itself holds a sender.
                None => std::future::pending().await,
            }
        }
    }

    /// Somebody has begun a long touch. What is answered sooner anyway stays so.
    fn hold(&mut self, id: RequestId, until: Instant) {
        let sooner = self
            .due
            .is_some_and(|(at, due, _)| due == id && at <= until);
        if !sooner {
            self.due = Some((until, id, Decision::Approved));
        }
    }

    /// Notes things about the key, wherever the seat is.
    pub(crate) fn scribe(&self) -> Scribe {
        Scribe {
            journal: self.broker.journal(),
            key: self.key.clone(),
        }
    }

    pub(crate) fn attached(&self, peer: Peer) {
        let key = self.key.clone();
        self.broker.lock().notify(Notice::Attached { key, peer });
    }

    pub(crate) fn detached(&self, peer: Peer, ended: Ended) {
        let key = self.key.clone();
        self.broker
            .lock()
            .notify(Notice::Detached { key, peer, ended });
    }

    pub(crate) fn wink(&self) {
        let key = self.key.clone();
        self.broker.lock().notify(Notice::Wink { key });
    }
}

impl Drop for Seat {
    /// What a key that is gone has asked is asked no more.
    fn drop(&mut self) {
        if let Some((_, id)) = self.open {
            self.broker.lock().requests.remove(&id);
        }
    }
}

/// Sleeps until a policy's answer is due; for ever, where none is.
async fn until(due: Option<(Instant, RequestId, Decision)>) {
    match due {
        Some((at, ..)) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
