//! Statements of the built-in profiles, read again as a relying party reads them.

use base64ct::{Base64, Base64UrlUnpadded, Encoding as _};
use roamkey_ctap::{AttestationAuthority, Device};
use rsa::{Pkcs1v15Sign, PublicKey, pkcs1::DecodeRsaPublicKey as _};
use serde_json::{Value, json};
use sha2::Digest as _;
use x509_cert::{Certificate, der::Decode as _};

use super::*;
use crate::{
    key::Seed,
    profile::Profile,
    vault::{KeyVault as _, Memory},
};

/// 2026-11-27.
const NOW: u64 = 1_795_737_600;

fn authority() -> AttestationAuthority {
    AttestationAuthority::create(Seed::from_bytes([1; 32]).rng(), NOW)
}

async fn model(name: &str) -> Model {
    let profile = Profile::named(name).expect("a built-in profile");
    let mut seed = Seed::from_bytes([2; 32]);
    let mut vault = Memory::create(&mut seed, NOW, &profile.ctap);
    let state = vault.load().await.expect("a key");
    let with = state.u2f_attestation(&profile.ctap);
    let u2f = U2fCertificate {
        certificate: with.certificate().to_vec(),
        key_identifier: with.key_identifier().expect("a certificate"),
    };
    let u2f = profile.ctap.u2f().then_some(u2f);
    Model {
        product: profile.usb.product,
        info: Device::new(profile.ctap.clone(), state, seed.into_rng()).info(),
        profile: profile.ctap,
        certificates: Vec::new(),
        u2f: u2f.into_iter().collect(),
    }
}

/// The header and the payload of a BLOB, whose signature is its first certificate's.
fn parse(blob: &str) -> (Value, Value) {
    let (signed, signature) = blob.rsplit_once('.').expect("a signature");
    let signature = Base64UrlUnpadded::decode_vec(signature).expect("base64url");
    let [header, payload]: [Value; 2] = signed
        .split('.')
        .map(|part| {
            let part = Base64UrlUnpadded::decode_vec(part).expect("base64url");
            serde_json::from_slice(&part).expect("JSON")
        })
        .collect::<Vec<_>>()
        .try_into()
        .expect("two parts");
    let leaf = Base64::decode_vec(header["x5c"][0].as_str().expect("text")).expect("base64");
    let leaf = Certificate::from_der(&leaf).expect("X.509");
    let key = leaf.tbs_certificate().subject_public_key_info();
    let key = key.subject_public_key.raw_bytes();
    let key = PublicKey::from_pkcs1_der(key).expect("an RSA key");
    let hash = sha2::Sha256::digest(signed.as_bytes());
    let scheme = Pkcs1v15Sign::new::<sha2::Sha256>();
    key.verify(scheme, &hash, &signature)
        .expect("its signature");
    (header, payload)
}

async fn payload_of(models: &[Model], statuses: &[MetadataStatus]) -> Value {
    let authority = authority();
    let blob = Blob {
        models,
        statuses,
        root: authority.certificate(),
        now: NOW,
    };
    let signer = authority.metadata_signer(Seed::from_bytes([3; 32]).rng(), NOW);
    let signer = signer.expect("a signer");
    let signed = blob.sign(&blob.entries(), &signer).expect("a BLOB");
    let (header, payload) = parse(&signed);
    assert_eq!(header["alg"], "RS256");
    assert_eq!(header["typ"], "JWT");
    assert_eq!(header["x5c"].as_array().map(Vec::len), Some(2));
    payload
}

#[tokio::test]
async fn every_built_in_profile_has_a_statement_with_every_required_member() {
    for name in Profile::names() {
        let payload = payload_of(&[model(name).await], &[MetadataStatus::NotFidoCertified]).await;
        let entries = payload["entries"].as_array().expect("a list");
        assert!(!entries.is_empty(), "{name}");
        for entry in entries {
            let statement = &entry["metadataStatement"];
            for member in ["upv", "authenticationAlgorithms", "attestationTypes"] {
                let list = statement[member].as_array().expect(member);
                assert!(!list.is_empty(), "{name}: {member}");
            }
            assert_eq!(statement["schema"], 3);
            assert_eq!(statement["keyProtection"], json!(["software"]));
            assert_eq!(statement["matcherProtection"], json!(["software"]));
            assert_eq!(statement["attachmentHint"], json!(["external", "wired"]));
            assert_eq!(statement["tcDisplay"], json!([]));
            assert_eq!(statement["authenticatorVersion"], 256, "0.1.0");
            let description = statement["description"].as_str().expect("text");
            assert!(description.is_ascii() && !description.is_empty());
            for member in ["aaguid", "attestationCertificateKeyIdentifiers"] {
                assert_eq!(statement[member], entry[member], "{name}: {member}");
            }
            assert!(entry["aaguid"].is_string() != (statement["protocolFamily"] == "u2f"));
        }
    }
}

#[tokio::test]
async fn enterprise_statement_says_what_its_profile_does() {
    let payload = payload_of(&[model("enterprise").await], &[MetadataStatus::Revoked]).await;
    assert_eq!(payload["no"], NOW);
    assert_eq!(payload["nextUpdate"], "2036-11-24");
    assert!(payload["legalHeader"].is_string());
    let entry = &payload["entries"][0];
    assert_eq!(entry["aaguid"], "78d59ee3-1b33-429c-ab4f-989852b02598");
    assert_eq!(entry["timeOfLastStatusChange"], "2026-11-27");
    let revoked = json!([{"status": "REVOKED", "effectiveDate": "2026-11-27"}]);
    assert_eq!(entry["statusReports"], revoked);
    let statement = &entry["metadataStatement"];
    assert_eq!(statement["protocolFamily"], "fido2");
    assert_eq!(statement["description"], "roamkey enterprise key");
    assert_eq!(statement["attestationTypes"], json!(["basic_full"]));
    let root = json!([Base64::encode_string(authority().certificate())]);
    assert_eq!(statement["attestationRootCertificates"], root);
    assert_eq!(
        statement["authenticationAlgorithms"],
        json!([
            "secp256r1_ecdsa_sha256_raw",
            "ed25519_eddsa_sha512_raw",
            "secp384r1_ecdsa_sha384_raw",
            "secp256k1_ecdsa_sha256_raw",
            "secp521r1_ecdsa_sha512_raw",
            "rsassa_pkcsv15_sha256_raw",
        ])
    );
    let versions =
        json!([{"major": 1, "minor": 0}, {"major": 1, "minor": 1}, {"major": 1, "minor": 3}]);
    assert_eq!(statement["upv"], versions);
    let pin = &statement["userVerificationDetails"][1][0];
    assert_eq!(pin["userVerificationMethod"], "passcode_external");
    assert_eq!(pin["caDesc"]["minLength"], 4);
    let info = &statement["authenticatorGetInfo"];
    assert_eq!(info["aaguid"], "78d59ee31b33429cab4f989852b02598");
    assert_eq!(info["options"]["ep"], false);
    assert_eq!(info["options"]["clientPin"], false, "as good as new");
    assert_eq!(info["minPINLength"], 4);
    let es256 = json!({"alg": -7, "type": "public-key"});
    assert_eq!(info["algorithms"][0], es256);
    assert!(info.get("encIdentifier").is_none());
}

#[tokio::test]
async fn what_attests_itself_names_no_root() {
    let payload = payload_of(&[model("default").await], &[]).await;
    let [fido2, u2f] = [0, 1].map(|at| &payload["entries"][at]["metadataStatement"]);
    assert_eq!(fido2["attestationTypes"], json!(["basic_surrogate"]));
    assert_eq!(fido2["attestationRootCertificates"], json!([]));
    // U2F knows no self attestation: the certificate that the key signed itself is the anchor.
    assert_eq!(u2f["attestationTypes"], json!(["basic_full"]));
    let certificate = &model("default").await.u2f[0].certificate;
    let anchor = json!([Base64::encode_string(certificate)]);
    assert_eq!(u2f["attestationRootCertificates"], anchor);
    let identifiers = u2f["attestationCertificateKeyIdentifiers"][0].as_str();
    assert_eq!(identifiers.map(str::len), Some(40), "SHA-1");
}

#[tokio::test]
async fn compromised_attestation_key_is_named_by_its_certificate() {
    let statuses = [
        MetadataStatus::FidoCertifiedL1plus,
        MetadataStatus::AttestationKeyCompromise,
    ];
    let mut known = model("enterprise").await;
    known.u2f.clear();
    known.certificates = vec![vec![1], vec![2]];
    let payload = payload_of(&[known, model("fido-2.0").await], &statuses).await;
    let reports = &payload["entries"][0]["statusReports"];
    let said = |at: usize| (&reports[at]["status"], &reports[at]["certificate"]);
    assert_eq!(said(0), (&json!("FIDO_CERTIFIED_L1plus"), &Value::Null));
    assert_eq!(
        said(1),
        (&json!("ATTESTATION_KEY_COMPROMISE"), &json!("AQ=="))
    );
    assert_eq!(
        said(2),
        (&json!("ATTESTATION_KEY_COMPROMISE"), &json!("Ag=="))
    );
    // No key of the second model is known, so no certificate of one is.
    let reports = payload["entries"][1]["statusReports"].as_array();
    let reports = reports.expect("a list");
    assert_eq!(reports.len(), 2);
    assert!(reports.iter().all(|one| one.get("certificate").is_none()));
}

#[test]
fn statuses_are_spelled_as_the_standard_does() {
    let spelled = [
        (MetadataStatus::NotFidoCertified, "NOT_FIDO_CERTIFIED"),
        (
            MetadataStatus::UserVerificationBypass,
            "USER_VERIFICATION_BYPASS",
        ),
        (
            MetadataStatus::UserKeyPhysicalCompromise,
            "USER_KEY_PHYSICAL_COMPROMISE",
        ),
        (MetadataStatus::FidoCertifiedL3plus, "FIDO_CERTIFIED_L3plus"),
        (MetadataStatus::Fips140CertifiedL2, "FIPS140_CERTIFIED_L2"),
        (MetadataStatus::Retired, "RETIRED"),
    ];
    for (status, text) in spelled {
        assert_eq!(serde_json::to_value(status).expect("JSON"), text);
    }
}
