//! Snapshots that are not what was written, and keys that cannot be read when they are rolled back.

use std::cell::RefCell;

use super::*;

fn damaged(error: VaultError) -> String {
    let VaultError::Damaged(Damage::Snapshot { name }) = error else {
        panic!("{error}");
    };
    name
}

#[test]
fn rollback_of_a_damaged_key_trusts_none_of_its_counters() {
    let (_, mut store, key) = with_snapshot();
    put(&mut store, key, [passkey_counter(1, 1024)]);
    // Somebody takes a record out of the file.
    let row = store.ledger.keys[&key].row.id;
    let row = store.seals.row_key(
        key,
        row,
        crate::vault::record::Address::Record(Place::CredentialCounter(id(2))),
    );
    let write = store.db.begin_write().unwrap();
    write.open_table(RECORDS).unwrap().remove(&row).unwrap();
    write.commit().unwrap();
    let found = store.check_key(key).unwrap();
    assert!(
        matches!(
            found[..],
            [Damage::Record {
                how: Broken::Missing,
                ..
            }]
        ),
        "{found:?}"
    );
    assert!(matches!(
        store.snapshot("broken", 1),
        Err(VaultError::Damaged(Damage::Record { .. }))
    ));

    let loss = store.rollback("then").unwrap();
    assert!(loss.keys[0].damaged);
    let ceilings = ceilings(&store, key);
    assert_eq!(
        ceilings,
        (
            512 + RAISED,
            vec![1024 + RAISED, 256 + RAISED, 256 + RAISED]
        )
    );
    assert_eq!(retries(&store, key), Some(1));
    assert!(store.check_key(key).unwrap().is_empty());
}

#[test]
fn damaged_copy_is_noticed_before_anything_is_replaced() {
    let (_, mut store, key) = with_snapshot();
    store.snapshot("good", 78).unwrap();
    put(&mut store, key, [counter(9_000)]);
    let before = contents(&store, key);
    let rows: Vec<(CopyKey, Vec<u8>)> = {
        let read = store.db.begin_read().unwrap();
        let table = read.open_table(SNAPSHOT_RECORDS).unwrap();
        let rows = table.iter().unwrap().map(Result::unwrap);
        rows.map(|(key, value)| (*key.value(), value.value().to_vec()))
            .collect()
    };
    let first: Vec<_> = rows
        .iter()
        .filter(|(key, _)| key[..4] == [0, 0, 0, 1])
        .collect();
    assert_eq!(
        first.len(),
        11,
        "identity, master, counter, attestation, PIN, 3 times 2"
    );
    type Harm = fn(&mut Table<'_, &CopyKey, &[u8]>, &CopyKey, &[u8], &[u8]);
    let harms: [Harm; 5] = [
        |table, at, _, _| drop(table.remove(at).unwrap()),
        |table, at, _, other| drop(table.insert(at, other).unwrap()),
        |table, at, sealed, _| {
            let mut changed = sealed.to_vec();
            changed[40] ^= 1;
            table.insert(at, changed.as_slice()).unwrap();
        },
        |table, at, sealed, _| drop(table.insert(at, &sealed[..20]).unwrap()),
        |table, at, sealed, _| {
            let mut more = *at;
            more[23] ^= 1;
            table.insert(&more, sealed).unwrap();
        },
    ];
    for harm in harms {
        let write = store.db.begin_write().unwrap();
        let mut table = write.open_table(SNAPSHOT_RECORDS).unwrap();
        harm(&mut table, &first[3].0, &first[3].1, &first[4].1);
        drop(table);
        write.commit().unwrap();
        assert_eq!(damaged(store.check_snapshot("then").unwrap_err()), "then");
        assert_eq!(damaged(store.rollback_loss("then").unwrap_err()), "then");
        assert_eq!(damaged(store.rollback("then").unwrap_err()), "then");
        assert!(contents(&store, key) == before);
        store.check_snapshot("good").unwrap();
        let write = store.db.begin_write().unwrap();
        let mut table = write.open_table(SNAPSHOT_RECORDS).unwrap();
        table.retain(|_, _| false).unwrap();
        for (at, sealed) in &rows {
            table.insert(at, sealed.as_slice()).unwrap();
        }
        drop(table);
        write.commit().unwrap();
        store.check_snapshot("then").unwrap();
    }
    store.rollback("then").unwrap();
}

/// What somebody does to the rows of the snapshots.
type Tampering<'a> = &'a dyn Fn(&mut Table<'_, u32, &[u8]>);

fn tamper(sample: &Sample, tampering: Tampering<'_>) {
    let builder = redb::Database::builder();
    let db = builder.create_with_backend(sample.backend.clone()).unwrap();
    let write = db.begin_write().unwrap();
    tampering(&mut write.open_table(SNAPSHOTS).unwrap());
    write.commit().unwrap();
}

fn row_1(table: &Table<'_, u32, &[u8]>) -> Vec<u8> {
    table.get(1).unwrap().unwrap().value().to_vec()
}

#[test]
fn snapshot_row_that_was_removed_or_changed_is_noticed_at_unlock() {
    let tamperings: [Tampering<'_>; 4] = [
        &|table| drop(table.remove(1).unwrap()),
        &|table| {
            let row = row_1(table);
            table.insert(2, row.as_slice()).unwrap();
        },
        &|table| {
            let mut row = row_1(table);
            row[30] ^= 1;
            table.insert(1, row.as_slice()).unwrap();
        },
        &|table| drop(table.insert(1, b"".as_slice()).unwrap()),
    ];
    for tampering in tamperings {
        let (sample, store, _) = with_snapshot();
        drop(store);
        tamper(&sample, tampering);
        let why = sample.reopen().map(drop).unwrap_err();
        let noticed = matches!(
            why,
            VaultError::Damaged(Damage::Keys | Damage::Snapshot { .. })
        );
        assert!(noticed, "{why}");
    }
}

#[test]
fn older_snapshot_row_in_its_place_is_noticed_at_unlock() {
    let (sample, store, _) = with_snapshot();
    drop(store);
    let old = RefCell::new(Vec::new());
    tamper(&sample, &|table| *old.borrow_mut() = row_1(table));
    let mut store = sample.reopen().unwrap();
    store.remove_snapshot("then").unwrap();
    store.snapshot("now", 78).unwrap();
    drop(store);
    tamper(&sample, &|table| {
        table.insert(1, old.borrow().as_slice()).unwrap();
    });
    let why = sample.reopen().map(drop).unwrap_err();
    assert_eq!(why, Damage::Keys.into());
}
