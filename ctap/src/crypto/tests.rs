use p256::ecdsa::{Signature, VerifyingKey, signature::Verifier};

use super::*;
use crate::credential::Algorithm;

fn coordinates(key: &PrivateKey) -> (Vec<u8>, Vec<u8>) {
    match key.public_key() {
        PublicKey::Ec2 { x, y } => (x, y),
        PublicKey::Okp { .. } => panic!("not an ECDSA key"),
    }
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
    let signature = Signature::from_der(&key.sign(&[b"sam", b"ple"])).unwrap();
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
    let signature = p384::ecdsa::Signature::from_der(&key.sign(&[b"sample"])).unwrap();
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
        key.sign(&[&[0x72]]),
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
    let signature = key.sign(&[b"Satoshi Nakamoto"]);
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
    for algorithm in [Algorithm::Es256, Algorithm::Es256k, Algorithm::Es384] {
        let length = if algorithm == Algorithm::Es384 {
            48
        } else {
            32
        };
        assert!(PrivateKey::from_bytes(algorithm, &vec![0; length]).is_none());
        assert!(PrivateKey::from_bytes(algorithm, &[1; 20]).is_none());
    }
    assert!(PrivateKey::from_bytes(Algorithm::EdDsa, &[1; 31]).is_none());
}

/// HKDF-SHA-256 of 32 zero bytes without salt, computed with Python's `hmac` by RFC 5869's text.
#[test]
fn expansion_joins_its_parts() {
    let expander = Expander::new(&Secret::from_bytes([0; 32]));
    let expected = hex("1060e4e72054653bf46623844033f5ccc9cff596a4a680e074ef4fd06aae60df");
    assert_eq!(expander.expand(&[b"in", b"fo"]).as_bytes(), &expected);
    assert_eq!(expander.expand(&[b"info"]).as_bytes(), &expected);
}

#[test]
fn sealed_bytes_open_only_where_they_were_bound() {
    let sealer = Sealer::new(&Secret::from_bytes([7; 32]));
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
