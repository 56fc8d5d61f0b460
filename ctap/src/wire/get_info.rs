//! authenticatorGetInfo, 0x04 (CTAP 2.1 §6.4, CTAP 2.3 §6.4).

use ciborium::Value;

use super::{PUBLIC_KEY, cbor};
use crate::profile::{AttestationType, Extension, Profile, Version};

/// preferredPlatformUvAttempts: how often a platform asks for a finger before it asks for the PIN.
const PREFERRED_PLATFORM_UV_ATTEMPTS: u8 = 3;
/// uvModality (FIDO Registry of Predefined Values §3.1): a fingerprint, compared inside.
const USER_VERIFY_FINGERPRINT_INTERNAL: u32 = 0x0000_0002;

/// What the platform gets: computed from what the key is and holds, so that nothing is promised
/// that does not work.
pub(crate) struct Response<'a> {
    pub(crate) profile: &'a Profile,
    /// Whether a PIN is set.
    pub(crate) pin_is_set: bool,
    /// Whether built-in verification is set up.
    pub(crate) uv_enabled: bool,
    pub(crate) uv_count_since_last_pin_entry: u32,
    pub(crate) always_uv: bool,
    pub(crate) min_pin_length: u8,
    pub(crate) force_pin_change: bool,
    /// How many more discoverable credentials fit.
    pub(crate) remaining_discoverable_credentials: u64,
    /// Option ep, of a key that has it.
    pub(crate) enterprise_attestation: bool,
    /// Of a key that has it.
    pub(crate) pin_complexity_policy: bool,
    pub(crate) long_touch_for_reset: Option<bool>,
    /// encIdentifier and encCredStoreState, while there is a persistent token.
    pub(crate) identifiers: Option<[Vec<u8>; 2]>,
}

impl Response<'_> {
    pub(crate) fn emit(self) -> Vec<u8> {
        let profile = self.profile;
        let text = |texts: Vec<&str>| Value::Array(texts.into_iter().map(Value::from).collect());
        let extensions: Vec<&str> = profile.extensions.iter().map(|e| e.as_str()).collect();
        let protocols = profile.pin_protocols.iter().map(|p| p.number().into());
        let algorithms = profile.algorithms.iter().map(|algorithm| {
            cbor::text_map([
                ("alg", Value::from(algorithm.cose())),
                ("type", Value::from(PUBLIC_KEY)),
            ])
        });
        let [major, minor, build] = profile.firmware_version;
        let firmware = u32::from_be_bytes([0, major, minor, build]);
        let pin_rules = profile.client_pin && profile.ctap2_1();
        let members: [(i64, bool, Value); 16] = [
            (0x01, true, text(self.versions())),
            (0x02, !extensions.is_empty(), text(extensions)),
            (0x03, true, Value::Bytes(profile.aaguid.to_vec())),
            (0x04, true, self.options()),
            (0x05, true, Value::from(profile.max_msg_size)),
            (
                0x06,
                !profile.pin_protocols.is_empty(),
                Value::Array(protocols.collect()),
            ),
            (
                0x07,
                true,
                Value::from(profile.max_credential_count_in_list),
            ),
            (0x08, true, self.profile.max_credential_id_length.into()),
            (0x09, true, text(vec!["usb"])),
            (0x0a, true, Value::Array(algorithms.collect())),
            (
                0x0b,
                profile.large_blobs,
                Value::from(profile.max_serialized_large_blob_array),
            ),
            (0x0c, pin_rules, Value::from(self.force_pin_change)),
            (0x0d, pin_rules, Value::from(self.min_pin_length)),
            (0x0e, true, Value::from(firmware)),
            (
                0x0f,
                profile.offers(Extension::CredBlob),
                Value::from(profile.max_cred_blob_length),
            ),
            (
                0x10,
                profile.set_min_pin_length,
                Value::from(profile.max_rp_ids_for_set_min_pin_length),
            ),
        ];
        let mut members: Vec<_> = members
            .into_iter()
            .filter(|(_, present, _)| *present)
            .map(|(key, _, value)| (Value::from(key), value))
            .collect();
        members.extend(self.later_members());
        cbor::emit(&Value::Map(members))
    }

    /// The members from 0x11 on, in order; those of CTAP 2.2 and 2.3 are a key's that says so.
    fn later_members(&self) -> Vec<(Value, Value)> {
        let profile = self.profile;
        let text = |texts: &[&str]| Value::Array(texts.iter().copied().map(Value::from).collect());
        let ctap2_3 = profile.ctap2_3();
        let long_touch = self.long_touch_for_reset.filter(|_| ctap2_3);
        let complexity = profile.pin_complexity_policy.filter(|_| ctap2_3);
        let [identifier, store_state] = match &self.identifiers {
            Some([identifier, state]) => [Some(identifier), Some(state)].map(|one| one.cloned()),
            None => [None, None],
        };
        let formats: &[&str] = match profile.attestation {
            AttestationType::None => &["none"],
            AttestationType::SelfAttestation | AttestationType::Batch => &["packed", "none"],
        };
        let commands = config_commands(profile).into_iter().map(Value::from);
        let members = [
            (
                0x11,
                profile
                    .built_in_uv
                    .then(|| PREFERRED_PLATFORM_UV_ATTEMPTS.into()),
            ),
            (
                0x12,
                profile
                    .built_in_uv
                    .then(|| USER_VERIFY_FINGERPRINT_INTERNAL.into()),
            ),
            (
                0x14,
                profile
                    .rk()
                    .then(|| self.remaining_discoverable_credentials.into()),
            ),
            (0x16, ctap2_3.then(|| text(formats))),
            (
                0x17,
                (profile.built_in_uv && profile.client_pin)
                    .then(|| self.uv_count_since_last_pin_entry.into()),
            ),
            (0x18, long_touch.map(Value::from)),
            (0x19, identifier.map(Value::Bytes)),
            (0x1a, ctap2_3.then(|| text(&["usb"]))),
            (0x1b, complexity.map(|_| self.pin_complexity_policy.into())),
            (
                0x1d,
                (ctap2_3 && profile.client_pin).then(|| profile.max_pin_length.into()),
            ),
            (0x1e, store_state.map(Value::Bytes)),
            (
                0x1f,
                (ctap2_3 && profile.authnr_cfg).then(|| Value::Array(commands.collect())),
            ),
        ];
        let members = members.into_iter();
        members
            .filter_map(|(key, value)| Some((Value::from(key), value?)))
            .collect()
    }

    /// §7.2.4: alwaysUv without built-in verification takes U2F away.
    fn versions(&self) -> Vec<&'static str> {
        let served = |version: &&Version| !(self.always_uv && **version == Version::U2fV2);
        let versions = self.profile.versions.iter().filter(served);
        versions.map(|version| version.as_str()).collect()
    }

    fn options(&self) -> Value {
        let profile = self.profile;
        let mut options = vec![("plat", false), ("rk", profile.rk()), ("up", true)];
        if profile.client_pin {
            options.push(("clientPin", self.pin_is_set));
        }
        if profile.built_in_uv {
            options.push(("uv", self.uv_enabled));
        }
        if profile.bio_enroll {
            options.push(("bioEnroll", self.uv_enabled));
            options.push(("userVerificationMgmtPreview", self.uv_enabled));
        }
        if profile.always_uv.is_some() {
            options.push(("alwaysUv", self.always_uv));
        }
        if profile.enterprise_attestation.is_some() {
            options.push(("ep", self.enterprise_attestation));
        }
        if profile.ctap2_1() {
            let uv_not_required = profile.make_cred_uv_not_rqd && !self.always_uv;
            options.push(("makeCredUvNotRqd", uv_not_required));
        }
        let switched_on = [
            ("authnrCfg", profile.authnr_cfg),
            ("uvBioEnroll", profile.bio_enroll),
            ("uvAcfg", profile.authnr_cfg && profile.built_in_uv),
            ("credMgmt", profile.cred_mgmt),
            ("largeBlobs", profile.large_blobs),
            ("credentialMgmtPreview", profile.cred_mgmt),
            ("perCredMgmtRO", profile.per_cred_mgmt_ro),
            ("pinUvAuthToken", profile.pin_uv_auth_token),
            ("setMinPINLength", profile.set_min_pin_length),
            (
                "noMcGaPermissionsWithClientPin",
                profile.no_mc_ga_permissions_with_client_pin,
            ),
        ];
        options.extend(switched_on.into_iter().filter(|(_, on)| *on));
        let options = options.into_iter();
        cbor::sorted_text_map(options.map(|(name, value)| (name, value.into())).collect())
    }
}

/// authenticatorConfigCommands: the subcommands that `config` serves.
fn config_commands(profile: &Profile) -> Vec<u8> {
    [
        (0x01, profile.enterprise_attestation.is_some()),
        (0x02, profile.always_uv.is_some()),
        (0x03, profile.set_min_pin_length),
        (0x04, profile.long_touch_for_reset.is_some()),
    ]
    .into_iter()
    .filter_map(|(command, served)| served.then_some(command))
    .collect()
}
