//! authenticatorReset (CTAP 2.1 §6.6, CTAP 2.3 §6.6).

use super::{Authenticator, Next, Step};
use crate::{
    event::{Gesture, Operation, Prompt},
    status::Status,
    time::Instant,
};

/// A reset must be asked for within this time of power-on.
pub const RESET_WINDOW_MS: u64 = 10_000;

impl Authenticator {
    pub(super) fn reset(&mut self, now: Instant) -> Result<Step, Status> {
        let open = self
            .powered_on_at
            .is_some_and(|on| now <= on.after_ms(RESET_WINDOW_MS));
        if !open {
            return Err(Status::NotAllowed);
        }
        let gesture = match self.state.long_touch_for_reset(&self.profile) {
            Some(true) => Gesture::LongTouch,
            Some(false) | None => Gesture::Touch,
        };
        let prompt = Prompt {
            operation: Operation::Reset,
            rp_id: None,
            rp_id_hash: None,
            account: None,
            gesture,
        };
        Ok(Step::AskPresence(prompt, Next::Reset))
    }

    /// What it does is [`crate::KeyState::wipe`]'s; what is not durable of it goes with the set.
    pub(super) fn erase(&mut self) -> Step {
        let set = self.state.wipe(&mut self.rng);
        Step::Commit(set, Next::Respond(crate::wire::response(Ok(None))))
    }
}
