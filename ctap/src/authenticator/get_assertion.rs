//! authenticatorGetAssertion and authenticatorGetNextAssertion (CTAP 2.1 §6.2.2, §6.3).

use std::cmp::Reverse;

use super::{Authenticator, Client, CounterOf, Next, Step};
use crate::{
    credential::{CredentialId, Derived, RpIdHash},
    crypto::PrivateKey,
    event::{Operation, Prompt},
    status::Status,
    time::Instant,
    wire::{
        AuthData, Flags, PinUvAuth,
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

/// Several discoverable credentials, of which some have not been told yet.
pub(super) struct Enumeration {
    client: Client,
    rp_id_hash: RpIdHash,
    client_data_hash: [u8; 32],
    flags: Flags,
    /// What is left, the next one last.
    remaining: Vec<CredentialId>,
    deadline: Instant,
}

impl Authenticator {
    /// Everything that is decided before a person is asked.
    pub(super) fn get_assertion(
        &mut self,
        now: Instant,
        request: Box<Request>,
    ) -> Result<Step, Status> {
        let rp = RpIdHash::of(&request.rp_id);
        let prompt = |operation, account| Prompt {
            operation,
            rp_id: Some(request.rp_id.clone()),
            rp_id_hash: Some(rp),
            account,
        };
        // Step 1: an empty pinUvAuthParam asks which key a person touches.
        if let Some(answer) = self.check_pin_uv_auth(&request.pin_uv_auth)? {
            return Ok(Step::AskPresence(
                prompt(Operation::Select, None),
                Next::Refuse(answer),
            ));
        }
        // Step 5: rk is an option of makeCredential alone; there is no built-in verification.
        if request.options.rk.is_some() {
            return Err(Status::UnsupportedOption);
        }
        if request.options.uv == Some(true) {
            return Err(Status::InvalidOption);
        }
        let found = self.locate(&request)?;
        if found.is_empty() {
            return Err(Status::NoCredentials);
        }
        if request.options.up == Some(false) {
            return self.assert(now, request);
        }
        let account = match found.as_slice() {
            [Found::Stored(id)] => self.account(&rp, id),
            _ => None,
        };
        let prompt = prompt(Operation::Authenticate, account);
        Ok(Step::AskPresence(prompt, Next::GetAssertion(request)))
    }

    /// Signs with the first credential that applies now: what was found before a person was asked
    /// may be gone.
    pub(super) fn assert(&mut self, now: Instant, request: Box<Request>) -> Result<Step, Status> {
        let rp_id_hash = RpIdHash::of(&request.rp_id);
        let found = self.locate(&request)?;
        let count = found.len();
        let mut found = found.into_iter();
        let Some(first) = found.next() else {
            return Err(Status::NoCredentials);
        };
        let sign_count = match self.take_count(first.counter()) {
            Ok(sign_count) => sign_count,
            Err(lease) => return lease.then(Next::GetAssertion(request)),
        };
        let flags = Flags {
            user_present: request.options.up != Some(false),
        };
        if count > 1 {
            let mut remaining: Vec<_> = found.map(|found| *found.id()).collect();
            remaining.reverse();
            self.enumeration = Some(Enumeration {
                client: self.client,
                rp_id_hash,
                client_data_hash: request.client_data_hash,
                flags,
                remaining,
                deadline: now.after_ms(NEXT_ASSERTION_TIMEOUT_MS),
            });
        }
        let assertion = Assertion {
            rp_id_hash: &rp_id_hash,
            client_data_hash: &request.client_data_hash,
            flags,
            sign_count,
            number_of_credentials: (count > 1).then_some(count),
        };
        let body = self.sign_assertion(&first, &assertion)?;
        Ok(Step::success(Some(body)))
    }

    /// The next of several (§6.3).
    pub(super) fn get_next_assertion(&mut self, now: Instant) -> Result<Step, Status> {
        let mine = |e: &Enumeration| e.client == self.client && now < e.deadline;
        let Some(mut enumeration) = self.enumeration.take_if(|e| mine(e)) else {
            return Err(Status::NotAllowed);
        };
        // Another client may have replaced or deleted what was found.
        let rp = &enumeration.rp_id_hash;
        let is_here = |id: &CredentialId| self.state.credentials.get(rp, id).is_some();
        enumeration.remaining.retain(is_here);
        let Some(id) = enumeration.remaining.last().copied() else {
            return Err(Status::NotAllowed);
        };
        let sign_count = match self.take_count(CounterOf::Credential(id)) {
            Ok(sign_count) => sign_count,
            Err(lease) => {
                self.enumeration = Some(enumeration);
                return lease.then(Next::GetNextAssertion);
            }
        };
        let assertion = Assertion {
            rp_id_hash: &enumeration.rp_id_hash,
            client_data_hash: &enumeration.client_data_hash,
            flags: enumeration.flags,
            sign_count,
            number_of_credentials: None,
        };
        let body = self.sign_assertion(&Found::Stored(id), &assertion)?;
        enumeration.remaining.pop();
        enumeration.deadline = now.after_ms(NEXT_ASSERTION_TIMEOUT_MS);
        if !enumeration.remaining.is_empty() {
            self.enumeration = Some(enumeration);
        }
        Ok(Step::success(Some(body)))
    }

    pub(super) fn end_enumeration_of(&mut self, client: Client) {
        self.enumeration.take_if(|e| e.client == client);
    }

    /// The credentials that apply: the first of the allow list that is here, or all discoverable
    /// ones of the RP, the newest first (step 7 and step 11).
    fn locate(&self, request: &Request) -> Result<Vec<Found>, Status> {
        let rp = RpIdHash::of(&request.rp_id);
        match request.allow_list.as_deref() {
            Some(list @ [_, ..]) => {
                self.check_list_len(list.len())?;
                Ok(list
                    .iter()
                    .find_map(|id| self.find(&rp, id))
                    .into_iter()
                    .collect())
            }
            Some([]) | None => {
                let mut stored: Vec<_> = self.state.credentials.of_rp(&rp).collect();
                stored.sort_by_key(|stored| Reverse(stored.credential.sequence));
                Ok(stored
                    .into_iter()
                    .map(|stored| Found::Stored(stored.credential.id))
                    .collect())
            }
        }
    }

    /// The RP's credential with this id, of either kind.
    pub(super) fn find(&self, rp: &RpIdHash, id: &[u8]) -> Option<Found> {
        let id = CredentialId::from_slice(id)?;
        if self.state.credentials.get(rp, &id).is_some() {
            return Some(Found::Stored(id));
        }
        let derived = self.state.deriver.open(&id, rp)?;
        Some(Found::Derived(id, derived))
    }

    /// Signs with a credential of either kind: `parts` one after the other.
    pub(super) fn sign_with(
        &self,
        rp: &RpIdHash,
        found: &Found,
        parts: &[&[u8]],
    ) -> Result<Vec<u8>, Status> {
        match found {
            Found::Derived(_, derived) => Ok(derived.private_key.sign(parts)),
            Found::Stored(id) => {
                let stored = self.state.credentials.get(rp, id);
                let key = stored
                    .and_then(|stored| PrivateKey::from_secret(&stored.credential.private_key))
                    .ok_or(Status::NoCredentials)?;
                Ok(key.sign(parts))
            }
        }
    }

    fn sign_assertion(&self, found: &Found, assertion: &Assertion<'_>) -> Result<Vec<u8>, Status> {
        let rp = assertion.rp_id_hash;
        let auth_data = AuthData {
            rp_id_hash: rp,
            flags: assertion.flags,
            sign_count: assertion.sign_count,
            attested: None,
        }
        .emit();
        let signature = self.sign_with(rp, found, &[&auth_data, assertion.client_data_hash])?;
        let stored = match found {
            Found::Stored(id) => self.state.credentials.get(rp, id),
            Found::Derived(..) => None,
        };
        Ok(Response {
            id: found.id(),
            auth_data,
            signature,
            user: stored.map(|stored| &stored.credential.user),
            number_of_credentials: assertion.number_of_credentials,
        }
        .emit())
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

    /// §6.1.2 and §6.2.2 steps 1 and 2 for a key without PIN: `Some` is the answer after a touch
    /// to an empty pinUvAuthParam; any other one belongs to a protocol that is not offered.
    pub(super) fn check_pin_uv_auth(&self, auth: &PinUvAuth) -> Result<Option<Status>, Status> {
        match (&auth.param, auth.protocol) {
            (None, _) => Ok(None),
            (Some(param), _) if param.is_empty() => Ok(Some(Status::PinNotSet)),
            (Some(_), None) => Err(Status::MissingParameter),
            (Some(_), Some(_)) => Err(Status::InvalidParameter),
        }
    }
}

/// What an assertion is made of, whichever credential signs it.
struct Assertion<'a> {
    rp_id_hash: &'a RpIdHash,
    client_data_hash: &'a [u8; 32],
    flags: Flags,
    sign_count: u32,
    number_of_credentials: Option<usize>,
}

impl Found {
    pub(super) fn id(&self) -> &CredentialId {
        match self {
            Self::Stored(id) | Self::Derived(id, _) => id,
        }
    }

    /// Discoverable credentials have a counter of their own, the others share the key's.
    pub(super) fn counter(&self) -> CounterOf {
        match self {
            Self::Stored(id) => CounterOf::Credential(*id),
            Self::Derived(..) => CounterOf::Key,
        }
    }
}
