//! Passkeys that come with their keys, that are changed, and that go out.

use zeroize::Zeroizing;

use super::{
    keys::{BARE, KEYS, OTHERS},
    *,
};
use crate::{limits::MAX_BLOB_LEN, profile::Extension};

fn hex(text: &str) -> Zeroizing<Vec<u8>> {
    let byte = |digits: &[u8]| {
        let digits = std::str::from_utf8(digits).expect("ASCII");
        u8::from_str_radix(digits, 16).expect("hexadecimal")
    };
    Zeroizing::new(text.as_bytes().chunks(2).map(byte).collect())
}

fn account(id: &[u8]) -> User {
    User {
        id: id.to_vec(),
        name: None,
        display_name: None,
    }
}

fn new() -> NewPasskey {
    NewPasskey::new("example.com".to_owned(), account(b"alice"), hex(KEYS[0].1))
}

fn exportable() -> Profile {
    Profile {
        exportable: true,
        ..profile()
    }
}

/// Injects into the state, as its owner.
fn inject(state: &mut KeyState, rng: &mut Rng, new: NewPasskey) -> CredentialId {
    let profile = Profile {
        algorithms: Algorithm::ALL.to_vec(),
        ..profile()
    };
    let injected = state.inject(&profile, rng, new);
    let (id, set) = injected.unwrap_or_else(|why| panic!("{why}"));
    state.apply_admin(set);
    id
}

fn refusal(state: &KeyState, profile: &Profile, new: NewPasskey) -> Option<PasskeyRefusal> {
    let mut rng = Rng::from_seed([3; 32]);
    state.inject(profile, &mut rng, new).err()
}

#[test]
fn key_of_openssl_comes_in_and_goes_out_byte_for_byte() {
    let (mut state, mut rng) = key();
    for (algorithm, der, public_key) in KEYS {
        let rp_id = format!("{algorithm:?}.example");
        let new = NewPasskey::new(rp_id, account(b"alice"), hex(der));
        let id = inject(&mut state, &mut rng, new);
        let passkey = state.passkey(&id).expect("a passkey");
        assert_eq!(passkey.algorithm(), algorithm);
        let cose = passkey.public_key().expect("a key");
        let x = hex(public_key);
        // Each coordinate is a byte string of its own.
        let length = match algorithm {
            Algorithm::Es384 => 48,
            Algorithm::Es512 => 66,
            Algorithm::Rs256 => 256,
            Algorithm::Es256
            | Algorithm::EdDsa
            | Algorithm::Es256k
            | Algorithm::MlDsa44
            | Algorithm::MlDsa65 => 32,
        };
        for part in x.chunks(length) {
            assert!(cose.windows(part.len()).any(|window| window == part));
        }
        let out = passkey.private_key_pkcs8(&exportable());
        assert!(out == Ok(hex(der)), "{algorithm:?}");
        let kept = passkey.private_key_pkcs8(&profile()).err();
        assert_eq!(kept, Some(PasskeyRefusal::NotExportable));
    }
    assert_eq!(state.passkey_count(), KEYS.len());
}

#[test]
fn key_without_its_public_point_is_the_same_key() {
    let (mut state, mut rng) = key();
    let bare = NewPasskey {
        private_key: hex(BARE),
        ..new()
    };
    let id = inject(&mut state, &mut rng, bare);
    let out = state.passkey(&id).expect("a passkey");
    assert!(out.private_key_pkcs8(&exportable()) == Ok(hex(KEYS[0].1)));
}

#[test]
fn what_is_no_key_for_signing_is_refused() {
    let (state, _) = key();
    let with = |private_key| {
        let new = NewPasskey {
            private_key,
            ..new()
        };
        refusal(&state, &profile(), new)
    };
    for other in OTHERS {
        assert_eq!(with(hex(other)), Some(PasskeyRefusal::OtherKey));
    }
    let whole = hex(KEYS[0].1);
    for end in 0..whole.len() {
        let cut = Zeroizing::new(whole[..end].to_vec());
        assert_eq!(with(cut), Some(PasskeyRefusal::NotPkcs8), "{end}");
    }
    let mut longer = whole.clone();
    longer.push(0);
    assert_eq!(with(longer), Some(PasskeyRefusal::NotPkcs8));
    // Another public key beside it.
    let mut damaged = whole;
    *damaged.last_mut().expect("bytes") ^= 1;
    assert_eq!(with(damaged), Some(PasskeyRefusal::NotPkcs8));
    let only_eddsa = Profile {
        algorithms: vec![Algorithm::EdDsa],
        ..profile()
    };
    let refused = refusal(&state, &only_eddsa, new());
    assert_eq!(refused, Some(PasskeyRefusal::Algorithm(Algorithm::Es256)));
}

#[test]
fn injected_passkey_has_what_it_was_given() {
    let (mut state, mut rng) = key();
    let id = CredentialId::from([7; 64]);
    let given = NewPasskey {
        rp_name: Some("é".repeat(40)),
        user: User {
            id: vec![9; 64],
            name: Some("a".repeat(65)),
            display_name: Some("Alice".to_owned()),
        },
        id: Some(id.as_bytes().to_vec()),
        cred_protect: CredProtect::Required,
        cred_blob: Some(vec![1; 32]),
        large_blob_key: true,
        counter: 70_000,
        ..new()
    };
    assert_eq!(inject(&mut state, &mut rng, given), id);
    let passkey = state.passkey(&id).expect("a passkey");
    assert_eq!(passkey.rp_name(), Some("é".repeat(32).as_str()));
    assert_eq!(passkey.user().name, Some("a".repeat(64)));
    assert_eq!(passkey.cred_protect(), CredProtect::Required);
    assert_eq!(passkey.cred_blob_len(), Some(32));
    assert!(passkey.has_large_blob_key());
    assert!(!passkey.backup_eligible(&profile()));
    assert_eq!(passkey.counter_ceiling(), 70_000);
    let counter = state.credentials.counter_mut(&id).expect("a counter");
    // The next value needs a lease, and is the next one.
    assert_eq!(counter.take(), None);
    let mut lease = ChangeSet::default();
    let ceiling = counter.lease().expect("room");
    lease.put(Record::CredentialCounter { id, ceiling });
    state.apply(lease);
    let counter = state.credentials.counter_mut(&id).expect("a counter");
    assert_eq!(counter.take(), Some(70_001));
}

#[test]
fn injected_passkey_takes_the_accounts_old_ones_place() {
    let (mut state, mut rng) = key();
    let old = inject(&mut state, &mut rng, new());
    let full = Profile {
        max_discoverable_credentials: 1,
        ..profile()
    };
    let second = NewPasskey {
        user: account(b"bobby"),
        ..new()
    };
    assert_eq!(refusal(&state, &full, second), Some(PasskeyRefusal::Full));
    assert_eq!(refusal(&state, &full, new()), None);
    let newer = inject(&mut state, &mut rng, new());
    assert_ne!(newer, old);
    assert_eq!(state.passkey_count(), 1);
    // Under its own id, too.
    let again = NewPasskey {
        id: Some(newer.as_bytes().to_vec()),
        counter: 5,
        ..new()
    };
    assert_eq!(inject(&mut state, &mut rng, again), newer);
    assert_eq!(state.passkey_count(), 1);
    let passkey = state.passkey(&newer).expect("a passkey");
    assert_eq!(passkey.counter_ceiling(), 5);
    // But no other's.
    let thief = NewPasskey {
        id: Some(newer.as_bytes().to_vec()),
        user: account(b"bobby"),
        ..new()
    };
    let refused = refusal(&state, &profile(), thief);
    assert_eq!(refused, Some(PasskeyRefusal::IdTaken));
    let rp = RpIdHash::of("example.com");
    let (derived, _) = state.deriver.create(
        &mut rng,
        &rp,
        Algorithm::Es256,
        CredProtect::default(),
        Origin::Ctap2 {
            third_party_payment: false,
        },
    );
    let derived = NewPasskey {
        id: Some(derived.as_bytes().to_vec()),
        ..new()
    };
    let refused = refusal(&state, &profile(), derived);
    assert_eq!(refused, Some(PasskeyRefusal::IdTaken));
}

#[test]
fn passkey_beyond_the_limits_is_refused() {
    let (state, _) = key();
    let refused = |new| refusal(&state, &profile(), new);
    for id in [vec![], vec![0; 65]] {
        let new = NewPasskey {
            user: account(&id),
            ..new()
        };
        assert_eq!(refused(new), Some(PasskeyRefusal::UserId));
    }
    for rp_id in [String::new(), "a".repeat(7610)] {
        let new = NewPasskey { rp_id, ..new() };
        assert_eq!(refused(new), Some(PasskeyRefusal::RpId));
    }
    let blob = NewPasskey {
        cred_blob: Some(vec![0; 33]),
        ..new()
    };
    assert_eq!(refused(blob), Some(PasskeyRefusal::CredBlob { most: 32 }));
    let bare = Profile {
        extensions: [Extension::HmacSecret].into(),
        max_cred_blob_length: 0,
        ..profile()
    };
    let wants = |new| refusal(&state, &bare, new);
    assert_eq!(wants(new()), None);
    let protected = NewPasskey {
        cred_protect: CredProtect::OptionalWithList,
        ..new()
    };
    let missing = |name| Some(PasskeyRefusal::Extension(name));
    assert_eq!(wants(protected), missing("credProtect"));
    let with_blob = NewPasskey {
        cred_blob: Some(vec![]),
        ..new()
    };
    assert_eq!(wants(with_blob), missing("credBlob"));
    let with_key = NewPasskey {
        large_blob_key: true,
        ..new()
    };
    assert_eq!(wants(with_key), missing("largeBlobKey"));
    let none = Profile {
        max_discoverable_credentials: 0,
        ..profile()
    };
    let refused = refusal(&state, &none, new());
    assert_eq!(refused, Some(PasskeyRefusal::NotOffered));
}

#[test]
fn backup_state_needs_backup_eligible() {
    let (mut state, mut rng) = key();
    let synced = Profile {
        backup_eligible: true,
        backup_state: true,
        ..profile()
    };
    let with = |eligible, state| NewPasskey {
        backup_eligible: eligible,
        backup_state: state,
        ..new()
    };
    for (profile, eligible, backed_up, fits) in [
        (&profile(), None, Some(true), false),
        (&profile(), Some(false), Some(true), false),
        (&profile(), Some(true), Some(true), true),
        (&synced, None, Some(true), true),
        (&synced, Some(false), Some(true), false),
        (&synced, Some(false), None, true),
    ] {
        let refused = refusal(&state, profile, with(eligible, backed_up));
        let expected = (!fits).then_some(PasskeyRefusal::BackupState);
        assert_eq!(refused, expected, "{eligible:?} {backed_up:?}");
    }
    let id = inject(&mut state, &mut rng, with(Some(false), None));
    let passkey = state.passkey(&id).expect("a passkey");
    assert!(!passkey.backup_eligible(&synced) && !passkey.backup_state(&synced));
    let both = PasskeyEdit {
        backup_state: Some(true),
        ..PasskeyEdit::default()
    };
    let refused = state.edit_passkey(&profile(), &id, both.clone()).err();
    assert_eq!(refused, Some(PasskeyRefusal::BackupState));
    let both = PasskeyEdit {
        backup_eligible: Some(true),
        ..both
    };
    let set = state.edit_passkey(&profile(), &id, both);
    state.apply_admin(set.expect("an edit"));
    let passkey = state.passkey(&id).expect("a passkey");
    assert!(passkey.backup_eligible(&profile()) && passkey.backup_state(&profile()));
}

#[test]
fn edit_changes_what_it_names_and_nothing_else() {
    let (mut state, mut rng) = key();
    let id = add(&mut state, &mut rng, "example.com");
    let before = state.passkey(&id).expect("a passkey").credential().clone();
    let nothing = state.edit_passkey(&profile(), &id, PasskeyEdit::default());
    assert!(nothing.is_ok_and(|set| set.is_empty()));
    let edit = PasskeyEdit {
        display_name: Some(String::new()),
        user_id: Some(vec![3; 64]),
        counter: Some(0),
        ..PasskeyEdit::default()
    };
    let set = state.edit_passkey(&profile(), &id, edit).expect("an edit");
    let records = |set: &ChangeSet| set.clone().into_iter().count();
    assert_eq!(records(&set), 2);
    state.apply_admin(set);
    let passkey = state.passkey(&id).expect("a passkey");
    assert_eq!(passkey.counter_ceiling(), 0);
    let mut expected = before;
    expected.user.id = vec![3; 64];
    expected.user.display_name = None;
    assert!(*passkey.credential() == expected);
    // Its counter alone.
    let edit = PasskeyEdit {
        counter: Some(9),
        ..PasskeyEdit::default()
    };
    let set = state.edit_passkey(&profile(), &id, edit).expect("an edit");
    assert_eq!(records(&set), 1);
    state.apply_admin(set);
    assert_eq!(state.passkey(&id).expect("a passkey").counter_ceiling(), 9);
}

#[test]
fn edit_leaves_each_account_one_passkey() {
    let (mut state, mut rng) = key();
    let id = inject(&mut state, &mut rng, new());
    let bobby = NewPasskey {
        user: account(b"bobby"),
        ..new()
    };
    inject(&mut state, &mut rng, bobby);
    let refused = |user_id: &[u8]| {
        let edit = PasskeyEdit {
            user_id: Some(user_id.to_vec()),
            ..PasskeyEdit::default()
        };
        state.edit_passkey(&profile(), &id, edit).err()
    };
    assert_eq!(refused(b"bobby"), Some(PasskeyRefusal::AccountTaken));
    assert_eq!(refused(b"alice"), None);
    assert_eq!(refused(b""), Some(PasskeyRefusal::UserId));
    let other = CredentialId::random(&mut rng);
    let refused = state.edit_passkey(&profile(), &other, PasskeyEdit::default());
    assert_eq!(refused.err(), Some(PasskeyRefusal::NotFound));
}

#[test]
fn counter_that_was_set_to_zero_is_still_there_after_a_restart() {
    let mut rng = Rng::from_seed([9; 32]);
    let created = KeyState::create(&mut rng, 1_735_689_600, &Profile::default());
    let state = load(created.clone()).expect("a key");
    let zero = NewPasskey {
        counter: 0,
        ..new()
    };
    let (id, set) = state.inject(&profile(), &mut rng, zero).expect("it fits");
    let stored = created.into_iter().chain(set).collect();
    let state = load(stored).expect("a key with a passkey");
    assert_eq!(state.passkey(&id).expect("a passkey").counter_ceiling(), 0);
}

#[test]
fn blob_of_its_owner_has_an_end_however_well_it_is_packed() {
    let (mut state, mut rng) = key();
    let with_key = NewPasskey {
        large_blob_key: true,
        ..new()
    };
    let id = inject(&mut state, &mut rng, with_key);
    let longest = vec![0; MAX_BLOB_LEN];
    let stored = state.set_large_blob(&exportable(), &mut rng, &id, &longest);
    state.apply_admin(stored.expect("a few bytes, packed"));
    let read = state.large_blob(&exportable(), &id);
    assert_eq!(read.expect("it is exportable"), Some(longest));
    let too_long = vec![0; MAX_BLOB_LEN + 1];
    let refused = state.set_large_blob(&exportable(), &mut rng, &id, &too_long);
    let most = exportable().max_serialized_large_blob_array;
    assert_eq!(refused.err(), Some(PasskeyRefusal::LargeBlob { most }));
}
