//! Every rule is broken once, by what a profile can say.

use std::collections::BTreeSet;

use super::*;

/// What is done to the default profile.
type Change = fn(&mut Profile);

/// The default profile with a change, the member that is to blame, and the beginning of the rule
/// that it breaks. The order is that of the rules.
const BROKEN: [(Change, &str, &str); 64] = [
    (
        |p| p.versions.clear(),
        "versions",
        "a key serves at least one version",
    ),
    (
        |p| p.algorithms.clear(),
        "algorithms",
        "a key signs with at least one algorithm",
    ),
    (
        |p| p.algorithms.push(Algorithm::Es384),
        "algorithms",
        "a key signs with at least one algorithm, each named once",
    ),
    (
        |p| p.algorithms = vec![Algorithm::EdDsa],
        "algorithms",
        "U2F_V2 signs with ES256",
    ),
    (
        |p| p.max_msg_size = 1023,
        "max_msg_size",
        "maxMsgSize is 1024 at least",
    ),
    (
        |p| p.max_msg_size = 7610,
        "max_msg_size",
        "maxMsgSize is 1024 at least and 7609 at most",
    ),
    (
        |p| p.max_credential_count_in_list = 0,
        "max_credential_count_in_list",
        "maxCredentialCountInList is greater than zero",
    ),
    (
        |p| p.max_credential_id_length = 63,
        "max_credential_id_length",
        "maxCredentialIdLength is 64 at least",
    ),
    (
        |p| p.min_pin_length = 3,
        "min_pin_length",
        "minPINLength is 4 at least",
    ),
    (
        |p| p.min_pin_length = 64,
        "min_pin_length",
        "minPINLength is 4 at least and 63 at most",
    ),
    (
        |p| p.pin_protocols = vec![PinProtocol::Two; 2],
        "pin_protocols",
        "pinUvAuthProtocols names each protocol once",
    ),
    (
        |p| p.pin_protocols.push(PinProtocol::One),
        "pin_protocols",
        "pinUvAuthProtocols names two protocols at most",
    ),
    (
        |p| p.pin_protocols.clear(),
        "pin_protocols",
        "clientPin, uv and hmac-secret need a pinUvAuthProtocol",
    ),
    (
        |p| {
            p.client_pin = false;
            p.pin_protocols.clear();
        },
        "pin_protocols",
        "clientPin, uv and hmac-secret need a pinUvAuthProtocol",
    ),
    (
        |p| p.versions = [Version::U2fV2].into(),
        "client_pin",
        "clientPin is CTAP2's",
    ),
    (
        |p| {
            p.versions = [Version::U2fV2].into();
            p.client_pin = false;
        },
        "extensions",
        "extensions are CTAP2's",
    ),
    (
        |p| {
            p.versions = [Version::U2fV2].into();
            p.client_pin = false;
            p.extensions.clear();
            p.pin_protocols.clear();
        },
        "large_blobs",
        "largeBlobs is CTAP2's",
    ),
    (
        |p| {
            p.versions = [Version::U2fV2].into();
            p.client_pin = false;
            p.extensions.clear();
            p.pin_protocols.clear();
            p.large_blobs = false;
        },
        "max_discoverable_credentials",
        "rk is CTAP2's",
    ),
    (
        |p| without(p, &[Extension::HmacSecret, Extension::HmacSecretMc]),
        "extensions",
        "FIDO_2_1 needs hmac-secret",
    ),
    (
        |p| p.client_pin = false,
        "client_pin",
        "FIDO_2_1 with rk needs clientPin",
    ),
    (
        |p| p.cred_mgmt = false,
        "cred_mgmt",
        "FIDO_2_1 with rk needs credMgmt",
    ),
    (
        |p| without(p, &[Extension::CredProtect]),
        "extensions",
        "FIDO_2_1 with clientPin or uv needs credProtect",
    ),
    (
        |p| p.pin_uv_auth_token = false,
        "pin_uv_auth_token",
        "FIDO_2_1 with clientPin or uv needs pinUvAuthToken",
    ),
    (
        |p| p.pin_protocols = vec![PinProtocol::One],
        "pin_protocols",
        "FIDO_2_1 needs pinUvAuthProtocol 2",
    ),
    (
        |p| {
            fido_2_0(p);
            p.client_pin = false;
        },
        "pin_uv_auth_token",
        "pinUvAuthToken needs clientPin",
    ),
    (
        |p| p.max_discoverable_credentials = 0,
        "cred_mgmt",
        "credMgmt needs rk, and clientPin or uv",
    ),
    (
        |p| {
            fido_2_0(p);
            p.client_pin = false;
            p.pin_uv_auth_token = false;
        },
        "cred_mgmt",
        "credMgmt needs rk, and clientPin or uv",
    ),
    (
        |p| p.authnr_cfg = false,
        "set_min_pin_length",
        "setMinPINLength needs clientPin and authnrCfg",
    ),
    (
        |p| p.set_min_pin_length = false,
        "max_rp_ids_for_set_min_pin_length",
        "maxRPIDsForSetMinPINLength needs setMinPINLength",
    ),
    (
        |p| without(p, &[Extension::MinPinLength]),
        "max_rp_ids_for_set_min_pin_length",
        "maxRPIDsForSetMinPINLength needs setMinPINLength and the extension minPinLength",
    ),
    (
        |p| {
            no_set_min_pin_length(p);
            p.authnr_cfg = false;
        },
        "always_uv",
        "alwaysUv needs authnrCfg",
    ),
    (
        |p| {
            no_set_min_pin_length(p);
            p.always_uv = None;
            p.long_touch_for_reset = None;
        },
        "authnr_cfg",
        "authnrCfg needs a subcommand",
    ),
    (
        |p| {
            p.always_uv = Some(true);
            p.make_cred_uv_not_rqd = true;
        },
        "make_cred_uv_not_rqd",
        "alwaysUv and makeCredUvNotRqd are never both true",
    ),
    (
        |p| {
            fido_2_0(p);
            p.make_cred_uv_not_rqd = true;
        },
        "make_cred_uv_not_rqd",
        "makeCredUvNotRqd is an option of FIDO_2_1",
    ),
    (
        |p| p.always_uv = Some(true),
        "versions",
        "alwaysUv leaves no U2F_V2",
    ),
    (
        |p| {
            fido_2_0(p);
            p.pin_uv_auth_token = false;
            p.no_mc_ga_permissions_with_client_pin = true;
        },
        "no_mc_ga_permissions_with_client_pin",
        "noMcGaPermissionsWithClientPin needs pinUvAuthToken",
    ),
    (
        |p| {
            p.max_discoverable_credentials = 0;
            p.cred_mgmt = false;
        },
        "extensions",
        "credBlob needs credProtect and rk",
    ),
    (
        |p| {
            fido_2_0(p);
            without(p, &[Extension::CredProtect]);
        },
        "extensions",
        "credBlob needs credProtect",
    ),
    (
        |p| {
            fido_2_0(p);
            without(p, &[Extension::HmacSecret]);
        },
        "extensions",
        "hmac-secret-mc needs hmac-secret",
    ),
    (
        |p| p.large_blobs = false,
        "extensions",
        "largeBlobKey needs largeBlobs",
    ),
    (
        |p| {
            p.max_discoverable_credentials = 0;
            p.cred_mgmt = false;
            without(p, &[Extension::CredBlob]);
            p.max_cred_blob_length = 0;
        },
        "extensions",
        "largeBlobKey needs largeBlobs and rk",
    ),
    (
        no_set_min_pin_length,
        "extensions",
        "minPinLength needs setMinPINLength",
    ),
    (
        |p| p.pin_complexity_policy = None,
        "extensions",
        "pinComplexityPolicy needs the policy of that name",
    ),
    (
        |p| {
            p.max_rp_ids_for_set_min_pin_length = 0;
            without(p, &[Extension::MinPinLength]);
        },
        "extensions",
        "pinComplexityPolicy needs the policy of that name and minPinLength",
    ),
    (
        |p| {
            p.versions.remove(&Version::Fido23);
        },
        "extensions",
        "thirdPartyPayment is an extension of FIDO_2_3",
    ),
    (
        |p| {
            no_set_min_pin_length(p);
            p.versions = [Version::U2fV2].into();
            p.client_pin = false;
            p.extensions.clear();
            p.pin_protocols.clear();
            p.large_blobs = false;
            p.max_discoverable_credentials = 0;
            p.pin_uv_auth_token = false;
            p.cred_mgmt = false;
            p.always_uv = None;
            p.authnr_cfg = false;
            p.pin_protocols = vec![PinProtocol::Two];
            p.built_in_uv = true;
        },
        "built_in_uv",
        "uv is CTAP2's",
    ),
    (
        |p| p.bio_enroll = true,
        "bio_enroll",
        "bioEnroll needs uv and pinUvAuthToken",
    ),
    (
        |p| p.max_fingerprints = 1,
        "max_fingerprints",
        "maxFingerprints is 1 at least with uv and 0 without",
    ),
    (
        |p| p.built_in_uv = true,
        "max_fingerprints",
        "maxFingerprints is 1 at least with uv",
    ),
    (
        |p| {
            p.built_in_uv = true;
            p.max_fingerprints = 2;
            p.enrolled_fingerprints = 3;
        },
        "enrolled_fingerprints",
        "enrolledFingerprints is maxFingerprints at most",
    ),
    (
        |p| {
            p.versions.remove(&Version::Fido23);
            without(p, &[Extension::ThirdPartyPayment]);
        },
        "per_cred_mgmt_ro",
        "perCredMgmtRO needs FIDO_2_3",
    ),
    (
        |p| {
            no_set_min_pin_length(p);
            p.always_uv = None;
            p.authnr_cfg = false;
            p.pin_complexity_policy = None;
            p.long_touch_for_reset = None;
            p.enterprise_attestation = Some(false);
            without(
                p,
                &[Extension::MinPinLength, Extension::PinComplexityPolicy],
            );
        },
        "enterprise_attestation",
        "ep needs authnrCfg",
    ),
    (
        |p| p.enterprise_rp_ids = vec!["example.com".to_owned()],
        "enterprise_rp_ids",
        "enterpriseRpIds needs ep",
    ),
    (
        |p| {
            p.versions.remove(&Version::Fido23);
            p.per_cred_mgmt_ro = false;
            without(p, &[Extension::ThirdPartyPayment]);
        },
        "long_touch_for_reset",
        "longTouchForReset needs FIDO_2_3",
    ),
    (
        |p| {
            p.versions.remove(&Version::Fido23);
            p.per_cred_mgmt_ro = false;
            p.long_touch_for_reset = None;
            without(p, &[Extension::ThirdPartyPayment]);
        },
        "pin_complexity_policy",
        "pinComplexityPolicy needs FIDO_2_3",
    ),
    (
        |p| p.max_pin_length = 7,
        "max_pin_length",
        "maxPINLength is 8 at least",
    ),
    (
        |p| p.max_pin_length = 64,
        "max_pin_length",
        "maxPINLength is 8 at least and 63 at most",
    ),
    (
        |p| {
            p.max_pin_length = 8;
            p.min_pin_length = 9;
        },
        "max_pin_length",
        "maxPINLength is minPINLength at least",
    ),
    (
        |p| p.max_cred_blob_length = 31,
        "max_cred_blob_length",
        "maxCredBlobLength is 32 at least with credBlob",
    ),
    (
        |p| without(p, &[Extension::CredBlob]),
        "max_cred_blob_length",
        "maxCredBlobLength is 32 at least with credBlob and 0 without",
    ),
    (
        |p| p.max_serialized_large_blob_array = 1023,
        "max_serialized_large_blob_array",
        "maxSerializedLargeBlobArray is 1024 at least with largeBlobs",
    ),
    (
        |p| {
            p.large_blobs = false;
            without(p, &[Extension::LargeBlobKey]);
        },
        "max_serialized_large_blob_array",
        "maxSerializedLargeBlobArray is 1024 at least with largeBlobs and 0 without",
    ),
    (
        |p| p.backup_state = true,
        "backup_state",
        "flag BS needs flag BE",
    ),
    (
        |p| {
            p.max_discoverable_credentials = 0;
            p.cred_mgmt = false;
            p.per_cred_mgmt_ro = false;
            without(p, &[Extension::CredBlob, Extension::LargeBlobKey]);
            p.max_cred_blob_length = 0;
        },
        "algorithms",
        "RS256 keys are records",
    ),
];

fn without(profile: &mut Profile, extensions: &[Extension]) {
    profile
        .extensions
        .retain(|extension| !extensions.contains(extension));
}

fn fido_2_0(profile: &mut Profile) {
    profile.versions.remove(&Version::Fido21);
    profile.versions.remove(&Version::Fido23);
}

fn no_set_min_pin_length(profile: &mut Profile) {
    profile.set_min_pin_length = false;
    profile.max_rp_ids_for_set_min_pin_length = 0;
}

#[test]
fn default_profile_keeps_every_rule() {
    assert_eq!(Profile::default().check(), Ok(()));
}

#[test]
fn broken_rule_is_named_with_its_member() {
    let mut broken = BTreeSet::new();
    for (change, member, rule) in BROKEN {
        let mut profile = Profile::default();
        change(&mut profile);
        let violation = profile.check().expect_err(rule);
        assert_eq!(violation.member, member, "{violation}");
        assert!(violation.rule.starts_with(rule), "{violation}, not {rule}");
        broken.insert((violation.member, violation.rule));
    }
    assert_eq!(
        broken.len(),
        rules::RULES.len(),
        "each rule is broken by a case"
    );
}
