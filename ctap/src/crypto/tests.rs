use p256::ecdsa::{Signature, VerifyingKey, signature::Verifier};

use super::*;

/// RFC 6979 appendix A.2.5, P-256 with SHA-256, message "sample".
#[test]
fn rfc6979_sample_message_gives_the_published_signature() {
    let scalar = hex("C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721");
    let key = PrivateKey::from_secret(&Secret::from_bytes(scalar)).unwrap();
    let public = key.public_key();
    assert_eq!(
        public.x,
        hex("60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6")
    );
    assert_eq!(
        public.y,
        hex("7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299")
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
    let verifying = VerifyingKey::from_sec1_bytes(&public.to_sec1()).unwrap();
    verifying.verify(b"sample", &signature).unwrap();
}

#[test]
fn scalar_outside_the_group_is_refused() {
    let order = hex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
    assert!(PrivateKey::from_secret(&Secret::from_bytes(order)).is_none());
    assert!(PrivateKey::from_secret(&Secret::from_bytes([0; 32])).is_none());
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
