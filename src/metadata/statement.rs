//! Metadata statements (FIDO Metadata Statement 3.1 §4), with the values of the FIDO Registry of
//! Predefined Values 2.2.
//!
//! A key that serves both protocols has two: one for its AAGUID, and one for the certificate of its
//! U2F registrations, which name no AAGUID.

use base64ct::{Base64, Encoding as _};
use roamkey_ctap::{Algorithm, AttestationType, MAX_PIN_RETRIES, MAX_UV_RETRIES, Profile, Version};
use serde_json::{Value, json};

use super::{Model, U2fCertificate, info};

/// The version of the statement's form.
const SCHEMA: u32 = 3;
/// Whoever guesses at the weakest of a key's algorithms has so many bits before them.
const CRYPTO_STRENGTH: u32 = 128;
/// How many characters a PIN's characters are taken to come from, as other makers say it: a PIN
/// may have any.
const PIN_BASE: u32 = 64;
/// The longest description.
const MAX_DESCRIPTION_LEN: usize = 200;

/// Beside each statement and each BLOB.
pub(super) const LEGAL_HEADER: &str = "Test keys of roamkey and their test authority. The FIDO \
    Alliance has not seen them, and nobody vouches for them.";

/// Of a key that speaks CTAP2; `root` is the test authority's, DER.
pub(super) fn fido2(model: &Model, root: &[u8]) -> Value {
    let profile = &model.profile;
    let mut types = match profile.attestation {
        AttestationType::None => vec!["none"],
        AttestationType::SelfAttestation => vec!["basic_surrogate"],
        AttestationType::Batch => vec!["basic_full"],
    };
    if profile.enterprise_attestation.is_some() && profile.attestation != AttestationType::Batch {
        types.push("basic_full");
    }
    let roots = match types.contains(&"basic_full") {
        true => vec![Base64::encode_string(root)],
        false => Vec::new(),
    };
    let algorithms = profile.algorithms.iter().filter_map(|one| registered(*one));
    let algorithms: Vec<_> = algorithms.collect();
    let versions = profile.versions.iter().filter_map(|version| match version {
        Version::U2fV2 => None,
        Version::Fido20 => Some(json!({"major": 1, "minor": 0})),
        Version::Fido21 => Some(json!({"major": 1, "minor": 1})),
        Version::Fido23 => Some(json!({"major": 1, "minor": 3})),
    });
    let multi_device = match profile.backup_eligible {
        true => "implicit",
        false => "unsupported",
    };
    let own = json!({
        "aaguid": aaguid(profile),
        "protocolFamily": "fido2",
        "upv": versions.collect::<Vec<_>>(),
        "authenticationAlgorithms": algorithms,
        "publicKeyAlgAndEncodings": ["cose"],
        "attestationTypes": types,
        "userVerificationDetails": user_verification(profile),
        "attestationRootCertificates": roots,
        "multiDeviceCredentialSupport": multi_device,
        "authenticatorGetInfo": info::members(&model.info),
    });
    with_common(model, own)
}

/// Of a key that speaks U2F, with the certificate that it attests with.
pub(super) fn u2f(model: &Model, with: &U2fCertificate, root: &[u8]) -> Value {
    // A certificate that the key signed itself is its own trust anchor (§4).
    let anchor = match model.profile.attestation {
        AttestationType::Batch => root,
        AttestationType::None | AttestationType::SelfAttestation => &with.certificate,
    };
    let own = json!({
        "attestationCertificateKeyIdentifiers": [identifier(with)],
        "protocolFamily": "u2f",
        "upv": [{"major": 1, "minor": 2}],
        "authenticationAlgorithms": ["secp256r1_ecdsa_sha256_raw"],
        "publicKeyAlgAndEncodings": ["ecc_x962_raw"],
        "attestationTypes": ["basic_full"],
        "userVerificationDetails": [[{"userVerificationMethod": "presence_internal"}]],
        "attestationRootCertificates": [Base64::encode_string(anchor)],
    });
    with_common(model, own)
}

/// With what is the same in both.
fn with_common(model: &Model, mut statement: Value) -> Value {
    let profile = &model.profile;
    let [major, minor, build] = profile.firmware_version;
    let common = json!({
        "legalHeader": LEGAL_HEADER,
        "description": description(model),
        // As getInfo's firmwareVersion.
        "authenticatorVersion": u32::from_be_bytes([0, major, minor, build]),
        "schema": SCHEMA,
        "keyProtection": ["software"],
        "isKeyRestricted": !profile.exportable,
        "isFreshUserVerificationRequired": true,
        "matcherProtection": ["software"],
        "cryptoStrength": CRYPTO_STRENGTH,
        "attachmentHint": ["external", "wired"],
        "tcDisplay": [],
    });
    if let (Some(statement), Value::Object(common)) = (statement.as_object_mut(), common) {
        statement.extend(common);
    }
    statement
}

/// What the model is called; a statement's description is ASCII.
pub(super) fn description(model: &Model) -> String {
    let product = model.product.chars();
    let product = product.filter(|c| c.is_ascii_graphic() || *c == ' ');
    let product: String = product.take(MAX_DESCRIPTION_LEN).collect();
    match product.trim() {
        "" => "roamkey test key".to_owned(),
        product => product.to_owned(),
    }
}

/// As WebAuthn writes it.
pub(super) fn aaguid(profile: &Profile) -> String {
    let digits = base16ct::lower::encode_string(&profile.aaguid);
    let mut text = String::with_capacity(36);
    for (at, digit) in digits.chars().enumerate() {
        if [8, 12, 16, 20].contains(&at) {
            text.push('-');
        }
        text.push(digit);
    }
    text
}

/// As metadata writes it.
pub(super) fn identifier(certificate: &U2fCertificate) -> String {
    base16ct::lower::encode_string(&certificate.key_identifier)
}

/// Ways to verify a person: each is a list of what comes together.
fn user_verification(profile: &Profile) -> Value {
    let presence = json!({"userVerificationMethod": "presence_internal"});
    let mut ways = vec![json!([presence])];
    if profile.client_pin {
        let pin = json!({
            "userVerificationMethod": "passcode_external",
            "caDesc": {
                "base": PIN_BASE,
                "minLength": profile.min_pin_length,
                "maxRetries": MAX_PIN_RETRIES,
                "blockSlowdown": 0,
            },
        });
        ways.push(json!([pin, presence]));
    }
    if profile.built_in_uv {
        // Nothing is said of false acceptances: a simulated sensor has the rate that one wants.
        let finger = json!({
            "userVerificationMethod": "fingerprint_internal",
            "baDesc": {
                "maxTemplates": profile.max_fingerprints,
                "maxRetries": MAX_UV_RETRIES,
                "blockSlowdown": 0,
            },
        });
        ways.push(json!([finger, presence]));
    }
    Value::from(ways)
}

/// The registry's name (§3.6.1). It has none for ML-DSA, which getInfo's members show alone.
const fn registered(algorithm: Algorithm) -> Option<&'static str> {
    match algorithm {
        Algorithm::Es256 => Some("secp256r1_ecdsa_sha256_raw"),
        Algorithm::EdDsa => Some("ed25519_eddsa_sha512_raw"),
        Algorithm::Es384 => Some("secp384r1_ecdsa_sha384_raw"),
        Algorithm::Es256k => Some("secp256k1_ecdsa_sha256_raw"),
        Algorithm::Es512 => Some("secp521r1_ecdsa_sha512_raw"),
        Algorithm::Rs256 => Some("rsassa_pkcsv15_sha256_raw"),
        Algorithm::MlDsa44 | Algorithm::MlDsa65 => None,
    }
}
