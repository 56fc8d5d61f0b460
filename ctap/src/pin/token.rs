//! The pinUvAuthToken and how long it serves (CTAP 2.1 §6.5.2.1, §6.5.5.7).
//!
//! Nothing runs in the background: every use looks at the time first, so an idle key wakes for
//! nothing.

use super::PinProtocol;
use crate::{
    credential::RpIdHash,
    crypto::{Rng, Secret},
    time::Instant,
};

/// A token that is not used within this time ends (initial usage time limit).
pub const TOKEN_INITIAL_USAGE_MS: u64 = 30_000;
/// A token ends this long after it was issued (max usage time period).
pub const TOKEN_MAX_USAGE_MS: u64 = 600_000;

/// The finger that a token was issued for is presence for this long (user present time limit).
pub(crate) const USER_PRESENT_MS: u64 = 30_000;

/// What a token may be used for (§6.5.5.7): a set of bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Permissions(pub(crate) u8);

impl Permissions {
    pub(crate) const MC: Self = Self(0x01);
    pub(crate) const GA: Self = Self(0x02);
    pub(crate) const CM: Self = Self(0x04);
    pub(crate) const BE: Self = Self(0x08);
    pub(crate) const LBW: Self = Self(0x10);
    pub(crate) const ACFG: Self = Self(0x20);
    /// CTAP 2.2: stands alone.
    pub(crate) const PCMR: Self = Self(0x40);

    pub(crate) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both.
    const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(crate) const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub(crate) const fn overlaps(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// A token in use.
pub(crate) struct Token {
    protocol: PinProtocol,
    secret: Secret,
    permissions: Permissions,
    rp: Option<RpIdHash>,
    user_verified: bool,
    user_present: bool,
    issued_at: Instant,
    used: bool,
}

impl Token {
    /// §6.5.5.7 beginUsingPinUvAuthToken, with a fresh token.
    pub(crate) fn issue(
        now: Instant,
        rng: &mut Rng,
        protocol: PinProtocol,
        permissions: Permissions,
        rp: Option<RpIdHash>,
        user_present: bool,
    ) -> Self {
        Self {
            protocol,
            secret: Secret::random(rng),
            permissions,
            rp,
            user_verified: true,
            user_present,
            issued_at: now,
            used: false,
        }
    }

    pub(crate) fn secret(&self) -> &Secret {
        &self.secret
    }

    /// pinUvAuthTokenUsageTimerObserver: whether the token's time is over.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        let limit = if self.used {
            TOKEN_MAX_USAGE_MS
        } else {
            TOKEN_INITIAL_USAGE_MS
        };
        now >= self.issued_at.after_ms(limit)
    }

    /// Whether `param` authenticates `message` under this token. A right one counts as a use.
    pub(crate) fn verify(
        &mut self,
        protocol: PinProtocol,
        message: &[&[u8]],
        param: &[u8],
    ) -> bool {
        let right =
            protocol == self.protocol && protocol.verify(self.secret.as_bytes(), message, param);
        self.used |= right;
        right
    }

    pub(crate) fn permits(&self, permission: Permissions) -> bool {
        self.permissions.contains(permission)
    }

    /// Whether the token is for any RP, or for this one.
    pub(crate) fn fits(&self, rp: &RpIdHash) -> bool {
        self.rp.is_none_or(|bound| bound == *rp)
    }

    /// Whether the token is bound to no RP.
    pub(crate) fn is_unbound(&self) -> bool {
        self.rp.is_none()
    }

    /// Binds an unbound token to the RP that it is used for first.
    pub(crate) fn bind(&mut self, rp: &RpIdHash) {
        self.rp.get_or_insert(*rp);
    }

    pub(crate) fn user_verified(&self) -> bool {
        self.user_verified
    }

    /// getUserPresentFlagValue: whether the token's own finger saves another touch.
    pub(crate) fn user_present(&self, now: Instant) -> bool {
        self.user_present && now < self.issued_at.after_ms(USER_PRESENT_MS)
    }

    /// After a touch was used: clearUserPresentFlag, clearUserVerifiedFlag and
    /// clearPinUvAuthTokenPermissionsExceptLbw.
    pub(crate) fn spend(&mut self) {
        self.user_present = false;
        self.user_verified = false;
        self.permissions = self.permissions.and(Permissions::LBW);
    }
}
