//! Asking for a person: prompts, their end and withdrawal, and the latch of U2F's polling.

use super::{Authenticator, Next, Waiting};
use crate::{
    event::{Decision, Event, PresenceId, Prompt, Withdrawn},
    status::Status,
    time::Instant,
    trace::Touched,
    wire,
};

/// How long an approval waits for the client's next poll.
pub(super) const LATCH_MS: u64 = 10_000;
/// A prompt is withdrawn when its client has not polled for this long.
pub(super) const POLL_GAP_MS: u64 = 2_000;

/// A U2F client does not wait: it is told "touch needed" (6985) and asks again. One prompt is
/// alive while equal polls go on, and what the person answered is kept for the next of them.
#[derive(Default)]
pub(super) struct Latch(Option<Latched>);

struct Latched {
    id: PresenceId,
    /// SHA-256 of the request that polls.
    request: [u8; 32],
    last_poll: Instant,
    answer: Option<(Instant, Decision)>,
}

impl Latched {
    fn is_approved(&self) -> bool {
        matches!(
            self.answer,
            Some((_, Decision::Approved | Decision::Unverified))
        )
    }

    /// When this is no longer of use.
    fn end(&self) -> Instant {
        match self.answer {
            Some((since, Decision::Approved | Decision::Unverified)) => since.after_ms(LATCH_MS),
            // Denied: the client goes on polling and nobody is asked again until it stops.
            Some((_, Decision::Denied)) | None => self.last_poll.after_ms(POLL_GAP_MS),
        }
    }
}

/// What a poll meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Poll {
    /// The person agreed: do it.
    Approved,
    /// Not yet, or no.
    Pending,
    /// Nobody is being asked: ask.
    Ask,
}

impl Latch {
    /// A request that needs a touch asks again, or for the first time.
    pub(super) fn poll(&mut self, now: Instant, request: &[u8; 32]) -> Poll {
        let Some(latched) = self.0.as_mut().filter(|latched| now < latched.end()) else {
            return Poll::Ask;
        };
        if latched.request != *request {
            // Another client's prompt is alive; this one has its turn when that is over.
            let over = latched.is_approved();
            return if over { Poll::Ask } else { Poll::Pending };
        }
        latched.last_poll = now;
        match latched.answer {
            Some((_, Decision::Approved | Decision::Unverified)) => {
                self.0 = None;
                Poll::Approved
            }
            Some((_, Decision::Denied)) | None => Poll::Pending,
        }
    }

    /// Whether [`Self::poll`] would say so of the request.
    pub(super) fn is_approved(&self, now: Instant, request: &[u8; 32]) -> bool {
        self.0.as_ref().is_some_and(|latched| {
            let approved = latched.is_approved();
            approved && now < latched.end() && latched.request == *request
        })
    }

    /// What the person has answered to a request that was polled just now.
    pub(super) fn touch(&self, request: &[u8; 32], poll: Poll) -> Touched {
        let mine = self
            .0
            .as_ref()
            .filter(|latched| latched.request == *request);
        let denied = mine.is_some_and(|mine| matches!(mine.answer, Some((_, Decision::Denied))));
        match poll {
            Poll::Approved => Touched::Approved,
            Poll::Pending if denied => Touched::Denied,
            Poll::Pending | Poll::Ask => Touched::Unanswered,
        }
    }

    pub(super) fn arm(&mut self, now: Instant, id: PresenceId, request: [u8; 32]) {
        self.0 = Some(Latched {
            id,
            request,
            last_poll: now,
            answer: None,
        });
    }

    pub(super) fn handle_decision(&mut self, now: Instant, id: PresenceId, decision: Decision) {
        if let Some(latched) = &mut self.0
            && latched.id == id
            && latched.answer.is_none()
        {
            latched.answer = Some((now, decision));
        }
    }

    /// When a prompt has to be withdrawn. What is answered needs no timer: it is looked at when
    /// the next poll comes.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.0
            .as_ref()
            .filter(|latched| latched.answer.is_none())
            .map(Latched::end)
    }

    /// Forgets; the id is that of a prompt that is still shown.
    fn clear(&mut self) -> Option<PresenceId> {
        let latched = self.0.take()?;
        latched.answer.is_none().then_some(latched.id)
    }
}

impl Authenticator {
    pub(super) fn ask_presence(&mut self, prompt: Prompt) -> PresenceId {
        let id = PresenceId(self.next_id());
        self.events.push_back(Event::PresenceNeeded { id, prompt });
        id
    }

    pub(super) fn withdraw(&mut self, id: PresenceId, reason: Withdrawn) {
        self.events
            .push_back(Event::PresenceWithdrawn { id, reason });
    }

    pub(super) fn withdraw_latch(&mut self, reason: Withdrawn) {
        if let Some(id) = self.latch.clear() {
            self.withdraw(id, reason);
        }
    }

    /// CANCEL ends a wait for a person; once changes are on their way there is no way back.
    pub(crate) fn handle_cancel(&mut self) {
        if let Some(Waiting::Presence { id, .. }) = &self.waiting {
            self.withdraw(*id, Withdrawn::Cancelled);
            self.waiting = None;
            self.response = Some(wire::response(Err(Status::KeepaliveCancel)));
        } else if self
            .waiting
            .take_if(|waiting| waiting.is_silent())
            .is_some()
            || self.deferred.take().is_some()
        {
            self.response = Some(wire::response(Err(Status::KeepaliveCancel)));
        }
    }

    /// The client is gone: no prompt, no answer; what is on its way to the vault still applies.
    pub(crate) fn handle_abort(&mut self) {
        self.deferred = None;
        self.response = None;
        match &mut self.waiting {
            Some(Waiting::Presence { id, .. }) => {
                let id = *id;
                self.waiting = None;
                self.withdraw(id, Withdrawn::HostGone);
            }
            Some(Waiting::Decided { .. } | Waiting::Work { .. }) => self.waiting = None,
            Some(Waiting::Commit { next, .. }) => *next = None,
            None => {}
        }
    }

    /// Ends waits that have lasted too long.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if let Some(Waiting::Presence { id, deadline, .. }) = &self.waiting
            && now >= *deadline
        {
            self.withdraw(*id, Withdrawn::TimedOut);
            self.response = Some(match self.waiting.take() {
                Some(Waiting::Presence {
                    next: Next::TakeSample(sample),
                    ..
                }) => self.miss_sample(&sample),
                _ => wire::response(Err(Status::UserActionTimeout)),
            });
        }
        if self.latch.poll_timeout().is_some_and(|due| now >= due) {
            self.withdraw_latch(Withdrawn::HostGone);
        }
    }

    /// When [`Self::handle_timeout`] has something to do.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let presence = match &self.waiting {
            Some(Waiting::Presence { deadline, .. }) => Some(*deadline),
            Some(Waiting::Decided { .. } | Waiting::Commit { .. } | Waiting::Work { .. })
            | None => None,
        };
        presence.into_iter().chain(self.latch.poll_timeout()).min()
    }
}
