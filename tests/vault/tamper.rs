//! Whoever changes the file without the data key is noticed, and what was changed is named.

use std::{collections::BTreeSet, fs, path::Path};

use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use roamkey::vault::{
    Broken, Damage, KeyNumber, LockedVault, OpenVault, VaultError, unlock::Unlock,
};

use super::served::{CREATED, Directory, Served, default_profile, open, state_of};
use crate::support::{ctap2::MakeCredential, pin::Protocol};

const RECORDS: TableDefinition<'_, &[u8; 20], &[u8]> = TableDefinition::new("records");
const WITNESSES: TableDefinition<'_, &[u8; 20], &[u8; 16]> = TableDefinition::new("witnesses");
const KEYS: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("keys");
const UNLOCKS: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("unlocks");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const PIN: &str = "a PIN that is set";

type Rows = Vec<([u8; 20], Vec<u8>)>;

/// A vault with two keys; the first has a passkey and a PIN of which a retry was used.
fn make(directory: &Directory) -> std::path::PathBuf {
    let path = directory.file("vault.redb");
    let key_file = Unlock::KeyFile(format!("{}.key", path.display()).into());
    let vault = OpenVault::create_in(&path, &state_of(&path), &key_file, CREATED);
    let mut vault = vault.expect("a new vault");
    for name in ["work", "home"] {
        let made = vault
            .store_mut()
            .add_key(name, default_profile(), CREATED, &Default::default());
        made.expect("a key");
    }
    let served = Served::start(vault);
    let mut platform = served.attach("1-1");
    let channel = platform.init();
    let request = MakeCredential::discoverable("example.com", b"alice");
    platform.make(channel, &request).expect("a passkey");
    platform
        .set_pin(channel, Protocol::Two, PIN)
        .expect("a PIN");
    let _ = platform.pin_token(channel, Protocol::Two, "not this one");
    path
}

/// Another wrong PIN, which changes the record of the retries.
fn use_a_retry(path: &Path) {
    let served = Served::start(open(path));
    let mut platform = served.attach("1-1");
    let channel = platform.init();
    let _ = platform.pin_token(channel, Protocol::Two, "nor this one");
}

/// Changes tables of the closed file as anybody can.
fn tamper(path: &Path, change: impl FnOnce(&redb::WriteTransaction)) {
    let db = Database::open(path).expect("a redb file");
    let write = db.begin_write().expect("a transaction");
    change(&write);
    write.commit().expect("a commit");
}

fn rows(path: &Path) -> Rows {
    let db = Database::open(path).expect("a redb file");
    let read = db.begin_read().expect("a transaction");
    let table = read.open_table(RECORDS).expect("a table");
    let rows = table.iter().expect("rows").map(|row| {
        let (row, sealed) = row.expect("a row");
        (*row.value(), sealed.value().to_vec())
    });
    rows.collect()
}

fn number_of(row: &[u8; 20]) -> u32 {
    u32::from_be_bytes(row[..4].try_into().expect("four bytes"))
}

/// What is wrong with the first key.
fn damage(path: &Path) -> Vec<Damage> {
    let vault = open(path);
    let number = KeyNumber(1);
    let damage = vault.store().check(number).expect("it can be read");
    if let Err(VaultError::Damaged(first)) = vault.store().key_state(number).map(drop) {
        assert_eq!(Some(&first), damage.first(), "loading says the same");
    } else {
        assert!(damage.is_empty(), "what checking finds, loading refuses");
    }
    damage
}

/// The name of the one record that is broken like this.
fn named(damage: &[Damage], wanted: Broken) -> String {
    match damage {
        [Damage::Record { key, record, how }] => {
            assert_eq!(*how, wanted, "{damage:?}");
            assert!(key == "work" || key == "1-1", "{damage:?}");
            record.clone()
        }
        other => panic!("{other:?}"),
    }
}

fn put(write: &redb::WriteTransaction, row: &[u8; 20], sealed: &[u8]) {
    let mut table = write.open_table(RECORDS).expect("a table");
    table.insert(row, sealed).expect("a row");
}

fn restore(from: &[u8], path: &Path) {
    fs::write(path, from).expect("the file as it was");
}

/// All names that the records of the first key have.
const NAMES: [&str; 7] = [
    "name and profile",
    "master secret",
    "signature counter",
    "attestation key",
    "PIN",
    "PIN retries",
    "passkey",
];

fn assert_all_named(names: &BTreeSet<String>, records: usize) {
    assert_eq!(
        names.len(),
        records,
        "each has a name of its own: {names:?}"
    );
    for name in NAMES {
        let known = names.iter().any(|found| found.starts_with(name));
        assert!(known, "{name} among {names:?}");
    }
}

#[test]
fn changed_cut_swapped_and_missing_records_are_named() {
    let directory = Directory::new("tamper-records");
    let path = make(&directory);
    assert_eq!(damage(&path), []);
    let whole = fs::read(&path).expect("the file");
    let all = rows(&path);
    let first: Rows = all
        .iter()
        .filter(|(row, _)| number_of(row) == 1)
        .cloned()
        .collect();
    let foreign = all
        .iter()
        .find(|(row, _)| number_of(row) == 2)
        .expect("a row");

    type Change<'a> = &'a dyn Fn(&redb::WriteTransaction, &[u8; 20], &[u8]);
    let flip: Change<'_> = &|write, row, sealed| {
        let mut sealed = sealed.to_vec();
        sealed[30] ^= 1;
        put(write, row, &sealed);
    };
    let cut: Change<'_> = &|write, row, sealed| put(write, row, &sealed[..sealed.len() - 1]);
    let empty: Change<'_> = &|write, row, _| put(write, row, &[]);
    let foreign: Change<'_> = &|write, row, _| put(write, row, &foreign.1);
    let remove: Change<'_> = &|write, row, _| {
        let mut table = write.open_table(RECORDS).expect("a table");
        table.remove(row).expect("a row");
    };
    let remove_witness: Change<'_> = &|write, row, _| {
        let mut table = write.open_table(WITNESSES).expect("a table");
        table.remove(row).expect("a row");
    };
    let cases = [
        (flip, Broken::Changed),
        (cut, Broken::Changed),
        (empty, Broken::Changed),
        (foreign, Broken::Changed),
        (remove_witness, Broken::Changed),
        (remove, Broken::Missing),
    ];
    for (change, how) in cases {
        let mut names = BTreeSet::new();
        for (row, sealed) in &first {
            restore(&whole, &path);
            tamper(&path, |write| change(write, row, sealed));
            names.insert(named(&damage(&path), how));
        }
        assert_all_named(&names, first.len());
    }

    // Two that have changed places are both named.
    restore(&whole, &path);
    let ((row, sealed), (other_row, other_sealed)) = (&first[0], &first[1]);
    tamper(&path, |write| {
        put(write, row, other_sealed);
        put(write, other_row, sealed);
    });
    assert_eq!(damage(&path).len(), 2);
}

#[test]
fn older_record_put_back_is_named() {
    let directory = Directory::new("tamper-replay");
    let path = make(&directory);
    let before = rows(&path);
    let witnesses = witnesses_of(&path);
    use_a_retry(&path);
    let whole = fs::read(&path).expect("the file");
    let after = rows(&path);
    let changed: Vec<_> = before
        .iter()
        .filter(|old| !after.contains(old) && after.iter().any(|(row, _)| *row == old.0))
        .collect();
    let [(row, sealed)] = changed.as_slice() else {
        panic!("one record changed: {}", changed.len());
    };

    tamper(&path, |write| put(write, row, sealed));
    assert_eq!(named(&damage(&path), Broken::Replayed), "PIN retries");

    // With what tells it from the last one put back as well, the sum still knows.
    restore(&whole, &path);
    let (_, witness) = witnesses.iter().find(|(of, _)| of == row).expect("one");
    tamper(&path, |write| {
        put(write, row, sealed);
        let mut table = write.open_table(WITNESSES).expect("a table");
        table.insert(row, witness).expect("a row");
    });
    let key = "work".to_owned();
    assert_eq!(damage(&path), [Damage::Total { key }]);
}

fn witnesses_of(path: &Path) -> Vec<([u8; 20], [u8; 16])> {
    let db = Database::open(path).expect("a redb file");
    let read = db.begin_read().expect("a transaction");
    let table = read.open_table(WITNESSES).expect("a table");
    let rows = table.iter().expect("rows").map(|row| {
        let (row, witness) = row.expect("a row");
        (*row.value(), *witness.value())
    });
    rows.collect()
}

/// What opening the vault ends with.
fn refusal(path: &Path) -> VaultError {
    let key_file = Unlock::KeyFile(format!("{}.key", path.display()).into());
    let opened = LockedVault::open_in(path, &state_of(path));
    let opened = opened.and_then(|locked| locked.unlock(&key_file));
    opened.map(drop).expect_err("it is damaged")
}

#[test]
fn changed_rows_of_the_vault_itself_are_named() {
    let directory = Directory::new("tamper-rows");
    let path = make(&directory);
    let old = fs::read(&path).expect("the file");
    let old_keys = number_rows(&path, KEYS);
    use_a_retry(&path);
    let whole = fs::read(&path).expect("the file");
    assert_ne!(old, whole);

    let flip = |definition: TableDefinition<'static, u32, &'static [u8]>| {
        tamper(&path, |write| {
            let mut table = write.open_table(definition).expect("a table");
            let mut bytes = table
                .get(1)
                .expect("a row")
                .expect("a row")
                .value()
                .to_vec();
            bytes[40] ^= 1;
            table.insert(1, bytes.as_slice()).expect("a row");
        });
    };
    flip(KEYS);
    assert!(matches!(refusal(&path), VaultError::Damaged(Damage::Key(number)) if number.0 == 1));

    restore(&whole, &path);
    tamper(&path, |write| {
        let mut table = write.open_table(KEYS).expect("a table");
        table.remove(2).expect("a row");
    });
    assert_eq!(refusal(&path), Damage::Keys.into());

    restore(&whole, &path);
    tamper(&path, |write| {
        let mut table = write.open_table(KEYS).expect("a table");
        table.insert(1, old_keys[0].1.as_slice()).expect("a row");
    });
    assert_eq!(refusal(&path), Damage::Keys.into(), "an older row");

    restore(&whole, &path);
    tamper(&path, |write| {
        let mut table = write.open_table(META).expect("a table");
        let header = table.get("header").expect("a row");
        let mut header = header.expect("a row").value().to_vec();
        header[50] ^= 1;
        table.insert("header", header.as_slice()).expect("a row");
    });
    assert_eq!(refusal(&path), Damage::Header.into());
}

fn number_rows(
    path: &Path,
    definition: TableDefinition<'static, u32, &'static [u8]>,
) -> Vec<(u32, Vec<u8>)> {
    let db = Database::open(path).expect("a redb file");
    let read = db.begin_read().expect("a transaction");
    let table = read.open_table(definition).expect("a table");
    let rows = table.iter().expect("rows").map(|row| {
        let (number, bytes) = row.expect("a row");
        (number.value(), bytes.value().to_vec())
    });
    rows.collect()
}

#[test]
fn way_to_unlock_put_back_is_noticed() {
    let directory = Directory::new("tamper-unlocks");
    let path = make(&directory);
    let [(_, slot)] = number_rows(&path, UNLOCKS).try_into().expect("one way");
    // A second row with the same wrapped key: as if one that was removed came back.
    tamper(&path, |write| {
        let mut table = write.open_table(UNLOCKS).expect("a table");
        table.insert(7, slot.as_slice()).expect("a row");
    });
    assert_eq!(refusal(&path), Damage::Unlocks.into());
}

#[test]
fn older_copy_of_the_file_is_noticed_and_can_be_told_from_damage() {
    let directory = Directory::new("tamper-older");
    let path = make(&directory);
    let old = fs::read(&path).expect("the file");
    use_a_retry(&path);
    restore(&old, &path);
    let VaultError::OlderCopy { commit, seen } = refusal(&path) else {
        panic!("{:?}", refusal(&path));
    };
    assert!(commit < seen);
    // A machine that has never seen the vault cannot know.
    let other = Directory::new("tamper-older-elsewhere");
    for name in ["vault.redb", "vault.redb.key"] {
        fs::copy(directory.file(name), other.file(name)).expect("a copy");
    }
    open(&other.file("vault.redb"));
}

#[test]
fn file_that_is_no_vault_is_told() {
    let directory = Directory::new("tamper-cut");
    let path = make(&directory);
    let whole = fs::read(&path).expect("the file");
    let half = whole[..whole.len() / 2].to_vec();
    let noise: Vec<u8> = (0..whole.len())
        .map(|at| u8::try_from(at * 31 % 251).unwrap())
        .collect();
    for bytes in [&[] as &[u8], b"not a vault", &whole[..4096], &half, &noise] {
        restore(bytes, &path);
        let why = refusal(&path);
        assert!(
            matches!(
                why,
                VaultError::NotAVault { .. } | VaultError::Changed { .. }
            ),
            "{} bytes: {why:?}",
            bytes.len()
        );
    }
}
