//! Slots as a whole: what opens them, what does not, and what is left of them.

#[cfg(target_os = "linux")]
mod session;

use std::{env, fs, process};

use super::*;

const FAST: Argon2Params = Argon2Params {
    memory_kib: 32,
    iterations: 1,
    parallelism: 1,
};
const CREATED: u64 = 1_795_536_000;

fn vault(number: u8) -> VaultId {
    VaultId::from([number; 16])
}

fn data_key() -> SealingKey {
    SealingKey::from_slice(&[0xda; 32]).expect("32 bytes")
}

fn passphrase(text: &str) -> Unlock {
    Unlock::Passphrase(Passphrase::new(Zeroizing::new(text.into())))
}

fn create(id: u32, with: &Unlock) -> Result<Slot, UnlockError> {
    Slot::create_at(id, CREATED, &vault(1), &data_key(), with, || Ok(FAST))
}

/// `None` if the slot opens to the right data key.
fn error(slot: &Slot, vault: &VaultId, with: &Unlock) -> Option<UnlockError> {
    match slot.open(vault, with) {
        Ok(key) => {
            assert!(key == data_key(), "it opens to another key");
            None
        }
        Err(why) => Some(why),
    }
}

/// As it comes out of a file.
fn stored(slot: &Slot) -> Slot {
    let mut bytes = Vec::new();
    ciborium::into_writer(slot, &mut bytes).expect("CBOR");
    ciborium::from_reader(bytes.as_slice()).expect("a slot")
}

/// A directory that is gone with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let name = format!("roamkey-unlock-{}-{name}", process::id());
        let path = env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn key_file(path: &Path) -> Unlock {
    Unlock::KeyFile(path.into())
}

fn why(error: Option<UnlockError>) -> Option<KeyFileError> {
    let error = error?;
    let UnlockError::KeyFile { why, .. } = error else {
        panic!("{error}");
    };
    Some(why)
}

#[test]
fn right_passphrase_opens_and_no_other() {
    let slot = stored(&create(1, &passphrase("correct horse")).expect("a slot"));
    assert_eq!(error(&slot, &vault(1), &passphrase("correct horse")), None);
    for wrong in ["correct horsf", "Correct horse", "correct horse ", "x"] {
        let error = error(&slot, &vault(1), &passphrase(wrong));
        assert_eq!(error, Some(UnlockError::WrongPassphrase), "{wrong}");
    }
    let error = error(&slot, &vault(1), &passphrase(""));
    assert_eq!(error, Some(UnlockError::EmptyPassphrase));
}

#[test]
fn weak_passphrase_makes_no_slot() {
    let refused = |text| create(1, &passphrase(text)).err();
    assert_eq!(refused(""), Some(UnlockError::EmptyPassphrase));
    assert_eq!(refused("seven77"), Some(UnlockError::ShortPassphrase));
}

#[test]
fn cost_of_a_new_passphrase_is_measured() {
    let with = passphrase("correct horse");
    let slot = Slot::create(1, CREATED, &vault(1), &data_key(), &with);
    let slot = slot.expect("a slot");
    let Method::Passphrase { params, .. } = &slot.method else {
        panic!("{:?}", slot.method);
    };
    assert!(params.memory_kib >= 64 * 1024, "{params:?}");
    assert_eq!(error(&slot, &vault(1), &with), None);
}

#[test]
fn right_recovery_code_opens_and_no_other() {
    let code = RecoveryCode::random().expect("randomness");
    let with = Unlock::RecoveryCode(code.clone());
    let slot = stored(&create(1, &with).expect("a slot"));
    let typed = RecoveryCode::parse(&code.to_string().to_lowercase());
    let typed = Unlock::RecoveryCode(typed.expect("a code"));
    assert_eq!(error(&slot, &vault(1), &typed), None);
    let other = Unlock::RecoveryCode(RecoveryCode::random().expect("randomness"));
    let wrong = Some(UnlockError::WrongRecoveryCode);
    assert_eq!(error(&slot, &vault(1), &other), wrong);
    assert_eq!(error(&slot, &vault(2), &with), wrong, "another vault");
}

#[test]
fn slot_of_another_kind_says_what_it_wants() {
    let code = Unlock::RecoveryCode(RecoveryCode::random().expect("randomness"));
    let slots = [create(1, &passphrase("correct horse")), create(2, &code)];
    for slot in slots.into_iter().flatten() {
        for with in [
            passphrase("correct horse"),
            Unlock::Keyring,
            key_file(Path::new("x")),
        ] {
            if with.kind() != slot.kind() {
                let wanted = Some(UnlockError::WrongKind {
                    wanted: slot.kind(),
                    brought: with.kind(),
                });
                assert_eq!(error(&slot, &vault(1), &with), wanted);
            }
        }
    }
}

/// Changes one thing in a slot.
type Tamper = fn(&mut Slot);

#[test]
fn slot_that_was_changed_anywhere_does_not_open() {
    let with = passphrase("correct horse");
    let slot = create(1, &with).expect("a slot");
    let cases: [(&str, Tamper); 9] = [
        ("id", |slot| slot.id = 2),
        ("created", |slot| slot.created += 1),
        ("memory", |slot| params(slot).memory_kib += 8),
        ("iterations", |slot| params(slot).iterations += 1),
        ("parallelism", |slot| params(slot).parallelism += 1),
        ("salt", |slot| {
            if let Method::Passphrase { salt, .. } = &mut slot.method {
                salt[15] ^= 1;
            }
        }),
        ("wrapped", |slot| slot.wrapped[0] ^= 1),
        ("tag", |slot| *slot.wrapped.last_mut().expect("a tag") ^= 1),
        ("length", |slot| slot.wrapped.clear()),
    ];
    for (name, tamper) in cases {
        let mut slot = stored(&slot);
        tamper(&mut slot);
        let error = error(&slot, &vault(1), &with);
        assert_eq!(error, Some(UnlockError::WrongPassphrase), "{name}");
    }
    let error = error(&slot, &vault(2), &with);
    assert_eq!(error, Some(UnlockError::WrongPassphrase), "another vault");
}

fn params(slot: &mut Slot) -> &mut Argon2Params {
    let Method::Passphrase { params, .. } = &mut slot.method else {
        panic!("no passphrase");
    };
    params
}

#[test]
fn what_a_slot_says_is_bound_each_part_for_itself() {
    // The same secret for all: only what is bound differs.
    let said = |id, created, method| {
        let wrapped = Vec::new();
        let slot = Slot {
            id,
            created,
            method,
            wrapped,
        };
        slot.binding(&vault(1))
    };
    let keyring = |service: &str, account: &str| Method::Keyring {
        service: service.into(),
        account: account.into(),
    };
    let stretched = |memory_kib, iterations, parallelism, salt| {
        let params = Argon2Params {
            memory_kib,
            iterations,
            parallelism,
        };
        Method::Passphrase {
            params,
            salt: [salt; SALT_LEN],
        }
    };
    let path = |path: &str| Method::KeyFile { path: path.into() };
    let mut all = vec![
        said(1, 2, Method::RecoveryCode),
        said(2, 1, Method::RecoveryCode),
        said(1, 3, Method::RecoveryCode),
        said(1, 2, path("/a")),
        said(1, 2, path("/b")),
        said(1, 2, path("")),
        said(1, 2, keyring("ab", "c")),
        said(1, 2, keyring("a", "bc")),
        said(1, 2, keyring("", "abc")),
        said(1, 2, stretched(1, 2, 3, 4)),
        said(1, 2, stretched(2, 2, 3, 4)),
        said(1, 2, stretched(1, 3, 3, 4)),
        said(1, 2, stretched(1, 2, 4, 4)),
        said(1, 2, stretched(1, 2, 3, 5)),
    ];
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), count);
}

#[test]
fn stored_cost_out_of_bounds_is_refused() {
    let with = passphrase("correct horse");
    let mut slot = create(1, &with).expect("a slot");
    params(&mut slot).memory_kib = u32::MAX;
    let error = error(&slot, &vault(1), &with).expect("an error");
    assert!(error.to_string().contains("memory_kib"), "{error}");
}

#[test]
fn key_file_opens_until_it_is_forgotten() {
    let scratch = Scratch::new("opens");
    let path = scratch.file("key");
    let slot = stored(&create(3, &key_file(&path)).expect("a slot"));
    assert_eq!(error(&slot, &vault(1), &key_file(&path)), None);

    let text = fs::read_to_string(&path).expect("text");
    let title = format!("# roamkey key file for vault {}\n", vault(1));
    assert!(text.starts_with(&title), "{text}");
    let copy = scratch.file("copy");
    fs::copy(&path, &copy).expect("a copy");
    assert_eq!(error(&slot, &vault(1), &key_file(&copy)), None);

    slot.forget(&vault(1)).expect("removed");
    assert!(!path.exists());
    let missing = why(error(&slot, &vault(1), &key_file(&path)));
    assert_eq!(missing, Some(KeyFileError::Missing));
    slot.forget(&vault(1)).expect("nothing left to remove");
    assert_eq!(error(&slot, &vault(1), &key_file(&copy)), None);
}

#[cfg(unix)]
#[test]
fn key_file_is_its_owners_alone_and_opens_when_it_is_not() {
    use std::os::unix::fs::PermissionsExt;

    let scratch = Scratch::new("mode");
    let path = scratch.file("key");
    let slot = create(3, &key_file(&path)).expect("a slot");
    let mode = fs::metadata(&path).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("shared");
    assert_eq!(error(&slot, &vault(1), &key_file(&path)), None);
}

#[test]
fn key_file_never_overwrites() {
    let scratch = Scratch::new("exists");
    let path = scratch.file("key");
    fs::write(&path, "precious").expect("a file");
    let refused = why(create(3, &key_file(&path)).err());
    assert_eq!(refused, Some(KeyFileError::Exists));
    assert_eq!(fs::read_to_string(&path).expect("text"), "precious");
    let refused = why(create(3, &key_file(&scratch.file("no/key"))).err());
    assert_eq!(refused, Some(KeyFileError::Missing));
}

#[test]
fn wrong_key_file_says_what_is_wrong() {
    let scratch = Scratch::new("wrong");
    let path = scratch.file("key");
    let slot = create(3, &key_file(&path)).expect("a slot");
    let said = |name: &str, text: &[u8]| {
        let path = scratch.file(name);
        fs::write(&path, text).expect("a file");
        why(error(&slot, &vault(1), &key_file(&path)))
    };
    let text = fs::read_to_string(&path).expect("text");
    let not = Some(KeyFileError::NotKeyFile);
    assert_eq!(said("empty", b""), not);
    assert_eq!(said("binary", &[0xff; 100]), not);
    assert_eq!(said("cut", &text.as_bytes()[..text.len() - 3]), not);
    assert_eq!(said("long", text.repeat(40).as_bytes()), not);
    let padded = format!("{text}{}", "\n".repeat(4097));
    assert_eq!(said("padded", padded.as_bytes()), not);

    let theirs = scratch.file("theirs");
    let with = key_file(&theirs);
    let other = Slot::create(1, CREATED, &vault(2), &data_key(), &with);
    assert_eq!(error(&other.expect("a slot"), &vault(2), &with), None);
    let other = why(error(&slot, &vault(1), &with));
    assert_eq!(other, Some(KeyFileError::OtherVault(vault(2))));

    let twin = scratch.file("twin");
    create(4, &key_file(&twin)).expect("a slot");
    let wrong = why(error(&slot, &vault(1), &key_file(&twin)));
    assert_eq!(wrong, Some(KeyFileError::Wrong), "another slot's");
}

#[test]
fn key_file_of_another_slot_is_not_removed() {
    let scratch = Scratch::new("forget");
    let path = scratch.file("key");
    let slot = create(3, &key_file(&path)).expect("a slot");
    for other in ["twin", "text", "directory"] {
        fs::remove_file(&path).expect("removed");
        match other {
            "twin" => drop(create(4, &key_file(&path)).expect("a slot")),
            "text" => fs::write(&path, "precious").expect("a file"),
            _ => fs::create_dir(&path).expect("a directory"),
        }
        slot.forget(&vault(1)).expect("left alone");
        assert!(path.exists(), "{other}");
    }
}

#[test]
fn keyring_slot_that_names_another_programs_entry_is_refused() {
    let method = |service: &str, account: String| Method::Keyring {
        service: service.into(),
        account,
    };
    let ours = keyring::account(&vault(1), 1, CREATED);
    let methods = [
        method("browser", ours.clone()),
        method(keyring::SERVICE, "alice".into()),
        method(keyring::SERVICE, keyring::account(&vault(2), 1, CREATED)),
        method(keyring::SERVICE, keyring::account(&vault(1), 2, CREATED)),
    ];
    for method in methods {
        let slot = Slot {
            id: 1,
            created: CREATED,
            method,
            wrapped: Vec::new(),
        };
        let not_ours = UnlockError::Keyring(KeyringError::NotOurs);
        let opened = error(&slot, &vault(1), &Unlock::Keyring);
        assert_eq!(opened.as_ref(), Some(&not_ours), "{:?}", slot.method);
        assert_eq!(slot.forget(&vault(1)), Err(not_ours), "{:?}", slot.method);
    }
}
