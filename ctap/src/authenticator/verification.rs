//! Whether a caller has proved that a person was verified: pinUvAuthParam, option uv, alwaysUv
//! and makeCredUvNotRqd (CTAP 2.1 §6.1.2, §6.2.2, §7.2).

use super::Authenticator;
use crate::{
    credential::RpIdHash,
    pin::{Permissions, PinProtocol},
    status::Status,
    time::Instant,
    wire::PinUvAuth,
};

/// How the person behind a makeCredential or getAssertion is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verified {
    /// Not at all.
    No,
    /// By the token that came along.
    ByToken,
    /// By a finger, which is to be asked for.
    BuiltIn,
}

impl Authenticator {
    /// "Protected by some form of user verification": a PIN is set, or a finger enrolled.
    pub(super) fn is_protected(&self) -> bool {
        self.state.pin_is_set() || self.built_in_uv_enabled()
    }

    pub(super) fn always_uv(&self) -> bool {
        let toggled = self.state.config.always_uv;
        toggled.or(self.profile.always_uv).unwrap_or(false)
    }

    pub(super) fn min_pin_length(&self) -> u8 {
        self.state.min_pin_length(&self.profile)
    }

    /// A pinUvAuthProtocol that this key offers.
    pub(super) fn pin_protocol(&self, number: Option<u64>) -> Result<PinProtocol, Status> {
        let number = number.ok_or(Status::MissingParameter)?;
        PinProtocol::from_number(number)
            .filter(|protocol| self.profile.pin_protocols.contains(protocol))
            .ok_or(Status::InvalidParameter)
    }

    /// Platforms send an empty pinUvAuthParam to learn which key a person touches (step 1): the
    /// answer after the touch.
    pub(super) fn touch_probe(&self, auth: &PinUvAuth) -> Option<Status> {
        let empty = auth.param.as_ref().is_some_and(Vec::is_empty);
        empty.then_some(if self.is_protected() {
            Status::PinInvalid
        } else {
            Status::PinNotSet
        })
    }

    /// What a caller without a token is told where one is needed.
    pub(super) fn token_needed(&self) -> Status {
        let profile = &self.profile;
        let by_pin = profile.client_pin && !profile.no_mc_ga_permissions_with_client_pin;
        let by_finger = profile.pin_uv_auth_token && self.built_in_uv_enabled();
        if by_pin || by_finger {
            Status::PuatRequired
        } else {
            Status::OperationDenied
        }
    }

    /// Step 5: option uv wants a finger, unless a token outweighs it.
    pub(super) fn check_uv_option(&self, uv: Option<bool>, auth: &PinUvAuth) -> Result<(), Status> {
        let wanted = uv == Some(true) && auth.param.is_none();
        if wanted && !self.built_in_uv_enabled() {
            return Err(Status::InvalidOption);
        }
        Ok(())
    }

    /// How the person of a makeCredential or getAssertion is verified; an error where the token is
    /// wrong. `uv` is the option, `up` that a person is wanted at all: alwaysUv is about people,
    /// and a silent check has none (§7.2).
    ///
    /// Deviation: CTAP 2.1 §6.1.2 step 11 looks at the parameter only where a PIN is set. Without
    /// one no token is right, and a platform that sends one anyway learns that it was not used.
    pub(super) fn check_user_verified(
        &mut self,
        now: Instant,
        auth: &PinUvAuth,
        (uv, up): (bool, bool),
        permission: Permissions,
        rp: &RpIdHash,
        client_data_hash: &[u8; 32],
    ) -> Result<Verified, Status> {
        let Some(param) = &auth.param else {
            let wanted = uv || up && self.always_uv();
            return Ok(if wanted && self.built_in_uv_enabled() {
                Verified::BuiltIn
            } else {
                Verified::No
            });
        };
        let protocol = self.pin_protocol(auth.protocol)?;
        let token = self.pin.token(now).ok_or(Status::PinAuthInvalid)?;
        let right = token.verify(protocol, &[client_data_hash], param)
            && token.permits(permission)
            && token.fits(rp)
            && token.user_verified();
        if !right {
            return Err(Status::PinAuthInvalid);
        }
        token.bind(rp);
        Ok(Verified::ByToken)
    }

    /// getUserPresentFlagValue: the finger that the token in use was got with saves a touch.
    pub(super) fn user_is_present(&mut self, now: Instant) -> bool {
        let token = self.pin.token(now);
        token.is_some_and(|token| token.user_present(now))
    }

    /// Checks the token of a management command, but for the RP that it may be bound to.
    pub(super) fn check_management(
        &mut self,
        now: Instant,
        auth: &PinUvAuth,
        permission: Permissions,
        message: &[u8],
    ) -> Result<(), Status> {
        let param = auth.param.as_ref().ok_or(Status::PuatRequired)?;
        let protocol = self.pin_protocol(auth.protocol)?;
        let token = self.pin.token(now).ok_or(Status::PinAuthInvalid)?;
        if token.verify(protocol, &[message], param) && token.permits(permission) {
            Ok(())
        } else {
            Err(Status::PinAuthInvalid)
        }
    }

    /// Whether the token in use may act on an RP's credentials, or on all where `rp` is `None`,
    /// which takes a token that is bound to none.
    pub(super) fn check_token_rp(
        &mut self,
        now: Instant,
        rp: Option<&RpIdHash>,
    ) -> Result<(), Status> {
        let token = self.pin.token(now).ok_or(Status::PinAuthInvalid)?;
        let fits = rp.map_or(token.is_unbound(), |rp| token.fits(rp));
        if fits {
            Ok(())
        } else {
            Err(Status::PinAuthInvalid)
        }
    }

    /// After a touch was used, its token serves no second registration or assertion.
    pub(super) fn spend_token(&mut self, now: Instant) {
        if let Some(token) = self.pin.token(now) {
            token.spend();
        }
    }
}
