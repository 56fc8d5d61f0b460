//! authenticatorMakeCredential (CTAP 2.1 §6.1.2).

use super::{Authenticator, CounterOf, Next, Step};
use crate::{
    credential::{
        Algorithm, Credential, CredentialId, MAX_USER_ID_LEN, Origin, RpIdHash, truncated,
    },
    crypto::{PrivateKey, PublicKey},
    event::{Operation, Prompt},
    state::{COUNTER_LEASE, ChangeSet, Place, REGISTRATION_COUNT, Record},
    status::Status,
    wire::{
        Attested, AuthData, Flags,
        make_credential::{Request, Response, Statement},
    },
};

impl Authenticator {
    /// Everything that is decided before a person is asked.
    pub(super) fn make_credential(&mut self, request: Box<Request>) -> Result<Step, Status> {
        let prompt = |operation| Prompt {
            operation,
            rp_id: Some(request.rp.id.clone()),
            rp_id_hash: Some(RpIdHash::of(&request.rp.id)),
            account: account(&request),
        };
        // Step 1: platforms send an empty pinUvAuthParam to learn which key a person touches.
        if let Some(answer) = self.check_pin_uv_auth(&request.pin_uv_auth)? {
            return Ok(Step::AskPresence(
                prompt(Operation::Select),
                Next::Refuse(answer),
            ));
        }
        self.choose_algorithm(&request.algorithms)?;
        // Step 5: no built-in user verification, and a credential is never made without a touch.
        if request.options.uv == Some(true) || request.options.up == Some(false) {
            return Err(Status::InvalidOption);
        }
        // Step 9: no enterprise attestation.
        if request.enterprise_attestation.is_some() {
            return Err(Status::InvalidParameter);
        }
        if !(1..=MAX_USER_ID_LEN).contains(&request.user.id.len()) {
            return Err(Status::InvalidLength);
        }
        if self.is_excluded(&request)? {
            return Ok(Step::AskPresence(
                prompt(Operation::RegisterExcluded),
                Next::Refuse(Status::CredentialExcluded),
            ));
        }
        let prompt = prompt(Operation::Register);
        Ok(Step::AskPresence(prompt, Next::MakeCredential(request)))
    }

    /// The platform's first choice that this key offers (step 3).
    fn choose_algorithm(&self, wanted: &[i64]) -> Result<Algorithm, Status> {
        wanted
            .iter()
            .filter_map(|number| Algorithm::from_cose(*number))
            .find(|algorithm| self.profile.algorithms.contains(algorithm))
            .ok_or(Status::UnsupportedAlgorithm)
    }

    fn is_excluded(&self, request: &Request) -> Result<bool, Status> {
        self.check_list_len(request.exclude_list.len())?;
        let rp = RpIdHash::of(&request.rp.id);
        Ok(request
            .exclude_list
            .iter()
            .any(|id| self.find(&rp, id).is_some()))
    }

    /// Makes the credential that a person agreed to.
    pub(super) fn create_credential(&mut self, request: Box<Request>) -> Result<Step, Status> {
        let algorithm = self.choose_algorithm(&request.algorithms)?;
        if request.options.rk == Some(true) {
            return self.create_discoverable(&request, algorithm);
        }
        let sign_count = match self.take_count(CounterOf::Key) {
            Ok(count) => count,
            Err(lease) => return lease.then(Next::MakeCredential(request)),
        };
        let rp = RpIdHash::of(&request.rp.id);
        let (id, derived) = self
            .state
            .deriver
            .create(&mut self.rng, &rp, algorithm, Origin::Ctap2);
        let public_key = derived.private_key.public_key();
        let new = NewCredential {
            id,
            algorithm,
            private_key: &derived.private_key,
            public_key: &public_key,
            sign_count,
        };
        Ok(Step::success(Some(self.attest(&request, &rp, &new))))
    }

    fn create_discoverable(
        &mut self,
        request: &Request,
        algorithm: Algorithm,
    ) -> Result<Step, Status> {
        let rp = RpIdHash::of(&request.rp.id);
        let mut set = ChangeSet::default();
        // Step 17: a new credential replaces the account's old one.
        let replaced = self.state.credentials.find_user(&rp, &request.user.id);
        if let Some(old) = replaced {
            set.delete(Place::Credential(old.credential.id));
            set.delete(Place::CredentialCounter(old.credential.id));
        } else if self.state.credentials.len()
            >= usize::try_from(self.profile.max_discoverable_credentials).unwrap_or(usize::MAX)
        {
            return Err(Status::KeyStoreFull);
        }
        let private_key = PrivateKey::random(&mut self.rng);
        let id = CredentialId::random(&mut self.rng);
        let mut user = request.user.clone();
        user.name = user.name.map(truncated);
        user.display_name = user.display_name.map(truncated);
        set.put(Record::Credential(Box::new(Credential {
            id,
            rp_id: request.rp.id.clone(),
            rp_name: request.rp.name.clone().map(truncated),
            user,
            algorithm,
            private_key: private_key.to_secret(),
            sequence: self.state.credentials.next_sequence(),
        })));
        set.put(Record::CredentialCounter {
            id,
            ceiling: COUNTER_LEASE,
        });
        let public_key = private_key.public_key();
        let new = NewCredential {
            id,
            algorithm,
            private_key: &private_key,
            public_key: &public_key,
            sign_count: REGISTRATION_COUNT,
        };
        let body = self.attest(request, &rp, &new);
        let response = crate::wire::response(Ok(Some(body)));
        Ok(Step::Commit(set, Next::Respond(response)))
    }

    /// Packed self attestation, or none where the platform asks for that first (CTAP 2.2 §6.1.2).
    fn attest(&self, request: &Request, rp: &RpIdHash, new: &NewCredential<'_>) -> Vec<u8> {
        let auth_data = AuthData {
            rp_id_hash: rp,
            flags: Flags { user_present: true },
            sign_count: new.sign_count,
            attested: Some(Attested {
                aaguid: &self.profile.aaguid,
                id: &new.id,
                algorithm: new.algorithm,
                public_key: new.public_key,
            }),
        }
        .emit();
        let none_first = request
            .attestation_formats_preference
            .iter()
            .find(|format| ["none", "packed"].contains(&format.as_str()))
            .is_some_and(|format| format == "none");
        let statement = if none_first {
            Statement::None
        } else {
            Statement::PackedSelf {
                algorithm: new.algorithm.cose(),
                signature: new
                    .private_key
                    .sign(&[&auth_data, &request.client_data_hash]),
            }
        };
        Response {
            auth_data,
            statement,
        }
        .emit()
    }
}

/// A credential as its registration describes it.
struct NewCredential<'a> {
    id: CredentialId,
    algorithm: Algorithm,
    private_key: &'a PrivateKey,
    public_key: &'a PublicKey,
    sign_count: u32,
}

/// The name of the account for a person to read.
fn account(request: &Request) -> Option<String> {
    let user = &request.user;
    user.name.clone().or_else(|| user.display_name.clone())
}
