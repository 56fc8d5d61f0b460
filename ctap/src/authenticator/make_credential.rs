//! authenticatorMakeCredential (CTAP 2.1 §6.1.2).

use super::{Authenticator, Checked, CounterOf, Next, Step, get_assertion::Found};
use crate::{
    credential::{
        Algorithm, CredProtect, CredRandom, Credential, CredentialId, MAX_USER_ID_LEN, Origin,
        RpIdHash, truncated,
    },
    crypto::{KeyBytes, PrivateKey, Secret},
    event::{Gesture, Operation, Prompt},
    fault::Fault,
    pin::Permissions,
    state::{COUNTER_LEASE, ChangeSet, Place, REGISTRATION_COUNT, Record},
    status::Status,
    time::Instant,
    wire::{
        Attested, AuthData,
        make_credential::{Request, Response, Statement, prefers_none},
    },
};

/// RP ids at which platforms make throw-away credentials to see which key a person touches.
const TOUCH_PROBES: [&str; 2] = [".dummy", "make.me.blink"];

impl Authenticator {
    /// Everything that is decided before a person is asked.
    pub(super) fn make_credential(
        &mut self,
        now: Instant,
        request: Request,
    ) -> Result<Step, Status> {
        // Step 1.
        if let Some(answer) = self.touch_probe(&request.pin_uv_auth) {
            let prompt = prompt(&request, Operation::Select);
            return Ok(Step::AskPresence(prompt, Next::Refuse(answer)));
        }
        if request.pin_uv_auth.param.is_some() {
            self.pin_protocol(request.pin_uv_auth.protocol)?;
        }
        self.choose_algorithm(&request.algorithms)?;
        // Step 5: a token outweighs uv; there is no built-in verification, and a credential is
        // never made without a touch.
        let builtin_uv = request.options.uv == Some(true) && request.pin_uv_auth.param.is_none();
        let rk = request.options.rk == Some(true);
        if builtin_uv || request.options.up == Some(false) {
            return Err(Status::InvalidOption);
        }
        if rk && !self.profile.rk() {
            return Err(Status::UnsupportedOption);
        }
        let uv = self.check_registration_allowed(now, &request, rk)?;
        // Step 9: no enterprise attestation.
        if request.enterprise_attestation.is_some() {
            return Err(Status::InvalidParameter);
        }
        if !(1..=MAX_USER_ID_LEN).contains(&request.user.id.len()) {
            return Err(Status::InvalidLength);
        }
        self.cred_protect(&request.extensions)?;
        if self.wants_large_blob_key(request.extensions.large_blob_key)? && !rk {
            return Err(Status::InvalidOption);
        }
        let probe = !rk && TOUCH_PROBES.contains(&request.rp.id.as_str());
        let (operation, next): (_, fn(_) -> Next) = if self.is_excluded(&request, uv)? {
            (Operation::RegisterExcluded, |_| {
                Next::Refuse(Status::CredentialExcluded)
            })
        } else if probe {
            (Operation::Select, Next::MakeCredential)
        } else {
            (Operation::Register, Next::MakeCredential)
        };
        let prompt = prompt(&request, operation);
        let checked = Box::new(Checked { request, uv });
        Ok(Step::AskPresence(prompt, next(checked)))
    }

    /// Steps 6 to 11: whether a person was verified, and whether one has to be.
    fn check_registration_allowed(
        &mut self,
        now: Instant,
        request: &Request,
        rk: bool,
    ) -> Result<bool, Status> {
        let uv = self.check_user_verified(
            now,
            &request.pin_uv_auth,
            Permissions::MC,
            &RpIdHash::of(&request.rp.id),
            &request.client_data_hash,
        )?;
        let uv_not_required = self.profile.make_cred_uv_not_rqd && !rk;
        let required = self.always_uv() || self.is_protected() && !uv_not_required;
        if required && !uv {
            return Err(self.token_needed());
        }
        Ok(uv)
    }

    /// The platform's first choice that this key offers (step 3).
    fn choose_algorithm(&self, wanted: &[i64]) -> Result<Algorithm, Status> {
        wanted
            .iter()
            .filter_map(|number| Algorithm::from_cose(*number))
            .find(|algorithm| self.profile.algorithms.contains(algorithm))
            .ok_or(Status::UnsupportedAlgorithm)
    }

    /// Step 12: a credential that requires verification is not told of without it.
    fn is_excluded(&self, request: &Request, uv: bool) -> Result<bool, Status> {
        self.check_list_len(request.exclude_list.len())?;
        let rp = RpIdHash::of(&request.rp.id);
        let shows = |found: Found| uv || self.protection(&rp, &found) != CredProtect::Required;
        let mut ids = request.exclude_list.iter();
        Ok(ids.any(|id| self.find(&rp, id).is_some_and(shows)))
    }

    /// Makes the credential that a person agreed to.
    pub(super) fn create_credential(
        &mut self,
        now: Instant,
        checked: Box<Checked<Request>>,
    ) -> Result<Step, Status> {
        if checked.uv {
            self.spend_token(now);
        }
        let request = &checked.request;
        let algorithm = self.choose_algorithm(&request.algorithms)?;
        if request.options.rk == Some(true) {
            return self.create_discoverable(&checked, algorithm);
        }
        let cred_protect = self.cred_protect(&request.extensions)?;
        let rp = RpIdHash::of(&request.rp.id);
        let sign_count = match self.take_count(CounterOf::Key) {
            Ok(count) => count,
            Err(lease) => return lease.then(Next::MakeCredential(checked)),
        };
        let (id, derived) =
            self.state
                .deriver
                .create(&mut self.rng, &rp, algorithm, cred_protect, Origin::Ctap2);
        let new = NewCredential {
            id,
            algorithm,
            private_key: self.state.deriver.private_key(&derived),
            cred_random: self.state.deriver.cred_random(&derived),
            cred_blob: None,
            large_blob_key: None,
            sign_count,
        };
        Ok(Step::success(Some(self.attest(&checked, &new)?)))
    }

    fn create_discoverable(
        &mut self,
        checked: &Checked<Request>,
        algorithm: Algorithm,
    ) -> Result<Step, Status> {
        let request = &checked.request;
        let rp = RpIdHash::of(&request.rp.id);
        let mut set = ChangeSet::default();
        // Step 17: a new credential replaces the account's old one.
        let replaced = self.state.credentials.find_user(&rp, &request.user.id);
        if let Some(old) = replaced {
            set.delete(Place::Credential(old.credential.id));
            set.delete(Place::CredentialCounter(old.credential.id));
        } else if self.remaining_discoverable_credentials() == 0 {
            return Err(Status::KeyStoreFull);
        }
        let with_blobs = self.wants_large_blob_key(request.extensions.large_blob_key)?;
        let new = NewCredential {
            id: CredentialId::random(&mut self.rng),
            algorithm,
            private_key: PrivateKey::random(algorithm, &mut self.rng),
            cred_random: CredRandom::random(&mut self.rng),
            cred_blob: self.blob_to_store(&request.extensions, true),
            large_blob_key: with_blobs.then(|| Secret::random(&mut self.rng)),
            sign_count: if self.profile.backup_eligible {
                0
            } else {
                REGISTRATION_COUNT
            },
        };
        let mut user = request.user.clone();
        user.name = user.name.map(truncated);
        user.display_name = user.display_name.map(truncated);
        set.put(Record::Credential(Box::new(Credential {
            id: new.id,
            rp_id: request.rp.id.clone(),
            rp_name: request.rp.name.clone().map(truncated),
            user,
            algorithm,
            private_key: KeyBytes::new(new.private_key.to_bytes()),
            cred_protect: self.cred_protect(&request.extensions)?,
            cred_random: new.cred_random.clone(),
            cred_blob: new.cred_blob.clone(),
            large_blob_key: new.large_blob_key.clone(),
            sequence: self.state.credentials.next_sequence(),
            backup_eligible: None,
            backup_state: None,
        })));
        set.put(Record::CredentialCounter {
            id: new.id,
            ceiling: COUNTER_LEASE,
        });
        let body = self.attest(checked, &new)?;
        let response = crate::wire::response(Ok(Some(body)));
        Ok(Step::Commit(set, Next::Respond(response)))
    }

    /// Packed self attestation, or none where the platform asks for that first (CTAP 2.2 §6.1.2).
    fn attest(
        &mut self,
        checked: &Checked<Request>,
        new: &NewCredential,
    ) -> Result<Vec<u8>, Status> {
        let request = &checked.request;
        let blob_stored = new.cred_blob.is_some();
        let extensions = self.make_outputs(
            &request.extensions,
            &request.rp.id,
            blob_stored,
            &new.cred_random,
            checked.uv,
        )?;
        self.faults.registered(&new.id, new.sign_count);
        let auth_data = self.emit_auth_data(AuthData {
            rp_id_hash: &RpIdHash::of(&request.rp.id),
            flags: self.flags(true, checked.uv),
            sign_count: new.sign_count,
            attested: Some(Attested {
                aaguid: &self.profile.aaguid,
                id: &new.id,
                algorithm: new.algorithm,
                public_key: &new.private_key.public_key(),
            }),
            extensions: &extensions,
        });
        let statement = if prefers_none(&request.attestation_formats_preference) {
            Statement::None
        } else {
            self.statement(new, &[&auth_data, &request.client_data_hash])?
        };
        Ok(Response {
            auth_data,
            statement,
            large_blob_key: new.large_blob_key.clone(),
        }
        .emit())
    }

    fn statement(&mut self, new: &NewCredential, signed: &[&[u8]]) -> Result<Statement, Status> {
        if self.faults.met.has(Fault::AttestationMissing) {
            return Ok(Statement::None);
        }
        // AttestationSelf has nothing to change in a key whose attestation is of that type.
        let (algorithm, signature, x5c) = match self.flawed_attestation()? {
            Some(flawed) => {
                let signature = flawed.leaf.sign(signed).ok_or(Status::Other)?;
                (Algorithm::Es256, signature, flawed.x5c())
            }
            None => (new.algorithm, new.private_key.sign(signed), Vec::new()),
        };
        Ok(Statement::Packed {
            algorithm: algorithm.cose(),
            signature: self.faults.met.signature(signature),
            x5c,
        })
    }
}

/// A credential as its registration describes it.
struct NewCredential {
    id: CredentialId,
    algorithm: Algorithm,
    private_key: PrivateKey,
    cred_random: CredRandom,
    cred_blob: Option<Vec<u8>>,
    large_blob_key: Option<Secret>,
    sign_count: u32,
}

fn prompt(request: &Request, operation: Operation) -> Prompt {
    let rp_id = &request.rp.id;
    // A choice of key concerns no account, and a touch probe no site either.
    let choice = operation == Operation::Select;
    let site = !(choice && TOUCH_PROBES.contains(&rp_id.as_str()));
    let user = &request.user;
    let account = user.name.clone().or_else(|| user.display_name.clone());
    Prompt {
        operation,
        rp_id: site.then(|| rp_id.clone()),
        rp_id_hash: site.then(|| RpIdHash::of(rp_id)),
        account: account.filter(|_| !choice),
        gesture: Gesture::Touch,
    }
}
