//! What a snapshot keeps, what a rollback takes, and what does not go back.

mod damage;

use std::{collections::BTreeSet, time::Instant};

use redb::{ReadableDatabase as _, ReadableTable as _};
use roamkey_ctap::{Change, Fingerprint, Place, Record, TEMPLATE_ID_LEN, UvState};

use super::*;
use crate::vault::{
    Broken,
    sample::{
        Sample, add_passkeys, ceilings, contents, counter, id, master, passkey, passkey_counter,
        pin, profile, put, retries, set,
    },
    store::RECORDS,
};

const RAISED: u32 = 65_536;

/// A vault with one key in it, which has a PIN and passkeys 1 to 3, and a snapshot `then` of it.
fn with_snapshot() -> (Sample, Store, KeyNumber) {
    let (sample, mut store) = Sample::new();
    let key = store
        .add_key("work", profile(), 1, &Default::default())
        .unwrap();
    add_passkeys(&mut store, key, 1..=3);
    put(&mut store, key, [counter(512), pin(5)]);
    store.snapshot("then", 77).unwrap();
    (sample, store, key)
}

fn delete(store: &mut Store, key: KeyNumber, passkey: u32) {
    let gone = [Place::Credential, Place::CredentialCounter].map(|place| place(id(passkey)));
    let changes = gone.into_iter().map(Change::Delete).collect();
    store.change_key(key, set(changes)).unwrap();
}

/// As `authenticatorReset` does.
fn reset(store: &mut Store, key: KeyNumber) {
    for passkey in 1..=3 {
        delete(store, key, passkey);
    }
    let gone = [Place::Pin, Place::PinRetries].map(Change::Delete);
    store.change_key(key, set(gone.into())).unwrap();
    put(store, key, [master(0xee)]);
}

#[test]
fn snapshot_of_an_unchanged_vault_takes_nothing_and_changes_nothing() {
    let (sample, mut store, key) = with_snapshot();
    let before = contents(&store, key);
    assert_eq!(store.rollback_loss("then").unwrap(), Loss::default());
    assert_eq!(store.rollback("then").unwrap(), Loss::default());
    assert!(contents(&store, key) == before);
    drop(store);
    let store = sample.reopen().unwrap();
    assert!(contents(&store, key) == before);
    assert!(store.check_key(key).unwrap().is_empty());
    let [listed] = store.snapshots().try_into().unwrap();
    assert_eq!(
        (listed.name.as_str(), listed.created, listed.keys),
        ("then", 77, 1)
    );
    store.check_snapshot("then").unwrap();
}

#[test]
fn rollback_takes_what_was_made_since_and_names_it() {
    let (sample, mut store, key) = with_snapshot();
    add_passkeys(&mut store, key, 8..=9);
    put(&mut store, key, [pin(6)]);
    store.rename_key(key, "renamed").unwrap();
    let new = store
        .add_key("new", profile(), 2, &Default::default())
        .unwrap();
    add_passkeys(&mut store, new, 20..=20);
    let idle = store
        .add_key("idle", profile(), 2, &Default::default())
        .unwrap();

    let loss = store.rollback_loss("then").unwrap();
    let passkey = |number: u32| Passkey {
        rp_id: format!("site-{number}.example"),
        account: Some(format!("alice-{number}")),
    };
    let key_loss = |name: &str, removed, passkeys, pin| KeyLoss {
        name: name.to_owned(),
        removed,
        passkeys,
        reset: false,
        pin,
        damaged: false,
    };
    let expected = [
        key_loss("renamed", false, vec![passkey(8), passkey(9)], true),
        key_loss("new", true, vec![passkey(20)], false),
        key_loss("idle", true, vec![], false),
    ];
    assert_eq!(loss.keys, expected);
    assert_eq!(store.keys().unwrap().len(), 3, "nothing has happened yet");

    assert_eq!(store.rollback("then").unwrap(), loss);
    drop(store);
    let store = sample.reopen().unwrap();
    let keys = store.keys().unwrap();
    assert_eq!(keys.len(), 1);
    assert_eq!(keys[0].1.name, "work");
    let records = contents(&store, key);
    assert!(records.contains(&pin(5)));
    assert_eq!(ceilings(&store, key).1.len(), 3);
    for gone in [new, idle] {
        assert!(store.records(gone).is_err(), "it is gone");
    }
}

#[test]
fn counters_go_on_from_the_higher_ceiling() {
    let (_, mut store, key) = with_snapshot();
    // The live ones are ahead, but for one that a test lets lag.
    put(&mut store, key, [counter(90_000), passkey_counter(1, 1024)]);
    put(&mut store, key, [passkey_counter(2, 3)]);
    store.rollback("then").unwrap();
    assert_eq!(ceilings(&store, key), (90_000, vec![1024, 256, 256]));
    store.key_state(key).unwrap();
}

#[test]
fn deleted_passkey_comes_back_with_its_counter_raised() {
    let (_, mut store, key) = with_snapshot();
    put(&mut store, key, [passkey_counter(1, 100_000)]);
    delete(&mut store, key, 1);
    store.rollback("then").unwrap();
    assert!(contents(&store, key).contains(&passkey(1)));
    assert_eq!(ceilings(&store, key), (512, vec![256 + RAISED, 256, 256]));

    // It is deleted and comes back again: no value is used twice.
    delete(&mut store, key, 1);
    store.rollback("then").unwrap();
    assert_eq!(ceilings(&store, key).1[0], 256 + 2 * RAISED);
    store.check_snapshot("then").unwrap();
}

#[test]
fn raised_ceiling_ends_at_32_bits() {
    let (_, mut store, key) = with_snapshot();
    put(&mut store, key, [passkey_counter(1, u32::MAX - 5)]);
    store.snapshot("late", 78).unwrap();
    delete(&mut store, key, 1);
    store.rollback("late").unwrap();
    assert_eq!(ceilings(&store, key).1[0], u32::MAX);
}

#[test]
fn removed_key_comes_back_with_all_counters_raised() {
    let (sample, mut store, key) = with_snapshot();
    let identity = store.identity(key).unwrap();
    store.remove_key(key).unwrap();
    let other = store
        .add_key("other", profile(), 2, &Default::default())
        .unwrap();
    assert_eq!(other, key, "its number was taken");
    let loss = store.rollback("then").unwrap();
    assert_eq!(loss.keys.len(), 1);
    assert!(loss.keys[0].removed && loss.keys[0].name == "other");
    drop(store);
    let store = sample.reopen().unwrap();
    assert_eq!(store.identity(key).unwrap(), identity);
    let raised = 256 + RAISED;
    assert_eq!(ceilings(&store, key), (512 + RAISED, vec![raised; 3]));
    store.key_state(key).unwrap();
}

#[test]
fn pin_keeps_the_fewer_tries() {
    use Record::PinRetries;

    let left = |store: &mut Store, key, left: u8| put(store, key, [PinRetries(left)]);
    // Then 8 and now 3; then 2 and now 3, or all; then 2 and now blocked.
    for (then, now, expected) in [
        (None, None, None),
        (None, Some(3), Some(3)),
        (Some(2), Some(3), Some(2)),
        (Some(2), None, Some(2)),
        (Some(2), Some(0), Some(0)),
    ] {
        let (_, mut store, key) = with_snapshot();
        if let Some(then) = then {
            left(&mut store, key, then);
        }
        store.snapshot("tries", 78).unwrap();
        let all = set(vec![Change::Delete(Place::PinRetries)]);
        store.change_key(key, all).unwrap();
        if let Some(now) = now {
            left(&mut store, key, now);
        }
        // The PIN was changed since: its tries count all the same.
        put(&mut store, key, [pin(6)]);
        store.rollback("tries").unwrap();
        assert_eq!(retries(&store, key), expected, "{then:?} {now:?}");
        assert!(contents(&store, key).contains(&pin(5)));
        // The snapshot itself has what it had.
        store
            .change_key(key, set(vec![Change::Delete(Place::PinRetries)]))
            .unwrap();
        store.rollback("tries").unwrap();
        assert_eq!(retries(&store, key), then);
    }
}

#[test]
fn finger_keeps_the_fewer_tries() {
    let uv = |retries, since_pin_entry| {
        Record::Uv(UvState {
            retries,
            since_pin_entry,
        })
    };
    for (then, now, expected) in [
        (None, None, None),
        (None, Some(uv(2, 3)), Some(uv(2, 0))),
        (Some(uv(3, 9)), Some(uv(5, 12)), Some(uv(3, 9))),
        (Some(uv(3, 9)), Some(uv(0, 12)), Some(uv(0, 9))),
    ] {
        let (_, mut store, key) = with_snapshot();
        let finger = Fingerprint {
            id: [1; TEMPLATE_ID_LEN],
            name: None,
        };
        put(&mut store, key, [Record::Fingerprints(vec![finger])]);
        put(&mut store, key, then);
        store.snapshot("tries", 78).unwrap();
        let all = set(vec![Change::Delete(Place::Uv)]);
        store.change_key(key, all).unwrap();
        put(&mut store, key, now);
        store.rollback("tries").unwrap();
        let stored = contents(&store, key);
        let stored = stored
            .into_iter()
            .find(|stored| stored.place() == Place::Uv);
        assert!(stored == expected);
    }
}

#[test]
fn pin_that_was_set_since_goes_with_its_tries() {
    let (_, mut store) = Sample::new();
    let key = store
        .add_key("work", profile(), 1, &Default::default())
        .unwrap();
    store.snapshot("no PIN", 1).unwrap();
    put(&mut store, key, [pin(5), Record::PinRetries(2)]);
    let loss = store.rollback("no PIN").unwrap();
    assert!(loss.keys[0].pin);
    assert_eq!(retries(&store, key), None);
}

#[test]
fn key_that_was_reset_since_is_what_it_was() {
    let (_, mut store, key) = with_snapshot();
    let before = contents(&store, key);
    put(&mut store, key, [counter(5_000)]);
    reset(&mut store, key);
    let loss = store.rollback("then").unwrap();
    assert!(loss.keys[0].reset && loss.keys[0].pin && loss.keys[0].passkeys.is_empty());
    let places =
        |records: &[Record]| -> BTreeSet<_> { records.iter().map(Record::place).collect() };
    assert_eq!(places(&contents(&store, key)), places(&before));
    // A reset keeps the key's own counter; the passkeys' were forgotten.
    assert_eq!(ceilings(&store, key), (5_000, vec![256 + RAISED; 3]));
}

#[test]
fn removed_snapshot_leaves_the_others_and_no_rows() {
    let (sample, mut store, key) = with_snapshot();
    store.snapshot("second", 78).unwrap();
    let before = contents(&store, key);
    store.remove_snapshot("then").unwrap();
    assert!(matches!(
        store.rollback("then"),
        Err(VaultError::Unknown(_))
    ));
    assert!(matches!(
        store.remove_snapshot("then"),
        Err(VaultError::Unknown(_))
    ));
    drop(store);
    let mut store = sample.reopen().unwrap();
    store.check_snapshot("second").unwrap();
    assert!(contents(&store, key) == before);
    // Its number and its name are free again.
    store.snapshot("then", 79).unwrap();
    let names: Vec<_> = store.snapshots().into_iter().map(|s| s.name).collect();
    assert_eq!(names, ["second", "then"]);
    for name in names {
        store.remove_snapshot(&name).unwrap();
    }
    let read = store.db.begin_read().unwrap();
    assert!(
        read.open_table(SNAPSHOT_RECORDS)
            .unwrap()
            .iter()
            .unwrap()
            .next()
            .is_none()
    );
}

#[test]
fn name_of_a_snapshot_is_checked() {
    let (_, mut store, _) = with_snapshot();
    for name in ["", " x", "a\nb", &"x".repeat(65), "then"] {
        assert!(
            matches!(store.snapshot(name, 1), Err(VaultError::Refused(_))),
            "{name}"
        );
    }
}

#[test]
fn copy_of_the_whole_vault_has_its_snapshots() {
    let (sample, store, _) = with_snapshot();
    let fresh = Sample::empty_like(&sample);
    store.copy_to(fresh.backend.clone()).unwrap();
    fresh.reopen().unwrap().check_snapshot("then").unwrap();
}

#[test]
fn clone_has_the_same_contents_and_a_life_of_its_own() {
    let (sample, mut store, key) = with_snapshot();
    put(
        &mut store,
        key,
        [
            counter(5_000),
            passkey_counter(2, 700),
            Record::PinRetries(3),
        ],
    );
    let before = contents(&store, key);
    assert!(matches!(
        store.clone_key(key, "work", 9),
        Err(VaultError::Refused(_))
    ));
    let twin = store.clone_key(key, "twin", 9).unwrap();
    assert!(contents(&store, twin) == before);
    let (one, two) = (store.identity(key).unwrap(), store.identity(twin).unwrap());
    assert!(one.id != two.id && one.serial != two.serial);
    assert_eq!((two.name.as_str(), two.created), ("twin", 9));
    assert_eq!(one.profile, two.profile);

    put(&mut store, twin, [counter(9_000), Record::PinRetries(1)]);
    delete(&mut store, twin, 1);
    assert!(contents(&store, key) == before);
    store.remove_key(key).unwrap();
    drop(store);
    let store = sample.reopen().unwrap();
    assert_eq!(ceilings(&store, twin), (9_000, vec![700, 256]));
    assert_eq!(retries(&store, twin), Some(1));
    store.key_state(twin).unwrap();
}

/// Prints what each takes; in release, tens of milliseconds.
#[test]
#[expect(clippy::print_stdout, reason = "for who measures it")]
fn thousand_passkeys_are_copied_at_once() {
    let (_, mut store) = Sample::new();
    let key = store
        .add_key("work", profile(), 1, &Default::default())
        .unwrap();
    add_passkeys(&mut store, key, 1..=1_000);
    let time = |what: &str, store: &mut Store, work: &mut dyn FnMut(&mut Store)| {
        let start = Instant::now();
        work(store);
        println!("{what}: {:?}", start.elapsed());
    };
    time("snapshot", &mut store, &mut |store| {
        store.snapshot("s", 1).unwrap()
    });
    time("clone", &mut store, &mut |store| {
        store.clone_key(key, "twin", 1).map(drop).unwrap()
    });
    time("rollback", &mut store, &mut |store| {
        drop(store.rollback("s").unwrap())
    });
    store.remove_key(key).unwrap();
    time("rollback of a removed key", &mut store, &mut |store| {
        drop(store.rollback("s").unwrap())
    });
    time("removal of the snapshot", &mut store, &mut |store| {
        store.remove_snapshot("s").unwrap()
    });
    assert_eq!(ceilings(&store, key).1, vec![256 + RAISED; 1_000]);
}

#[test]
fn full_vault_takes_one_more_key_or_snapshot_once_one_is_gone() {
    let (sample, mut store, first) = with_snapshot();
    let key_id = |number: u32| KeyId([u8::try_from(number % 251).unwrap(); 16]);
    let added = store.write(|transaction| {
        for number in first.0 + 1..=crate::limits::MOST_KEYS {
            transaction.add_key_at(KeyNumber(number), key_id(number))?;
        }
        assert!(matches!(
            transaction.add_key(key_id(0)),
            Err(VaultError::Refused(_))
        ));
        transaction.remove_key(KeyNumber(7_000))?;
        assert_eq!(transaction.add_key(key_id(0))?, KeyNumber(7_000));
        Err::<(), _>(VaultError::Refused("nothing of it stays".to_owned()))
    });
    assert!(matches!(added, Err(VaultError::Refused(why)) if why == "nothing of it stays"));
    for number in 1..MOST_SNAPSHOTS {
        store.snapshot(&number.to_string(), 1).unwrap();
    }
    let one_more = store.snapshot("one more", 1);
    assert!(matches!(one_more, Err(VaultError::Refused(why)) if why.contains("1000 snapshots")));
    store.remove_snapshot("7").unwrap();
    store.snapshot("one more", 1).unwrap();
    drop((sample, store));
}
