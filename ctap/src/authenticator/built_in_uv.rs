//! Built-in user verification: a finger on a simulated sensor (CTAP 2.1 §6.5.3.1
//! performBuiltInUv).
//!
//! An attempt is lost before its finger is looked at and given back after: a finger, decrement,
//! commit, compare, restore, commit, and on with what it was wanted for. Power may go at any point
//! without giving an attempt away. Deliberately absent: the comparison, which is a person's or a
//! policy's word ([`Decision::Unverified`]).
//!
//! Deviation: an attempt is a finger that was put on. Who puts none on, or says no, loses none.
//!
//! [`Decision::Unverified`]: crate::Decision::Unverified

use super::{Authenticator, Next, Step};
use crate::{
    event::{Gesture, Prompt},
    status::Status,
};

/// maxUvAttemptsForInternalRetries: fingers that one makeCredential or getAssertion asks for.
const MAX_INTERNAL_ATTEMPTS: u8 = 3;

/// A finger that is asked for, or was given.
pub(super) struct Verification {
    prompt: Prompt,
    /// How many more may follow this one without another command.
    further_attempts: u8,
    /// Whether it is one that the key knows. Nobody looks before the attempt is lost.
    pub(super) known: bool,
    /// What it is wanted for.
    then: Next,
}

impl Authenticator {
    /// Whether a finger can verify a person: the sensor is there and knows one.
    pub(super) fn built_in_uv_enabled(&self) -> bool {
        self.profile.built_in_uv && !self.state.fingerprints().is_empty()
    }

    /// Asks for a finger, and goes on with `then` once it was one that the key knows.
    ///
    /// internalRetry is true for the commands themselves and false for a token, whose platform
    /// asks again on its own (§6.5.5.7.3).
    pub(super) fn perform_built_in_uv(&self, prompt: Prompt, then: Next) -> Result<Step, Status> {
        let for_token = matches!(then, Next::IssueToken(_));
        self.ask_finger(Box::new(Verification {
            prompt: Prompt {
                gesture: Gesture::Finger,
                ..prompt
            },
            further_attempts: if for_token {
                0
            } else {
                MAX_INTERNAL_ATTEMPTS - 1
            },
            known: false,
            then,
        }))
    }

    fn ask_finger(&self, verification: Box<Verification>) -> Result<Step, Status> {
        if self.state.uv_retries() == 0 {
            return Err(self.unverified(&verification.then));
        }
        let prompt = verification.prompt.clone();
        Ok(Step::AskPresence(prompt, Next::LookAtFinger(verification)))
    }

    /// A finger is on the sensor.
    pub(super) fn spend_uv_attempt(&self, verification: Box<Verification>) -> Step {
        let spent = self.state.spend_uv_attempt();
        Step::Commit(spent, Next::CompareFinger(verification))
    }

    pub(super) fn compare_finger(
        &mut self,
        mut verification: Box<Verification>,
    ) -> Result<Step, Status> {
        if verification.known {
            let restored = self.state.restore_uv_attempts();
            return Ok(Step::Commit(restored, verification.then));
        }
        let Some(further) = verification.further_attempts.checked_sub(1) else {
            return Err(self.unverified(&verification.then));
        };
        verification.further_attempts = further;
        self.ask_finger(verification)
    }

    /// What is answered where no finger has verified anybody: §6.5.5.7.3 step 10 of a token,
    /// §6.1.2 step 11.2 and §6.2.2 step 6.2 of the others.
    fn unverified(&self, then: &Next) -> Status {
        let blocked = self.state.uv_retries() == 0;
        let by_pin = self.state.pin_is_set() && !self.profile.no_mc_ga_permissions_with_client_pin;
        match matches!(then, Next::IssueToken(_)) {
            true if blocked => Status::UvBlocked,
            true => Status::UvInvalid,
            false if by_pin => Status::PuatRequired,
            false if blocked => Status::PinBlocked,
            false => Status::OperationDenied,
        }
    }
}
