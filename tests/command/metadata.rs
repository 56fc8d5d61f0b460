//! The metadata that `roamkey attestation export` writes, as a relying party reads it: a JWT
//! (RFC 7515) whose certificates lead to the root, and in it what keys are.

use std::fs;

use base64ct::{Base64, Base64UrlUnpadded, Encoding as _};
use rsa::pkcs1::DecodeRsaPublicKey as _;
use serde_json::{Value, json};
use x509_cert::{
    Certificate,
    der::{Decode as _, Encode as _},
};

use super::{
    attestation::{der, key, registered, root},
    home::{Home, stop, text_of},
    process::Process,
};
use crate::support::cose::PublicKey;

const ENTERPRISE: &str = "78d59ee3-1b33-429c-ab4f-989852b02598";
const DEFAULT: &str = "33c78076-c6cc-406c-95a6-44d084208762";
const TINY: &str = "47671882-ee32-422f-b63b-1f7d9dddc4ff";

/// What a BLOB says, after all of it was verified up to a root in PEM.
struct Blob {
    x5c: Vec<Certificate>,
    payload: Value,
}

impl Blob {
    fn verified(blob: &str, root: &str) -> Self {
        let parts: Vec<_> = blob.trim_end().split('.').collect();
        let [header, payload, signature] = parts.as_slice() else {
            panic!("three parts: {blob}");
        };
        let decoded = |part: &str| Base64UrlUnpadded::decode_vec(part).expect("base64url");
        let json = |part: &str| serde_json::from_slice::<Value>(&decoded(part)).expect("JSON");
        let signed = format!("{header}.{payload}");
        let header = json(header);
        assert_eq!(
            (&header["alg"], &header["typ"]),
            (&json!("RS256"), &json!("JWT"))
        );
        let x5c: Vec<_> = texts(&header["x5c"]).into_iter().map(certificate).collect();
        let [leaf, intermediate] = x5c.as_slice() else {
            panic!("two certificates");
        };
        let root = Certificate::from_der(&der(root)).expect("X.509");
        rsa_key(leaf).verify(&[signed.as_bytes()], &decoded(signature));
        assert!(issued(leaf, intermediate, &rsa_key(intermediate)));
        assert!(issued(intermediate, &root, &key(&root)));
        let payload = json(payload);
        Self { x5c, payload }
    }

    fn entries(&self) -> &[Value] {
        self.payload["entries"].as_array().expect("a list")
    }

    fn aaguids(&self) -> Vec<&str> {
        let entries = self.entries().iter();
        entries
            .filter_map(|entry| entry["aaguid"].as_str())
            .collect()
    }

    /// What has come of each model, all of which must say the same.
    fn statuses(&self) -> Vec<&str> {
        let reports = |entry: &'_ Value| entry["statusReports"].as_array().expect("a list").clone();
        let [first, others @ ..] = self.entries() else {
            panic!("an entry");
        };
        assert!(others.iter().all(|entry| reports(entry) == reports(first)));
        let reports = first["statusReports"].as_array().expect("a list").iter();
        reports
            .map(|one| one["status"].as_str().expect("text"))
            .collect()
    }
}

fn texts(list: &Value) -> Vec<&str> {
    let list = list.as_array().expect("a list").iter();
    list.map(|one| one.as_str().expect("text")).collect()
}

fn certificate(base64: &str) -> Certificate {
    let der = Base64::decode_vec(base64).expect("base64");
    Certificate::from_der(&der).expect("X.509")
}

fn rsa_key(certificate: &Certificate) -> PublicKey {
    let key = certificate.tbs_certificate().subject_public_key_info();
    let key = rsa::PublicKey::from_pkcs1_der(key.subject_public_key.raw_bytes());
    PublicKey::Rs256(key.expect("an RSA key"))
}

fn issued(certificate: &Certificate, issuer: &Certificate, by: &PublicKey) -> bool {
    let signed = certificate.tbs_certificate().to_der().expect("DER");
    certificate.tbs_certificate().issuer() == issuer.tbs_certificate().subject()
        && by.signed(&[&signed], certificate.signature().raw_bytes())
}

/// What is exported to this file in the home, after it was verified up to the vault's root.
fn export(home: &Home, file: &str, more: &[&str]) -> Blob {
    let path = text_of(&home.path(file));
    let said = home.json(&[&["attestation", "export", "--mds", &path], more].concat());
    assert_eq!(said["mds_file"], json!(path));
    let blob = Blob::verified(&fs::read_to_string(&path).expect("a file"), &root(home));
    assert_eq!(said["no"], blob.payload["no"]);
    assert_eq!(said["next_update"], blob.payload["nextUpdate"]);
    assert_eq!(
        said["entries"].as_array().map(Vec::len),
        Some(blob.entries().len())
    );
    blob
}

#[test]
fn exported_metadata_leads_to_the_root_and_has_every_model() {
    let home = Home::with_vault();
    for (name, profile) in [
        ("work", "enterprise"),
        ("more", "enterprise"),
        ("plain", "default"),
        ("old", "u2f-only"),
    ] {
        home.done(&["key", "add", name, "--profile", profile]);
    }
    let stored = export(&home, "stored.jwt", &[]);
    assert_eq!(stored.aaguids(), [DEFAULT, ENTERPRISE]);
    assert_eq!(stored.statuses(), ["NOT_FIDO_CERTIFIED"]);
    // Each key speaks U2F, too, and has its own certificate for that.
    let u2f = stored
        .entries()
        .iter()
        .filter(|entry| entry.get("aaguid").is_none());
    assert_eq!(u2f.clone().count(), 4);
    for entry in u2f {
        let [anchor] = texts(&entry["metadataStatement"]["attestationRootCertificates"])
            .try_into()
            .expect("one");
        assert!(texts(&entry["attestationCertificateKeyIdentifiers"])[0].len() == 40);
        certificate(anchor);
    }
    let enterprise = |blob: &Blob| {
        blob.entries()
            .iter()
            .find(|e| e["aaguid"] == ENTERPRISE)
            .cloned()
    };
    let statement = &enterprise(&stored).expect("an entry")["metadataStatement"];
    let anchor = json!([Base64::encode_string(&der(&root(&home)))]);
    assert_eq!(statement["attestationRootCertificates"], anchor);
    assert_eq!(statement["authenticatorGetInfo"]["options"]["ep"], false);

    // The vault is in use: the process is asked, and says the same.
    let (process, _) = home.serve();
    let running = export(&home, "running.jwt", &[]);
    assert_eq!(running.entries(), stored.entries());
    assert!(running.payload["no"].as_u64() >= stored.payload["no"].as_u64());
    let path = text_of(&home.path("spoken.jwt"));
    let said = home.done(&["attestation", "export", "--mds", &path]);
    let words: Vec<_> = said.split_whitespace().collect();
    let said = words.join(" ");
    assert!(said.contains(ENTERPRISE), "{said}");
    assert!(said.contains(" with 6 entries, good until "), "{said}");
    stop(process);
}

#[test]
fn statuses_and_models_are_those_that_are_named() {
    let home = Home::with_key();
    let revoked = ["--status", "FIDO_CERTIFIED_L1", "--status", "REVOKED"];
    let blob = export(&home, "revoked.jwt", &revoked);
    assert_eq!(blob.statuses(), ["FIDO_CERTIFIED_L1", "REVOKED"]);
    assert_eq!(blob.aaguids(), [DEFAULT]);
    // What there is no key of is there, and what is not named is unknown.
    let aaguid = "01234567-89ab-4def-8123-456789abcdef";
    let profile = home.file("own.toml", &format!("aaguid = \"{aaguid}\"\n"));
    let named = ["--profile", "tiny", "--profile", &profile];
    let stored = export(&home, "named.jwt", &named);
    assert_eq!(stored.aaguids(), [aaguid, TINY]);
    assert_eq!(stored.entries().len(), 2);
    let (process, _) = home.serve();
    let running = export(&home, "running.jwt", &named);
    assert_eq!(running.entries(), stored.entries());
    stop(process);

    let export = ["attestation", "export", "--mds", "-"];
    let wrong = home.fails(2, &[&export[..], &["--status", "LOST"]].concat());
    assert!(
        wrong.contains("LOST") && wrong.contains("REVOKED"),
        "{wrong}"
    );
    let wrong = home.fails(2, &[&export[..], &["--profile", "lost"]].concat());
    assert!(
        wrong.contains("\"lost\"") && wrong.contains("enterprise"),
        "{wrong}"
    );
}

#[test]
fn export_overwrites_nothing_unless_it_is_forced() {
    let home = Home::with_key();
    let there = home.file("there.pem", "mine");
    let mds = text_of(&home.path("mds.jwt"));
    let both = ["attestation", "export", "--root", &there, "--mds", &mds];
    let refused = home.fails(1, &both);
    assert!(refused.contains("--force"), "{refused}");
    assert_eq!(fs::read_to_string(&there).expect("a file"), "mine");
    assert!(!home.path("mds.jwt").exists(), "neither is written");

    home.done(&[&both[..], &["--force"]].concat());
    assert_eq!(fs::read_to_string(&there).expect("a file"), root(&home));
    let blob = fs::read_to_string(&mds).expect("a file");
    Blob::verified(&blob, &root(&home));
    let files = fs::read_dir(home.path("")).expect("a directory");
    let names = files.map(|file| file.expect("a file").file_name());
    let left = names.filter(|name| name.to_string_lossy().contains("partial"));
    assert_eq!(left.count(), 0);

    let lost = text_of(&home.path("lost/mds.jwt"));
    let failed = home.fails(1, &["attestation", "export", "--mds", &lost]);
    assert!(failed.contains(&lost), "{failed}");
    home.fails(2, &["attestation", "export"]);
    home.fails(
        2,
        &[
            "attestation",
            "export",
            "--root",
            &mds,
            "--mds",
            &mds,
            "--force",
        ],
    );
    assert_eq!(fs::read_to_string(&mds).expect("a file"), blob);
}

#[test]
fn dash_is_stdout() {
    let home = Home::with_key();
    let exported = home.done(&["attestation", "export", "--root", "-"]);
    assert_eq!(exported, root(&home));
    let blob = home.done(&["attestation", "export", "--mds", "-"]);
    assert_eq!(blob.lines().count(), 1);
    Blob::verified(&blob, &exported);
    let pem = text_of(&home.path("root.pem"));
    let said = home.json(&["attestation", "export", "--mds", "-", "--root", &pem]);
    assert_eq!(said["root_file"], json!(pem));
    Blob::verified(said["mds"].as_str().expect("text"), &exported);
}

#[test]
fn process_without_a_vault_names_the_certificate_that_its_key_attests_with() {
    let run = "run --ephemeral --touch auto --listen 127.0.0.1:0 --format json --profile enterprise \
               --seed 0123456789abcdef";
    let mut signers = Vec::new();
    for _ in 0..2 {
        let home = Home::empty();
        let run: Vec<_> = run.split_ascii_whitespace().collect();
        let process = Process::spawn(home.command(&run));
        let ready = process.event_named("ready");
        let socket = ready["control"]["socket"].as_str().expect("a path");
        let export = |more: &[&str]| {
            let asked = ["attestation", "export", "--mds", "-", "--control", socket];
            home.done(&[&asked[..], more].concat())
        };
        let pem = home.done(&["attestation", "export", "--root", "-", "--control", socket]);
        let blob = Blob::verified(&export(&["--status", "ATTESTATION_KEY_COMPROMISE"]), &pem);
        let leaf = registered(&ready);
        let [entry, _] = blob.entries() else {
            panic!("one for CTAP2 and one for U2F");
        };
        let reports = entry["statusReports"].as_array().expect("a list");
        // The other one is for its enterprise.
        assert_eq!(reports.len(), 2);
        assert!(
            reports
                .iter()
                .any(|one| one["certificate"] == Base64::encode_string(&leaf))
        );
        signers.push(blob.x5c);
        stop(process);
    }
    assert_eq!(signers[0], signers[1], "the seed's");
}
