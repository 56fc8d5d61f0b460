//! What a key is: versions, options, limits, algorithms. getInfo is computed from it.
//!
//! Deliberately absent: USB ids and strings, which belong to the transport's side, and the file
//! format, which is the binary's.

mod rules;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use crate::{
    credential::{Algorithm, CREDENTIAL_ID_LEN, Credential},
    limits::ROOM_WITHOUT_RK,
    pin::PinProtocol,
};
pub use rules::Violation;

/// A version string of getInfo (CTAP 2.1 §6.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// CTAP1/U2F with raw messages.
    U2fV2,
    /// CTAP 2.0.
    Fido20,
    /// CTAP 2.1.
    Fido21,
    /// CTAP 2.3; there never was a string for 2.2.
    Fido23,
}

impl Version {
    /// Every version that roamkey serves.
    pub const ALL: [Self; 4] = [Self::U2fV2, Self::Fido20, Self::Fido21, Self::Fido23];

    /// As getInfo spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::U2fV2 => "U2F_V2",
            Self::Fido20 => "FIDO_2_0",
            Self::Fido21 => "FIDO_2_1",
            Self::Fido23 => "FIDO_2_3",
        }
    }
}

/// An extension identifier (CTAP 2.1 §12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Extension {
    /// §12.2.
    CredBlob,
    /// §12.1.
    CredProtect,
    /// §12.5.
    HmacSecret,
    /// CTAP 2.2 §12.8: hmac-secret at registration.
    HmacSecretMc,
    /// §12.3.
    LargeBlobKey,
    /// §12.4.
    MinPinLength,
    /// CTAP 2.2 §12.9: whether pinComplexityPolicy is in force.
    PinComplexityPolicy,
    /// CTAP 2.2 §12.10: a credential that other sites may ask to pay with.
    ThirdPartyPayment,
}

impl Extension {
    /// Every extension that roamkey serves.
    pub const ALL: [Self; 8] = [
        Self::CredBlob,
        Self::CredProtect,
        Self::HmacSecret,
        Self::HmacSecretMc,
        Self::LargeBlobKey,
        Self::MinPinLength,
        Self::PinComplexityPolicy,
        Self::ThirdPartyPayment,
    ];

    /// As getInfo spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CredBlob => "credBlob",
            Self::CredProtect => "credProtect",
            Self::HmacSecret => "hmac-secret",
            Self::HmacSecretMc => "hmac-secret-mc",
            Self::LargeBlobKey => "largeBlobKey",
            Self::MinPinLength => "minPinLength",
            Self::PinComplexityPolicy => "pinComplexityPolicy",
            Self::ThirdPartyPayment => "thirdPartyPayment",
        }
    }
}

/// [`CREDENTIAL_ID_LEN`] as getInfo has it.
const OWN_ID_LEN: u16 = 64;
const _: () = assert!(OWN_ID_LEN as usize == CREDENTIAL_ID_LEN);

/// What registrations prove of the key (WebAuthn §6.5.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AttestationType {
    /// Nothing.
    None,
    /// The credential's own key signs (packed, §8.2).
    #[default]
    SelfAttestation,
    /// A key with a certificate of the vault's test CA signs (packed, §8.2).
    Batch,
}

impl AttestationType {
    /// Every type.
    pub const ALL: [Self; 3] = [Self::None, Self::SelfAttestation, Self::Batch];

    /// As a profile spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::SelfAttestation => "self",
            Self::Batch => "batch",
        }
    }
}

/// What a key is and how much it takes. [`Self::check`] says whether it holds together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The versions it serves.
    pub versions: BTreeSet<Version>,
    /// The extensions it serves.
    pub extensions: BTreeSet<Extension>,
    /// The model's id (WebAuthn §6.5.1), 16 bytes.
    pub aaguid: [u8; 16],
    /// Device version for CTAPHID_INIT: major, minor, build; getInfo's firmwareVersion too.
    pub firmware_version: [u8; 3],
    /// The longest CTAP2 request taken, in bytes; at most [`crate::MAX_MESSAGE_LEN`].
    pub max_msg_size: u16,
    /// How many credentials an allow or exclude list may name.
    pub max_credential_count_in_list: u16,
    /// maxCredentialIdLength, in bytes, [`CREDENTIAL_ID_LEN`] at least: ids made elsewhere may be
    /// longer than this key's own.
    pub max_credential_id_length: u16,
    /// Whether every credential has a record, so that the key's owner sees those that are not
    /// discoverable, too. Nothing tells a platform.
    pub stores_all: bool,
    /// How many discoverable credentials fit; 0 for a key without option rk.
    pub max_discoverable_credentials: u32,
    /// What it signs with; the RP's order decides.
    pub algorithms: Vec<Algorithm>,
    /// Option clientPin: a PIN can be set.
    pub client_pin: bool,
    /// Option pinUvAuthToken: tokens with permissions.
    pub pin_uv_auth_token: bool,
    /// pinUvAuthProtocols, the favourite first.
    pub pin_protocols: Vec<PinProtocol>,
    /// minPINLength before authenticatorConfig raises it, in code points.
    pub min_pin_length: u8,
    /// Options credMgmt and credentialMgmtPreview.
    pub cred_mgmt: bool,
    /// Option authnrCfg.
    pub authnr_cfg: bool,
    /// Option setMinPINLength.
    pub set_min_pin_length: bool,
    /// maxRPIDsForSetMinPINLength.
    pub max_rp_ids_for_set_min_pin_length: u8,
    /// Option alwaysUv before authenticatorConfig toggles it; `None` for a key without it.
    pub always_uv: Option<bool>,
    /// Option makeCredUvNotRqd. Windows hangs with it when a PIN is set, verification is
    /// discouraged and the exclude list is not empty, so it is off by default.
    pub make_cred_uv_not_rqd: bool,
    /// Option noMcGaPermissionsWithClientPin.
    pub no_mc_ga_permissions_with_client_pin: bool,
    /// maxCredBlobLength, in bytes.
    pub max_cred_blob_length: u16,
    /// Option largeBlobs.
    pub large_blobs: bool,
    /// maxSerializedLargeBlobArray, in bytes.
    pub max_serialized_large_blob_array: u16,
    /// Flag BE of every credential (WebAuthn §6.1.3); its signature counter stays 0.
    pub backup_eligible: bool,
    /// Flag BS of every credential.
    pub backup_state: bool,
    /// Whether its owner may read private keys out of it. Nothing tells a platform.
    pub exportable: bool,
    /// Option uv: a sensor verifies people (CTAP 2.1 §6.4), simulated.
    pub built_in_uv: bool,
    /// Options bioEnroll, uvBioEnroll and userVerificationMgmtPreview: fingers can be enrolled.
    pub bio_enroll: bool,
    /// How many fingers a new key has enrolled already; a reset removes them.
    pub enrolled_fingerprints: u8,
    /// How many fingers can be enrolled at most.
    pub max_fingerprints: u8,
    /// Option perCredMgmtRO: a persistent token that reads what credentials there are.
    pub per_cred_mgmt_ro: bool,
    /// What registrations prove where nothing else is asked for.
    pub attestation: AttestationType,
    /// Option ep: enterprise attestation, false while authenticatorConfig has not enabled it;
    /// `None` for a key without.
    pub enterprise_attestation: Option<bool>,
    /// RP ids that get vendor-facilitated enterprise attestation (§7.1.1).
    pub enterprise_rp_ids: Vec<String>,
    /// longTouchForReset before authenticatorConfig enables it; `None` for a key without.
    pub long_touch_for_reset: Option<bool>,
    /// pinComplexityPolicy before authenticatorConfig enables it; `None` for a key without.
    pub pin_complexity_policy: Option<bool>,
    /// maxPINLength, in code points; a PIN has 63 bytes at most anyway.
    pub max_pin_length: u8,
}

/// Flags BE and BS (WebAuthn §6.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Backup {
    pub(crate) eligible: bool,
    pub(crate) state: bool,
}

impl Profile {
    /// Whether CTAPHID_MSG is served.
    pub fn u2f(&self) -> bool {
        self.versions.contains(&Version::U2fV2)
    }

    /// Whether CTAPHID_CBOR is served.
    pub fn ctap2(&self) -> bool {
        self.versions
            .iter()
            .any(|version| *version != Version::U2fV2)
    }

    /// Whether it serves what came with CTAP 2.1.
    pub fn ctap2_1(&self) -> bool {
        self.versions.contains(&Version::Fido21) || self.ctap2_3()
    }

    /// Whether it serves what came with CTAP 2.2 and 2.3.
    pub fn ctap2_3(&self) -> bool {
        self.versions.contains(&Version::Fido23)
    }

    /// Whether people can be verified: with a PIN, or by the key itself.
    pub fn verifies(&self) -> bool {
        self.client_pin || self.built_in_uv
    }

    /// Whether the key serves an extension.
    pub fn offers(&self, extension: Extension) -> bool {
        self.extensions.contains(&extension)
    }

    /// The flags of a credential's assertions: its own, where its owner set them.
    pub(crate) fn backup_of(&self, credential: &Credential) -> Backup {
        let eligible = credential.backup_eligible.unwrap_or(self.backup_eligible);
        let state = credential.backup_state.unwrap_or(self.backup_state);
        Backup {
            eligible,
            state: eligible && state,
        }
    }

    /// How many credentials with a record fit.
    pub fn room(&self) -> u32 {
        match (self.max_discoverable_credentials, self.stores_all) {
            (0, true) => ROOM_WITHOUT_RK,
            (most, _) => most,
        }
    }

    /// Option rk.
    pub fn rk(&self) -> bool {
        self.max_discoverable_credentials > 0
    }
}

impl Default for Profile {
    /// What a good key sold today offers.
    fn default() -> Self {
        Self {
            versions: Version::ALL.into(),
            extensions: Extension::ALL.into(),
            // Drawn at random for roamkey: 33c78076-c6cc-406c-95a6-44d084208762.
            aaguid: [
                0x33, 0xc7, 0x80, 0x76, 0xc6, 0xcc, 0x40, 0x6c, 0x95, 0xa6, 0x44, 0xd0, 0x84, 0x20,
                0x87, 0x62,
            ],
            firmware_version: [0, 1, 0],
            max_msg_size: 7609,
            max_credential_count_in_list: 64,
            max_credential_id_length: OWN_ID_LEN,
            stores_all: false,
            max_discoverable_credentials: 1_000,
            algorithms: vec![
                Algorithm::Es256,
                Algorithm::EdDsa,
                Algorithm::Es384,
                Algorithm::Es256k,
                Algorithm::Es512,
                Algorithm::Rs256,
            ],
            client_pin: true,
            pin_uv_auth_token: true,
            pin_protocols: vec![PinProtocol::Two, PinProtocol::One],
            min_pin_length: 4,
            cred_mgmt: true,
            authnr_cfg: true,
            set_min_pin_length: true,
            max_rp_ids_for_set_min_pin_length: 8,
            always_uv: Some(false),
            make_cred_uv_not_rqd: false,
            no_mc_ga_permissions_with_client_pin: false,
            max_cred_blob_length: 32,
            large_blobs: true,
            max_serialized_large_blob_array: 16_384,
            backup_eligible: false,
            backup_state: false,
            exportable: false,
            built_in_uv: false,
            bio_enroll: false,
            enrolled_fingerprints: 0,
            max_fingerprints: 0,
            per_cred_mgmt_ro: true,
            attestation: AttestationType::SelfAttestation,
            enterprise_attestation: None,
            enterprise_rp_ids: Vec::new(),
            long_touch_for_reset: Some(false),
            pin_complexity_policy: Some(false),
            max_pin_length: 63,
        }
    }
}
