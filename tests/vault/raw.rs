//! Nothing that a key knows can be read from what lies on the disk.

use std::{collections::BTreeSet, fs};

use ciborium::Value;
use roamkey::vault::{KeyNumber, OpenVault, unlock::Unlock};

use super::served::{CREATED, Directory, Served, default_profile, open, state_of};
use crate::support::{
    ctap2::{GetAssertion, MakeCredential, sha256},
    pin::Protocol,
};

const RP: &str = "secret-rp.example.com";
const USER: &str = "alice";
const NAME: &str = "a key with a name of its own";
const PIN: &str = "a PIN to look for";
/// Bytes that are this short stand anywhere.
const SHORTEST: usize = 12;

/// Every byte string and every text of a record.
fn parts(value: &Value, into: &mut BTreeSet<Vec<u8>>) {
    match value {
        Value::Bytes(bytes) => drop(into.insert(bytes.clone())),
        Value::Text(text) => drop(into.insert(text.clone().into_bytes())),
        Value::Array(items) => items.iter().for_each(|item| parts(item, into)),
        Value::Map(members) => members.iter().for_each(|(_, item)| parts(item, into)),
        _ => {}
    }
}

fn has(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}

#[test]
fn files_show_neither_names_nor_ids_nor_keys() {
    let directory = Directory::new("raw");
    let path = directory.file("vault.redb");
    let key_file = Unlock::KeyFile(format!("{}.key", path.display()).into());
    let vault = OpenVault::create_in(&path, &state_of(&path), &key_file, CREATED);
    let mut vault = vault.expect("a new vault");
    let made = vault
        .store_mut()
        .add_key(NAME, default_profile(), CREATED, &Default::default());
    made.expect("a key");
    let served = Served::start(vault);
    let mut platform = served.attach("1-1");
    let channel = platform.init();
    let mut ids = Vec::new();
    for user in 0..20_u8 {
        let mut request = MakeCredential::discoverable(RP, &sha256(&[user]));
        request.user_name = Some(USER);
        request.display_name = Some("Alice in Wonderland");
        let made = platform.make(channel, &request).expect("a credential");
        let request = GetAssertion::new(RP, &[&made.id]);
        platform.get(channel, &request).expect("an assertion");
        ids.push(made.id);
    }
    platform
        .set_pin(channel, Protocol::Two, PIN)
        .expect("a PIN");
    drop(platform);
    drop(served);

    let vault = open(&path);
    let mut needles = BTreeSet::new();
    for record in vault.store().records(KeyNumber(1)).expect("the records") {
        let mut bytes = Vec::new();
        ciborium::into_writer(&record, &mut bytes).expect("CBOR");
        let value: Value = ciborium::from_reader(bytes.as_slice()).expect("CBOR");
        parts(&value, &mut needles);
    }
    vault.close();
    needles.extend(ids.iter().cloned());
    // What sites and lists show of it, too.
    needles.extend(
        ids.iter()
            .map(|id| base16ct::lower::encode_string(id).into_bytes()),
    );
    needles.extend([RP, NAME, PIN, "Alice in Wonderland"].map(|text| text.as_bytes().to_vec()));
    needles.retain(|needle| needle.len() >= SHORTEST);
    assert!(needles.len() > 100, "{} things to look for", needles.len());

    let mut files = 0;
    for entry in fs::read_dir(&directory.0).expect("a directory") {
        let file = entry.expect("an entry").path();
        if !file.is_file() {
            continue;
        }
        let bytes = fs::read(&file).expect("a file");
        for needle in &needles {
            let shown = String::from_utf8_lossy(needle);
            assert!(!has(&bytes, needle), "{} shows {shown}", file.display());
        }
        files += 1;
    }
    assert!(files >= 2, "the vault and its key file");
    // A search that finds nothing anywhere would prove nothing.
    let bytes = fs::read(&path).expect("the vault");
    assert!(
        has(&bytes, b"witnesses"),
        "a table's name is there to be found"
    );
}
