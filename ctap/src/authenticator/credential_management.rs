//! authenticatorCredentialManagement (CTAP 2.1 §6.8).

use super::{Authenticator, Next, Stateful, Step};
use crate::{
    credential::{CredentialId, RpIdHash, User},
    crypto::PrivateKey,
    pin::Permissions,
    status::Status,
    time::Instant,
    wire::credential_management::{Request, Response, Subcommand},
};

/// RPs or credentials that have not been told yet, the next one last.
pub(super) enum Remaining {
    Rps(Vec<RpIdHash>),
    Credentials(RpIdHash, Vec<CredentialId>),
}

impl Authenticator {
    pub(super) fn credential_management(
        &mut self,
        now: Instant,
        request: Request,
    ) -> Result<Step, Status> {
        let continues = matches!(
            request.subcommand,
            Subcommand::EnumerateRpsGetNextRp | Subcommand::EnumerateCredentialsGetNextCredential
        );
        if !continues {
            // One stateful command at a time: this one ends the client's last.
            let client = self.client;
            self.stateful.take_if(|(whose, _)| *whose == client);
            self.check_manager(now, &request)?;
        }
        match request.subcommand {
            Subcommand::GetCredsMetadata => Ok(self.metadata()),
            Subcommand::EnumerateRpsBegin => {
                let mut rps: Vec<_> = self.state.credentials.rps().collect();
                rps.reverse();
                self.next_rp(rps, true)
            }
            Subcommand::EnumerateRpsGetNextRp => match self.take_remaining()? {
                Remaining::Rps(rps) => self.next_rp(rps, false),
                Remaining::Credentials(..) => Err(Status::NotAllowed),
            },
            Subcommand::EnumerateCredentialsBegin { rp_id_hash } => {
                let ids = self.state.credentials.newest_first(&rp_id_hash);
                self.next_credential(rp_id_hash, ids.into_iter().rev().collect(), true)
            }
            Subcommand::EnumerateCredentialsGetNextCredential => match self.take_remaining()? {
                Remaining::Credentials(rp, ids) => self.next_credential(rp, ids, false),
                Remaining::Rps(_) => Err(Status::NotAllowed),
            },
            Subcommand::DeleteCredential { id } => self.delete_credential(now, &id),
            Subcommand::UpdateUserInformation { id, user } => self.update_user(now, &id, *user),
        }
    }

    /// Whether the token may do that. What only reads, the persistent token may as well, whatever
    /// site it is about (CTAP 2.2 §6.8).
    fn check_manager(&mut self, now: Instant, request: &Request) -> Result<(), Status> {
        let auth = &request.pin_uv_auth;
        let read = match &request.subcommand {
            Subcommand::GetCredsMetadata | Subcommand::EnumerateRpsBegin => Some(None),
            Subcommand::EnumerateCredentialsBegin { rp_id_hash } => Some(Some(rp_id_hash)),
            Subcommand::EnumerateRpsGetNextRp
            | Subcommand::EnumerateCredentialsGetNextCredential
            | Subcommand::DeleteCredential { .. }
            | Subcommand::UpdateUserInformation { .. } => None,
        };
        if read.is_some() && self.is_persistent(auth, &request.message) {
            return Ok(());
        }
        self.check_management(now, auth, Permissions::CM, &request.message)?;
        match read {
            Some(rp) => self.check_token_rp(now, rp),
            // The RP is the credential's, which is looked for first.
            None => Ok(()),
        }
    }

    fn metadata(&self) -> Step {
        let existing = u64::try_from(self.state.credentials.discoverable_len()).unwrap_or(u64::MAX);
        let response = Response::Metadata {
            existing,
            remaining: self.remaining_discoverable_credentials(),
        };
        Step::success(Some(response.emit()))
    }

    fn take_remaining(&mut self) -> Result<Remaining, Status> {
        match self.stateful.take() {
            Some((client, Stateful::Management(remaining))) if client == self.client => {
                Ok(remaining)
            }
            other => {
                self.stateful = other;
                Err(Status::NotAllowed)
            }
        }
    }

    fn next_rp(&mut self, mut rps: Vec<RpIdHash>, first: bool) -> Result<Step, Status> {
        let total = count(&rps, first);
        let none = if first {
            Status::NoCredentials
        } else {
            Status::NotAllowed
        };
        // Another client may have deleted what was found.
        rps.retain(|rp| self.state.credentials.of_rp(rp).next().is_some());
        let id_hash = rps.pop().ok_or(none)?;
        let stored = self.state.credentials.of_rp(&id_hash).next().ok_or(none)?;
        let response = Response::Rp {
            id: &stored.credential.rp_id,
            name: stored.credential.rp_name.as_deref(),
            id_hash,
            total,
        }
        .emit();
        if !rps.is_empty() {
            let remaining = Stateful::Management(Remaining::Rps(rps));
            self.stateful = Some((self.client, remaining));
        }
        Ok(Step::success(Some(response)))
    }

    fn next_credential(
        &mut self,
        rp: RpIdHash,
        mut ids: Vec<CredentialId>,
        first: bool,
    ) -> Result<Step, Status> {
        let total = count(&ids, first);
        let none = if first {
            Status::NoCredentials
        } else {
            Status::NotAllowed
        };
        ids.retain(|id| self.state.credentials.get(&rp, id).is_some());
        let id = ids.pop().ok_or(none)?;
        let stored = self.state.credentials.get(&rp, &id).ok_or(none)?;
        let credential = &stored.credential;
        let key = PrivateKey::from_bytes(credential.algorithm, credential.private_key.as_slice());
        let response = Response::Credential {
            id: credential.known_as(),
            user: &credential.user,
            algorithm: credential.algorithm,
            public_key: key.ok_or(Status::Other)?.public_key(),
            cred_protect: credential.cred_protect,
            large_blob_key: credential.large_blob_key.as_ref(),
            third_party_payment: self
                .offers_payment()
                .then_some(credential.third_party_payment),
            total,
        }
        .emit();
        if !ids.is_empty() {
            let remaining = Stateful::Management(Remaining::Credentials(rp, ids));
            self.stateful = Some((self.client, remaining));
        }
        Ok(Step::success(Some(response)))
    }

    /// The credential that a management command names, if its token may act on it.
    fn managed(&mut self, now: Instant, id: &[u8]) -> Result<(RpIdHash, CredentialId), Status> {
        let id = self.state.find_passkey(id).ok_or(Status::NoCredentials)?;
        let stored = self.state.credentials.by_id(&id);
        // Of those that are not discoverable management knows nothing.
        let stored = stored.filter(|stored| stored.credential.discoverable);
        let rp = stored.and_then(|_| self.state.credentials.rp_of(&id));
        let rp = rp.ok_or(Status::NoCredentials)?;
        self.check_token_rp(now, Some(&rp))?;
        Ok((rp, id))
    }

    fn delete_credential(&mut self, now: Instant, id: &[u8]) -> Result<Step, Status> {
        let (_, id) = self.managed(now, id)?;
        let set = self.state.delete_passkey(&id);
        let response = crate::wire::response(Ok(None));
        Ok(Step::Commit(set, Next::Respond(response)))
    }

    /// §6.8.6: the account stays the same; a name that is absent or empty is removed.
    fn update_user(&mut self, now: Instant, id: &[u8], user: User) -> Result<Step, Status> {
        let (rp, id) = self.managed(now, id)?;
        let stored = self.state.credentials.get(&rp, &id);
        if stored.ok_or(Status::NoCredentials)?.credential.user.id != user.id {
            return Err(Status::InvalidParameter);
        }
        let set = self
            .state
            .rename_passkey(&id, user.name, user.display_name)
            .ok_or(Status::NoCredentials)?;
        let response = crate::wire::response(Ok(None));
        Ok(Step::Commit(set, Next::Respond(response)))
    }
}

/// How many there are, for the first response.
fn count<T>(all: &[T], first: bool) -> Option<u64> {
    first.then(|| u64::try_from(all.len()).unwrap_or(u64::MAX))
}
