//! USB serial numbers of keys that no vault remembers.
//!
//! Windows keeps a device node for each serial, so the same command on the same machine gives the
//! same ones. They are hashes: nothing of the machine can be read from them.

use sha2::{Digest, Sha256};

use crate::rig::Origin;

/// The serial of the `index`-th key: 16 hexadecimal digits.
pub(crate) fn serial(origin: &Origin, index: u32) -> String {
    let mut hasher = Sha256::new();
    hasher.update(b"roamkey serial v1");
    match origin {
        Origin::Seed(seed) => hasher.update(seed),
        Origin::Machine(what) => {
            // Without an id the text alone has to do: equal machines then share serials.
            hasher.update(machine_uid::get().unwrap_or_default());
            hasher.update(what);
        }
    }
    hasher.update(index.to_be_bytes());
    let digest: [u8; 32] = hasher.finalize().into();
    let head = digest.first_chunk::<8>().copied().unwrap_or_default();
    format!("{:016X}", u64::from_be_bytes(head))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serial_is_the_same_again_and_each_keys_own() {
        let machine = Origin::Machine("127.0.0.1:3240".into());
        assert_eq!(serial(&machine, 1), serial(&machine, 1));
        assert_ne!(serial(&machine, 1), serial(&machine, 2));
        let other = Origin::Machine("127.0.0.1:3241".into());
        assert_ne!(serial(&machine, 1), serial(&other, 1));
        assert_eq!(serial(&Origin::Seed(vec![1]), 1).len(), 16);
    }
}
