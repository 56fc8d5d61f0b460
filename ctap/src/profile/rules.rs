//! What a profile must not say: contradictions, and what CTAP 2.1 §9 and §6.4 make mandatory.
//! FIDO_2_3 has all that FIDO_2_1 has, so rules that name the latter are about both.

use std::{collections::BTreeSet, fmt};

use super::{Extension, Profile};
use crate::{
    Algorithm, CREDENTIAL_ID_LEN, MAX_CREDENTIAL_ID_LEN, MAX_MESSAGE_LEN, MAX_PIN_LEN,
    pin::PinProtocol,
};

/// A rule that a profile breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The member of the profile that breaks it.
    pub member: &'static str,
    /// The rule, in words, with the section it comes from.
    pub rule: &'static str,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.member, self.rule)
    }
}

impl std::error::Error for Violation {}

/// A rule: the member it is about, its words, and whether a profile keeps it.
pub(super) type Rule = (&'static str, &'static str, fn(&Profile) -> bool);

/// Every rule, in the order in which they are looked at.
pub(super) const RULES: [Rule; 51] = [
    (
        "versions",
        "a key serves at least one version (CTAP 2.1 §6.4)",
        |p| !p.versions.is_empty(),
    ),
    (
        "algorithms",
        "a key signs with at least one algorithm, each named once (§6.4)",
        |p| {
            let each_once: BTreeSet<_> = p.algorithms.iter().collect();
            !p.algorithms.is_empty() && each_once.len() == p.algorithms.len()
        },
    ),
    (
        "algorithms",
        "U2F_V2 signs with ES256 (FIDO U2F raw message formats §4.3)",
        |p| !p.u2f() || p.algorithms.contains(&Algorithm::Es256),
    ),
    (
        "max_msg_size",
        "maxMsgSize is 1024 at least and 7609 at most (§6.4, §11.2.4)",
        |p| (1024..=MAX_MESSAGE_LEN).contains(&usize::from(p.max_msg_size)),
    ),
    (
        "max_credential_count_in_list",
        "maxCredentialCountInList is greater than zero (§6.4)",
        |p| p.max_credential_count_in_list > 0,
    ),
    (
        "max_credential_id_length",
        "maxCredentialIdLength is 64 at least and 1023 at most (§6.4, WebAuthn §4)",
        |p| {
            let length = usize::from(p.max_credential_id_length);
            (CREDENTIAL_ID_LEN..=MAX_CREDENTIAL_ID_LEN).contains(&length)
        },
    ),
    (
        "min_pin_length",
        "minPINLength is 4 at least and 63 at most (§6.4)",
        |p| (4..=MAX_PIN_LEN).contains(&usize::from(p.min_pin_length)),
    ),
    (
        "pin_protocols",
        "pinUvAuthProtocols names each protocol once (§6.4)",
        |p| p.pin_protocols.len() < 2 || p.pin_protocols.first() != p.pin_protocols.last(),
    ),
    (
        "pin_protocols",
        "pinUvAuthProtocols names two protocols at most (§6.4)",
        |p| p.pin_protocols.len() <= 2,
    ),
    (
        "pin_protocols",
        "clientPin, uv and hmac-secret need a pinUvAuthProtocol (§6.5, §12.5)",
        |p| {
            let needed = p.verifies() || p.offers(Extension::HmacSecret);
            !needed || !p.pin_protocols.is_empty()
        },
    ),
    (
        "client_pin",
        "clientPin is CTAP2's: a key that is U2F_V2 alone has none",
        |p| p.ctap2() || !p.client_pin,
    ),
    (
        "extensions",
        "extensions are CTAP2's: a key that is U2F_V2 alone has none",
        |p| p.ctap2() || p.extensions.is_empty(),
    ),
    (
        "large_blobs",
        "largeBlobs is CTAP2's: a key that is U2F_V2 alone has none",
        |p| p.ctap2() || !p.large_blobs,
    ),
    (
        "max_discoverable_credentials",
        "rk is CTAP2's: a key that is U2F_V2 alone has none",
        |p| p.ctap2() || !p.rk(),
    ),
    ("extensions", "FIDO_2_1 needs hmac-secret (§9)", |p| {
        !p.ctap2_1() || p.offers(Extension::HmacSecret)
    }),
    (
        "client_pin",
        "FIDO_2_1 with rk needs clientPin or uv (§9)",
        |p| !(p.ctap2_1() && p.rk()) || p.verifies(),
    ),
    ("cred_mgmt", "FIDO_2_1 with rk needs credMgmt (§9)", |p| {
        !(p.ctap2_1() && p.rk()) || p.cred_mgmt
    }),
    (
        "extensions",
        "FIDO_2_1 with clientPin or uv needs credProtect (§9)",
        |p| !(p.ctap2_1() && p.verifies()) || p.offers(Extension::CredProtect),
    ),
    (
        "pin_uv_auth_token",
        "FIDO_2_1 with clientPin or uv needs pinUvAuthToken (§9)",
        |p| !(p.ctap2_1() && p.verifies()) || p.pin_uv_auth_token,
    ),
    (
        "pin_protocols",
        "FIDO_2_1 needs pinUvAuthProtocol 2 (§9)",
        |p| !p.ctap2_1() || p.pin_protocols.contains(&PinProtocol::Two),
    ),
    (
        "pin_uv_auth_token",
        "pinUvAuthToken needs clientPin or uv (§6.4)",
        |p| !p.pin_uv_auth_token || p.verifies(),
    ),
    (
        "cred_mgmt",
        "credMgmt needs rk, and clientPin or uv (§6.8)",
        |p| !p.cred_mgmt || (p.verifies() && p.rk()),
    ),
    (
        "set_min_pin_length",
        "setMinPINLength needs clientPin and authnrCfg (§6.4)",
        |p| !p.set_min_pin_length || (p.client_pin && p.authnr_cfg),
    ),
    (
        "max_rp_ids_for_set_min_pin_length",
        "maxRPIDsForSetMinPINLength needs setMinPINLength and the extension minPinLength (§6.4)",
        |p| {
            p.max_rp_ids_for_set_min_pin_length == 0
                || (p.set_min_pin_length && p.offers(Extension::MinPinLength))
        },
    ),
    (
        "always_uv",
        "alwaysUv needs authnrCfg, and clientPin or uv (§7.2)",
        |p| p.always_uv.is_none() || (p.authnr_cfg && p.verifies()),
    ),
    (
        "authnr_cfg",
        "authnrCfg needs a subcommand to serve: alwaysUv, setMinPINLength, ep or longTouchForReset \
         (§6.11)",
        |p| {
            let served = [
                p.always_uv,
                p.enterprise_attestation,
                p.long_touch_for_reset,
            ];
            !p.authnr_cfg || p.set_min_pin_length || served.iter().any(Option::is_some)
        },
    ),
    (
        "make_cred_uv_not_rqd",
        "alwaysUv and makeCredUvNotRqd are never both true (§9)",
        |p| p.always_uv != Some(true) || !p.make_cred_uv_not_rqd,
    ),
    (
        "make_cred_uv_not_rqd",
        "makeCredUvNotRqd is an option of FIDO_2_1 (§6.4)",
        |p| !p.make_cred_uv_not_rqd || p.ctap2_1(),
    ),
    (
        "versions",
        "alwaysUv leaves no U2F_V2, which verifies nobody (§7.2.4)",
        |p| p.always_uv != Some(true) || !p.u2f(),
    ),
    (
        "no_mc_ga_permissions_with_client_pin",
        "noMcGaPermissionsWithClientPin needs pinUvAuthToken (§6.4)",
        |p| !p.no_mc_ga_permissions_with_client_pin || p.pin_uv_auth_token,
    ),
    (
        "extensions",
        "credBlob needs credProtect and rk (§9, §12.2)",
        |p| !p.offers(Extension::CredBlob) || (p.offers(Extension::CredProtect) && p.rk()),
    ),
    (
        "extensions",
        "hmac-secret-mc needs hmac-secret (CTAP 2.2 §12.8)",
        |p| !p.offers(Extension::HmacSecretMc) || p.offers(Extension::HmacSecret),
    ),
    (
        "extensions",
        "largeBlobKey needs largeBlobs and rk (§12.3)",
        |p| !p.offers(Extension::LargeBlobKey) || (p.large_blobs && p.rk()),
    ),
    (
        "extensions",
        "minPinLength needs setMinPINLength (§12.4)",
        |p| !p.offers(Extension::MinPinLength) || p.set_min_pin_length,
    ),
    (
        "extensions",
        "pinComplexityPolicy needs the policy of that name and minPinLength (CTAP 2.2 §12.9)",
        |p| {
            let has = p.pin_complexity_policy.is_some() && p.offers(Extension::MinPinLength);
            !p.offers(Extension::PinComplexityPolicy) || has
        },
    ),
    (
        "extensions",
        "thirdPartyPayment is an extension of FIDO_2_3 (CTAP 2.2 §12.10)",
        |p| !p.offers(Extension::ThirdPartyPayment) || p.ctap2_3(),
    ),
    (
        "built_in_uv",
        "uv is CTAP2's: a key that is U2F_V2 alone has none",
        |p| p.ctap2() || !p.built_in_uv,
    ),
    (
        "bio_enroll",
        "bioEnroll needs uv and pinUvAuthToken (§6.7)",
        |p| !p.bio_enroll || (p.built_in_uv && p.pin_uv_auth_token),
    ),
    (
        "max_fingerprints",
        "maxFingerprints is 1 at least with uv and 0 without",
        |p| (p.max_fingerprints > 0) == p.built_in_uv,
    ),
    (
        "enrolled_fingerprints",
        "enrolledFingerprints is maxFingerprints at most",
        |p| p.enrolled_fingerprints <= p.max_fingerprints,
    ),
    (
        "per_cred_mgmt_ro",
        "perCredMgmtRO needs FIDO_2_3, credMgmt and pinUvAuthToken (CTAP 2.2 §6.4)",
        |p| !p.per_cred_mgmt_ro || (p.ctap2_3() && p.cred_mgmt && p.pin_uv_auth_token),
    ),
    (
        "enterprise_attestation",
        "ep needs authnrCfg with enableEnterpriseAttestation (§9)",
        |p| p.enterprise_attestation.is_none() || p.authnr_cfg,
    ),
    (
        "enterprise_rp_ids",
        "enterpriseRpIds needs ep (§7.1)",
        |p| p.enterprise_rp_ids.is_empty() || p.enterprise_attestation.is_some(),
    ),
    (
        "long_touch_for_reset",
        "longTouchForReset needs FIDO_2_3 and authnrCfg (CTAP 2.3 §6.4)",
        |p| p.long_touch_for_reset.is_none() || (p.ctap2_3() && p.authnr_cfg),
    ),
    (
        "pin_complexity_policy",
        "pinComplexityPolicy needs FIDO_2_3 and setMinPINLength (CTAP 2.2 §6.4)",
        |p| p.pin_complexity_policy.is_none() || (p.ctap2_3() && p.set_min_pin_length),
    ),
    (
        "max_pin_length",
        "maxPINLength is 8 at least and 63 at most (CTAP 2.2 §6.4)",
        |p| (8..=MAX_PIN_LEN).contains(&usize::from(p.max_pin_length)),
    ),
    (
        "max_pin_length",
        "maxPINLength is minPINLength at least (CTAP 2.2 §6.4)",
        |p| p.max_pin_length >= p.min_pin_length,
    ),
    (
        "max_cred_blob_length",
        "maxCredBlobLength is 32 at least with credBlob and 0 without (§6.4)",
        |p| match p.max_cred_blob_length {
            0 => !p.offers(Extension::CredBlob),
            length => p.offers(Extension::CredBlob) && length >= 32,
        },
    ),
    (
        "max_serialized_large_blob_array",
        "maxSerializedLargeBlobArray is 1024 at least with largeBlobs and 0 without (§6.4)",
        |p| match p.max_serialized_large_blob_array {
            0 => !p.large_blobs,
            length => p.large_blobs && length >= 1024,
        },
    ),
    (
        "backup_state",
        "flag BS needs flag BE (WebAuthn §6.1.3)",
        |p| !p.backup_state || p.backup_eligible,
    ),
    (
        "algorithms",
        "RS256 keys are records, so RS256 needs rk",
        |p| p.rk() || !p.algorithms.contains(&Algorithm::Rs256),
    ),
];

impl Profile {
    /// Whether the profile holds together.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn check(&self) -> Result<(), Violation> {
        for (member, rule, keeps) in RULES {
            if !keeps(self) {
                return Err(Violation { member, rule });
            }
        }
        Ok(())
    }
}
