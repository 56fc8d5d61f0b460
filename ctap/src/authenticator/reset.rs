//! authenticatorReset (CTAP 2.1 §6.6).

use super::{Authenticator, Next, Step};
use crate::{
    crypto::Secret,
    event::{Operation, Prompt},
    pin::PinState,
    state::{ChangeSet, Place, Record},
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
        let prompt = Prompt {
            operation: Operation::Reset,
            rp_id: None,
            rp_id_hash: None,
            account: None,
        };
        Ok(Step::AskPresence(prompt, Next::Reset))
    }

    /// A new master secret makes every derived credential unknown. The counter goes on, so that
    /// no value is ever used twice, and the attestation key is the model's, not the owner's.
    pub(super) fn erase(&mut self) -> Step {
        let mut set = ChangeSet::default();
        for id in self.state.credentials.ids() {
            set.delete(Place::Credential(*id));
            set.delete(Place::CredentialCounter(*id));
        }
        for place in [
            Place::Pin,
            Place::PinRetries,
            Place::Config,
            Place::LargeBlobs,
        ] {
            set.delete(place);
        }
        self.pin = PinState::new(&mut self.rng);
        self.stateful = None;
        set.put(Record::Master(Secret::random(&mut self.rng)));
        Step::Commit(set, Next::Respond(crate::wire::response(Ok(None))))
    }
}
