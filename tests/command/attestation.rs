//! The root of attestation certificates: what a vault and a running process give away, and what
//! their keys' certificates lead to.

use ciborium::Value;
use x509_cert::{
    Certificate,
    der::{Decode, Encode},
};

use super::{
    home::{Home, stop, text_of},
    process::{Process, attach, listen_of},
};
use crate::support::{
    cbor,
    cose::PublicKey,
    ctap2::{MAKE_CREDENTIAL, MakeCredential, x5c},
};

/// The certificate in PEM text (RFC 7468), DER.
pub(super) fn der(pem: &str) -> Vec<u8> {
    let mut lines = pem.lines();
    assert_eq!(lines.next(), Some("-----BEGIN CERTIFICATE-----"), "{pem}");
    let body: String = lines.take_while(|line| !line.starts_with('-')).collect();
    let digit = |c: u8| {
        let table = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        table.iter().position(|one| *one == c)
    };
    let mut bits = (0_u32, 0_u32);
    let mut der = Vec::new();
    for c in body.bytes().filter(|c| *c != b'=') {
        let value = u32::try_from(digit(c).expect("base64")).expect("6 bits");
        bits = ((bits.0 << 6 | value) & 0xffff, bits.1 + 6);
        if bits.1 >= 8 {
            bits.1 -= 8;
            der.push(u8::try_from(bits.0 >> bits.1 & 0xff).expect("8 bits"));
        }
    }
    der
}

pub(super) fn root(home: &Home) -> String {
    let said = home.json(&["vault", "root-certificate"]);
    said["root_certificate"].as_str().expect("text").to_owned()
}

pub(super) fn key(certificate: &Certificate) -> PublicKey {
    let key = certificate.tbs_certificate().subject_public_key_info();
    PublicKey::from_sec1(key.subject_public_key.raw_bytes())
}

/// The certificate that the first key of a process attests a registration with, DER.
pub(super) fn registered(ready: &serde_json::Value) -> Vec<u8> {
    let mut platform = attach(listen_of(ready));
    let channel = platform.init();
    let request = MakeCredential::new("example.com", b"alice").to_value();
    let made = platform.ctap2(channel, MAKE_CREDENTIAL, Some(&request));
    let made = made.expect("a credential");
    assert_eq!(cbor::member(&made, 1), Some(Value::from("packed")));
    let [leaf] = x5c(&cbor::member(&made, 3).expect("a statement"))
        .try_into()
        .expect("one certificate");
    leaf
}

/// Whether what a key's registrations are attested with was issued by a root.
fn leads_to(process: &Process, root: &str) -> bool {
    let leaf = registered(&process.event_named("ready"));
    let leaf = Certificate::from_der(&leaf).expect("X.509");
    let root = Certificate::from_der(&der(root)).expect("X.509");
    let signed = leaf.tbs_certificate().to_der().expect("DER");
    key(&root).signed(&[&signed], leaf.signature().raw_bytes())
}

#[test]
fn keys_of_a_vault_attest_to_its_root() {
    let home = Home::with_vault();
    home.done(&["key", "add", "work", "--profile", "enterprise"]);
    let exported = root(&home);
    assert_eq!(root(&home), exported, "the same each time");
    assert_eq!(home.done(&["vault", "root-certificate"]), exported);

    let run = "run --touch auto --any-site --listen 127.0.0.1:0 --format json --key work";
    for _ in 0..2 {
        let run: Vec<_> = run.split(' ').collect();
        let process = Process::spawn(home.command(&run));
        assert!(leads_to(&process, &exported));
        // The vault is in use: the process is asked.
        assert_eq!(root(&home), exported);
        stop(process);
    }
    let other = Home::with_vault();
    assert_ne!(root(&other), exported, "each vault has its own");
}

#[test]
fn seed_makes_the_same_root_at_every_start() {
    let run = "run --ephemeral --touch auto --listen 127.0.0.1:0 --format json --profile full";
    let mut roots = Vec::new();
    for seed in [
        Some("0123456789abcdef"),
        Some("0123456789abcdef"),
        None,
        None,
    ] {
        let home = Home::empty();
        let more = seed.map(|seed| ["--seed", seed]).into_iter().flatten();
        let run: Vec<_> = run.split(' ').chain(more).collect();
        let process = Process::spawn(home.command(&run));
        let ready = process.event_named("ready");
        let socket = ready["control"]["socket"].as_str().expect("a path");
        let said = home.json(&["vault", "root-certificate", "--control", socket]);
        let exported = said["root_certificate"].as_str().expect("text").to_owned();
        roots.push(exported);
        stop(process);
    }
    assert_eq!(roots[0], roots[1]);
    assert!(roots[2] != roots[3] && roots[2] != roots[0]);
}

#[test]
fn restored_vault_attests_to_the_root_of_the_one_that_was_lost() {
    let home = Home::with_vault();
    home.done(&["key", "add", "work", "--profile", "enterprise"]);
    let exported = root(&home);
    let passphrase = home.file("good.txt", "correct horse battery\n");
    let file = text_of(&home.path("backup.age"));
    let protected = ["--backup-passphrase-file", &passphrase];
    home.done(&[&["vault", "backup", &file], &protected[..]].concat());

    let new = Home::empty();
    new.done(&[&["vault", "restore", &file], &protected[..]].concat());
    assert_eq!(root(&new), exported);
    let run = "run --touch auto --any-site --listen 127.0.0.1:0 --format json --key work";
    let run: Vec<_> = run.split(' ').collect();
    let process = Process::spawn(new.command(&run));
    assert!(leads_to(&process, &exported));
    stop(process);

    // One key alone comes under the authority of the vault that it comes into.
    let other = Home::with_vault();
    let own = root(&other);
    let one = ["vault", "restore", &file, "--key", "work", "--as", "work"];
    other.done(&[&one, &protected[..]].concat());
    assert_eq!(root(&other), own);
    let process = Process::spawn(other.command(&run));
    assert!(leads_to(&process, &own) && own != exported);
    stop(process);
}
