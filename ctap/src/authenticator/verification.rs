//! Whether a caller has proved that a person was verified: pinUvAuthParam, alwaysUv and
//! makeCredUvNotRqd (CTAP 2.1 §6.1.2, §6.2.2, §7.2).

use super::Authenticator;
use crate::{
    credential::RpIdHash,
    pin::{Permissions, PinProtocol},
    status::Status,
    time::Instant,
    wire::PinUvAuth,
};

impl Authenticator {
    /// "Protected by some form of user verification": a PIN, as there is nothing built in.
    pub(super) fn is_protected(&self) -> bool {
        self.state.pin_is_set()
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
        if self.profile.client_pin && !self.profile.no_mc_ga_permissions_with_client_pin {
            Status::PuatRequired
        } else {
            Status::OperationDenied
        }
    }

    /// Whether the caller of makeCredential or getAssertion has a token for it: false without a
    /// pinUvAuthParam, an error with a wrong one.
    ///
    /// Deviation: CTAP 2.1 §6.1.2 step 11 looks at the parameter only where a PIN is set. Without
    /// one no token is right, and a platform that sends one anyway learns that it was not used.
    pub(super) fn check_user_verified(
        &mut self,
        now: Instant,
        auth: &PinUvAuth,
        permission: Permissions,
        rp: &RpIdHash,
        client_data_hash: &[u8; 32],
    ) -> Result<bool, Status> {
        let Some(param) = &auth.param else {
            return Ok(false);
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
        Ok(true)
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
