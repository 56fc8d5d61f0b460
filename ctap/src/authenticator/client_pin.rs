//! authenticatorClientPIN (CTAP 2.1 §6.5.5).
//!
//! A PIN attempt is lost before it is looked at and given back after: decrement, commit, compare,
//! restore, commit, answer. Power may go at any point without giving an attempt away. A token by a
//! finger ends here, too; the finger itself is `built_in_uv`'s.

use super::{Authenticator, Next, Step};
use crate::{
    admin::PinRefusal,
    credential::RpIdHash,
    crypto::Secret,
    event::{Gesture, Operation, Prompt},
    pin::{PADDED_PIN_LEN, Permissions, PinProtocol, Point, SharedSecret, StoredPin, Token},
    state::{ChangeSet, Record},
    status::Status,
    time::Instant,
    wire::{
        self,
        client_pin::{Request, Response, Subcommand},
    },
};

/// A PIN on its way to being compared.
pub(super) struct Attempt {
    protocol: PinProtocol,
    shared: SharedSecret,
    pin_hash_enc: Vec<u8>,
    purpose: Purpose,
}

/// What a right PIN leads to.
enum Purpose {
    ChangePin {
        new_pin_enc: Vec<u8>,
    },
    Token(Grant),
    /// getPinToken, whose answer to a PIN that must be changed differs.
    LegacyToken(Grant),
}

/// What a token will allow.
#[derive(Clone, Copy)]
struct Grant {
    permissions: Permissions,
    rp: Option<RpIdHash>,
}

/// A token that is to be issued once the attempts are restored.
pub(super) struct Issue {
    protocol: PinProtocol,
    shared: SharedSecret,
    grant: Grant,
    /// userIsPresent: it is got with a finger, which is a touch as well.
    user_present: bool,
}

/// What a person is verified with for a token.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Method {
    Pin,
    BuiltInUv,
}

impl Authenticator {
    pub(super) fn client_pin(&mut self, request: Request) -> Result<Step, Status> {
        if !self.offers_subcommand(request.subcommand) {
            return Err(Status::InvalidSubcommand);
        }
        match request.subcommand {
            Subcommand::GetPinRetries => self.pin_retries(),
            Subcommand::GetKeyAgreement => {
                let protocol = self.pin_protocol(request.protocol)?;
                let point = self.pin.key_agreement(protocol).public_key();
                Ok(Step::success(Some(Response::KeyAgreement(point).emit())))
            }
            Subcommand::SetPin => self.set_pin(request),
            Subcommand::ChangePin => self.change_pin(request),
            Subcommand::GetPinToken => self.pin_token(request),
            Subcommand::GetPinUvAuthTokenUsingUvWithPermissions => self.token_by_uv(&request),
            Subcommand::GetUvRetries => {
                let response = Response::UvRetries(self.state.uv_retries());
                Ok(Step::success(Some(response.emit())))
            }
            Subcommand::GetPinUvAuthTokenUsingPinWithPermissions => {
                self.token_with_permissions(request)
            }
            Subcommand::Other => Err(Status::InvalidSubcommand),
        }
    }

    fn offers_subcommand(&self, subcommand: Subcommand) -> bool {
        let profile = &self.profile;
        match subcommand {
            Subcommand::GetKeyAgreement => true,
            Subcommand::GetPinUvAuthTokenUsingUvWithPermissions | Subcommand::GetUvRetries => {
                profile.built_in_uv && profile.pin_uv_auth_token
            }
            Subcommand::GetPinUvAuthTokenUsingPinWithPermissions => {
                profile.client_pin && profile.pin_uv_auth_token
            }
            Subcommand::GetPinRetries
            | Subcommand::SetPin
            | Subcommand::ChangePin
            | Subcommand::GetPinToken => profile.client_pin,
            Subcommand::Other => false,
        }
    }

    fn pin_retries(&self) -> Result<Step, Status> {
        if !self.state.pin_is_set() {
            return Err(Status::PinNotSet);
        }
        let response = Response::Retries {
            left: self.state.pin_retries,
            power_cycle_state: self.pin.needs_power_cycle(),
        };
        Ok(Step::success(Some(response.emit())))
    }

    fn decapsulate(
        &self,
        protocol: Option<u64>,
        key_agreement: Option<&Point>,
    ) -> Result<(PinProtocol, SharedSecret), Status> {
        let protocol = self.pin_protocol(protocol)?;
        let point = key_agreement.ok_or(Status::MissingParameter)?;
        let shared = self.shared_secret(protocol, point)?;
        Ok((protocol, shared))
    }

    pub(super) fn shared_secret(
        &self,
        protocol: PinProtocol,
        point: &Point,
    ) -> Result<SharedSecret, Status> {
        let key = self.pin.key_agreement(protocol);
        key.decapsulate(protocol, point)
            .ok_or(Status::InvalidParameter)
    }

    /// §6.5.5.5.
    fn set_pin(&mut self, request: Request) -> Result<Step, Status> {
        let new_pin_enc = request.new_pin_enc.ok_or(Status::MissingParameter)?;
        let param = request.pin_uv_auth_param.ok_or(Status::MissingParameter)?;
        let (_, shared) = self.decapsulate(request.protocol, request.key_agreement.as_ref())?;
        if self.state.pin_is_set() || !shared.verify(&[&new_pin_enc], &param) {
            return Err(Status::PinAuthInvalid);
        }
        let pin = self.new_pin(&shared, &new_pin_enc)?;
        let set = self.state.store_pin(pin);
        Ok(Step::Commit(set, Next::Respond(wire::response(Ok(None)))))
    }

    /// §6.5.5.6.
    fn change_pin(&mut self, request: Request) -> Result<Step, Status> {
        let new_pin_enc = request.new_pin_enc.ok_or(Status::MissingParameter)?;
        let pin_hash_enc = request.pin_hash_enc.ok_or(Status::MissingParameter)?;
        let param = request.pin_uv_auth_param.ok_or(Status::MissingParameter)?;
        let (protocol, shared) =
            self.decapsulate(request.protocol, request.key_agreement.as_ref())?;
        let spent = self.spend_attempt()?;
        if !shared.verify(&[&new_pin_enc, &pin_hash_enc], &param) {
            return Err(Status::PinAuthInvalid);
        }
        let attempt = Attempt {
            protocol,
            shared,
            pin_hash_enc,
            purpose: Purpose::ChangePin { new_pin_enc },
        };
        Ok(Step::Commit(spent, Next::ComparePin(Box::new(attempt))))
    }

    /// §6.5.5.7.1: a token for makeCredential and getAssertion, with no RP yet.
    fn pin_token(&mut self, request: Request) -> Result<Step, Status> {
        if request.permissions.is_some() || request.rp_id.is_some() {
            return Err(Status::InvalidParameter);
        }
        if self.profile.no_mc_ga_permissions_with_client_pin {
            return Err(Status::UnauthorizedPermission);
        }
        let grant = Grant {
            permissions: Permissions::MC.with(Permissions::GA),
            rp: None,
        };
        self.token_attempt(request, Purpose::LegacyToken(grant))
    }

    /// §6.5.5.7.2.
    fn token_with_permissions(&mut self, request: Request) -> Result<Step, Status> {
        let grant = self.grant(&request, Method::Pin)?;
        self.token_attempt(request, Purpose::Token(grant))
    }

    /// §6.5.5.7.3.
    fn token_by_uv(&mut self, request: &Request) -> Result<Step, Status> {
        let grant = self.grant(request, Method::BuiltInUv)?;
        let (protocol, shared) =
            self.decapsulate(request.protocol, request.key_agreement.as_ref())?;
        if !self.built_in_uv_enabled() {
            return Err(Status::NotAllowed);
        }
        let prompt = Prompt {
            operation: Operation::Verify,
            rp_id: request.rp_id.clone(),
            rp_id_hash: grant.rp,
            account: None,
            gesture: Gesture::Finger,
        };
        let issue = Issue {
            protocol,
            shared,
            grant,
            user_present: true,
        };
        self.perform_built_in_uv(prompt, Next::IssueToken(Box::new(issue)))
    }

    /// What a platform asks of a token with permissions.
    fn grant(&self, request: &Request, method: Method) -> Result<Grant, Status> {
        let wanted = request.permissions.ok_or(Status::MissingParameter)?;
        if wanted == 0 {
            return Err(Status::InvalidParameter);
        }
        let permissions = u8::try_from(wanted)
            .ok()
            .map(Permissions)
            .filter(|wanted| self.permissions_offered(method).contains(*wanted))
            .filter(|wanted| !wanted.overlaps(Permissions::PCMR) || *wanted == Permissions::PCMR)
            .ok_or(Status::UnauthorizedPermission)?;
        let for_one_rp = Permissions::MC.with(Permissions::GA);
        if permissions.overlaps(for_one_rp) && request.rp_id.is_none() {
            return Err(Status::MissingParameter);
        }
        Ok(Grant {
            permissions,
            rp: request.rp_id.as_deref().map(RpIdHash::of),
        })
    }

    fn permissions_offered(&self, method: Method) -> Permissions {
        let profile = &self.profile;
        let by_uv = method == Method::BuiltInUv;
        [
            (
                by_uv || !profile.no_mc_ga_permissions_with_client_pin,
                Permissions::MC.with(Permissions::GA),
            ),
            (profile.cred_mgmt, Permissions::CM),
            // By a finger as option uvBioEnroll says, which every key with bioEnroll has here.
            (profile.bio_enroll, Permissions::BE),
            (profile.large_blobs, Permissions::LBW),
            (profile.per_cred_mgmt_ro, Permissions::PCMR),
            // By a finger as option uvAcfg says, likewise.
            (profile.authnr_cfg, Permissions::ACFG),
        ]
        .into_iter()
        .filter(|(offered, _)| *offered)
        .fold(Permissions::default(), |all, (_, one)| all.with(one))
    }

    fn token_attempt(&mut self, request: Request, purpose: Purpose) -> Result<Step, Status> {
        let pin_hash_enc = request.pin_hash_enc.ok_or(Status::MissingParameter)?;
        let (protocol, shared) =
            self.decapsulate(request.protocol, request.key_agreement.as_ref())?;
        let spent = self.spend_attempt()?;
        let attempt = Attempt {
            protocol,
            shared,
            pin_hash_enc,
            purpose,
        };
        Ok(Step::Commit(spent, Next::ComparePin(Box::new(attempt))))
    }

    /// The attempt is lost, durably, before the PIN is looked at.
    fn spend_attempt(&self) -> Result<ChangeSet, Status> {
        let spent = self.state.spend_pin_attempt(&self.profile);
        let spent = spent.map_err(status_of)?;
        match self.pin.needs_power_cycle() {
            true => Err(Status::PinAuthBlocked),
            false => Ok(spent),
        }
    }

    pub(super) fn compare_pin(&mut self, attempt: Attempt) -> Result<Step, Status> {
        let sent = attempt.shared.decrypt(&attempt.pin_hash_enc);
        let stored = self.state.pin.as_ref();
        let right = match (&sent, stored) {
            (Some(sent), Some(stored)) => stored.hash.matches(sent),
            (None, _) | (_, None) => false,
        };
        if !right {
            self.pin.mismatched(&mut self.rng, attempt.protocol);
            return Err(if self.state.pin_retries == 0 {
                Status::PinBlocked
            } else if self.pin.needs_power_cycle() {
                Status::PinAuthBlocked
            } else {
                Status::PinInvalid
            });
        }
        let mut set = self.state.restore_pin_attempts();
        let forced = self.state.config.force_pin_change;
        let next = match attempt.purpose {
            Purpose::ChangePin { new_pin_enc } => {
                match self.new_pin(&attempt.shared, &new_pin_enc) {
                    Ok(pin) => {
                        set = self.state.store_pin(pin);
                        Next::Respond(wire::response(Ok(None)))
                    }
                    Err(status) => Next::Refuse(status),
                }
            }
            Purpose::Token(_) if forced => Next::Refuse(Status::PinPolicyViolation),
            // Yubico's keys and tests, and OpenSK, answer this to the older subcommand.
            Purpose::LegacyToken(_) if forced => Next::Refuse(Status::PinInvalid),
            Purpose::Token(grant) | Purpose::LegacyToken(grant) => {
                Next::IssueToken(Box::new(Issue {
                    protocol: attempt.protocol,
                    shared: attempt.shared,
                    grant,
                    user_present: false,
                }))
            }
        };
        Ok(Step::Commit(set, next))
    }

    pub(super) fn issue_token(&mut self, now: Instant, issue: Box<Issue>) -> Step {
        let Grant { permissions, rp } = issue.grant;
        if permissions == Permissions::PCMR {
            return self.issue_persistent_token(issue);
        }
        let token = Token::issue(
            now,
            &mut self.rng,
            issue.protocol,
            permissions,
            rp,
            issue.user_present,
        );
        let sealed = issue
            .shared
            .encrypt(&mut self.rng, token.secret().as_bytes());
        self.pin.begin_using(token);
        Step::success(Some(Response::Token(sealed).emit()))
    }

    /// The persistent token is the same each time, and leaves the one in use alone. It is durable
    /// before anybody has it.
    fn issue_persistent_token(&mut self, issue: Box<Issue>) -> Step {
        let Some(token) = &self.state.persistent_token else {
            let mut set = ChangeSet::default();
            set.put(Record::PersistentToken(Secret::random(&mut self.rng)));
            return Step::Commit(set, Next::IssueToken(issue));
        };
        let sealed = issue.shared.encrypt(&mut self.rng, token.as_bytes());
        Step::success(Some(Response::Token(sealed).emit()))
    }

    /// Decrypts a new PIN and holds it against the rules (§6.5.5.5 and §6.5.1).
    fn new_pin(&self, shared: &SharedSecret, new_pin_enc: &[u8]) -> Result<StoredPin, Status> {
        let padded = shared.decrypt(new_pin_enc).ok_or(Status::PinAuthInvalid)?;
        if padded.len() != PADDED_PIN_LEN {
            return Err(Status::InvalidParameter);
        }
        let length = padded.iter().rposition(|byte| *byte != 0);
        let pin = length
            .and_then(|last| padded.get(..=last))
            .unwrap_or_default();
        let text = std::str::from_utf8(pin).map_err(|_| Status::PinPolicyViolation)?;
        let checked = self.state.checked_pin(&self.profile, text);
        checked.map_err(status_of)
    }
}

/// What the standard answers.
fn status_of(why: PinRefusal) -> Status {
    match why {
        PinRefusal::NotOffered => Status::InvalidSubcommand,
        PinRefusal::NotSet => Status::PinNotSet,
        PinRefusal::Set => Status::PinAuthInvalid,
        PinRefusal::Blocked => Status::PinBlocked,
        PinRefusal::TooShort { .. }
        | PinRefusal::TooLong
        | PinRefusal::TooMany { .. }
        | PinRefusal::TooSimple
        | PinRefusal::EndsWithZero
        | PinRefusal::Same => Status::PinPolicyViolation,
    }
}
