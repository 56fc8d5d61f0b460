//! authenticatorMakeCredential (CTAP 2.1 §6.1.2).

use super::{
    Authenticator, Checked, CounterOf, Next, Step, attest::NewCredential, get_assertion::Found,
    verification::Verified,
};
use crate::{
    credential::{
        Algorithm, CredProtect, CredRandom, Credential, CredentialId, MAX_USER_ID_LEN, Origin,
        RpIdHash, truncated,
    },
    crypto::{KeyBytes, PrivateKey, Secret},
    event::{Gesture, Operation, Prompt},
    pin::Permissions,
    state::{COUNTER_LEASE, ChangeSet, Place, REGISTRATION_COUNT, Record},
    status::Status,
    time::Instant,
    wire::make_credential::Request,
    work::{Work, WorkDone},
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
        self.choose_algorithm(&request)?;
        // Step 5: a token outweighs uv, and a credential is never made without a touch.
        let rk = request.options.rk == Some(true);
        self.check_uv_option(request.options.uv, &request.pin_uv_auth)?;
        if request.options.up == Some(false) {
            return Err(Status::InvalidOption);
        }
        if rk && !self.profile.rk() {
            return Err(Status::UnsupportedOption);
        }
        let verified = self.check_registration_allowed(now, &request, rk)?;
        let uv = verified != Verified::No;
        self.check_enterprise(request.enterprise_attestation)?;
        if !(1..=MAX_USER_ID_LEN).contains(&request.user.id.len()) {
            return Err(Status::InvalidLength);
        }
        self.cred_protect(&request.extensions)?;
        if self.wants_large_blob_key(request.extensions.large_blob_key)? && !rk {
            return Err(Status::InvalidOption);
        }
        let (operation, next): (_, fn(_) -> Next) = if self.is_excluded(&request, uv)? {
            (Operation::RegisterExcluded, |_| {
                Next::Refuse(Status::CredentialExcluded)
            })
        } else if is_probe(&request) {
            (Operation::Select, Next::MakeCredential)
        } else {
            (Operation::Register, Next::MakeCredential)
        };
        let prompt = prompt(&request, operation);
        let next = next(Box::new(Checked { request, uv }));
        match verified {
            // Step 13: the finger is a touch as well.
            Verified::BuiltIn => self.perform_built_in_uv(prompt, next),
            Verified::ByToken if self.user_is_present(now) => self.resume(now, next),
            Verified::ByToken | Verified::No => Ok(Step::AskPresence(prompt, next)),
        }
    }

    /// Steps 6 to 11: how a person is verified, and whether one has to be.
    fn check_registration_allowed(
        &mut self,
        now: Instant,
        request: &Request,
        rk: bool,
    ) -> Result<Verified, Status> {
        let verified = self.check_user_verified(
            now,
            &request.pin_uv_auth,
            (request.options.uv == Some(true), true),
            Permissions::MC,
            &RpIdHash::of(&request.rp.id),
            &request.client_data_hash,
        )?;
        let uv_not_required = self.profile.make_cred_uv_not_rqd && !rk;
        let required = self.always_uv() || self.is_protected() && !uv_not_required;
        if required && verified == Verified::No {
            return Err(self.token_needed());
        }
        Ok(verified)
    }

    /// The platform's first choice that this key offers (step 3).
    ///
    /// Deviation: a touch probe's credential is thrown away, so none is made that would be stored.
    fn choose_algorithm(&self, request: &Request) -> Result<Algorithm, Status> {
        let probe = is_probe(request);
        let mut wanted = request
            .algorithms
            .iter()
            .filter_map(|number| Algorithm::from_cose(*number));
        wanted
            .find(|algorithm| {
                self.profile.algorithms.contains(algorithm)
                    && !(probe && made_elsewhere(*algorithm))
            })
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
        let algorithm = self.choose_algorithm(request)?;
        if made_elsewhere(algorithm) {
            // What has no room is told before the work.
            self.check_room(request)?;
            let work = Work::generate(algorithm, &mut self.rng);
            return Ok(Step::Work(work, checked));
        }
        if request.options.rk == Some(true) || self.profile.stores_all && !is_probe(request) {
            return self.store_credential(&checked, algorithm, None);
        }
        let cred_protect = self.cred_protect(&request.extensions)?;
        let origin = Origin::Ctap2 {
            third_party_payment: request.extensions.third_party_payment && self.offers_payment(),
        };
        let rp = RpIdHash::of(&request.rp.id);
        let sign_count = match self.take_count(CounterOf::Key) {
            Ok(count) => count,
            Err(lease) => return lease.then(Next::MakeCredential(checked)),
        };
        let (id, derived) =
            self.state
                .deriver
                .create(&mut self.rng, &rp, algorithm, cred_protect, origin);
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

    /// Goes on once a private key was made off the key's task.
    pub(super) fn store_made(
        &mut self,
        checked: &Checked<Request>,
        done: WorkDone,
    ) -> Result<Step, Status> {
        let algorithm = self.choose_algorithm(&checked.request)?;
        let made = done.into_key().ok_or(Status::Other)?;
        self.store_credential(checked, algorithm, Some(made))
    }

    /// The account's old credential, which gives way to a new one (step 17), and whether there is
    /// room for that. One that is not discoverable replaces none, and takes room as well: what is
    /// stored is bounded, whoever asks for it.
    fn check_room(&self, request: &Request) -> Result<Option<CredentialId>, Status> {
        let rp = RpIdHash::of(&request.rp.id);
        let replaced = self.state.credentials.find_user(&rp, &request.user.id);
        let replaced = replaced.filter(|_| request.options.rk == Some(true));
        if replaced.is_none() && self.state.is_full(&self.profile) {
            return Err(Status::KeyStoreFull);
        }
        Ok(replaced.map(|stored| stored.credential.id))
    }

    /// Makes a credential with a record, and the private key where none was `made` before.
    fn store_credential(
        &mut self,
        checked: &Checked<Request>,
        algorithm: Algorithm,
        made: Option<PrivateKey>,
    ) -> Result<Step, Status> {
        let request = &checked.request;
        let discoverable = request.options.rk == Some(true);
        let mut set = ChangeSet::default();
        if let Some(old) = self.check_room(request)? {
            set.delete(Place::Credential(old));
            set.delete(Place::CredentialCounter(old));
        }
        let with_blobs = self.wants_large_blob_key(request.extensions.large_blob_key)?;
        let new = NewCredential {
            id: CredentialId::random(&mut self.rng),
            algorithm,
            private_key: made.unwrap_or_else(|| PrivateKey::random(algorithm, &mut self.rng)),
            cred_random: CredRandom::random(&mut self.rng),
            cred_blob: self.blob_to_store(&request.extensions, discoverable),
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
            discoverable,
            third_party_payment: request.extensions.third_party_payment && self.offers_payment(),
            backup_eligible: None,
            backup_state: None,
            foreign_id: None,
            rp_id_hash: None,
        })));
        set.put(Record::CredentialCounter {
            id: new.id,
            ceiling: COUNTER_LEASE,
        });
        let body = self.attest(checked, &new)?;
        let response = crate::wire::response(Ok(Some(body)));
        Ok(Step::Commit(set, Next::Respond(response)))
    }
}

/// Whether a platform only wants to see which key a person touches.
fn is_probe(request: &Request) -> bool {
    request.options.rk != Some(true) && TOUCH_PROBES.contains(&request.rp.id.as_str())
}

/// Whether a private key is made off the key's task, and stored: an RSA key comes from no seed in
/// time.
fn made_elsewhere(algorithm: Algorithm) -> bool {
    algorithm == Algorithm::Rs256
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
