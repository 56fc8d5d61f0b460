//! Backups: what comes back of them, and what is refused.

mod lines;
mod served;

use std::fs;

use age::{secrecy::ExposeSecret as _, x25519};
use roamkey_ctap::Record;
use zeroize::Zeroizing;

use super::*;
use crate::vault::{
    Damage, Store,
    sample::{
        Sample, Scratch, VAULT, add_passkeys, ceilings, contents, counter, master, passkey_counter,
        pin, profile, put, retries,
    },
    unlock::Passphrase,
};

const RAISED: u32 = 65_536;

fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(Zeroizing::new(text.to_owned()))
}

fn cheap() -> (Protection, Opener) {
    let passphrase = passphrase("correct horse");
    (
        Protection::cheap(&passphrase),
        Opener::passphrase(&passphrase),
    )
}

/// Two keys, the second at number 3; the first has passkeys 1 to 3 and a PIN with 5 tries.
fn two_keys() -> (Sample, Store) {
    let (sample, mut store) = Sample::new();
    let work = store
        .add_key("work", profile(), 1, &Default::default())
        .unwrap();
    let gone = store
        .add_key("gone", profile(), 1, &Default::default())
        .unwrap();
    let mut own = profile();
    own.text = Some("# \"quoted\" \\ \u{1f511}\n".to_owned());
    store.add_key("home", own, 2, &Default::default()).unwrap();
    store.remove_key(gone).unwrap();
    add_passkeys(&mut store, work, 1..=3);
    put(
        &mut store,
        work,
        [counter(512), pin(5), Record::PinRetries(5)],
    );
    (sample, store)
}

fn write(store: &Store, path: &Path, protection: &Protection) -> Result<Written, VaultError> {
    file::write(&store.freeze().unwrap(), path, protection, 99)
}

/// The root certificate of a vault's authority.
fn root(store: &Store) -> Vec<u8> {
    let authority = store.attestation_authority().unwrap();
    authority.certificate().to_vec()
}

fn text(error: VaultError) -> String {
    let VaultError::Refused(text) = error else {
        panic!("{error:?}");
    };
    text
}

fn why<T>(result: Result<T, VaultError>) -> String {
    text(result.map(drop).unwrap_err())
}

/// A record as it is restored.
fn raised(record: &Record) -> Record {
    if let Record::Counter { ceiling } = record {
        return counter(ceiling + RAISED);
    }
    if let Record::CredentialCounter { id, ceiling } = record {
        let (id, ceiling) = (*id, ceiling + RAISED);
        return Record::CredentialCounter { id, ceiling };
    }
    record.clone()
}

#[test]
fn restored_vault_has_the_same_keys_with_raised_counters() {
    let scratch = Scratch::new("restored");
    let path = scratch.file("b.age");
    let (_, store) = two_keys();
    let (protection, opener) = cheap();
    let trusted = root(&store);
    let written = write(&store, &path, &protection).unwrap();
    assert_eq!((written.keys, written.records), (2, 11 + 3));
    assert_eq!(written.length, fs::metadata(&path).unwrap().len());
    assert_eq!(written.vault, VaultId::from(VAULT));

    let backup = Backup::read(&path, &opener).unwrap();
    assert_eq!((backup.commit, backup.created), (store.commits(), 99));
    let (sample, mut other) = Sample::new();
    let commits = other.commits();
    assert_ne!(root(&other), trusted);
    let numbers = other.restore(backup).unwrap();
    assert_eq!(other.commits(), commits + 1, "all at once");
    assert_eq!(numbers, store.numbers());
    drop(other);
    let other = sample.reopen().unwrap();
    assert_eq!(root(&other), trusted, "who trusted it still does");
    assert_eq!(other.keys().unwrap(), store.keys().unwrap());
    for number in numbers {
        let before = contents(&store, number).into_iter();
        let raised: Vec<_> = before.map(|record| raised(&record)).collect();
        assert!(contents(&other, number) == raised);
        assert!(other.check_key(number).unwrap().is_empty());
    }
    let first = store.numbers()[0];
    assert_eq!(
        ceilings(&other, first),
        (512 + RAISED, vec![256 + RAISED; 3])
    );
    assert_eq!(retries(&other, first), Some(5));
}

#[test]
fn restored_ceiling_ends_at_32_bits() {
    let scratch = Scratch::new("end");
    let path = scratch.file("b.age");
    let (_, mut store) = two_keys();
    let first = store.numbers()[0];
    put(
        &mut store,
        first,
        [counter(u32::MAX - 1), passkey_counter(1, u32::MAX)],
    );
    let (protection, opener) = cheap();
    write(&store, &path, &protection).unwrap();
    let (_, mut other) = Sample::new();
    other
        .restore(Backup::read(&path, &opener).unwrap())
        .unwrap();
    assert_eq!(
        ceilings(&other, first),
        (u32::MAX, vec![u32::MAX, 256 + RAISED, 256 + RAISED])
    );
}

#[test]
fn one_key_comes_back_beside_the_live_one_and_undoes_nothing_of_it() {
    let scratch = Scratch::new("one");
    let path = scratch.file("b.age");
    let (_, mut store) = two_keys();
    let first = store.numbers()[0];
    let (protection, opener) = cheap();
    write(&store, &path, &protection).unwrap();
    let read = || Backup::read(&path, &opener).unwrap();

    // Since then one counter has gone far, and the PIN was guessed at.
    put(
        &mut store,
        first,
        [passkey_counter(2, 200_000), Record::PinRetries(2)],
    );
    let before = contents(&store, first);
    let again = store.restore_key(read(), "work", "work again", 7).unwrap();
    assert!(contents(&store, first) == before);
    let expected = vec![256 + RAISED, 200_000, 256 + RAISED];
    assert_eq!(ceilings(&store, again), (512 + RAISED, expected));
    assert_eq!(retries(&store, again), Some(2));
    let (live, new) = (
        store.identity(first).unwrap(),
        store.identity(again).unwrap(),
    );
    assert!(live.id != new.id && live.serial != new.serial);
    assert_eq!((new.name.as_str(), new.created), ("work again", 7));
    assert!(contents(&store, again).contains(&pin(5)));

    // What is not there, or is there already.
    let unknown = store.restore_key(read(), "nobody", "x", 7).unwrap_err();
    assert!(unknown.to_string().contains("work, home"), "{unknown}");
    assert!(why(store.restore_key(read(), "work", "home", 7)).contains("already"));
    assert!(why(store.restore_key(read(), "work", " x", 7)).contains("name"));
    assert!(why(store.restore(read())).contains("--key NAME --as NEW"));

    // In another vault nothing of it is live.
    let (_, mut other) = Sample::new();
    let own = root(&other);
    let alone = other.restore_key(read(), "work", "work", 7).unwrap();
    assert_eq!(root(&other), own, "one key brings no authority");
    assert_eq!(
        ceilings(&other, alone),
        (512 + RAISED, vec![256 + RAISED; 3])
    );
    assert_eq!(retries(&other, alone), Some(5));
}

#[test]
fn recipients_open_it_and_others_do_not() {
    let scratch = Scratch::new("recipients");
    let path = scratch.file("b.age");
    let (_, store) = two_keys();
    let identities = [(); 3].map(|()| x25519::Identity::generate());
    let texts = identities
        .clone()
        .map(|identity| identity.to_public().to_string());
    let protection = Protection::recipients(texts[..2].iter().map(String::as_str)).unwrap();
    write(&store, &path, &protection).unwrap();
    assert!(!is_passphrase_protected(&path).unwrap());
    let file = |identity: &x25519::Identity| {
        let secret = identity.to_string();
        let text = format!("# created\n\n{}\r\n", secret.expose_secret());
        Opener::identities(&text).unwrap()
    };
    for identity in &identities[..2] {
        let backup = Backup::read(&path, &file(identity)).unwrap();
        assert_eq!(backup.keys().count(), 2);
    }
    let wrong = why(Backup::read(&path, &file(&identities[2])));
    assert!(wrong.contains("none of the identities"), "{wrong}");
    let kind = why(Backup::read(&path, &cheap().1));
    assert!(kind.contains("--identity-file"), "{kind}");

    let refused = Protection::recipients(["ssh-ed25519 AAAA"]).map(drop);
    assert!(matches!(refused, Err(BackupError::Recipient(_))));
    let refused = Protection::recipients([]).map(drop);
    assert_eq!(refused, Err(BackupError::NoRecipients));
    let refused = Opener::identities("# a\nAGE-SECRET-KEY-1GEHEIM\n").map(drop);
    assert_eq!(refused, Err(BackupError::Identities(Some(2))));
    let refused = Opener::identities("# a\n").map(drop);
    assert_eq!(refused, Err(BackupError::Identities(None)));
}

#[test]
fn wrong_passphrase_and_wrong_kind_are_refused() {
    let scratch = Scratch::new("passphrase");
    let path = scratch.file("b.age");
    let (_, store) = two_keys();
    write(&store, &path, &cheap().0).unwrap();
    assert!(is_passphrase_protected(&path).unwrap());
    let wrong = Opener::passphrase(&passphrase("wrong horse"));
    assert!(why(Backup::read(&path, &wrong)).contains("the passphrase is wrong"));
    let identity = x25519::Identity::generate().to_string();
    let identity = Opener::identities(identity.expose_secret()).unwrap();
    let kind = why(Backup::read(&path, &identity));
    assert!(kind.contains("--backup-passphrase-file"), "{kind}");
    assert!(why(Protection::passphrase(&passphrase("short"))).contains("8 characters"));
}

#[test]
fn too_much_stretching_is_refused_before_it_is_done() {
    let scratch = Scratch::new("work");
    let path = scratch.file("b.age");
    let (_, store) = two_keys();
    let (protection, opener) = cheap();
    write(&store, &path, &protection).unwrap();
    let bytes = fs::read(&path).unwrap();
    let end = bytes.windows(3).position(|part| part == b" 2\n").unwrap();
    let more = [&bytes[..=end], b"40", &bytes[end + 2..]].concat();
    fs::write(&path, more).unwrap();
    assert!(why(Backup::read(&path, &opener)).contains("2^40"));
}

#[test]
fn cut_or_changed_file_is_refused() {
    let scratch = Scratch::new("cut");
    let (path, harmed) = (scratch.file("b.age"), scratch.file("harmed.age"));
    let (_, mut store) = two_keys();
    let first = store.numbers()[0];
    // Several of age's chunks of 64 KiB.
    add_passkeys(&mut store, first, 1..=200);
    let identity = x25519::Identity::generate();
    let protection = Protection::recipients([identity.to_public().to_string().as_str()]);
    write(&store, &path, &protection.unwrap()).unwrap();
    let opener = Opener::identities(identity.to_string().expose_secret()).unwrap();
    let bytes = fs::read(&path).unwrap();
    assert!(bytes.len() > 2 * 65_536, "{}", bytes.len());
    let chunks = (0..3).flat_map(|chunk| {
        let start = bytes.len() - bytes.len() % 65_552 - chunk * 65_552;
        start.saturating_sub(20)..start + 20
    });
    let ends = (0..600).chain(bytes.len() - 40..bytes.len());
    let places = ends.chain(chunks).chain((600..bytes.len()).step_by(4_001));
    for end in places.filter(|end| *end < bytes.len()) {
        fs::write(&harmed, &bytes[..end]).unwrap();
        let said = why(Backup::read(&harmed, &opener));
        let known = ["cut or changed", "no age file", "not whole"];
        assert!(
            known.iter().any(|known| said.contains(known)),
            "{end}: {said}"
        );
    }
    for at in (0..bytes.len()).step_by(1_999).chain(0..500) {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        fs::write(&harmed, &changed).unwrap();
        why(Backup::read(&harmed, &opener));
    }
    fs::write(&harmed, [&bytes[..], b"\n"].concat()).unwrap();
    why(Backup::read(&harmed, &opener));
    for other in [
        &b""[..],
        b"roamkey",
        &[0; 5_000],
        b"-----BEGIN AGE ENCRYPTED FILE-----\n",
    ] {
        fs::write(&harmed, other).unwrap();
        assert!(why(Backup::read(&harmed, &opener)).contains("no age file"));
        assert!(why(is_passphrase_protected(&harmed)).contains("no age file"));
    }
}

#[test]
fn file_that_is_there_stays_and_nothing_is_left_beside_it() {
    let scratch = Scratch::new("there");
    let (_, store) = two_keys();
    let path = scratch.file("b.age");
    fs::write(&path, "precious").unwrap();
    let taken = write(&store, &path, &cheap().0).unwrap_err();
    assert_eq!(taken, VaultError::Exists(path.clone()));
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 1);

    let nowhere = write(&store, &scratch.file("none/b.age"), &cheap().0);
    assert!(why(nowhere).contains("no directory"));
    write(&store, &scratch.file("c.age"), &cheap().0).unwrap();
    assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 2, "no draft");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(scratch.file("c.age"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn damaged_or_impossible_key_makes_no_backup() {
    let scratch = Scratch::new("impossible");
    let (_, mut store) = two_keys();
    let first = store.numbers()[0];
    // A counter of no passkey: what comes back would be no key.
    put(&mut store, first, [passkey_counter(77, 5)]);
    let said = write(&store, &scratch.file("b.age"), &cheap().0).unwrap_err();
    assert!(
        matches!(&said, VaultError::Damaged(Damage::Incomplete { key, .. }) if key == "work"),
        "{said}"
    );
    assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 0);
}

#[test]
fn master_secret_is_in_the_file_only_when_it_is_decrypted() {
    let scratch = Scratch::new("master");
    let path = scratch.file("b.age");
    let (_, mut store) = two_keys();
    let first = store.numbers()[0];
    put(&mut store, first, [master(0xab)]);
    let (protection, _) = cheap();
    write(&store, &path, &protection).unwrap();
    let bytes = fs::read(&path).unwrap();
    for part in [&[0xab; 32][..], b"abababab", b"site-1.example", b"work"] {
        assert!(!bytes.windows(part.len()).any(|found| found == part));
    }
    let frozen = store.freeze().unwrap();
    let (text, _) = format::write(&frozen, 99, Vec::new()).ok().unwrap();
    let text = String::from_utf8(text).unwrap();
    let wanted = format!(
        "{{\"record\":{{\"Master\":{{\"hex\":\"{}\"}}}}}}",
        "ab".repeat(32)
    );
    assert!(text.contains(&wanted), "{text}");
}
