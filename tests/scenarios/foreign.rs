//! Credentials that came from elsewhere with an id of another length, and keys that store all.

use roamkey::profile::Profile;
use roamkey_ctap::{AdminRefusal, KeyState, NewPasskey, PasskeyRefusal, User};
use zeroize::Zeroizing;

use crate::support::{
    bench::{Bench, RP},
    cose::PublicKey,
    ctap2::{GetAssertion, MakeCredential, sha256, status},
    pin::Protocol,
    rig::{Options, Place, virtual_scenarios},
    u2f::Control,
};

virtual_scenarios!(
    short_id_of_elsewhere_is_what_its_site_knows,
    long_id_needs_a_profile_that_takes_it,
    same_id_of_two_sites_is_two_credentials,
    key_that_stores_all_shows_what_is_not_discoverable,
    key_that_stores_all_has_an_end,
    u2f_registration_is_stored_by_its_hash,
);

const SHORT: [u8; 4] = [1, 2, 3, 4];

/// A P-256 key with a scalar of 32 equal bytes, for a site.
fn new(rp: &str, scalar: u8, id: &[u8]) -> (NewPasskey, PublicKey) {
    use p256::pkcs8::EncodePrivateKey as _;

    let key = p256::SecretKey::from_slice(&[scalar; 32]).expect("a scalar");
    let der = key.to_pkcs8_der().expect("PKCS#8");
    let point = key.public_key().to_sec1_bytes();
    let user = User {
        id: Vec::new(),
        name: None,
        display_name: None,
    };
    let der = Zeroizing::new(der.as_bytes().to_vec());
    let mut new = NewPasskey::new(rp.to_owned(), user, der);
    new.id = Some(id.to_vec());
    new.discoverable = false;
    (new, PublicKey::from_sec1(&point))
}

fn bench(place: Place, change: impl Fn(&mut roamkey_ctap::Profile)) -> Bench {
    let mut options = Options::default();
    change(&mut options.profile.ctap);
    options.profile.ctap.check().expect("a profile");
    Bench::bare(place, Protocol::Two, options)
}

fn inject(bench: &Bench, new: NewPasskey) -> Result<(), PasskeyRefusal> {
    let injected = bench.rig.world().change(0, |state, profile, rng| {
        state.inject(profile, rng, new).map(|(_, set)| set)
    });
    match injected {
        Ok(id) => {
            assert!(id.is_some());
            Ok(())
        }
        Err(AdminRefusal::Refused(why)) => Err(why),
        Err(busy) => panic!("{busy:?}"),
    }
}

fn short_id_of_elsewhere_is_what_its_site_knows(place: Place) {
    let mut bench = bench(place, |_| ());
    let (mut new, public_key) = new(RP, 7, &SHORT);
    new.counter = 41;
    inject(&bench, new.clone()).expect("it fits");
    assert_eq!(inject(&bench, new), Err(PasskeyRefusal::IdTaken));
    for restarted in [false, true] {
        let found = bench.get(&GetAssertion::new(RP, &[&[9; 64], &SHORT]));
        let found = found.expect("an assertion");
        found.verify(RP, &public_key);
        assert_eq!(found.id, SHORT);
        assert_eq!(found.user_id, None, "it is not discoverable");
        assert_eq!(found.auth_data.counter == 42, !restarted);
        bench.restart();
    }
    let nowhere = GetAssertion::new("example.org", &[&SHORT]);
    assert_eq!(bench.get(&nowhere).map(drop), Err(status::NO_CREDENTIALS));
    let unnamed = GetAssertion::new(RP, &[]);
    assert_eq!(bench.get(&unnamed).map(drop), Err(status::NO_CREDENTIALS));
    let mut excluded = MakeCredential::new(RP, b"alice");
    excluded.exclude_list = vec![SHORT.to_vec()];
    let refused = bench.make(&excluded).map(drop);
    assert_eq!(refused, Err(status::CREDENTIAL_EXCLUDED));
    let id = bench
        .rig
        .world()
        .look(0, |state| state.find_passkey(&SHORT));
    let id = id.expect("the owner finds it by the same id");
    let deleted = bench.rig.world().change(0, |state, _, _| {
        Ok::<_, PasskeyRefusal>(state.delete_passkey(&id))
    });
    assert!(deleted.expect("a change").is_some());
    let gone = GetAssertion::new(RP, &[&SHORT]);
    assert_eq!(bench.get(&gone).map(drop), Err(status::NO_CREDENTIALS));
}

fn long_id_needs_a_profile_that_takes_it(place: Place) {
    let long = [0x5a; 300];
    let (new, public_key) = new(RP, 8, &long);
    let usual = bench(place, |_| ());
    let refused = inject(&usual, new.clone());
    assert_eq!(refused, Err(PasskeyRefusal::IdLength { most: 64 }));
    let mut taking = bench(place, |ctap| ctap.max_credential_id_length = 1023);
    inject(&taking, new).expect("it fits");
    let found = taking.get(&GetAssertion::new(RP, &[&long]));
    let found = found.expect("an assertion");
    found.verify(RP, &public_key);
    assert_eq!(found.id, long);
}

fn same_id_of_two_sites_is_two_credentials(place: Place) {
    let mut bench = bench(place, |_| ());
    for (rp, scalar) in [(RP, 9), ("example.org", 10)] {
        inject(&bench, new(rp, scalar, &SHORT).0).expect("it fits");
    }
    for (rp, scalar) in [(RP, 9), ("example.org", 10)] {
        let found = bench.get(&GetAssertion::new(rp, &[&SHORT]));
        found
            .expect("an assertion")
            .verify(rp, &new(rp, scalar, &SHORT).1);
    }
}

fn key_that_stores_all_shows_what_is_not_discoverable(place: Place) {
    let mut bench = bench(place, |ctap| ctap.stores_all = true);
    let made = bench.make(&MakeCredential::new(RP, b"alice"));
    let made = made.expect("a credential");
    let unnamed = GetAssertion::new(RP, &[]);
    assert_eq!(bench.get(&unnamed).map(drop), Err(status::NO_CREDENTIALS));
    for _ in 0..2 {
        let found = bench.get(&GetAssertion::new(RP, &[&made.id]));
        let found = found.expect("an assertion");
        found.verify(RP, &made.public_key);
        assert_eq!(found.user_id, None);
        let (listed, counter) = bench.rig.world().look(0, |state| {
            let all = state.passkeys();
            let [one] = all.as_slice() else {
                panic!("{} credentials", all.len());
            };
            assert!(!one.is_discoverable());
            assert_eq!(
                (one.rp_id(), one.user().id.as_slice()),
                (RP, b"alice".as_slice())
            );
            (one.known_as().to_vec(), one.counter())
        });
        assert_eq!(listed, made.id);
        assert_eq!(counter, found.auth_data.counter, "the live counter");
        bench.restart();
    }
}

fn key_that_stores_all_has_an_end(place: Place) {
    let mut bench = bench(place, |ctap| {
        ctap.stores_all = true;
        ctap.max_discoverable_credentials = 2;
    });
    for account in [b"one".as_slice(), b"two"] {
        bench.make(&MakeCredential::new(RP, account)).expect("room");
    }
    let full = bench.make(&MakeCredential::new(RP, b"three")).map(drop);
    assert_eq!(full, Err(status::KEY_STORE_FULL));
}

fn u2f_registration_is_stored_by_its_hash(place: Place) {
    let old = Profile::named("u2f-only").expect("a profile");
    let mut bench = Bench::bare(
        place,
        Protocol::Two,
        Options {
            profile: Profile {
                ctap: roamkey_ctap::Profile {
                    stores_all: true,
                    ..old.ctap
                },
                ..old
            },
            ..Options::default()
        },
    );
    let channel = bench.channel;
    let application = sha256(RP.as_bytes());
    let made = bench
        .platform()
        .u2f_register(channel, &[7; 32], &application);
    let key = (made.key_handle.as_slice(), &made.public_key);
    let signed = bench
        .platform()
        .u2f_authenticate(channel, Control::Enforce, &application, key);
    let signed = signed.expect("a signature");
    assert!(signed.user_present);
    let (hash, counter) = bench.rig.world().look(0, |state: &KeyState| {
        let all = state.passkeys();
        let one = all.first().expect("a credential");
        assert_eq!((all.len(), one.rp_id()), (1, ""));
        assert_eq!(one.known_as(), made.key_handle);
        (one.rp_id_hash(), one.counter())
    });
    assert_eq!(hash.0, application);
    assert_eq!(counter, signed.counter);
}
