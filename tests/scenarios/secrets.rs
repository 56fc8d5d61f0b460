//! No PIN, token or private key shows where something is only to be looked at: in Debug of what
//! the state machine hands out, and in its events, traces among them.

use std::collections::BTreeSet;

use ciborium::Value;
use roamkey::presence::Touch;
use roamkey_ctap::{AttestationType, Command, Record, Trace};
use serde::Serialize;

use crate::support::{
    bench::{Bench, PIN, RP},
    bio::{sensor, subcommand as bio},
    cbor,
    ctap2::{GetAssertion, LARGE_BLOBS, MakeCredential, sha256, status},
    large_blobs::set,
    manage::{config, user},
    pin::{Protocol, Token, permission},
    rig::{Options, Place, pin_scenarios},
    u2f::Control,
};

pin_scenarios!(
    notices_and_change_sets_show_no_secret,
    traces_show_no_secret,
);

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
        Record::PersistentToken(token) => vec![bytes(token)],
        Record::Attestation(attestation)
        | Record::BatchAttestation(attestation)
        | Record::EnterpriseAttestation(attestation) => {
            let value = Value::serialized(attestation).expect("a value");
            vec![cbor::bytes(cbor::member(&value, "private_key"))]
        }
        _ => Vec::new(),
    }
}

fn notices_and_change_sets_show_no_secret(place: Place, protocol: Protocol) {
    let mut options = Options::held();
    options.profile.ctap.attestation = AttestationType::Batch;
    options.profile.ctap.enterprise_attestation = Some(true);
    let mut bench = Bench::bare(place, protocol, options);
    let vault = bench.rig.vaults[0].clone();
    bench.set_pin(PIN).expect("no PIN is set");
    let channel = bench.channel;
    bench.token(permission::PCMR, None);
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
    // The PIN and a token; master, passkey, PIN, persistent token, three attestations.
    assert_eq!(secrets.len(), 2 + 1 + 4 + 1 + 1 + 3);
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

/// Bytes that are the test's alone.
fn random(bench: &Bench, purpose: &str, length: usize) -> Vec<u8> {
    let blocks = (0..length.div_ceil(32)).map(|n| bench.rig.seed.bytes(purpose, n));
    let mut bytes = blocks.collect::<Vec<_>>().concat();
    bytes.truncate(length);
    bytes
}

const PINS: [&str; 2] = ["kein Wort davon", "auch davon nicht"];

/// A token that may do everything, kept among the secrets.
fn token(bench: &mut Bench, secrets: &mut Vec<Vec<u8>>) -> Token {
    let all = permission::MC | permission::GA | permission::LBW;
    let all = all | permission::ACFG | permission::CM;
    let token = bench.try_token(PINS[1], all, Some(RP)).expect("a token");
    secrets.push(token.secret.clone());
    token
}

/// PINs are set, changed, right and wrong.
fn pins(bench: &mut Bench, secrets: &mut Vec<Vec<u8>>) {
    let vault = bench.rig.vaults[0].clone();
    bench.set_pin(PINS[0]).expect("no PIN is set");
    secrets.extend(vault.records().iter().flat_map(secrets_of));
    bench.change_pin(PINS[0], PINS[1]).expect("the right PIN");
    secrets.extend(PINS.map(|pin| pin.as_bytes().to_vec()));
    let wrong = bench.try_token("davon kein Wort", permission::CM, None);
    assert!(wrong.is_err());
    bench.legacy_token(PINS[1]).expect("a token");
}

/// A credential with all extensions is made and used; its id.
fn credential(bench: &mut Bench, secrets: &mut Vec<Vec<u8>>) -> Vec<u8> {
    let (channel, protocol) = (bench.channel, bench.protocol);
    let blob = random(bench, "blob", 32);
    let salts = random(bench, "salts", 64);
    let shared = bench.platform().agree(channel, protocol);
    let request = MakeCredential::discoverable(RP, b"alice")
        .extension("largeBlobKey", true)
        .extension("credBlob", blob.clone())
        .extension("hmac-secret", true)
        .extension("hmac-secret-mc", shared.salts(&salts))
        .with(&token(bench, secrets));
    let made = bench.make(&request).expect("a credential");
    let output = shared.open(made.auth_data.extension("hmac-secret-mc"));
    let get = GetAssertion::new(RP, &[])
        .extension("largeBlobKey", true)
        .extension("credBlob", true)
        .extension("hmac-secret", shared.salts(&salts))
        .with(&token(bench, secrets));
    let got = bench.get(&get).expect("an assertion");
    let again = shared.open(got.auth_data.extension("hmac-secret"));
    assert_eq!(again, output);
    let next = bench.get_next(&get).map(drop);
    assert_eq!(next, Err(status::NOT_ALLOWED));
    let vault = bench.rig.vaults[0].clone();
    secrets.extend(vault.records().iter().flat_map(secrets_of));
    secrets.extend(salts.chunks(32).map(<[u8]>::to_vec));
    secrets.extend(output.chunks(32).map(<[u8]>::to_vec));
    secrets.extend([blob, made.large_blob_key.expect("it was asked for")]);
    made.id
}

/// The large-blob array is written and read.
fn large_blobs(bench: &mut Bench, secrets: &mut Vec<Vec<u8>>) {
    let channel = bench.channel;
    let blobs = random(bench, "array", 100);
    let array = [blobs.as_slice(), &sha256(&blobs)[..16]].concat();
    let token = token(bench, secrets);
    let set = cbor::map(set(&array, 0, Some(array.len()), Some(&token)));
    let written = bench.platform().ctap2(channel, LARGE_BLOBS, Some(&set));
    written.expect("it fits");
    let read = bench.platform().read_all_blobs(channel, 1_000);
    assert_eq!(read, array);
    secrets.push(blobs);
}

/// A finger gives a token, and another is enrolled; touches are given unasked.
fn fingers(bench: &mut Bench, secrets: &mut Vec<Vec<u8>>) {
    let token = bench.finger_token_unasked(permission::BE | permission::CM);
    secrets.push(token.secret.clone());
    let begun = bench.bio(bio::BEGIN, None, Some(&token));
    begun.expect("a sample");
    assert_eq!(bench.fingers(&token).map(|all| all.len()), Ok(1));
}

/// The credential is listed, renamed and deleted, and the key configured and erased.
fn management(bench: &mut Bench, secrets: &mut Vec<Vec<u8>>, id: &[u8]) {
    let channel = bench.channel;
    let token = token(bench, secrets);
    let platform = bench.platform();
    let credentials = platform.credentials(channel, &token, RP);
    assert_eq!(credentials.expect("credentials").len(), 1);
    let account = user(b"alice", &[("name", "Alicia")]);
    let updated = platform.update(channel, &token, id, account);
    updated.expect("it is here");
    let deleted = platform.delete(channel, &token, id);
    deleted.expect("it is here");
    let configured = platform.configure(channel, Some(&token), config::TOGGLE_ALWAYS_UV, None);
    configured.expect("the profile has it");
    bench.reset();
}

/// A U2F registration and an authentication.
fn u2f(bench: &mut Bench) {
    let channel = bench.channel;
    let application = sha256(b"u2f");
    let platform = bench.platform();
    let made = platform.u2f_register(channel, &[1; 32], &application);
    let handle = (made.key_handle.as_slice(), &made.public_key);
    let signed = platform.u2f_authenticate(channel, Control::Enforce, &application, handle);
    signed.expect("its own handle");
}

fn traces_show_no_secret(place: Place, protocol: Protocol) {
    let options = Options {
        touch: Touch::Auto,
        ..sensor()
    };
    let mut bench = Bench::bare(place, protocol, options);
    bench.rig.world().trace(0, true);
    bench.info();
    bench.platform().init();
    let mut secrets = Vec::new();
    pins(&mut bench, &mut secrets);
    let id = credential(&mut bench, &mut secrets);
    large_blobs(&mut bench, &mut secrets);
    fingers(&mut bench, &mut secrets);
    management(&mut bench, &mut secrets, &id);
    u2f(&mut bench);
    let traces = bench.rig.world().take_traces(0);
    let mut shown = format!("{traces:?}");
    let mut met = BTreeSet::new();
    for trace in &traces {
        let details = match trace {
            Trace::Started {
                command, details, ..
            } => {
                met.insert(*command);
                details
            }
            Trace::Finished { details, .. } => details,
            Trace::Hid { .. } => continue,
        };
        for detail in details {
            shown.push_str(&format!(" {detail}"));
        }
    }
    for command in Command::ALL {
        let absent = [Command::Selection, Command::U2fVersion, Command::Unknown];
        let expected = !absent.contains(command);
        assert_eq!(met.contains(command), expected, "{command}");
    }
    for name in ["newPinEnc", "pinUvAuthToken", "config", "largeBlobKey"] {
        assert!(shown.contains(name), "{name} is named");
    }
    check(&shown, &secrets);
    // Nor the beginning of one.
    let beginnings = secrets.iter().filter_map(|secret| secret.get(..8));
    check(&shown, &beginnings.map(<[u8]>::to_vec).collect::<Vec<_>>());
}
