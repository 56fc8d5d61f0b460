//! authenticatorGetAssertion and authenticatorGetNextAssertion (CTAP 2.1 §6.2.2, §6.3).

use super::{
    Authenticator, Checked, CounterOf, Next, Stateful, Step, extension::Wanted,
    verification::Verified,
};
use crate::{
    credential::{CredProtect, CredRandom, CredentialId, Derived, RpIdHash},
    crypto::PrivateKey,
    event::{Gesture, Operation, Prompt},
    fault::Fault,
    pin::Permissions,
    status::Status,
    time::Instant,
    wire::{
        AuthData, Flags, Flipped,
        extension::Outputs,
        get_assertion::{Request, Response},
    },
};

/// The next getNextAssertion must come within this time (§6.3 step 4).
pub const NEXT_ASSERTION_TIMEOUT_MS: u64 = 30_000;

/// A credential of this key.
pub(super) enum Found {
    /// A record in the store.
    Stored(CredentialId),
    /// In its own id.
    Derived(CredentialId, Derived),
}

/// What all assertions of one request have in common.
struct Context {
    rp_id_hash: RpIdHash,
    client_data_hash: [u8; 32],
    flags: Flags,
    wanted: Wanted,
    /// Whether names are told: several accounts, and a verified person (§6.2.2).
    user_names: bool,
}

/// Several discoverable credentials, of which some have not been told yet.
pub(super) struct Enumeration {
    context: Context,
    /// What is left, the next one last.
    remaining: Vec<CredentialId>,
    deadline: Instant,
}

impl Enumeration {
    pub(super) fn rp_id_hash(&self) -> RpIdHash {
        self.context.rp_id_hash
    }
}

impl Authenticator {
    /// Everything that is decided before a person is asked.
    pub(super) fn get_assertion(&mut self, now: Instant, request: Request) -> Result<Step, Status> {
        let rp = RpIdHash::of(&request.rp_id);
        let prompt = |operation, account| Prompt {
            operation,
            rp_id: Some(request.rp_id.clone()),
            rp_id_hash: Some(rp),
            account,
            gesture: Gesture::Touch,
        };
        // Step 1.
        if let Some(answer) = self.touch_probe(&request.pin_uv_auth) {
            let prompt = prompt(Operation::Select, None);
            return Ok(Step::AskPresence(prompt, Next::Refuse(answer)));
        }
        if request.pin_uv_auth.param.is_some() {
            self.pin_protocol(request.pin_uv_auth.protocol)?;
        }
        // Step 5: rk is an option of makeCredential alone.
        if request.options.rk.is_some() {
            return Err(Status::UnsupportedOption);
        }
        self.check_uv_option(request.options.uv, &request.pin_uv_auth)?;
        let up = request.options.up != Some(false);
        let auth = &request.pin_uv_auth;
        let hash = &request.client_data_hash;
        let options = (request.options.uv == Some(true), up);
        let verified = self.check_user_verified(now, auth, options, Permissions::GA, &rp, hash)?;
        if self.always_uv() && up && verified == Verified::No {
            return Err(self.token_needed());
        }
        let uv = verified != Verified::No;
        let found = self.locate(&request, uv)?;
        // A finger comes first (step 6): without it nothing is told of what is here.
        if found.is_empty() && verified != Verified::BuiltIn {
            return Err(Status::NoCredentials);
        }
        self.wants_large_blob_key(request.extensions.large_blob_key)?;
        let account = match found.as_slice() {
            [Found::Stored(id)] => self.account(&rp, id),
            _ => None,
        };
        let prompt = prompt(Operation::Authenticate, account);
        let checked = Box::new(Checked { request, uv });
        match verified {
            // Step 8: the finger is a touch as well.
            Verified::BuiltIn => self.perform_built_in_uv(prompt, Next::GetAssertion(checked)),
            Verified::ByToken if self.user_is_present(now) => self.assert(now, checked),
            Verified::ByToken | Verified::No if !up => self.assert(now, checked),
            Verified::ByToken | Verified::No => {
                Ok(Step::AskPresence(prompt, Next::GetAssertion(checked)))
            }
        }
    }

    /// Signs with the first credential that applies now: what was found before a person was asked
    /// may be gone.
    pub(super) fn assert(
        &mut self,
        now: Instant,
        checked: Box<Checked<Request>>,
    ) -> Result<Step, Status> {
        let Checked { request, uv } = &*checked;
        let up = request.options.up != Some(false);
        if up && *uv {
            self.spend_token(now);
        }
        let found = self.locate(request, *uv)?;
        let count = found.len();
        let mut found = found.into_iter();
        let first = found.next().ok_or(Status::NoCredentials)?;
        let context = Context {
            rp_id_hash: RpIdHash::of(&request.rp_id),
            client_data_hash: request.client_data_hash,
            flags: self.flags(up, *uv),
            wanted: self.wanted(&request.extensions, up)?,
            user_names: *uv && count > 1,
        };
        let sign_count = match self.take_count(first.counter()) {
            Ok(sign_count) => sign_count,
            Err(lease) => return lease.then(Next::GetAssertion(checked)),
        };
        let number = (count > 1).then_some(count);
        let body = self.sign_assertion(&first, &context, sign_count, number)?;
        let mut remaining: Vec<_> = found.map(|found| *found.id()).collect();
        if !remaining.is_empty() {
            remaining.reverse();
            let enumeration = Enumeration {
                context,
                remaining,
                deadline: now.after_ms(NEXT_ASSERTION_TIMEOUT_MS),
            };
            self.stateful = Some((self.client, Stateful::Assertions(enumeration)));
        }
        Ok(Step::success(Some(body)))
    }

    /// The next of several (§6.3).
    pub(super) fn get_next_assertion(&mut self, now: Instant) -> Result<Step, Status> {
        let mut enumeration = match self.stateful.take() {
            Some((client, Stateful::Assertions(enumeration))) if client == self.client => {
                enumeration
            }
            other => {
                self.stateful = other;
                return Err(Status::NotAllowed);
            }
        };
        if now >= enumeration.deadline {
            return Err(Status::NotAllowed);
        }
        // Another client may have replaced or deleted what was found.
        let rp = &enumeration.context.rp_id_hash;
        let is_here = |id: &CredentialId| self.state.credentials.get(rp, id).is_some();
        enumeration.remaining.retain(is_here);
        let id = enumeration.remaining.last().copied();
        let id = id.ok_or(Status::NotAllowed)?;
        let sign_count = match self.take_count(CounterOf::Credential(id)) {
            Ok(sign_count) => sign_count,
            Err(lease) => {
                self.stateful = Some((self.client, Stateful::Assertions(enumeration)));
                return lease.then(Next::GetNextAssertion);
            }
        };
        let found = Found::Stored(id);
        let body = self.sign_assertion(&found, &enumeration.context, sign_count, None)?;
        enumeration.remaining.pop();
        enumeration.deadline = now.after_ms(NEXT_ASSERTION_TIMEOUT_MS);
        if !enumeration.remaining.is_empty() {
            self.stateful = Some((self.client, Stateful::Assertions(enumeration)));
        }
        Ok(Step::success(Some(body)))
    }

    /// The credentials that apply: the first of the allow list that is here, or all discoverable
    /// ones of the RP, the newest first; less what credProtect keeps from this caller (step 7).
    fn locate(&self, request: &Request, uv: bool) -> Result<Vec<Found>, Status> {
        let rp = RpIdHash::of(&request.rp_id);
        match request.allow_list.as_deref() {
            Some(list @ [_, ..]) => {
                self.check_list_len(list.len())?;
                let shows =
                    |found: &Found| uv || self.protection(&rp, found) != CredProtect::Required;
                let mut ids = list.iter();
                let first = ids.find_map(|id| self.find(&rp, id).filter(shows));
                Ok(first.into_iter().collect())
            }
            Some([]) | None => {
                let found = self.state.credentials.newest_first(&rp).into_iter();
                let shows =
                    |found: &Found| uv || self.protection(&rp, found) == CredProtect::Optional;
                Ok(found.map(Found::Stored).filter(shows).collect())
            }
        }
    }

    /// The RP's credential with this id, of either kind.
    pub(super) fn find(&self, rp: &RpIdHash, id: &[u8]) -> Option<Found> {
        if let Some(id) = self.state.credentials.known_as(rp, id) {
            return Some(Found::Stored(id));
        }
        let id = CredentialId::from_slice(id)?;
        let derived = self.state.deriver.open(&id, rp)?;
        Some(Found::Derived(id, derived))
    }

    /// The credential's level of credProtect.
    pub(super) fn protection(&self, rp: &RpIdHash, found: &Found) -> CredProtect {
        match found {
            Found::Derived(_, derived) => derived.cred_protect,
            // One that is gone meanwhile is shown to nobody.
            Found::Stored(id) => match self.state.credentials.get(rp, id) {
                Some(stored) => stored.credential.cred_protect,
                None => CredProtect::Required,
            },
        }
    }

    /// Signs with a credential of either kind: `parts` one after the other.
    pub(super) fn sign_with(
        &self,
        rp: &RpIdHash,
        found: &Found,
        parts: &[&[u8]],
    ) -> Result<Vec<u8>, Status> {
        match found {
            Found::Derived(_, derived) => {
                let key = self.state.deriver.private_key(derived);
                key.sign(parts).ok_or(Status::Other)
            }
            Found::Stored(id) => {
                let stored = self.state.credentials.get(rp, id);
                let credential = &stored.ok_or(Status::NoCredentials)?.credential;
                let bytes = credential.private_key.as_slice();
                let key = PrivateKey::from_bytes(credential.algorithm, bytes);
                key.and_then(|key| key.sign(parts)).ok_or(Status::Other)
            }
        }
    }

    /// What hmac-secret computes with.
    fn cred_random(&self, rp: &RpIdHash, found: &Found) -> Result<CredRandom, Status> {
        match found {
            Found::Derived(_, derived) => Ok(self.state.deriver.cred_random(derived)),
            Found::Stored(id) => {
                let stored = self.state.credentials.get(rp, id);
                let credential = &stored.ok_or(Status::NoCredentials)?.credential;
                Ok(credential.cred_random.clone())
            }
        }
    }

    /// What an assertion's authenticator data say of extensions.
    fn get_outputs(
        &mut self,
        rp: &RpIdHash,
        found: &Found,
        wanted: &Wanted,
        uv: bool,
    ) -> Result<Outputs, Status> {
        let mut outputs = Outputs::default();
        if wanted.cred_blob {
            let stored = match found {
                Found::Stored(id) => self.state.credentials.get(rp, id),
                Found::Derived(..) => None,
            };
            let blob = stored.and_then(|stored| stored.credential.cred_blob.as_deref());
            outputs.cred_blob(blob.unwrap_or_default());
        }
        if wanted.third_party_payment {
            outputs.third_party_payment(match found {
                Found::Derived(_, derived) => derived.third_party_payment,
                Found::Stored(id) => {
                    let stored = self.state.credentials.get(rp, id);
                    stored.is_some_and(|stored| stored.credential.third_party_payment)
                }
            });
        }
        if let Some(salts) = &wanted.salts {
            let cred_random = self.cred_random(rp, found)?;
            outputs.hmac_secret(self.evaluate(salts, &cred_random, uv));
        }
        Ok(outputs)
    }

    fn sign_assertion(
        &mut self,
        found: &Found,
        context: &Context,
        sign_count: u32,
        number_of_credentials: Option<usize>,
    ) -> Result<Vec<u8>, Status> {
        let rp = &context.rp_id_hash;
        let uv = context.flags.user_verified;
        let extensions = self.get_outputs(rp, found, &context.wanted, uv)?;
        let sign_count = self.faults.next_count(found.id(), sign_count);
        let auth_data = self.emit_auth_data(AuthData {
            rp_id_hash: rp,
            flags: self.flags_of(rp, found, context.flags),
            sign_count,
            attested: None,
            extensions: &extensions,
        });
        let signature = self.sign_with(rp, found, &[&auth_data, &context.client_data_hash])?;
        let faults = &self.faults.met;
        let stored = match found {
            Found::Stored(id) => self.state.credentials.get(rp, id),
            Found::Derived(..) => None,
        };
        // §6.2.2: a credential that is not discoverable tells no account, whether or not a record
        // has it.
        let of_user = stored.filter(|stored| stored.credential.discoverable);
        let own = found.id().as_bytes().as_slice();
        let known_as = stored.map_or(own, |stored| stored.credential.known_as());
        let user = of_user.map(|stored| faults.user(&stored.credential.user));
        let large_blob_key = stored.and_then(|stored| stored.credential.large_blob_key.as_ref());
        Ok(Response {
            id: (!faults.has(Fault::MissingCredential)).then_some(known_as),
            auth_data,
            signature: faults.signature(signature),
            user: user.as_deref(),
            user_names: context.user_names,
            number_of_credentials,
            large_blob_key: large_blob_key.filter(|_| context.wanted.large_blob_key),
        }
        .emit())
    }

    /// The flags of whatever this key signs.
    pub(super) fn flags(&self, up: bool, uv: bool) -> Flags {
        Flags {
            user_present: up,
            user_verified: uv,
            backup_eligible: self.profile.backup_eligible,
            backup_state: self.profile.backup_state,
            flipped: Flipped::default(),
        }
    }

    /// The same with a credential's own flags BE and BS.
    fn flags_of(&self, rp: &RpIdHash, found: &Found, flags: Flags) -> Flags {
        let stored = match found {
            Found::Stored(id) => self.state.credentials.get(rp, id),
            Found::Derived(..) => None,
        };
        let backup = stored.map(|stored| self.profile.backup_of(&stored.credential));
        backup.map_or(flags, |backup| Flags {
            backup_eligible: backup.eligible,
            backup_state: backup.state,
            ..flags
        })
    }

    /// The name of a stored account for a person to read.
    pub(super) fn account(&self, rp: &RpIdHash, id: &CredentialId) -> Option<String> {
        let user = &self.state.credentials.get(rp, id)?.credential.user;
        user.name.clone().or_else(|| user.display_name.clone())
    }

    pub(super) fn check_list_len(&self, length: usize) -> Result<(), Status> {
        if length > usize::from(self.profile.max_credential_count_in_list) {
            return Err(Status::LimitExceeded);
        }
        Ok(())
    }
}

impl Found {
    pub(super) fn id(&self) -> &CredentialId {
        match self {
            Self::Stored(id) | Self::Derived(id, _) => id,
        }
    }

    /// Credentials with a record have a counter of their own, the others share the key's.
    pub(super) fn counter(&self) -> CounterOf {
        match self {
            Self::Stored(id) => CounterOf::Credential(*id),
            Self::Derived(..) => CounterOf::Key,
        }
    }
}
