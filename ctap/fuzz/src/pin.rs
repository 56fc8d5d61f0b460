//! A platform's side of PIN/UV auth protocols one and two (CTAP 2.1 §6.5.6, §6.5.7).

use std::sync::OnceLock;

use aes::Aes256;
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit, block_padding::NoPadding};
use ciborium::Value;
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use p256::{PublicKey, SecretKey, ecdh::diffie_hellman, elliptic_curve::sec1::ToSec1Point};
use sha2::{Digest, Sha256};

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// §6.5.6 authenticate.
pub(crate) fn authenticate(protocol: u8, key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    mac.update(message);
    let mut mac = mac.finalize().into_bytes().to_vec();
    if protocol == 1 {
        mac.truncate(16);
    }
    mac
}

/// A member of a map with integer keys.
pub(crate) fn member(map: &Value, key: i64) -> Option<&Value> {
    let mut members = map.as_map().into_iter().flatten();
    let found = members.find(|(name, _)| name.as_integer() == Some(key.into()));
    found.map(|(_, value)| value)
}

pub(crate) fn bytes(map: &Value, key: i64) -> Vec<u8> {
    let value = member(map, key).and_then(Value::as_bytes);
    value.cloned().expect("bytes")
}

/// What a platform and a key have agreed on.
pub(crate) struct Shared {
    protocol: u8,
    pub(crate) key_agreement: Value,
    hmac_key: [u8; 32],
    aes_key: [u8; 32],
}

impl Shared {
    /// §6.5.6 encapsulate, with the COSE_Key that the key sent.
    pub(crate) fn new(protocol: u8, authenticator: &Value) -> Self {
        let (x, y) = (bytes(authenticator, -2), bytes(authenticator, -3));
        let peer = [&[4], &x[..], &y].concat();
        let peer = PublicKey::from_sec1_bytes(&peer).expect("a point of P-256");
        let (own, key_agreement) = platform_key();
        let shared = diffie_hellman(own.to_nonzero_scalar(), peer.as_affine());
        let z = shared.raw_secret_bytes();
        let (hmac_key, aes_key) = match protocol {
            1 => (sha256(z), sha256(z)),
            _ => (expand(z, b"CTAP2 HMAC key"), expand(z, b"CTAP2 AES key")),
        };
        Self {
            protocol,
            key_agreement: key_agreement.clone(),
            hmac_key,
            aes_key,
        }
    }

    /// §6.5.6 encrypt; the IV need not be random for anybody here.
    pub(crate) fn encrypt(&self, plain: &[u8]) -> Vec<u8> {
        let (iv, mut out) = match self.protocol {
            1 => ([0; 16], Vec::new()),
            _ => ([0x10; 16], vec![0x10; 16]),
        };
        let cipher = cbc::Encryptor::<Aes256>::new(&self.aes_key.into(), &iv.into());
        out.extend(cipher.encrypt_padded_vec::<NoPadding>(plain));
        out
    }

    /// §6.5.6 decrypt.
    pub(crate) fn decrypt(&self, sealed: &[u8]) -> Vec<u8> {
        let (iv, blocks) = match self.protocol {
            1 => ([0; 16], sealed),
            _ => (sealed[..16].try_into().expect("an IV"), &sealed[16..]),
        };
        let cipher = cbc::Decryptor::<Aes256>::new(&self.aes_key.into(), &iv.into());
        let plain = cipher.decrypt_padded_vec::<NoPadding>(blocks);
        plain.expect("whole blocks")
    }

    pub(crate) fn authenticate(&self, message: &[u8]) -> Vec<u8> {
        authenticate(self.protocol, &self.hmac_key, message)
    }

    /// pinHashEnc.
    pub(crate) fn pin_hash(&self, pin: &str) -> Vec<u8> {
        self.encrypt(&sha256(pin.as_bytes())[..16])
    }

    /// newPinEnc.
    pub(crate) fn new_pin(&self, pin: &str) -> Vec<u8> {
        let mut padded = pin.as_bytes().to_vec();
        padded.resize(64, 0);
        self.encrypt(&padded)
    }
}

/// The platform's key and its COSE_Key, made once: each costs as much as a signature.
fn platform_key() -> &'static (SecretKey, Value) {
    static KEY: OnceLock<(SecretKey, Value)> = OnceLock::new();
    KEY.get_or_init(|| {
        let own = SecretKey::from_slice(&[0x41; 32]).expect("a scalar");
        let point = own.public_key().to_sec1_point(false);
        let point = point.as_bytes();
        let members = [
            (1, Value::from(2)),
            (3, Value::from(-25)),
            (-1, Value::from(1)),
            (-2, Value::from(&point[1..33])),
            (-3, Value::from(&point[33..])),
        ];
        (own, map(members))
    })
}

fn expand(z: &[u8], info: &[u8]) -> [u8; 32] {
    let mut key = [0; 32];
    let hkdf = Hkdf::<Sha256>::new(Some(&[0; 32]), z);
    hkdf.expand(info, &mut key).expect("one block");
    key
}

/// A map with integer keys, given in canonical order.
pub(crate) fn map(members: impl IntoIterator<Item = (i64, Value)>) -> Value {
    let members = members.into_iter();
    Value::Map(
        members
            .map(|(key, value)| (Value::from(key), value))
            .collect(),
    )
}

pub(crate) fn emit(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).expect("memory takes it");
    bytes
}
