//! No PIN, token or private key shows where something is only to be looked at: in Debug of what
//! the state machine hands out, and in its events.

use ciborium::Value;
use roamkey_ctap::Record;
use serde::Serialize;

use crate::support::{
    bench::{Bench, PIN, RP},
    ctap2::{GetAssertion, MakeCredential},
    pin::Protocol,
    rig::{Options, Place, pin_scenarios},
};

pin_scenarios!(notices_and_change_sets_show_no_secret);

/// Hexadecimal and decimal lists, as Debug of bytes has them.
fn spellings(secret: &[u8]) -> Vec<String> {
    let hex = base16ct::lower::encode_string(secret);
    let upper = base16ct::upper::encode_string(secret);
    let list = |bytes: &[u8]| {
        let numbers: Vec<_> = bytes.iter().map(u8::to_string).collect();
        numbers.join(", ")
    };
    let mut spellings = vec![hex, upper, list(secret), format!("{secret:02x?}")];
    spellings.extend(std::str::from_utf8(secret).map(str::to_owned));
    spellings
}

fn check(text: &str, secrets: &[Vec<u8>]) {
    for secret in secrets {
        for spelling in spellings(secret) {
            assert!(!text.contains(&spelling), "{spelling} shows in {text}");
        }
    }
}

/// The bytes of a secret, which serialization hands out to a vault.
fn bytes(secret: &impl Serialize) -> Vec<u8> {
    let value = Value::serialized(secret).expect("a value");
    value.into_bytes().expect("a byte string")
}

/// What is secret in a record.
fn secrets_of(record: &Record) -> Vec<Vec<u8>> {
    match record {
        Record::Master(secret) => vec![bytes(secret)],
        Record::Credential(credential) => vec![
            bytes(&credential.private_key),
            bytes(&credential.cred_random.with_uv),
            bytes(&credential.cred_random.without_uv),
            bytes(&credential.large_blob_key),
        ],
        Record::Pin(pin) => vec![bytes(&pin.hash)],
        _ => Vec::new(),
    }
}

fn notices_and_change_sets_show_no_secret(place: Place, protocol: Protocol) {
    let mut bench = Bench::bare(place, protocol, Options::held());
    let vault = bench.rig.vaults[0].clone();
    bench.set_pin(PIN).expect("no PIN is set");
    let channel = bench.channel;
    let token = bench.uv();
    let request = MakeCredential::discoverable(RP, b"alice")
        .extension("largeBlobKey", true)
        .with(&token);
    bench.platform().start_make(channel, &request);
    let asked = bench.approve();
    let made = bench.platform().finish_make(channel, &request);
    made.expect("a credential");
    let get = GetAssertion::new(RP, &[]).with(&bench.uv());
    bench.platform().start_get(channel, &get);
    let again = bench.approve();
    bench
        .platform()
        .finish_get(channel, &get)
        .expect("an assertion");
    let mut secrets = vec![PIN.as_bytes().to_vec(), token.secret.clone()];
    secrets.extend(vault.records().iter().flat_map(secrets_of));
    assert_eq!(secrets.len(), 2 + 1 + 4 + 1);
    let mut shown = format!("{asked:?} {again:?} {:?}", bench.rig.take_notices());
    for set in vault.sets() {
        shown.push_str(&format!("{set:?}"));
    }
    assert!(
        shown.contains("PinRetries"),
        "change sets show their places"
    );
    check(&shown, &secrets);
}
