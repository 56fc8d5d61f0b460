//! Commands that wait for slow work ([`crate::Work`]): an RSA key for makeCredential.
//!
//! Whoever runs the work cannot be made to stop, so a key has one piece of it out at a time: a
//! client that asks and cancels over and over waits for its own first piece, and never costs more
//! than one core. Deliberately absent: the work itself.

use super::{Authenticator, Checked, Next, Waiting};
use crate::{
    event::{Decision, Event},
    time::Instant,
    wire::make_credential::Request,
    work::{Work, WorkDone, WorkId},
};

impl Authenticator {
    /// Makes the command wait for a piece of work, which begins once the last one is over.
    pub(super) fn wait_for_work(&mut self, work: Work, checked: Box<Checked<Request>>) {
        let id = WorkId(self.next_id());
        let mut work = Some(work);
        if self.working.is_none() {
            self.hand_out(id, &mut work);
        }
        self.waiting = Some(Waiting::Work { id, work, checked });
    }

    fn hand_out(&mut self, id: WorkId, work: &mut Option<Work>) {
        if let Some(work) = work.take() {
            self.working = Some(id);
            self.events.push_back(Event::Work { id, work });
        }
    }

    /// A piece of work is over; what came of it is dropped, unless a command still waits for it.
    pub(crate) fn handle_work_done(&mut self, now: Instant, id: WorkId, done: WorkDone) {
        if self.working.take_if(|working| *working == id).is_none() {
            return;
        }
        match self.waiting.take() {
            Some(Waiting::Work {
                id: awaited,
                work: None,
                checked,
            }) if awaited == id => {
                let next = Next::StoreCredential(checked, Box::new(done));
                let decision = Decision::Approved;
                self.waiting = Some(Waiting::Decided { decision, next });
                self.follow_decision(now);
            }
            Some(Waiting::Work {
                id,
                mut work,
                checked,
            }) => {
                self.hand_out(id, &mut work);
                self.waiting = Some(Waiting::Work { id, work, checked });
            }
            waiting => self.waiting = waiting,
        }
    }
}
