use p256::ecdsa::{DerSignature, VerifyingKey, signature::Verifier};
use rand_core::SeedableRng;
use x509_cert::{
    Certificate,
    der::{Decode, Encode},
};

use super::*;
use crate::{
    credential::{Algorithm, CredProtect, CredRandom, RpIdHash, User},
    crypto::{KeyBytes, sha256},
    pin::PinHash,
};

fn records(set: ChangeSet) -> Vec<Record> {
    set.into_iter()
        .filter_map(|change| match change {
            Change::Put(record) => Some(record),
            Change::Delete(_) => None,
        })
        .collect()
}

fn created() -> Vec<Record> {
    records(KeyState::create(
        &mut Rng::from_seed([5; 32]),
        1_735_689_600,
        &Profile::default(),
    ))
}

fn credential(rng: &mut Rng) -> Credential {
    Credential {
        id: CredentialId::random(rng),
        rp_id: "example.com".to_owned(),
        rp_name: None,
        user: User {
            id: vec![1],
            name: Some("alice".to_owned()),
            display_name: None,
        },
        algorithm: Algorithm::Es256,
        private_key: KeyBytes::new(vec![7; 48].into()),
        cred_protect: CredProtect::OptionalWithList,
        cred_random: CredRandom::random(rng),
        cred_blob: Some(vec![1, 2]),
        large_blob_key: Some(Secret::random(rng)),
        sequence: 0,
        discoverable: true,
        third_party_payment: false,
        backup_eligible: None,
        backup_state: None,
        foreign_id: None,
        rp_id_hash: None,
    }
}

/// A discoverable credential as makeCredential stores it.
fn registration(credential: &Credential) -> ChangeSet {
    let mut set = ChangeSet::default();
    set.put(Record::Credential(Box::new(credential.clone())));
    set.put(Record::CredentialCounter {
        id: credential.id,
        ceiling: COUNTER_LEASE,
    });
    set
}

#[test]
fn records_come_back_from_their_encoding() {
    let mut rng = Rng::from_seed([6; 32]);
    let mut all = created();
    all.extend(records(registration(&credential(&mut rng))));
    all.push(Record::Pin(StoredPin {
        hash: PinHash::of(b"1234"),
        code_points: 4,
    }));
    all.push(Record::PinRetries(3));
    all.push(Record::Config(Config {
        always_uv: Some(true),
        min_pin_length: Some(6),
        min_pin_length_rp_ids: vec!["example.com".to_owned()],
        force_pin_change: true,
        enterprise_attestation: true,
        long_touch_for_reset: true,
        pin_complexity_policy: true,
    }));
    all.push(Record::LargeBlobs(vec![0; 1024]));
    all.push(Record::Fingerprints(vec![Fingerprint {
        id: [9; TEMPLATE_ID_LEN],
        name: Some("left thumb".to_owned()),
    }]));
    all.push(Record::Uv(UvState {
        retries: 2,
        since_pin_entry: 70_000,
    }));
    all.push(Record::PersistentToken(Secret::random(&mut rng)));
    all.push(Record::BatchAttestation(Attestation::create(&mut rng, 0)));
    all.push(Record::EnterpriseAttestation(Attestation::create(
        &mut rng, 0,
    )));
    for record in all {
        let mut bytes = Vec::new();
        ciborium::into_writer(&record, &mut bytes).unwrap();
        let back: Record = ciborium::from_reader(bytes.as_slice()).unwrap();
        assert!(back == record, "{:?}", record.place());
    }
}

#[test]
fn credential_of_before_large_blobs_still_loads() {
    let mut rng = Rng::from_seed([10; 32]);
    let mut credential = credential(&mut rng);
    let value = ciborium::Value::serialized(&credential).unwrap();
    let mut members = value.into_map().unwrap();
    let count = members.len();
    members.retain(|(name, _)| name.as_text() != Some("large_blob_key"));
    assert_eq!(members.len(), count - 1);
    let old: Credential = ciborium::Value::Map(members).deserialized().unwrap();
    credential.large_blob_key = None;
    assert!(old == credential);
}

#[test]
fn large_blobs_are_the_initial_array_unless_one_is_stored() {
    let (content, hash) = INITIAL_LARGE_BLOBS.split_at(1);
    assert_eq!(content, [0x80], "an empty CBOR array");
    assert_eq!(sha256(&[content])[..16], *hash);
    let mut state = KeyState::load(created()).unwrap();
    assert_eq!(state.large_blobs, INITIAL_LARGE_BLOBS);
    let mut written = ChangeSet::default();
    written.put(Record::LargeBlobs(vec![1; 20]));
    state.apply(written.clone());
    assert_eq!(state.large_blobs, [1; 20]);
    let stored = created().into_iter().chain(records(written));
    let stored = KeyState::load(stored).unwrap();
    assert_eq!(stored.large_blobs, [1; 20]);
    let mut deleted = ChangeSet::default();
    deleted.delete(Place::LargeBlobs);
    state.apply(deleted);
    assert_eq!(state.large_blobs, INITIAL_LARGE_BLOBS);
}

#[test]
fn counter_goes_on_above_its_ceiling_after_a_restart() {
    let mut rng = Rng::from_seed([7; 32]);
    let credential = credential(&mut rng);
    let mut state = KeyState::load(created()).unwrap();
    state.apply(registration(&credential));
    let counter = state.credentials.counter_mut(&credential.id).unwrap();
    for expected in REGISTRATION_COUNT + 1..=COUNTER_LEASE {
        assert_eq!(counter.take(), Some(expected));
    }
    assert_eq!(counter.take(), None);
    assert_eq!(counter.lease(), Some(2 * COUNTER_LEASE));

    let mut stored = created();
    stored.extend(records(registration(&credential)));
    let mut state = KeyState::load(stored).unwrap();
    let counter = state.credentials.counter_mut(&credential.id).unwrap();
    assert_eq!(counter.take(), None);
    assert_eq!(counter.lease(), Some(2 * COUNTER_LEASE));
}

#[test]
fn counter_at_its_end_gives_no_lease() {
    let counter = resumed(u32::MAX - 1);
    assert_eq!(counter.lease(), None);
}

#[test]
fn missing_record_is_named() {
    let without = |place: Place| {
        let records = created().into_iter().filter(|r| r.place() != place);
        KeyState::load(records).err()
    };
    assert_eq!(without(Place::Master), Some(LoadError::MasterMissing));
    assert_eq!(
        without(Place::Attestation),
        Some(LoadError::AttestationMissing)
    );
    let mut rng = Rng::from_seed([8; 32]);
    let credential = credential(&mut rng);
    let [stored, counter] = records(registration(&credential)).try_into().ok().unwrap();
    let with = |record: Record| KeyState::load(created().into_iter().chain([record])).err();
    assert_eq!(
        with(stored),
        Some(LoadError::CredentialWithoutCounter(credential.id))
    );
    assert_eq!(
        with(counter),
        Some(LoadError::CounterWithoutCredential(credential.id))
    );
}

#[test]
fn deleted_credential_is_gone_with_its_counter() {
    let mut rng = Rng::from_seed([9; 32]);
    let credential = credential(&mut rng);
    let mut state = KeyState::load(created()).unwrap();
    state.apply(registration(&credential));
    let mut set = ChangeSet::default();
    set.delete(Place::Credential(credential.id));
    set.delete(Place::CredentialCounter(credential.id));
    state.apply(set);
    assert_eq!(state.credentials.len(), 0);
    let rp = RpIdHash::of("example.com");
    assert_eq!(state.credentials.of_rp(&rp).count(), 0);
    assert!(state.credentials.counter_mut(&credential.id).is_none());
}

#[test]
fn attestation_certificate_is_signed_by_its_own_key() {
    let state = KeyState::load(created()).unwrap();
    let der = state.attestation.certificate();
    let certificate = Certificate::from_der(der).unwrap();
    let tbs = certificate.tbs_certificate();
    assert_eq!(tbs.subject(), tbs.issuer());
    assert_eq!(
        tbs.validity().not_before.to_unix_duration().as_secs(),
        1_735_689_600
    );
    let key = tbs.subject_public_key_info().subject_public_key.raw_bytes();
    let key = VerifyingKey::from_sec1_bytes(key).unwrap();
    let signature = DerSignature::try_from(certificate.signature().raw_bytes()).unwrap();
    key.verify(&tbs.to_der().unwrap(), &signature).unwrap();
    let signature = state.attestation.sign(&[b"message"]).unwrap();
    let signature = DerSignature::try_from(signature.as_slice()).unwrap();
    key.verify(b"message", &signature).unwrap();
}

#[test]
fn change_set_shows_no_secret() {
    let shown = format!(
        "{:?}",
        KeyState::create(&mut Rng::from_seed([1; 32]), 0, &Profile::default())
    );
    assert_eq!(
        shown,
        "[(\"put\", Master), (\"put\", Counter), (\"put\", Attestation)]"
    );
}

/// What of a record's bytes says whether it is discoverable.
fn says_discoverable(record: &Record) -> bool {
    let mut bytes = Vec::new();
    ciborium::into_writer(record, &mut bytes).unwrap();
    let back: Record = ciborium::from_reader(bytes.as_slice()).unwrap();
    assert!(back == *record);
    bytes.windows(12).any(|window| window == b"discoverable")
}

#[test]
fn record_of_a_passkey_is_written_as_it_was_before_rs256() {
    let mut rng = Rng::from_seed([14; 32]);
    let passkey = credential(&mut rng);
    let other = Credential {
        discoverable: false,
        third_party_payment: false,
        ..passkey.clone()
    };
    assert!(!says_discoverable(&Record::Credential(Box::new(passkey))));
    assert!(says_discoverable(&Record::Credential(Box::new(other))));
}

#[test]
fn credential_that_is_not_discoverable_is_found_by_id_alone() {
    let mut rng = Rng::from_seed([15; 32]);
    let mut state = KeyState::load(created()).unwrap();
    let hidden = Credential {
        discoverable: false,
        third_party_payment: false,
        ..credential(&mut rng)
    };
    state.apply(registration(&hidden));
    let (rp, id) = (RpIdHash::of("example.com"), hidden.id);
    let store = &state.credentials;
    assert!(store.get(&rp, &id).is_some());
    assert!(store.get(&RpIdHash::of("example.org"), &id).is_none());
    assert_eq!((store.len(), store.discoverable_len()), (1, 0));
    assert!(store.find_user(&rp, &hidden.user.id).is_none());
    assert!(store.newest_first(&rp).is_empty());
    assert_eq!((store.rps().count(), store.of_rp(&rp).count()), (0, 0));
    // A passkey of the same account is another matter.
    let passkey = credential(&mut rng);
    state.apply(registration(&passkey));
    let store = &state.credentials;
    assert_eq!(store.newest_first(&rp), [passkey.id]);
    assert_eq!((store.len(), store.discoverable_len()), (2, 1));
    state.apply(state.delete_passkey(&id));
    let store = &state.credentials;
    assert_eq!((store.len(), store.discoverable_len()), (1, 1));
    assert_eq!(store.next_sequence(), 1);
}
