use p256::ecdsa::{Signature, VerifyingKey, signature::Verifier};
use rand_core::SeedableRng as _;

use super::*;
use crate::credential::Algorithm;

fn coordinates(key: &PrivateKey) -> (Vec<u8>, Vec<u8>) {
    match key.public_key() {
        PublicKey::Ec2 { x, y } => (x, y),
        PublicKey::Okp { .. } | PublicKey::Rsa { .. } | PublicKey::Akp { .. } => {
            panic!("not an ECDSA key")
        }
    }
}

fn signed(key: &PrivateKey, parts: &[&[u8]]) -> Vec<u8> {
    key.sign(parts).expect("a signature")
}

/// RFC 6979 appendix A.2.5, P-256 with SHA-256, message "sample".
#[test]
fn rfc6979_p256_sample_gives_the_published_signature() {
    let scalar: [u8; 32] = hex("C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721");
    let key = PrivateKey::from_bytes(Algorithm::Es256, &scalar).unwrap();
    let (x, y) = coordinates(&key);
    assert_eq!(
        x,
        hex::<32>("60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6")
    );
    assert_eq!(
        y,
        hex::<32>("7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299")
    );
    let signature = Signature::from_der(&signed(&key, &[b"sam", b"ple"])).unwrap();
    let (r, s) = signature.split_bytes();
    assert_eq!(
        <[u8; 32]>::from(r),
        hex("EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716")
    );
    assert_eq!(
        <[u8; 32]>::from(s),
        hex("F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8")
    );
    let verifying = VerifyingKey::from_sec1_bytes(&key.public_key().to_sec1().unwrap()).unwrap();
    verifying.verify(b"sample", &signature).unwrap();
}

/// RFC 6979 appendix A.2.6, P-384 with SHA-384, message "sample".
#[test]
fn rfc6979_p384_sample_gives_the_published_signature() {
    let scalar: [u8; 48] = hex(concat!(
        "6B9D3DAD2E1B8C1C05B19875B6659F4DE23C3B667BF297BA",
        "9AA47740787137D896D5724E4C70A825F872C9EA60D2EDF5",
    ));
    let key = PrivateKey::from_bytes(Algorithm::Es384, &scalar).unwrap();
    let (x, _) = coordinates(&key);
    assert_eq!(
        x,
        hex::<48>(concat!(
            "EC3A4E415B4E19A4568618029F427FA5DA9A8BC4AE92E02E",
            "06AAE5286B300C64DEF8F0EA9055866064A254515480BC13",
        ))
    );
    let signature = p384::ecdsa::Signature::from_der(&signed(&key, &[b"sample"])).unwrap();
    let (r, s) = signature.split_bytes();
    assert_eq!(
        <[u8; 48]>::from(r),
        hex(concat!(
            "94EDBB92A5ECB8AAD4736E56C691916B3F88140666CE9FA7",
            "3D64C4EA95AD133C81A648152E44ACF96E36DD1E80FABE46",
        ))
    );
    assert_eq!(
        <[u8; 48]>::from(s),
        hex(concat!(
            "99EF4AEB15F178CEA1FE40DB2603138F130E740A19624526",
            "203B6351D0A3A94FA329C145786E679E7B82C71A38628AC8",
        ))
    );
}

/// RFC 8032 section 7.1, TEST 2.
#[test]
fn rfc8032_test_2_gives_the_published_signature() {
    let seed: [u8; 32] = hex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
    let key = PrivateKey::from_bytes(Algorithm::EdDsa, &seed).unwrap();
    let x = hex::<32>("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
    assert_eq!(key.public_key(), PublicKey::Okp { x: x.to_vec() });
    assert_eq!(
        signed(&key, &[&[0x72]]),
        hex::<64>(concat!(
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da",
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ))
    );
}

/// The widely used secp256k1 vector of RFC 6979's method: key 1, "Satoshi Nakamoto", low s.
#[test]
fn secp256k1_satoshi_vector_gives_the_known_signature() {
    let mut scalar = [0; 32];
    scalar[31] = 1;
    let key = PrivateKey::from_bytes(Algorithm::Es256k, &scalar).unwrap();
    let signature = signed(&key, &[b"Satoshi Nakamoto"]);
    let signature = k256::ecdsa::Signature::from_der(&signature).unwrap();
    let (r, s) = signature.split_bytes();
    assert_eq!(
        <[u8; 32]>::from(r),
        hex("934b1ea10a4b3c1757e2b0c017d0b6143ce3c9a7e6a4a49860d7a6ab210ee3d8")
    );
    assert_eq!(
        <[u8; 32]>::from(s),
        hex("2442ce9d2b916064108014783e923ec36b49743e2ffa1c4496f01a512aafd9e5")
    );
}

#[test]
fn bytes_that_are_no_key_of_the_algorithm_are_refused() {
    let order: [u8; 32] = hex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
    assert!(PrivateKey::from_bytes(Algorithm::Es256, &order).is_none());
    let ecdsa = [
        (Algorithm::Es256, 32),
        (Algorithm::Es256k, 32),
        (Algorithm::Es384, 48),
        (Algorithm::Es512, 66),
    ];
    for (algorithm, length) in ecdsa {
        assert!(PrivateKey::from_bytes(algorithm, &vec![0; length]).is_none());
        assert!(PrivateKey::from_bytes(algorithm, &vec![0xff; length]).is_none());
        assert!(PrivateKey::from_bytes(algorithm, &[1; 20]).is_none());
    }
    for seeded in [Algorithm::EdDsa, Algorithm::MlDsa44, Algorithm::MlDsa65] {
        assert!(PrivateKey::from_bytes(seeded, &[1; 31]).is_none());
        assert!(PrivateKey::from_bytes(seeded, &[1; 33]).is_none());
    }
    assert!(PrivateKey::from_bytes(Algorithm::Rs256, &[1; 32]).is_none());
}

/// RFC 6979 appendix A.2.7, P-521 with SHA-512, message "sample".
#[test]
fn rfc6979_p521_sample_gives_the_published_signature() {
    let scalar: [u8; 66] = hex(concat!(
        "00FAD06DAA62BA3B25D2FB40133DA757205DE67F5BB0018FEE8C86E1B68C7E75CA",
        "A896EB32F1F47C70855836A6D16FCC1466F6D8FBEC67DB89EC0C08B0E996B83538",
    ));
    let key = PrivateKey::from_bytes(Algorithm::Es512, &scalar).unwrap();
    let (x, y) = coordinates(&key);
    assert_eq!(
        x,
        hex::<66>(concat!(
            "01894550D0785932E00EAA23B694F213F8C3121F86DC97A04E5A7167DB4E5BCD37",
            "1123D46E45DB6B5D5370A7F20FB633155D38FFA16D2BD761DCAC474B9A2F5023A4",
        ))
    );
    assert_eq!(
        y,
        hex::<66>(concat!(
            "00493101C962CD4D2FDDF782285E64584139C2F91B47F87FF82354D6630F746A28",
            "A0DB25741B5B34A828008B22ACC23F924FAAFBD4D33F81EA66956DFEAA2BFDFCF5",
        ))
    );
    let signature = p521::ecdsa::Signature::from_der(&signed(&key, &[b"sam", b"ple"])).unwrap();
    let (r, s) = signature.split_bytes();
    assert_eq!(
        r.to_vec(),
        hex::<66>(concat!(
            "00C328FAFCBD79DD77850370C46325D987CB525569FB63C5D3BC53950E6D4C5F17",
            "4E25A1EE9017B5D450606ADD152B534931D7D4E8455CC91F9B15BF05EC36E377FA",
        ))
    );
    assert_eq!(
        s.to_vec(),
        hex::<66>(concat!(
            "00617CCE7CF5064806C467F678D3B4080D6F1CC50AF26CA209417308281B68AF28",
            "2623EAA63E5B5C0723D8B8C37FF0777B1A20F8CCB1DCCC43997F1EE0E44DA4A67A",
        ))
    );
}

/// Key and deterministic signature of the seed 00 01 … 1f over "sample", as Python's dilithium-py
/// 1.5.1 computes them.
#[test]
fn ml_dsa_is_what_another_implementation_makes_of_the_seed() {
    let seed: [u8; 32] = std::array::from_fn(|n| u8::try_from(n).unwrap());
    let table: [(Algorithm, usize, &str, usize, &str); 2] = [
        (
            Algorithm::MlDsa44,
            1312,
            "9f107644c1084526af3bc8098680b05499a2325a644e388fb4f970e058d19d46",
            2420,
            "15dbe7bce74d3eca2172da47a54f63e687d33072ec4adbca51ac9cc60537f783",
        ),
        (
            Algorithm::MlDsa65,
            1952,
            "d666806e11cee19a7c989f7445f90dd419cf4d2d51db8c0fdb4c0f0a542238c9",
            3309,
            "a9ed3dd4c9729f7bc090446f1302d04d2209494bd28a804f991f8d036c4df0c9",
        ),
    ];
    for (algorithm, key_len, key_hash, signature_len, signature_hash) in table {
        let key = PrivateKey::from_bytes(algorithm, &seed).unwrap();
        assert_eq!(key.to_bytes().as_slice(), seed);
        let PublicKey::Akp { public } = key.public_key() else {
            panic!("not AKP");
        };
        assert_eq!(public.len(), key_len);
        assert_eq!(sha256(&[&public]), hex::<32>(key_hash), "{algorithm:?}");
        let signature = signed(&key, &[b"sam", b"ple"]);
        assert_eq!(signature.len(), signature_len);
        assert_eq!(sha256(&[&signature]), hex::<32>(signature_hash));
    }
}

/// An id must lead to the same key in every version of this program: these never change. Computed
/// with Python's `hmac` by RFC 5869's text.
#[test]
fn derived_keys_are_the_same_for_ever() {
    let expander = Expander::new(&Secret::from_bytes(&[7; 32]));
    let table = [
        (
            Algorithm::Es256,
            "c30e6ef3d8ed58d03794abb2b0759ef5079bf01f82352b8328cd771e767a9fc3",
        ),
        (
            Algorithm::EdDsa,
            "c30e6ef3d8ed58d03794abb2b0759ef5079bf01f82352b8328cd771e767a9fc3",
        ),
        (
            Algorithm::Es384,
            "1eefc5f3e0bbdbbfc45c1468078e26622dbbd756c32279cd824eb89cad8a97d6",
        ),
        (
            Algorithm::Es256k,
            "c30e6ef3d8ed58d03794abb2b0759ef5079bf01f82352b8328cd771e767a9fc3",
        ),
        (
            Algorithm::Es512,
            "6631b25568178aabc0fe4d2f6c27cb1c01a8aa6a14ed47a7696f64cab9abf99a",
        ),
        (
            Algorithm::MlDsa44,
            "c30e6ef3d8ed58d03794abb2b0759ef5079bf01f82352b8328cd771e767a9fc3",
        ),
        (
            Algorithm::MlDsa65,
            "c30e6ef3d8ed58d03794abb2b0759ef5079bf01f82352b8328cd771e767a9fc3",
        ),
    ];
    for (algorithm, hash) in table {
        let key = PrivateKey::derive(algorithm, &expander, &[b"stable"]);
        assert_eq!(sha256(&[&key.to_bytes()]), hex::<32>(hash), "{algorithm:?}");
        let again = PrivateKey::from_bytes(algorithm, &key.to_bytes()).unwrap();
        assert_eq!(again.public_key(), key.public_key());
    }
    let top = |key: &PrivateKey| key.to_bytes().first().copied();
    let es512 = PrivateKey::derive(Algorithm::Es512, &expander, &[b"stable"]);
    assert!(top(&es512) <= Some(1), "521 bits");
}

#[test]
fn rsa_key_is_a_function_of_its_seed_and_survives_storage() {
    let seed = Secret::from_bytes(&[7; 32]);
    let key = PrivateKey::of_seed(Algorithm::Rs256, &seed);
    let same = PrivateKey::of_seed(Algorithm::Rs256, &seed);
    assert!(key.to_bytes() == same.to_bytes());
    let other = PrivateKey::of_seed(Algorithm::Rs256, &Secret::from_bytes(&[8; 32]));
    assert!(key.to_bytes() != other.to_bytes());
    let stored = PrivateKey::from_bytes(Algorithm::Rs256, &key.to_bytes()).unwrap();
    let PublicKey::Rsa { n, e } = stored.public_key() else {
        panic!("not RSA");
    };
    assert_eq!(n.len(), 256);
    assert!(n.first().is_some_and(|top| *top >= 0x80), "2048 bits");
    assert_eq!(e, [1, 0, 1]);
    assert_eq!(stored.public_key(), key.public_key());
    let signature = signed(&stored, &[b"sam", b"ple"]);
    assert_eq!(signature, signed(&key, &[b"sample"]));
    let public = rsa::PublicKey::new(
        rsa::BoxedUint::from_be_slice_vartime(&n),
        rsa::BoxedUint::from_be_slice_vartime(&e),
    );
    let scheme = rsa::Pkcs1v15Sign::new::<Sha256>();
    let verified = public
        .unwrap()
        .verify(scheme, &sha256(&[b"sample"]), &signature);
    verified.unwrap();
}

/// HKDF-SHA-256 of 32 zero bytes without salt, computed with Python's `hmac` by RFC 5869's text.
#[test]
fn expansion_joins_its_parts() {
    let expander = Expander::new(&Secret::from_bytes(&[0; 32]));
    let expected = hex("1060e4e72054653bf46623844033f5ccc9cff596a4a680e074ef4fd06aae60df");
    assert_eq!(expander.expand(&[b"in", b"fo"]).as_bytes(), &expected);
    assert_eq!(expander.expand(&[b"info"]).as_bytes(), &expected);
}

#[test]
fn sealed_bytes_open_only_where_they_were_bound() {
    let sealer = Sealer::new(&Secret::from_bytes(&[7; 32]));
    let sealed = sealer.seal(&[1; 24], b"payload", b"here");
    assert_eq!(sealed.len(), 7 + 16);
    assert_eq!(sealer.open(&[1; 24], &sealed, b"here").unwrap(), b"payload");
    assert!(sealer.open(&[1; 24], &sealed, b"there").is_none());
    assert!(sealer.open(&[2; 24], &sealed, b"here").is_none());
    let mut flipped = sealed;
    flipped[0] ^= 1;
    assert!(sealer.open(&[1; 24], &flipped, b"here").is_none());
}

fn hex<const N: usize>(text: &str) -> [u8; N] {
    let mut bytes = [0; N];
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * i..2 * i + 2).unwrap(), 16).unwrap();
    }
    bytes
}

#[test]
fn generator_that_went_on_gives_other_bytes_and_the_same_again() {
    let draw = |ratchets: usize| {
        let mut rng = Rng::from_seed([9; 32]);
        let before = Secret::random(&mut rng);
        (0..ratchets).for_each(|_| ratchet(&mut rng));
        assert!(Secret::random(&mut rng) != before);
        *Secret::random(&mut rng).as_bytes()
    };
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(0), draw(1));
    assert_ne!(draw(1), draw(2));
}
