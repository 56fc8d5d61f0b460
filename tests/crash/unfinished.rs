//! What a creation that was cut short leaves, put together by hand.

use std::{fs, path::PathBuf};

use roamkey::vault::{
    LockedVault, OpenVault, StoredProfile, VaultError, VaultId,
    unlock::{KeyFileError, Passphrase, Unlock, UnlockError},
};

use super::process::{Home, KEY_FILE, UNFINISHED};

const CREATED: u64 = 1_735_689_600;

fn state(home: &Home) -> PathBuf {
    home.path().join("state")
}

fn key_file(home: &Home) -> Unlock {
    Unlock::KeyFile(home.beside_vault(KEY_FILE))
}

fn create(home: &Home, with: &Unlock) -> Result<OpenVault, VaultError> {
    OpenVault::create_in(&home.vault(), &state(home), with, CREATED)
}

/// A vault that has no name yet, with its key file; and its key file's text.
fn unnamed(home: &Home, keys: usize) -> (VaultId, String) {
    let mut open = create(home, &key_file(home)).expect("a new vault");
    for number in 0..keys {
        let profile = StoredProfile {
            name: "default".to_owned(),
            text: None,
        };
        let made =
            open.store_mut()
                .add_key(&number.to_string(), profile, CREATED, &Default::default());
        made.expect("a key");
    }
    let vault = open.vault();
    drop(open);
    fs::rename(home.vault(), home.beside_vault(UNFINISHED)).expect("a vault");
    (vault, text(home))
}

fn text(home: &Home) -> String {
    fs::read_to_string(home.beside_vault(KEY_FILE)).expect("a key file")
}

fn refusal(outcome: Result<OpenVault, VaultError>) -> String {
    outcome.err().expect("a refusal").to_string()
}

fn exists(home: &Home) -> String {
    let error = UnlockError::KeyFile {
        path: home.beside_vault(KEY_FILE),
        why: KeyFileError::Exists,
    };
    VaultError::from(error).to_string()
}

#[test]
fn vault_that_lacks_its_name_alone_is_finished() {
    let home = Home::new();
    let (vault, key) = unnamed(&home, 0);
    let open = create(&home, &key_file(&home)).expect("a vault");
    assert_eq!(open.vault(), vault, "the same one");
    drop(open);
    assert_eq!(text(&home), key);
    assert!(!home.beside_vault(UNFINISHED).exists());
    let locked = LockedVault::open_in(&home.vault(), &state(&home)).expect("a vault");
    locked.unlock(&key_file(&home)).expect("its key file");
}

#[test]
fn vault_with_keys_under_the_temporary_name_is_left_alone() {
    let home = Home::new();
    let (_, key) = unnamed(&home, 1);
    assert_eq!(refusal(create(&home, &key_file(&home))), exists(&home));
    assert_eq!(text(&home), key);
    assert!(!home.vault().exists());
    // It is the copy of a vault that was in use, and still opens.
    fs::rename(home.beside_vault(UNFINISHED), home.vault()).expect("a vault");
    let locked = LockedVault::open_in(&home.vault(), &state(&home)).expect("a vault");
    let open = locked.unlock(&key_file(&home)).expect("its key file");
    assert_eq!(open.store().keys().expect("keys").len(), 1);
}

#[test]
fn key_file_of_another_vault_is_never_replaced() {
    let home = Home::new();
    let (_, key) = unnamed(&home, 0);
    fs::remove_file(home.beside_vault(UNFINISHED)).expect("a file");
    assert_eq!(refusal(create(&home, &key_file(&home))), exists(&home));
    let other = Home::new();
    unnamed(&other, 0);
    fs::copy(
        other.beside_vault(UNFINISHED),
        home.beside_vault(UNFINISHED),
    )
    .expect("a file");
    assert_eq!(refusal(create(&home, &key_file(&home))), exists(&home));
    assert_eq!(text(&home), key);
    assert!(!home.vault().exists());
}

#[test]
fn key_file_with_nothing_in_it_is_replaced() {
    for blank in [&[][..], &[0; 300]] {
        let home = Home::new();
        let directory = home.vault();
        fs::create_dir_all(directory.parent().expect("a parent")).expect("a directory");
        fs::write(home.beside_vault(KEY_FILE), blank).expect("a file");
        drop(create(&home, &key_file(&home)).expect("a vault"));
        assert!(text(&home).starts_with("# roamkey key file"));
    }
}

#[test]
fn temporary_file_that_is_no_vault_is_replaced() {
    for rubbish in [&[][..], &[0x5a; 5000]] {
        let home = Home::new();
        let directory = home.vault();
        fs::create_dir_all(directory.parent().expect("a parent")).expect("a directory");
        fs::write(home.beside_vault(UNFINISHED), rubbish).expect("a file");
        drop(create(&home, &key_file(&home)).expect("a vault"));
        assert!(!home.beside_vault(UNFINISHED).exists());
    }
}

#[test]
fn another_way_to_unlock_begins_anew() {
    let home = Home::new();
    let (vault, key) = unnamed(&home, 0);
    let passphrase = Passphrase::new("correct horse".to_owned().into());
    let open = create(&home, &Unlock::Passphrase(passphrase)).expect("a vault");
    assert_ne!(open.vault(), vault);
    assert_eq!(text(&home), key);
}
