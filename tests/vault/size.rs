//! The file gives its space back without being asked.

use std::{fs, thread, time::Duration};

use roamkey::vault::{KeyNumber, KeyVault as _, OpenVault, unlock::Unlock};
use roamkey_ctap::{Change, ChangeSet, Place, Record};
use tokio::runtime::Builder;

use super::served::{CREATED, Directory, default_profile, open, state_of};

/// As many bytes as a key's large blobs may have.
const BLOB_LEN: usize = 16 << 10;
const PAIRS: usize = 600;
/// How long the vault may take to come to it, in tenths of a second.
const PATIENCE: usize = 200;

#[test]
fn file_stays_within_twice_what_is_in_it_and_a_mebibyte() {
    let directory = Directory::new("size");
    let path = directory.file("vault.redb");
    let key_file = Unlock::KeyFile(format!("{}.key", path.display()).into());
    let vault = OpenVault::create_in(&path, &state_of(&path), &key_file, CREATED);
    let mut vault = vault.expect("a new vault");
    let names = ["a", "b", "c", "d"];
    for name in names {
        let made = vault
            .store_mut()
            .add_key(name, default_profile(), CREATED, &Default::default());
        made.expect("a key");
    }
    let live = vault.store().live_bytes();
    let (vault, worker) = vault.serve().expect("a thread");
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    let numbers = 1..=u32::try_from(names.len()).expect("few");
    let mut keys: Vec<_> = numbers.map(|number| vault.key(KeyNumber(number))).collect();
    let mut longest = 0;
    for _ in 0..PAIRS {
        for change in [
            Change::Put(Record::LargeBlobs(vec![7; BLOB_LEN])),
            Change::Delete(Place::LargeBlobs),
        ] {
            // All of them wait together.
            let commits = keys.iter_mut().map(|key| {
                let set = ChangeSet::from_iter([change.clone()]);
                key.commit(set)
            });
            for commit in commits.collect::<Vec<_>>() {
                runtime.block_on(commit).expect("it is stored");
            }
        }
        longest = longest.max(fs::metadata(&path).expect("the file").len());
    }
    let limit = 2 * live + (1 << 20);
    println!("{live} bytes live, {longest} at most, {limit} allowed");
    // Many times as much was written as may stay.
    let written = PAIRS * names.len() * BLOB_LEN;
    assert!(u64::try_from(written).expect("a number") > 10 * limit);
    let length = || fs::metadata(&path).expect("the file").len();
    let soon = (0..PATIENCE).any(|_| {
        thread::sleep(Duration::from_millis(100));
        length() <= limit
    });
    assert!(soon, "{} bytes, and {limit} allowed", length());
    drop(keys);
    drop(vault);
    worker.join();
    assert_eq!(
        open(&path).store().live_bytes(),
        live,
        "nothing is left over"
    );
}
