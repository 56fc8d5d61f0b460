//! PIN/UV auth protocols one and two (CTAP 2.1 §6.5.6, §6.5.7): the cryptography alone.

use aes::Aes256;
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit, block_padding::NoPadding};
use hkdf::Hkdf;
use p256::{
    PublicKey, SecretKey,
    ecdh::diffie_hellman,
    elliptic_curve::sec1::{FromSec1Point, ToSec1Point},
};
use rand_core::Rng as _;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::crypto::{Rng, Secret, hmac_sha256, sha256};

const IV_LEN: usize = 16;
const BLOCK_LEN: usize = 16;

/// Which protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PinProtocol {
    /// pinUvAuthProtocol 1.
    One,
    /// pinUvAuthProtocol 2.
    Two,
}

impl PinProtocol {
    /// The number on the wire.
    pub const fn number(self) -> u8 {
        match self {
            Self::One => 1,
            Self::Two => 2,
        }
    }

    /// The protocol of a number; `None` for one that does not exist.
    pub const fn from_number(number: u64) -> Option<Self> {
        match number {
            1 => Some(Self::One),
            2 => Some(Self::Two),
            _ => None,
        }
    }

    /// Whether `signature` is what `authenticate(key, message)` gives.
    pub(crate) fn verify(self, key: &[u8], message: &[&[u8]], signature: &[u8]) -> bool {
        let mac = hmac_sha256(key, message);
        let expected = match self {
            Self::One => mac.get(..16).unwrap_or_default(),
            Self::Two => mac.as_slice(),
        };
        expected.ct_eq(signature).into()
    }
}

/// A point that a platform sent: coordinates of 32 bytes each.
pub(crate) struct Point {
    pub(crate) x: [u8; 32],
    pub(crate) y: [u8; 32],
}

/// The authenticator's key agreement key (§6.5.6 initialize and regenerate).
pub(crate) struct KeyAgreement(SecretKey);

impl KeyAgreement {
    pub(crate) fn generate(rng: &mut Rng) -> Self {
        loop {
            let candidate = Secret::random(rng);
            if let Ok(key) = SecretKey::from_slice(candidate.as_bytes()) {
                return Self(key);
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn from_scalar(scalar: &[u8; 32]) -> Option<Self> {
        SecretKey::from_slice(scalar).ok().map(Self)
    }

    /// §6.5.6 getPublicKey.
    pub(crate) fn public_key(&self) -> Point {
        let point = self.0.public_key().to_sec1_point(false);
        let coordinate = |bytes: Option<&_>| bytes.copied().map(Into::into).unwrap_or_default();
        Point {
            x: coordinate(point.x()),
            y: coordinate(point.y()),
        }
    }

    /// §6.5.6 decapsulate; `None` for a point that is not on the curve.
    pub(crate) fn decapsulate(&self, protocol: PinProtocol, peer: &Point) -> Option<SharedSecret> {
        let mut encoded = vec![4];
        encoded.extend(peer.x);
        encoded.extend(peer.y);
        let encoded = p256::Sec1Point::from_bytes(&encoded).ok()?;
        let peer = Option::from(PublicKey::from_sec1_point(&encoded))?;
        let peer: PublicKey = peer;
        let shared = diffie_hellman(self.0.to_nonzero_scalar(), peer.as_affine());
        let z = shared.raw_secret_bytes();
        Some(match protocol {
            PinProtocol::One => {
                let key = Zeroizing::new(sha256(&[z]));
                SharedSecret {
                    protocol,
                    hmac: Secret::from_bytes(&key),
                    aes: Secret::from_bytes(&key),
                }
            }
            PinProtocol::Two => {
                let hkdf = Hkdf::<Sha256>::new(Some(&[0; 32]), z);
                let key = |info: &[u8]| {
                    Secret::filled(|to| {
                        // One block is never too long.
                        let expanded = hkdf.expand(info, to);
                        debug_assert!(expanded.is_ok());
                    })
                };
                SharedSecret {
                    protocol,
                    hmac: key(b"CTAP2 HMAC key"),
                    aes: key(b"CTAP2 AES key"),
                }
            }
        })
    }
}

/// What a platform and the key have agreed on for one command.
pub(crate) struct SharedSecret {
    protocol: PinProtocol,
    hmac: Secret,
    aes: Secret,
}

impl SharedSecret {
    /// §6.5.6 verify, with the shared secret as the key.
    pub(crate) fn verify(&self, message: &[&[u8]], signature: &[u8]) -> bool {
        self.protocol
            .verify(self.hmac.as_bytes(), message, signature)
    }

    /// §6.5.6 encrypt. `plain` is a whole number of blocks.
    pub(crate) fn encrypt(&self, rng: &mut Rng, plain: &[u8]) -> Vec<u8> {
        debug_assert!(plain.len().is_multiple_of(BLOCK_LEN));
        let mut iv = [0; IV_LEN];
        let mut out = Vec::new();
        if self.protocol == PinProtocol::Two {
            rng.fill_bytes(&mut iv);
            out.extend(iv);
        }
        let cipher = cbc::Encryptor::<Aes256>::new(self.aes.as_bytes().into(), &iv.into());
        out.extend(cipher.encrypt_padded_vec::<NoPadding>(plain));
        out
    }

    /// §6.5.6 decrypt; `None` for a length that no encryption gives.
    pub(crate) fn decrypt(&self, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (iv, blocks) = match self.protocol {
            PinProtocol::One => (&[0; IV_LEN], sealed),
            PinProtocol::Two => sealed.split_first_chunk::<IV_LEN>()?,
        };
        let cipher = cbc::Decryptor::<Aes256>::new(self.aes.as_bytes().into(), iv.into());
        let plain = cipher.decrypt_padded_vec::<NoPadding>(blocks).ok()?;
        Some(Zeroizing::new(plain))
    }
}
