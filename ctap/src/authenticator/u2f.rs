//! CTAP1/U2F on the credentials of CTAP2 (CTAP 2.1 §10, FIDO U2F raw message formats 1.2).

use super::{Authenticator, Next, Step, get_assertion::Found, presence::Poll};
use crate::{
    credential::{Algorithm, CredProtect, CredentialId, Origin, RpIdHash},
    crypto::{PrivateKey, sha256},
    event::{Gesture, Operation, Prompt, Withdrawn},
    fault::Fault,
    state::ChangeSet,
    time::Instant,
    u2f::{
        Authenticate, Authentication, Control, Register, Registration, Request, StatusWord,
        version_response,
    },
};

impl Authenticator {
    pub(super) fn start_apdu(&mut self, now: Instant, apdu: &[u8]) -> Step {
        let request = match Request::parse(apdu) {
            Ok(request) => request,
            Err(word) => return Step::Respond(word.emit()),
        };
        if self.fenced && request != Request::Version {
            return Step::Respond(StatusWord::Unknown.emit());
        }
        if self.always_uv() && request != Request::Version {
            return Step::Respond(StatusWord::CommandNotAllowed.emit());
        }
        match request {
            Request::Version => Step::Respond(version_response()),
            Request::Register(request) => {
                let application = request.application;
                if self.touched(now, apdu, Operation::Register, application, None) {
                    self.register(&request)
                } else {
                    Step::Respond(StatusWord::ConditionsNotSatisfied.emit())
                }
            }
            Request::Authenticate(request) => self.start_authenticate(now, apdu, request),
        }
    }

    /// Whether this APDU is answered with more than a request to ask again, as far as a touch
    /// decides: a poll shows no fault of what is signed.
    pub(crate) fn signs_now(&self, now: Instant, apdu: &[u8]) -> bool {
        match Request::parse(apdu) {
            Ok(Request::Register(_)) => self.latch.is_approved(now, &sha256(&[apdu])),
            Ok(Request::Authenticate(request)) => match request.control {
                Control::CheckOnly => false,
                Control::DontEnforceUserPresence => true,
                Control::EnforceUserPresence => self.latch.is_approved(now, &sha256(&[apdu])),
            },
            Ok(Request::Version) | Err(_) => false,
        }
    }

    fn start_authenticate(&mut self, now: Instant, apdu: &[u8], request: Authenticate) -> Step {
        let application = request.application;
        let Some(found) = self.find_es256(&application, &request.key_handle) else {
            return Step::Respond(StatusWord::WrongData.emit());
        };
        let sign = match request.control {
            Control::CheckOnly => false,
            Control::DontEnforceUserPresence => true,
            Control::EnforceUserPresence => {
                let account = self.account(&application, found.id());
                self.touched(now, apdu, Operation::Authenticate, application, account)
            }
        };
        if sign {
            self.authenticate(request)
        } else {
            Step::Respond(StatusWord::ConditionsNotSatisfied.emit())
        }
    }

    /// Whether a person has agreed to just this request; asks, if nobody is being asked.
    fn touched(
        &mut self,
        now: Instant,
        apdu: &[u8],
        operation: Operation,
        application: RpIdHash,
        account: Option<String>,
    ) -> bool {
        let digest = sha256(&[apdu]);
        let poll = self.latch.poll(now, &digest);
        self.touch = self.latch.touch(&digest, poll);
        match poll {
            Poll::Approved => true,
            Poll::Pending => false,
            Poll::Ask => {
                // A prompt of before may have run out just now, before its timer was looked at.
                self.withdraw_latch(Withdrawn::HostGone);
                let id = self.ask_presence(Prompt {
                    operation,
                    rp_id: None,
                    rp_id_hash: Some(application),
                    account,
                    gesture: Gesture::Touch,
                });
                self.latch.arm(now, id, digest);
                false
            }
        }
    }

    /// U2F knows ES256 only, and no user verification: a credential that requires it is none of
    /// its handles (CTAP 2.1 §12.1).
    fn find_es256(&self, application: &RpIdHash, key_handle: &[u8]) -> Option<Found> {
        let found = self.find(application, key_handle)?;
        let (algorithm, cred_protect) = match &found {
            Found::Derived(_, derived) => (derived.algorithm, derived.cred_protect),
            Found::Stored(id) => {
                let stored = self.state.credentials.get(application, id)?;
                (stored.credential.algorithm, stored.credential.cred_protect)
            }
        };
        let usable = algorithm == Algorithm::Es256 && cred_protect != CredProtect::Required;
        usable.then_some(found)
    }

    /// A new credential: in its own id, or one with a record, which is to be stored first.
    fn credential_for(
        &mut self,
        application: &RpIdHash,
    ) -> (CredentialId, PrivateKey, Option<ChangeSet>) {
        if self.profile.stores_all {
            let private_key = PrivateKey::random(Algorithm::Es256, &mut self.rng);
            let (id, set) = self
                .state
                .new_u2f_record(&mut self.rng, application, &private_key);
            return (id, private_key, Some(set));
        }
        let (id, derived) = self.state.deriver.create(
            &mut self.rng,
            application,
            Algorithm::Es256,
            CredProtect::default(),
            Origin::U2f,
        );
        (id, self.state.deriver.private_key(&derived), None)
    }

    fn register(&mut self, request: &Register) -> Step {
        let application = &request.application;
        if self.profile.stores_all && self.state.is_full(&self.profile) {
            return Step::Respond(StatusWord::Unknown.emit());
        }
        let (id, private_key, record) = self.credential_for(application);
        let Some(public_key) = private_key.public_key().to_sec1() else {
            return Step::Respond(StatusWord::Unknown.emit());
        };
        let Ok(flawed) = self.flawed_attestation() else {
            return Step::Respond(StatusWord::Unknown.emit());
        };
        let flawed = flawed.as_ref().map(|flawed| &flawed.leaf);
        let attestation = flawed.unwrap_or(self.state.u2f_attestation(&self.profile));
        let signature = attestation.sign(&[
            &[0],
            &application.0,
            &request.challenge,
            id.as_bytes(),
            &public_key,
        ]);
        let Some(signature) = signature else {
            return Step::Respond(StatusWord::Unknown.emit());
        };
        let registration = Registration {
            public_key: &public_key,
            key_handle: id.as_bytes(),
            certificate: attestation.certificate(),
            signature: &self.faults.met.signature(signature),
        };
        match record {
            Some(set) => Step::Commit(set, Next::Respond(registration.emit())),
            None => Step::Respond(registration.emit()),
        }
    }

    /// Signs; comes back here when a counter needed a lease first.
    pub(super) fn authenticate(&mut self, request: Authenticate) -> Step {
        let application = request.application;
        let Some(found) = self.find_es256(&application, &request.key_handle) else {
            return Step::Respond(StatusWord::WrongData.emit());
        };
        let counter = match self.take_count(found.counter()) {
            Ok(counter) => counter,
            Err(lease) => {
                let step = lease.then(Next::U2f(Box::new(request)));
                return step.unwrap_or_else(|_| Step::Respond(StatusWord::Unknown.emit()));
            }
        };
        let counter = self.faults.next_count(found.id(), counter);
        let met = &self.faults.met;
        let enforced = request.control == Control::EnforceUserPresence;
        let user_present =
            (enforced ^ met.has(Fault::FlipUserPresent)) && !met.has(Fault::ClearUserPresent);
        let signed = [
            application.0.as_slice(),
            &[u8::from(user_present)],
            &counter.to_be_bytes(),
            &request.challenge,
        ];
        let response = match self.sign_with(&application, &found, &signed) {
            Ok(signature) => Authentication {
                user_present,
                counter,
                signature: &self.faults.met.signature(signature),
            }
            .emit(),
            Err(_) => StatusWord::Unknown.emit(),
        };
        Step::Respond(response)
    }
}
