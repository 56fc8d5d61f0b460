//! The large blob of a passkey as its owner reads and writes it: an entry of the array, sealed with
//! the passkey's own key as a platform seals it (CTAP 2.1 §6.10.3, §6.10.5).
//!
//! Deliberately absent: entries that no passkey here opens. They stay as they are.

use aes_gcm::{
    Aes256Gcm, KeyInit as _,
    aead::{Aead as _, Payload},
};
use ciborium::Value;
use miniz_oxide::{deflate::compress_to_vec, inflate::decompress_to_vec_with_limit};
use rand_core::Rng as _;

use super::PasskeyRefusal;
use crate::{
    credential::CredentialId,
    crypto::{Rng, Secret, sha256},
    limits::MAX_BLOB_LEN,
    profile::Profile,
    state::{ChangeSet, KeyState, Record},
};

/// The array ends with so many bytes of its hash (§6.10.2).
const HASH_LEN: usize = 16;
const NONCE_LEN: usize = 12;
/// How well it is packed, 0 to 10.
const LEVEL: u8 = 6;

/// What seals an entry: the AEAD's associated data (§6.10.3).
fn bound_to(original: u64) -> Vec<u8> {
    [b"blob".as_slice(), &original.to_le_bytes()].concat()
}

/// A member of an entry.
fn member(entry: &Value, key: u8) -> Option<&Value> {
    let members = entry.as_map()?;
    let named = |name: &Value| name.as_integer() == Some(key.into());
    let found = members.iter().find(|(name, _)| named(name));
    found.map(|(_, value)| value)
}

fn open(entry: &Value, key: &Secret) -> Option<Vec<u8>> {
    let sealed = member(entry, 1)?.as_bytes()?;
    let nonce: [u8; NONCE_LEN] = member(entry, 2)?.as_bytes()?.as_slice().try_into().ok()?;
    let original: u64 = member(entry, 3)?.as_integer()?.try_into().ok()?;
    let cipher = Aes256Gcm::new(key.as_bytes().into());
    let payload = Payload {
        msg: sealed,
        aad: &bound_to(original),
    };
    let packed = cipher.decrypt(&nonce.into(), payload).ok()?;
    let blob = decompress_to_vec_with_limit(&packed, MAX_BLOB_LEN).ok()?;
    (u64::try_from(blob.len()).ok() == Some(original)).then_some(blob)
}

fn seal(blob: &[u8], key: &Secret, rng: &mut Rng) -> Option<Value> {
    let original = u64::try_from(blob.len()).ok()?;
    let mut nonce = [0; NONCE_LEN];
    rng.fill_bytes(&mut nonce);
    let payload = Payload {
        msg: &compress_to_vec(blob, LEVEL),
        aad: &bound_to(original),
    };
    let cipher = Aes256Gcm::new(key.as_bytes().into());
    let sealed = cipher.encrypt(&nonce.into(), payload).ok()?;
    Some(Value::Map(vec![
        (1.into(), Value::Bytes(sealed)),
        (2.into(), Value::Bytes(nonce.to_vec())),
        (3.into(), original.into()),
    ]))
}

impl KeyState {
    /// The entries of the array; none where what is there is no array, as a platform takes it.
    fn entries(&self) -> Vec<Value> {
        let array = self.large_blobs.split_last_chunk::<HASH_LEN>();
        let parsed = array.and_then(|(array, _)| ciborium::from_reader(array).ok());
        match parsed {
            Some(Value::Array(entries)) => entries,
            Some(_) | None => Vec::new(),
        }
    }

    /// What a passkey's site stored with it; `None` where it stored nothing.
    ///
    /// # Errors
    /// There is no such passkey, it has no key for large blobs, or the profile keeps secrets in.
    pub fn large_blob(
        &self,
        profile: &Profile,
        id: &CredentialId,
    ) -> Result<Option<Vec<u8>>, PasskeyRefusal> {
        if !profile.exportable {
            return Err(PasskeyRefusal::NotExportable);
        }
        let key = self.large_blob_key(id)?;
        Ok(self.entries().iter().find_map(|entry| open(entry, key)))
    }

    /// Stores a blob with a passkey, in place of one that is there.
    ///
    /// # Errors
    /// There is no such passkey, it has no key for large blobs, or the array has no room for it.
    pub fn set_large_blob(
        &self,
        profile: &Profile,
        rng: &mut Rng,
        id: &CredentialId,
        blob: &[u8],
    ) -> Result<ChangeSet, PasskeyRefusal> {
        let key = self.large_blob_key(id)?;
        let mut entries = self.entries();
        entries.retain(|entry| open(entry, key).is_none());
        let most = profile.max_serialized_large_blob_array;
        let full = PasskeyRefusal::LargeBlob { most };
        if blob.len() > MAX_BLOB_LEN {
            return Err(full);
        }
        entries.push(seal(blob, key, rng).ok_or(full)?);
        let mut array = Vec::new();
        ciborium::into_writer(&Value::Array(entries), &mut array).map_err(|_| full)?;
        let hash = sha256(&[&array]);
        array.extend(hash.iter().take(HASH_LEN));
        if array.len() > usize::from(most) {
            return Err(full);
        }
        let mut set = ChangeSet::default();
        set.put(Record::LargeBlobs(array));
        Ok(set)
    }

    fn large_blob_key(&self, id: &CredentialId) -> Result<&Secret, PasskeyRefusal> {
        let stored = self.credentials.by_id(id);
        let stored = stored.ok_or(PasskeyRefusal::NotFound)?;
        let key = stored.credential.large_blob_key.as_ref();
        key.ok_or(PasskeyRefusal::Extension("largeBlobKey"))
    }
}
