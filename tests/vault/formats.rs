//! Every version of the file that was released can be opened, and its keys still work.
//!
//! `fixtures/vaults` has a vault of each. One of this version is made by the test below:
//! `ROAMKEY_KEEP_VAULT=fixtures/vaults/vN cargo test --test tests vault::formats` keeps it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use redb::{Database, ReadableTable as _, TableDefinition};
use roamkey::vault::{LockedVault, OpenVault, VaultError, unlock::Unlock};
use serde_json::{Value, json};

use super::served::{CREATED, Directory, Served, default_profile, open, state_of};
use crate::support::{
    ctap2::{GetAssertion, MakeCredential, status},
    pin::Protocol,
};

const PIN: &str = "pin of a fixture";
const RP: &str = "fixture.example";
const OTHER_RP: &str = "other.example";
const VAULT: &str = "vault.redb";
const CONTENTS: &str = "contents.json";

fn hex(bytes: &[u8]) -> String {
    base16ct::lower::encode_string(bytes)
}

/// Makes a vault with two keys, uses them, and notes what is in them.
fn make(directory: &Path) {
    let path = directory.join(VAULT);
    let key_file = Unlock::KeyFile(format!("{}.key", path.display()).into());
    let mut vault =
        OpenVault::create_in(&path, &state_of(&path), &key_file, CREATED).expect("a new vault");
    for name in ["first", "second"] {
        let made = vault
            .store_mut()
            .add_key(name, default_profile(), CREATED, &Default::default());
        made.expect("a key");
    }
    let served = Served::start(vault);
    let mut noted = Vec::new();
    for busid in ["1-1", "1-2"] {
        let mut platform = served.attach(busid);
        let channel = platform.init();
        let requests = [
            MakeCredential::discoverable(RP, b"alice"),
            MakeCredential::discoverable(RP, b"bob"),
            MakeCredential::new(OTHER_RP, b"carol"),
        ];
        for request in requests {
            let made = platform.make(channel, &request).expect("a credential");
            let used = GetAssertion::new(request.rp_id, &[&made.id]);
            let used = platform.get(channel, &used).expect("an assertion");
            noted.push(json!({
                "key": busid, "rp": request.rp_id, "id": hex(&made.id),
                "counter": used.auth_data.counter,
            }));
        }
    }
    let mut platform = served.attach("1-1");
    let channel = platform.init();
    let set = platform.set_pin(channel, Protocol::Two, PIN);
    set.expect("a PIN");
    let wrong = platform.pin_token(channel, Protocol::Two, "not this one");
    assert_eq!(wrong.map(drop), Err(status::PIN_INVALID));
    let contents = json!({ "credentials": noted, "pin": PIN, "retries": 7 });
    let text = serde_json::to_string_pretty(&contents).expect("JSON");
    fs::write(directory.join(CONTENTS), text).expect("a file");
}

/// Opens a copy of a vault and compares it with what was noted of it.
fn check(directory: &Path) {
    let copy = Directory::new(&format!(
        "format-{}",
        directory.file_name().expect("a name").to_string_lossy()
    ));
    for name in [VAULT, "vault.redb.key"] {
        fs::copy(directory.join(name), copy.file(name)).expect("a copy");
    }
    let root = root_of(&copy.file(VAULT));
    assert!(!root.is_empty() && root_of(&copy.file(VAULT)) == root);
    let contents = fs::read_to_string(directory.join(CONTENTS)).expect("what is in it");
    let contents: Value = serde_json::from_str(&contents).expect("JSON");
    let served = Served::start(open(&copy.file(VAULT)));
    let mut seen = 0;
    for noted in contents["credentials"].as_array().expect("a list") {
        let text = |member: &str| noted[member].as_str().expect("text").to_owned();
        let mut platform = served.attach(&text("key"));
        let channel = platform.init();
        let id = base16ct::lower::decode_vec(text("id")).expect("hexadecimal digits");
        let rp = [RP, OTHER_RP].into_iter().find(|rp| *rp == text("rp"));
        let request = GetAssertion::new(rp.expect("a known RP"), &[&id]);
        let used = platform.get(channel, &request).expect("an assertion");
        assert_eq!(used.id, id);
        let counter = noted["counter"].as_u64().expect("a counter");
        assert!(u64::from(used.auth_data.counter) > counter, "{noted}");
        seen += 1;
    }
    assert_eq!(seen, 6);
    let mut platform = served.attach("1-1");
    let channel = platform.init();
    let (retries, _) = platform.pin_retries(channel).expect("a PIN is set");
    assert_eq!(Some(retries), contents["retries"].as_u64());
    let pin = contents["pin"].as_str().expect("a PIN");
    let token = platform.pin_token(channel, Protocol::Two, pin);
    token.expect("the PIN is right");
}

/// The root certificate of a vault's authority.
fn root_of(path: &Path) -> Vec<u8> {
    let vault = open(path);
    let authority = vault.store().attestation_authority();
    authority.expect("an authority").certificate().to_vec()
}

#[test]
fn vault_of_this_version_is_opened_again() {
    let directory = Directory::new("format-now");
    make(&directory.0);
    check(&directory.0);
    if let Some(keep) = std::env::var_os("ROAMKEY_KEEP_VAULT") {
        let keep = PathBuf::from(keep);
        fs::create_dir_all(&keep).expect("a directory");
        for name in [VAULT, "vault.redb.key", CONTENTS] {
            fs::copy(directory.file(name), keep.join(name)).expect("a copy");
        }
    }
}

#[test]
fn vaults_of_all_released_versions_are_opened() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/vaults");
    let mut versions = 0;
    for entry in fs::read_dir(fixtures).expect("fixtures") {
        let path = entry.expect("an entry").path();
        println!("{}", path.display());
        check(&path);
        versions += 1;
    }
    assert!(versions > 0);
}

/// Opens the file as redb does and puts another schema into it.
fn set_schema(path: &Path, schema: u32) {
    const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
    let db = Database::open(path).expect("a redb file");
    let write = db.begin_write().expect("a transaction");
    {
        let mut meta = write.open_table(META).expect("the table");
        let bytes = meta.get("format").expect("a row").expect("a row");
        let mut format: ciborium::Value = ciborium::from_reader(bytes.value()).expect("CBOR");
        drop(bytes);
        for (name, value) in format.as_map_mut().expect("a map") {
            if name.as_text() == Some("schema") {
                *value = schema.into();
            }
        }
        let mut bytes = Vec::new();
        ciborium::into_writer(&format, &mut bytes).expect("CBOR");
        meta.insert("format", bytes.as_slice()).expect("a row");
    }
    write.commit().expect("a commit");
}

#[test]
fn newer_schema_is_refused_by_name() {
    let directory = Directory::new("format-newer");
    make(&directory.0);
    let path = directory.file(VAULT);
    set_schema(&path, 99);
    let refused = LockedVault::open_in(&path, &state_of(&path)).map(drop);
    let Err(why @ VaultError::Newer { schema: 99, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert!(why.to_string().contains("schema 99"), "{why}");
}

#[test]
fn older_schema_is_migrated_once_after_a_copy() {
    let directory = Directory::new("format-older");
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/vaults/v1");
    for name in [VAULT, "vault.redb.key"] {
        fs::copy(fixture.join(name), directory.file(name)).expect("a copy");
    }
    let path = directory.file(VAULT);
    let root = root_of(&path);
    let commits = open(&path).commits();
    let copy = directory.file("vault.redb.schema-1");
    let kept = fs::read(&copy).expect("a copy as it was");
    // The second time there is nothing to migrate.
    assert_eq!(open(&path).commits(), commits);
    assert!(root_of(&path) == root, "its authority stays");
    assert_eq!(fs::read(&copy).expect("the same copy"), kept);
    // The copy is a vault of schema 1, which can be opened in its turn.
    let other = Directory::new("format-older-copy");
    fs::copy(&copy, other.file(VAULT)).expect("a copy");
    fs::copy(fixture.join("vault.redb.key"), other.file("vault.redb.key")).expect("a copy");
    assert_eq!(open(&other.file(VAULT)).commits(), commits);
    assert!(other.file("vault.redb.schema-1").exists());
}
