//! Who answers "touch me": a policy at once, or a person through a prompt.
//!
//! A [`Broker`] serves all keys of a process. Each key has a [`Seat`] at it and at most one
//! request at a time; requests of several keys wait beside one another, since a browser asks
//! every attached key and withdraws the rest when one answers.

mod policy;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use roamkey_ctap::{Decision, PresenceId, Prompt, Withdrawn};
use roamkey_transport::{Ended, Peer};
use tokio::sync::mpsc;
use tracing::{info, warn};

pub use policy::{Policy, Touch, Verdict};

/// How many notices may wait for whoever shows them; more are dropped with a warning.
const NOTICES: usize = 1_024;

/// Numbers the requests of a broker, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// Something to show a person or to log for a rig.
#[derive(Clone, Debug)]
pub enum Notice {
    /// A host has the key.
    Attached {
        /// Which key.
        key: String,
        /// Who.
        peer: Peer,
    },
    /// The host is gone.
    Detached {
        /// Which key.
        key: String,
        /// Who.
        peer: Peer,
        /// Why.
        ended: Ended,
    },
    /// A touch is needed and a person has to give it.
    Asked {
        /// To answer with.
        id: RequestId,
        /// Which key.
        key: String,
        /// What for.
        prompt: Prompt,
    },
    /// A touch was given or refused.
    Answered {
        /// What was asked.
        id: RequestId,
        /// Which key.
        key: String,
        /// What for.
        prompt: Prompt,
        /// The answer.
        decision: Decision,
        /// Why a policy refused, in words.
        refusal: Option<&'static str>,
    },
    /// A touch is no longer needed.
    Withdrawn {
        /// What was asked.
        id: RequestId,
        /// Which key.
        key: String,
        /// Why.
        reason: Withdrawn,
    },
    /// The key was asked to show itself.
    Wink {
        /// Which key.
        key: String,
    },
}

/// A request that waits for a person.
struct Request {
    key: String,
    prompt: Prompt,
    presence: PresenceId,
    answers: mpsc::UnboundedSender<(PresenceId, Decision)>,
}

struct Shared {
    policy: Policy,
    last_id: u64,
    requests: BTreeMap<RequestId, Request>,
    notices: Option<mpsc::Sender<Notice>>,
}

/// Decides touches for all keys of a process. Clones are handles to the same one.
#[derive(Clone)]
pub struct Broker(Arc<Mutex<Shared>>);

impl Broker {
    /// A broker without an audience: notices go nowhere.
    pub fn new(policy: Policy) -> Self {
        Self(Arc::new(Mutex::new(Shared {
            policy,
            last_id: 0,
            requests: BTreeMap::new(),
            notices: None,
        })))
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
        }
    }

    /// What waits for a person, the oldest first.
    pub fn pending(&self) -> Vec<RequestId> {
        self.lock().requests.keys().copied().collect()
    }

    /// A person answers. False if the request is over.
    pub fn decide(&self, id: RequestId, decision: Decision) -> bool {
        let mut shared = self.lock();
        let Some(request) = shared.requests.remove(&id) else {
            return false;
        };
        let sent = request.answers.send((request.presence, decision)).is_ok();
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
    fn notify(&mut self, notice: Notice) {
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

/// A key's place at the broker.
pub struct Seat {
    broker: Broker,
    key: String,
    sender: mpsc::UnboundedSender<(PresenceId, Decision)>,
    /// At most one answer for each request, and a key has one request at a time.
    answers: mpsc::UnboundedReceiver<(PresenceId, Decision)>,
    open: Option<(PresenceId, RequestId)>,
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
        let (decision, refusal) = match shared.policy.judge(&prompt) {
            Verdict::Ask => {
                let request = Request {
                    key: key.clone(),
                    prompt: prompt.clone(),
                    presence,
                    answers: self.sender.clone(),
                };
                shared.requests.insert(id, request);
                self.open = Some((presence, id));
                shared.notify(Notice::Asked { id, key, prompt });
                return None;
            }
            Verdict::Approve => (Decision::Approved, None),
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
        if shared.requests.remove(&id).is_some() {
            let key = self.key.clone();
            shared.notify(Notice::Withdrawn { id, key, reason });
        }
    }

    /// A person's next answer. Cancel-safe.
    pub async fn decision(&mut self) -> (PresenceId, Decision) {
        match self.answers.recv().await {
            Some(answer) => answer,
            // Not reached: the seat itself holds a sender.
            None => std::future::pending().await,
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
