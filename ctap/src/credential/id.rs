//! Credential ids of exactly 64 bytes, both kinds alike.
//!
//! A non-discoverable credential lives in its own id: nonce 24, then 24 bytes of payload sealed
//! with XChaCha20-Poly1305 and its tag 16, bound to the RP id hash. The private key comes from
//! the master secret, the nonce and the RP id hash, so nothing is stored for it. A discoverable
//! credential's id is 64 random bytes that lead to a record.

use std::fmt;

use rand_core::Rng as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{Algorithm, CredProtect, CredRandom, RpIdHash};
use crate::crypto::{Expander, PrivateKey, Rng, Sealer, Secret};

/// Length of every credential id and key handle, in bytes: what Windows takes at most.
pub const CREDENTIAL_ID_LEN: usize = 64;
/// The longest credential id of all (WebAuthn §4), in bytes: of one that was made elsewhere.
pub const MAX_CREDENTIAL_ID_LEN: usize = 1023;
const NONCE_LEN: usize = 24;
const PAYLOAD_LEN: usize = 24;
/// Of the identifiers that getInfo tells encrypted.
pub(crate) const IDENTIFIER_LEN: usize = 16;

/// The only layout of the sealed payload so far.
const VERSION: u8 = 1;
/// Flag: made by U2F_REGISTER.
const FLAG_U2F: u8 = 0x01;
/// Flag: thirdPartyPayment.
const FLAG_PAYMENT: u8 = 0x02;

/// A credential id or U2F key handle of this key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CredentialId([u8; CREDENTIAL_ID_LEN]);

impl CredentialId {
    /// `None` for any other length: such an id is not one of ours.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The 64 bytes.
    pub fn as_bytes(&self) -> &[u8; CREDENTIAL_ID_LEN] {
        &self.0
    }

    /// An id for a discoverable credential.
    pub(crate) fn random(rng: &mut Rng) -> Self {
        let mut bytes = [0; CREDENTIAL_ID_LEN];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }
}

impl From<[u8; CREDENTIAL_ID_LEN]> for CredentialId {
    fn from(bytes: [u8; CREDENTIAL_ID_LEN]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for CredentialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Serialize for CredentialId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for CredentialId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = serde_bytes::ByteArray::<CREDENTIAL_ID_LEN>::deserialize(deserializer)
            .map_err(|_| de::Error::custom("a credential id is 64 bytes"))?;
        Ok(Self(bytes.into_array()))
    }
}

/// By which protocol a non-discoverable credential was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Ctap2 {
        /// Whether other sites may ask to pay with it (CTAP 2.2 §12.10).
        third_party_payment: bool,
    },
    U2f,
}

/// A non-discoverable credential, brought back from its id: what its secrets are derived for.
#[derive(Clone, Copy)]
pub(crate) struct Derived {
    pub(crate) algorithm: Algorithm,
    pub(crate) cred_protect: CredProtect,
    pub(crate) third_party_payment: bool,
    nonce: [u8; NONCE_LEN],
    rp_id_hash: RpIdHash,
}

/// Makes and recognises non-discoverable credentials of one master secret.
pub(crate) struct Deriver {
    sealer: Sealer,
    keys: Expander,
    cred_random_with_uv: Expander,
    cred_random_without_uv: Expander,
    identifiers: Expander,
}

impl Deriver {
    pub(crate) fn new(master: &Secret) -> Self {
        let expander = Expander::new(master);
        let derived = |label: &[u8]| Expander::new(&expander.expand(&[label]));
        Self {
            sealer: Sealer::new(&expander.expand(&[b"roamkey credential id seal v1"])),
            keys: derived(b"roamkey credential private key v1"),
            cred_random_with_uv: derived(b"roamkey CredRandomWithUV v1"),
            cred_random_without_uv: derived(b"roamkey CredRandomWithoutUV v1"),
            identifiers: derived(b"roamkey identifiers v1"),
        }
    }

    /// A new credential for the RP.
    pub(crate) fn create(
        &self,
        rng: &mut Rng,
        rp_id_hash: &RpIdHash,
        algorithm: Algorithm,
        cred_protect: CredProtect,
        origin: Origin,
    ) -> (CredentialId, Derived) {
        let mut nonce = [0; NONCE_LEN];
        rng.fill_bytes(&mut nonce);
        let [a0, a1, a2, a3] = algorithm.cose().to_be_bytes();
        let flags = match origin {
            Origin::Ctap2 {
                third_party_payment: true,
            } => FLAG_PAYMENT,
            Origin::Ctap2 {
                third_party_payment: false,
            } => 0,
            Origin::U2f => FLAG_U2F,
        };
        let mut payload = [0; PAYLOAD_LEN];
        if let Some(head) = payload.first_chunk_mut() {
            *head = [VERSION, a0, a1, a2, a3, cred_protect.level(), flags];
        }
        let sealed = self.sealer.seal(&nonce, &payload, &rp_id_hash.0);
        let mut id = [0; CREDENTIAL_ID_LEN];
        for (to, from) in id.iter_mut().zip(nonce.iter().chain(&sealed)) {
            *to = *from;
        }
        let derived = Derived {
            algorithm,
            cred_protect,
            third_party_payment: flags & FLAG_PAYMENT != 0,
            nonce,
            rp_id_hash: *rp_id_hash,
        };
        (CredentialId(id), derived)
    }

    /// The credential that `id` holds, if it was made under this master secret for this RP.
    pub(crate) fn open(&self, id: &CredentialId, rp_id_hash: &RpIdHash) -> Option<Derived> {
        let (nonce, sealed) = id.0.split_first_chunk::<NONCE_LEN>()?;
        let payload = self.sealer.open(nonce, sealed, &rp_id_hash.0)?;
        let [VERSION, a0, a1, a2, a3, level, flags, ..] = *payload.as_slice() else {
            return None;
        };
        Some(Derived {
            algorithm: Algorithm::from_cose(i32::from_be_bytes([a0, a1, a2, a3]).into())?,
            cred_protect: CredProtect::from_level(level.into())?,
            third_party_payment: flags & FLAG_PAYMENT != 0,
            nonce: *nonce,
            rp_id_hash: *rp_id_hash,
        })
    }

    /// What encIdentifier hides: another after a reset, as the master secret is (CTAP 2.2 §6.4).
    pub(crate) fn device_identifier(&self) -> [u8; IDENTIFIER_LEN] {
        self.identifier(&[b"device"])
    }

    /// What encCredStoreState hides, for a digest of what is stored.
    pub(crate) fn store_state(&self, digest: &[u8; 32]) -> [u8; IDENTIFIER_LEN] {
        self.identifier(&[b"store", digest])
    }

    fn identifier(&self, parts: &[&[u8]]) -> [u8; IDENTIFIER_LEN] {
        let mut identifier = [0; IDENTIFIER_LEN];
        self.identifiers.expand_into(parts, &mut identifier);
        identifier
    }

    pub(crate) fn private_key(&self, derived: &Derived) -> PrivateKey {
        PrivateKey::derive(derived.algorithm, &self.keys, &derived.parts())
    }

    pub(crate) fn cred_random(&self, derived: &Derived) -> CredRandom {
        CredRandom {
            with_uv: self.cred_random_with_uv.expand(&derived.parts()),
            without_uv: self.cred_random_without_uv.expand(&derived.parts()),
        }
    }
}

impl Derived {
    /// What tells this credential's secrets from another's.
    fn parts(&self) -> [&[u8]; 2] {
        [&self.nonce, &self.rp_id_hash.0]
    }
}
