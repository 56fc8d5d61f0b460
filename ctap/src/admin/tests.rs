mod keys;
mod passkeys;

use rand_core::SeedableRng;

use super::*;
use crate::{
    credential::{Algorithm, CredProtect, CredRandom, Credential, Origin, RpIdHash, User},
    crypto::{KeyBytes, PrivateKey},
    pin::MAX_PIN_RETRIES,
    profile::Profile,
    state::{Change, Config, LoadError},
};

/// A new key, and the generator that it came from.
fn key() -> (KeyState, Rng) {
    let mut rng = Rng::from_seed([9; 32]);
    let state = load(KeyState::create(&mut rng, 1_735_689_600, &profile())).expect("a key");
    (state, rng)
}

fn load(set: ChangeSet) -> Result<KeyState, LoadError> {
    KeyState::load(set.into_iter().filter_map(|change| match change {
        Change::Put(record) => Some(record),
        Change::Delete(_) => None,
    }))
}

/// Registers a passkey for an RP.
fn add(state: &mut KeyState, rng: &mut Rng, rp_id: &str) -> CredentialId {
    let private_key = PrivateKey::random(Algorithm::Es256, rng);
    let credential = Credential {
        id: CredentialId::random(rng),
        rp_id: rp_id.to_owned(),
        rp_name: None,
        user: User {
            id: vec![1, 2],
            name: Some("alice".to_owned()),
            display_name: Some("Alice".to_owned()),
        },
        algorithm: Algorithm::Es256,
        private_key: KeyBytes::new(private_key.to_bytes()),
        cred_protect: CredProtect::Required,
        cred_random: CredRandom::random(rng),
        cred_blob: Some(vec![0; 5]),
        large_blob_key: None,
        sequence: state.credentials.next_sequence(),
        discoverable: true,
        third_party_payment: false,
        backup_eligible: None,
        backup_state: None,
        foreign_id: None,
        rp_id_hash: None,
    };
    let id = credential.id;
    let mut set = ChangeSet::default();
    set.put(Record::Credential(Box::new(credential)));
    set.put(Record::CredentialCounter { id, ceiling: 256 });
    state.apply(set);
    id
}

fn profile() -> Profile {
    Profile::default()
}

#[test]
fn passkeys_are_seen_oldest_first_with_their_public_keys() {
    let (mut state, mut rng) = key();
    let ids = ["b.example", "a.example", "c.example"].map(|rp| add(&mut state, &mut rng, rp));
    let passkeys = state.passkeys();
    let seen: Vec<_> = passkeys.iter().map(|passkey| *passkey.id()).collect();
    assert_eq!(seen, ids);
    assert_eq!(state.passkey_count(), 3);
    let [first, ..] = passkeys.as_slice() else {
        panic!("three passkeys");
    };
    assert_eq!(first.rp_id(), "b.example");
    assert_eq!(first.counter_ceiling(), 256);
    assert_eq!(first.cred_blob_len(), Some(5));
    let cose = first.public_key().expect("a key");
    // A map of five, kty EC2, alg ES256, crv P-256.
    assert_eq!(cose[..7], [0xa5, 1, 2, 3, 0x26, 0x20, 1]);
    assert_eq!(cose.len(), 77);
}

#[test]
fn renamed_passkey_keeps_its_key_and_counter() {
    let (mut state, mut rng) = key();
    let id = add(&mut state, &mut rng, "example.com");
    let before = state.passkeys()[0].public_key();
    let long = "é".repeat(40);
    let set = state.rename_passkey(&id, Some(long), Some(String::new()));
    state.apply(set.expect("a passkey"));
    let passkeys = state.passkeys();
    let user = passkeys[0].user();
    assert_eq!(user.name.as_deref(), Some("é".repeat(32).as_str()));
    assert_eq!(user.display_name, None);
    assert_eq!(user.id, [1, 2]);
    assert_eq!(passkeys[0].public_key(), before);
    assert_eq!(passkeys[0].counter_ceiling(), 256);
    let other = CredentialId::random(&mut rng);
    assert!(state.rename_passkey(&other, None, None).is_none());
}

#[test]
fn deleted_passkey_leaves_no_counter() {
    let (mut state, mut rng) = key();
    let id = add(&mut state, &mut rng, "example.com");
    let kept = add(&mut state, &mut rng, "example.org");
    let set = state.delete_passkey(&id);
    let places: Vec<_> = set.clone().into_iter().collect();
    assert!(places.contains(&Change::Delete(Place::Credential(id))));
    assert!(places.contains(&Change::Delete(Place::CredentialCounter(id))));
    state.apply(set);
    assert_eq!(state.passkeys()[0].id(), &kept);
}

#[test]
fn wiped_key_keeps_its_counter_and_attestation() {
    let (mut state, mut rng) = key();
    add(&mut state, &mut rng, "example.com");
    state.apply(state.set_pin(&profile(), "1234").expect("a PIN"));
    let mut lease = ChangeSet::default();
    lease.put(Record::Counter { ceiling: 512 });
    state.apply(lease);
    let attestation = state.attestation.clone();
    state.apply(state.wipe(&mut rng));
    assert_eq!(state.passkey_count(), 0);
    let pin = state.pin_status(&profile());
    assert!(!pin.is_set && pin.retries == MAX_PIN_RETRIES);
    assert_eq!(state.counter.ceiling(), 512);
    assert!(state.attestation == attestation);
}

#[test]
fn raised_counters_stay_in_their_32_bits() {
    let (mut state, mut rng) = key();
    let id = add(&mut state, &mut rng, "example.com");
    state.apply(state.raise_counters(65_536));
    assert_eq!(state.counter.ceiling(), 65_536);
    assert_eq!(state.passkeys()[0].counter_ceiling(), 256 + 65_536);
    let mut last = ChangeSet::default();
    last.put(Record::CredentialCounter {
        id,
        ceiling: u32::MAX - 1,
    });
    state.apply(last);
    state.apply(state.raise_counters(65_536));
    assert_eq!(state.passkeys()[0].counter_ceiling(), u32::MAX);
}

#[test]
fn pin_is_held_against_the_rules() {
    let (mut state, _) = key();
    let refusal = |state: &KeyState, pin: &str| state.set_pin(&profile(), pin).err();
    let least = profile().min_pin_length;
    assert_eq!(refusal(&state, "123"), Some(PinRefusal::TooShort { least }));
    assert_eq!(refusal(&state, &"1".repeat(64)), Some(PinRefusal::TooLong));
    assert_eq!(refusal(&state, "12345\0"), Some(PinRefusal::EndsWithZero));
    assert_eq!(refusal(&state, &"1".repeat(63)), None);
    assert_eq!(refusal(&state, "ÄÖÜß"), None, "four code points");
    state.apply(state.set_pin(&profile(), "1234").expect("a PIN"));
    assert_eq!(refusal(&state, "5678"), Some(PinRefusal::Set));
    assert!(state.pin_is("1234") && !state.pin_is("1235"));
    let without = Profile {
        client_pin: false,
        ..profile()
    };
    let refused = state.spend_pin_attempt(&without).err();
    assert_eq!(refused, Some(PinRefusal::NotOffered));
    let refused = state.set_pin(&without, "1234").err();
    assert_eq!(refused, Some(PinRefusal::NotOffered));
}

#[test]
fn attempts_are_spent_until_none_is_left() {
    let (mut state, _) = key();
    let refused = state.spend_pin_attempt(&profile()).err();
    assert_eq!(refused, Some(PinRefusal::NotSet));
    state.apply(state.set_pin(&profile(), "1234").expect("a PIN"));
    for left in (0..MAX_PIN_RETRIES).rev() {
        let spent = state.spend_pin_attempt(&profile());
        state.apply(spent.expect("an attempt"));
        assert_eq!(state.pin_status(&profile()).retries, left);
    }
    let refused = state.spend_pin_attempt(&profile()).err();
    assert_eq!(refused, Some(PinRefusal::Blocked));
    state.apply(state.restore_pin_attempts());
    assert_eq!(state.pin_status(&profile()).retries, MAX_PIN_RETRIES);
}

#[test]
fn forced_change_wants_another_pin_and_ends_with_it() {
    let (mut state, _) = key();
    state.apply(state.set_pin(&profile(), "1234").expect("a PIN"));
    let same = state.change_pin(&profile(), "1234");
    assert!(same.is_ok(), "nothing forces a change yet");
    let mut forced = ChangeSet::default();
    forced.put(Record::Config(Config {
        min_pin_length: Some(6),
        force_pin_change: true,
        ..Config::default()
    }));
    state.apply(forced);
    let status = state.pin_status(&profile());
    assert!(status.must_change && status.min_length == 6);
    let refused = |pin: &str| state.change_pin(&profile(), pin).err();
    assert_eq!(refused("12345"), Some(PinRefusal::TooShort { least: 6 }));
    state.apply(state.change_pin(&profile(), "123456").expect("a PIN"));
    let status = state.pin_status(&profile());
    assert!(!status.must_change && status.min_length == 6);
    assert!(state.pin_is("123456"));
}
