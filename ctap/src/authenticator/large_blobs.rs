//! authenticatorLargeBlobs (CTAP 2.1 §6.10.2): one array for all credentials, read and replaced in
//! fragments.
//!
//! What arrives is kept in memory until it is whole and its hash is right; then it takes the old
//! array's place in one change set. Deliberately absent: what is in the array. Platforms encrypt
//! each item for its credential, and this key cannot read any.

use super::{Authenticator, Next, Stateful, Step};
use crate::{
    crypto::sha256,
    pin::Permissions,
    state::{ChangeSet, INITIAL_LARGE_BLOBS, Record},
    status::Status,
    time::Instant,
    wire::{
        PinUvAuth,
        large_blobs::{Request, emit},
    },
};

/// What a message has beside a fragment: maxFragmentLength is maxMsgSize less this.
const FRAGMENT_OVERHEAD: usize = 64;
/// An array ends with LEFT(SHA-256(what is in front), 16).
const HASH_LEN: usize = 16;

/// An array of which more is to come.
#[derive(Clone)]
pub(super) struct Pending {
    /// expectedLength.
    length: usize,
    /// What has come; its length is expectedNextOffset.
    bytes: Vec<u8>,
}

/// A fragment on its way in.
struct Fragment {
    bytes: Vec<u8>,
    offset: u64,
    /// Of the whole array.
    length: Option<u64>,
}

impl Authenticator {
    pub(super) fn large_blobs(&mut self, now: Instant, request: Request) -> Result<Step, Status> {
        let auth = request.pin_uv_auth;
        let length = request.length;
        match (request.offset, request.get, request.set) {
            (Some(offset), Some(count), None) => {
                // Reading needs neither, and a platform that sends them means something else.
                if length.is_some() || auth.param.is_some() || auth.protocol.is_some() {
                    return Err(Status::InvalidParameter);
                }
                self.read_large_blobs(offset, count)
            }
            (Some(offset), None, Some(bytes)) => {
                let fragment = Fragment {
                    bytes,
                    offset,
                    length,
                };
                self.write_large_blobs(now, fragment, &auth)
            }
            (None, _, _) | (_, Some(_), Some(_)) | (_, None, None) => Err(Status::InvalidParameter),
        }
    }

    fn max_fragment_length(&self) -> usize {
        usize::from(self.profile.max_msg_size).saturating_sub(FRAGMENT_OVERHEAD)
    }

    /// Step 4. A count that reaches beyond the end gives what there is.
    fn read_large_blobs(&self, offset: u64, count: u64) -> Result<Step, Status> {
        let count = usize::try_from(count)
            .ok()
            .filter(|count| *count <= self.max_fragment_length())
            .ok_or(Status::InvalidLength)?;
        let from_offset = usize::try_from(offset)
            .ok()
            .and_then(|offset| self.state.large_blobs.get(offset..))
            .ok_or(Status::InvalidParameter)?;
        let fragment = from_offset.get(..count).unwrap_or(from_offset);
        Ok(Step::success(Some(emit(fragment))))
    }

    /// Step 5. A fragment that is refused leaves those before it as they are, unless it is a first
    /// one: that begins anew once its length is one that fits.
    fn write_large_blobs(
        &mut self,
        now: Instant,
        fragment: Fragment,
        auth: &PinUvAuth,
    ) -> Result<Step, Status> {
        if fragment.bytes.len() > self.max_fragment_length() {
            return Err(Status::InvalidLength);
        }
        let mut pending = match (fragment.offset, fragment.length) {
            (0, Some(length)) => {
                let length = self.array_length(length)?;
                self.end_large_blobs();
                Pending {
                    length,
                    bytes: Vec::new(),
                }
            }
            (1.., None) => self.pending_at(fragment.offset).ok_or(Status::InvalidSeq)?,
            (0, None) | (1.., Some(_)) => return Err(Status::InvalidParameter),
        };
        if self.is_protected() || self.always_uv() {
            let message = authenticated(&fragment)?;
            self.check_management(now, auth, Permissions::LBW, &message)?;
        }
        pending.bytes.extend(fragment.bytes);
        if pending.bytes.len() > pending.length {
            return Err(Status::InvalidParameter);
        }
        if pending.bytes.len() < pending.length {
            self.stateful = Some((self.client, Stateful::LargeBlobs(pending)));
            return Ok(Step::success(None));
        }
        self.end_large_blobs();
        if !is_whole(&pending.bytes) {
            return Err(Status::IntegrityFailure);
        }
        let mut set = ChangeSet::default();
        set.put(Record::LargeBlobs(pending.bytes));
        let response = crate::wire::response(Ok(None));
        Ok(Step::Commit(set, Next::Respond(response)))
    }

    /// The length of an array that can be stored: an empty one is the shortest.
    fn array_length(&self, length: u64) -> Result<usize, Status> {
        let most = usize::from(self.profile.max_serialized_large_blob_array);
        let length = usize::try_from(length)
            .ok()
            .filter(|length| *length <= most)
            .ok_or(Status::LargeBlobStorageFull)?;
        if length < INITIAL_LARGE_BLOBS.len() {
            return Err(Status::InvalidParameter);
        }
        Ok(length)
    }

    /// What this client has written so far, if it ends at `offset`.
    fn pending_at(&self, offset: u64) -> Option<Pending> {
        match &self.stateful {
            Some((client, Stateful::LargeBlobs(pending))) if *client == self.client => {
                let ends_at = u64::try_from(pending.bytes.len()).ok();
                (ends_at == Some(offset)).then(|| pending.clone())
            }
            _ => None,
        }
    }

    /// Forgets what this client has written so far.
    fn end_large_blobs(&mut self) {
        let client = self.client;
        self.stateful.take_if(|(whose, _)| *whose == client);
    }
}

/// What pinUvAuthParam authenticates, of each fragment.
fn authenticated(fragment: &Fragment) -> Result<Vec<u8>, Status> {
    let offset = u32::try_from(fragment.offset).map_err(|_| Status::InvalidSeq)?;
    let hash = sha256(&[&fragment.bytes]);
    let parts = [
        [0xff; 32].as_slice(),
        &[0x0c, 0x00],
        &offset.to_le_bytes(),
        &hash,
    ];
    Ok(parts.concat())
}

/// Whether an array's last bytes are the hash of those in front.
fn is_whole(array: &[u8]) -> bool {
    array
        .split_last_chunk::<HASH_LEN>()
        .is_some_and(|(content, hash)| sha256(&[content]).starts_with(hash))
}
