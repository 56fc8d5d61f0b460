//! Backups of a vault that keys commit to meanwhile.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use roamkey_ctap::Change;
use tokio::runtime::Builder;

use super::*;
use crate::vault::{
    KeyVault as _, StoredKeyVault,
    sample::{open_vault, passkey, set},
};

/// In each set the key's own ceiling and its passkey's are the same.
async fn commit(key: &mut StoredKeyVault, ceiling: u32) {
    let records = [counter(ceiling), passkey_counter(1, ceiling)];
    let changes = records.into_iter().map(Change::Put).collect();
    key.commit(set(changes)).await.unwrap();
}

#[test]
fn backup_of_a_busy_vault_is_of_one_commit() {
    let scratch = Scratch::new("busy");
    let mut open = open_vault();
    let mut numbers = Vec::new();
    for name in ["a", "b", "c", "d"] {
        let number = open
            .store_mut()
            .add_key(name, profile(), 1, &Default::default())
            .unwrap();
        let records = [passkey(1), passkey_counter(1, 1), counter(1)];
        put(open.store_mut(), number, records);
        numbers.push(number);
    }
    let (vault, thread) = open.serve().unwrap();
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let backups = runtime.block_on(async {
        let pairs: Vec<_> = numbers
            .chunks(2)
            .map(|pair| {
                let (mut one, mut two) = (vault.key(pair[0]), vault.key(pair[1]));
                let stop = Arc::clone(&stop);
                // The second key of a pair follows the first: it is never ahead of it.
                tokio::spawn(async move {
                    let mut ceiling = 1;
                    while !stop.load(Ordering::Relaxed) {
                        ceiling += 1;
                        commit(&mut one, ceiling).await;
                        commit(&mut two, ceiling).await;
                    }
                    ceiling
                })
            })
            .collect();
        let mut backups = Vec::new();
        for index in 0..5 {
            let path = scratch.file(&format!("{index}.age"));
            vault.backup(path.clone(), cheap().0, 1).await.unwrap();
            backups.push(path);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        stop.store(true, Ordering::Relaxed);
        for pair in pairs {
            assert!(pair.await.unwrap() > 5, "commits went on");
        }
        backups
    });
    drop(vault);
    drop(runtime);
    thread.join();

    let mut last_commit = 0;
    for path in backups {
        let backup = Backup::read(&path, &cheap().1).unwrap();
        assert!(backup.commit > last_commit);
        last_commit = backup.commit;
        let (_, mut store) = Sample::new();
        let numbers = store.restore(backup).unwrap();
        let seen: Vec<_> = numbers
            .into_iter()
            .map(|number| {
                let (own, passkeys) = ceilings(&store, number);
                assert_eq!(passkeys, [own], "they were changed together");
                own
            })
            .collect();
        for pair in seen.chunks(2) {
            assert!(pair[0] == pair[1] || pair[0] == pair[1] + 1, "{seen:?}");
        }
    }
}

#[test]
fn backup_ends_with_the_vault_and_leaves_nothing() {
    let scratch = Scratch::new("ends");
    let open = open_vault();
    let mut store = open.store;
    store
        .add_key("a", profile(), 1, &Default::default())
        .unwrap();
    let frozen = store.freeze().unwrap();
    drop(store);
    let ended = file::write(&frozen, &scratch.file("b.age"), &cheap().0, 1);
    assert_eq!(ended, Err(VaultError::Closed));
    assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 0);
}

#[test]
fn vault_is_not_compacted_under_a_backup() {
    let mut open = open_vault();
    let store = open.store_mut();
    let number = store
        .add_key("a", profile(), 1, &Default::default())
        .unwrap();
    let frozen = store.freeze().unwrap();
    assert_eq!(store.compact(), Ok(false));
    put(store, number, [counter(9)]);
    drop(frozen);
    assert_eq!(store.compact(), Ok(true));
}
