use rand_core::SeedableRng;

use super::*;
use crate::crypto::Rng;

#[test]
fn derived_credential_comes_back_for_its_rp_only() {
    let mut rng = Rng::from_seed([1; 32]);
    let deriver = Deriver::new(&Secret::random(&mut rng));
    let rp = RpIdHash::of("example.com");
    let (id, made) = deriver.create(
        &mut rng,
        &rp,
        Algorithm::Es256,
        CredProtect::Required,
        Origin::Ctap2 {
            third_party_payment: false,
        },
    );
    let found = deriver.open(&id, &rp).unwrap();
    assert_eq!(found.cred_protect, CredProtect::Required);
    let public_key = |derived| deriver.private_key(derived).public_key();
    assert_eq!(public_key(&found), public_key(&made));
    let cred_random = deriver.cred_random(&found);
    assert!(cred_random == deriver.cred_random(&made));
    assert!(cred_random.with_uv != cred_random.without_uv);
    assert!(deriver.open(&id, &RpIdHash::of("example.org")).is_none());
    let other = Deriver::new(&Secret::random(&mut rng));
    assert!(other.open(&id, &rp).is_none());
}

#[test]
fn any_flipped_bit_makes_an_id_unknown() {
    let mut rng = Rng::from_seed([2; 32]);
    let deriver = Deriver::new(&Secret::random(&mut rng));
    let rp = RpIdHash::of("example.com");
    let (id, _) = deriver.create(
        &mut rng,
        &rp,
        Algorithm::Es256,
        CredProtect::default(),
        Origin::U2f,
    );
    for bit in 0..64 * 8 {
        let mut bytes = *id.as_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let id = CredentialId::from_slice(&bytes).unwrap();
        assert!(deriver.open(&id, &rp).is_none(), "bit {bit}");
    }
}

#[test]
fn long_name_is_cut_at_a_character() {
    let name = format!("{}é", "a".repeat(63));
    assert_eq!(truncated(name), "a".repeat(63));
    let name = "b".repeat(64);
    assert_eq!(truncated(name.clone()), name);
    assert_eq!(truncated(String::new()), "");
}

#[test]
fn each_algorithm_is_derived_again_from_its_id() {
    let mut rng = Rng::from_seed([3; 32]);
    let deriver = Deriver::new(&Secret::random(&mut rng));
    let rp = RpIdHash::of("example.com");
    for algorithm in [
        Algorithm::Es256,
        Algorithm::EdDsa,
        Algorithm::Es384,
        Algorithm::Es256k,
        Algorithm::Es512,
        Algorithm::MlDsa44,
        Algorithm::MlDsa65,
    ] {
        let (id, made) = deriver.create(
            &mut rng,
            &rp,
            algorithm,
            CredProtect::default(),
            Origin::Ctap2 {
                third_party_payment: false,
            },
        );
        let found = deriver.open(&id, &rp).unwrap();
        assert_eq!(found.algorithm, algorithm);
        let public_key = |derived| deriver.private_key(derived).public_key();
        assert_eq!(public_key(&found), public_key(&made));
    }
}
