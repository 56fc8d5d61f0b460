//! What a platform that sees everything knows of a key: for `sequences`.
//!
//! Written from CTAP 2.1, not from our code. Deliberately absent: keys and signatures; ids and
//! counters stand for them.

use std::collections::BTreeMap;

use roamkey_ctap::Record;

use crate::{key::Vault, pin::sha256};

/// Sites, by number.
pub(crate) const SITES: [&str; 3] = ["example.com", "example.org", "login.example.net"];
/// PINs, by number: four that do, and two that are too short and too long.
pub(crate) const PINS: [&str; 6] = [
    "1234",
    "abcd",
    "geheimni\u{df}-8",
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "123",
    "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy",
];

/// Statuses (§8.2).
pub(crate) mod status {
    pub(crate) const OK: u8 = 0;
    pub(crate) const INVALID_PARAMETER: u8 = 0x02;
    pub(crate) const MISSING_PARAMETER: u8 = 0x14;
    pub(crate) const CREDENTIAL_EXCLUDED: u8 = 0x19;
    pub(crate) const OPERATION_DENIED: u8 = 0x27;
    pub(crate) const KEY_STORE_FULL: u8 = 0x28;
    pub(crate) const KEEPALIVE_CANCEL: u8 = 0x2d;
    pub(crate) const NO_CREDENTIALS: u8 = 0x2e;
    pub(crate) const USER_ACTION_TIMEOUT: u8 = 0x2f;
    pub(crate) const NOT_ALLOWED: u8 = 0x30;
    pub(crate) const PIN_INVALID: u8 = 0x31;
    pub(crate) const PIN_BLOCKED: u8 = 0x32;
    pub(crate) const PIN_AUTH_INVALID: u8 = 0x33;
    pub(crate) const PIN_AUTH_BLOCKED: u8 = 0x34;
    pub(crate) const PIN_NOT_SET: u8 = 0x35;
    pub(crate) const PUAT_REQUIRED: u8 = 0x36;
    pub(crate) const PIN_POLICY_VIOLATION: u8 = 0x37;
    pub(crate) const INTEGRITY_FAILURE: u8 = 0x3d;
    pub(crate) const UNAUTHORIZED_PERMISSION: u8 = 0x40;
    pub(crate) const OTHER: u8 = 0x7f;
}

/// Permissions (§6.5.5.7).
pub(crate) mod permission {
    pub(crate) const MC: u8 = 0x01;
    pub(crate) const GA: u8 = 0x02;
    pub(crate) const CM: u8 = 0x04;
    pub(crate) const LBW: u8 = 0x10;
    pub(crate) const ACFG: u8 = 0x20;
}

/// A site and an account of it, by number.
pub(crate) type Account = (usize, u8);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Passkey {
    /// Empty until the key has told it.
    pub(crate) id: Vec<u8>,
    pub(crate) counter: u32,
    /// Which was made first.
    pub(crate) sequence: u32,
}

/// What outlives power.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Durable {
    pub(crate) passkeys: BTreeMap<Account, Passkey>,
    /// Credentials in their own ids: site and id.
    pub(crate) derived: Vec<(usize, Vec<u8>)>,
    pub(crate) pin: Option<usize>,
    pub(crate) retries: u8,
    pub(crate) blobs: Vec<u8>,
    pub(crate) always_uv: bool,
    pub(crate) min_pin_length: u8,
    pub(crate) force_pin_change: bool,
    pub(crate) sequence: u32,
}

impl Durable {
    /// A new key, or one that was reset (§6.6).
    pub(crate) fn new() -> Self {
        Self {
            passkeys: BTreeMap::new(),
            derived: Vec::new(),
            pin: None,
            retries: 8,
            blobs: array(17, 0x80),
            always_uv: false,
            min_pin_length: 4,
            force_pin_change: false,
            sequence: 0,
        }
    }

    pub(crate) fn find(&self, site: usize, id: &[u8]) -> Option<Found> {
        let mut passkeys = self.passkeys.iter();
        let found = passkeys.find(|((of, _), passkey)| *of == site && passkey.id == id);
        if let Some((account, _)) = found {
            return Some(Found::Passkey(*account));
        }
        let mut derived = self.derived.iter();
        derived
            .any(|(of, known)| *of == site && known == id)
            .then_some(Found::Derived)
    }

    /// A site's passkeys, the newest first.
    pub(crate) fn newest_first(&self, site: usize) -> Vec<Account> {
        let of_site = self.passkeys.iter().filter(|((of, _), _)| *of == site);
        let mut accounts: Vec<_> = of_site.collect();
        accounts.sort_by_key(|(_, passkey)| std::cmp::Reverse(passkey.sequence));
        accounts.into_iter().map(|(account, _)| *account).collect()
    }

    /// Every id that there is, with its site.
    pub(crate) fn ids(&self) -> Vec<(usize, Vec<u8>)> {
        let passkeys = self.passkeys.iter();
        let passkeys = passkeys.map(|((site, _), passkey)| (*site, passkey.id.clone()));
        passkeys.chain(self.derived.iter().cloned()).collect()
    }

    /// Fails unless the vault holds just this; learns ids that nobody was told.
    pub(crate) fn agree(&mut self, vault: &Vault) {
        let mut stored = 0;
        let (mut retries, mut pin, mut blobs) = (8, false, array(17, 0x80));
        let (mut always_uv, mut min_pin_length, mut force) = (false, 4, false);
        for record in vault.records() {
            if let Record::Credential(credential) = record {
                stored += 1;
                let site = SITES.iter().position(|site| *site == credential.rp_id);
                let account = (site.expect("one of ours"), credential.user.id[0]);
                let passkey = self.passkeys.get_mut(&account);
                let passkey = passkey.expect("a passkey that was replaced, deleted, or never made");
                let id = credential.id.as_bytes();
                assert!(passkey.id.is_empty() || passkey.id == id, "another id");
                passkey.id = id.to_vec();
            } else if let Record::PinRetries(left) = record {
                retries = *left;
            } else if let Record::Pin(_) = record {
                pin = true;
            } else if let Record::LargeBlobs(array) = record {
                blobs.clone_from(array);
            } else if let Record::Config(config) = record {
                always_uv = config.always_uv.unwrap_or(always_uv);
                min_pin_length = config.min_pin_length.unwrap_or(min_pin_length);
                force = config.force_pin_change;
            }
        }
        assert_eq!(stored, self.passkeys.len(), "a passkey is gone");
        assert_eq!((pin, retries), (self.pin.is_some(), self.retries));
        assert_eq!(blobs, self.blobs, "the large-blob array");
        let config = (self.always_uv, self.min_pin_length, self.force_pin_change);
        assert_eq!((always_uv, min_pin_length, force), config);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Passkey(Account),
    Derived,
}

/// A pinUvAuthToken that the key gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    /// Empty until the platform has it.
    pub(crate) secret: Vec<u8>,
    pub(crate) protocol: u8,
    pub(crate) permissions: u8,
    pub(crate) site: Option<usize>,
    pub(crate) verified: bool,
    pub(crate) issued_at: u64,
    pub(crate) used: bool,
}

/// What power takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Volatile {
    pub(crate) token: Option<Token>,
    /// Wrong PINs in a row.
    pub(crate) mismatches: u8,
    pub(crate) powered_on_at: u64,
    /// What getNextAssertion tells, the next one first, and until when.
    pub(crate) enumeration: Option<(Vec<Account>, u64)>,
}

impl Volatile {
    pub(crate) fn at_power_on(now: u64) -> Self {
        Self {
            token: None,
            mismatches: 0,
            powered_on_at: now,
            enumeration: None,
        }
    }

    /// The token while its time is not over (§6.5.5.7: 30 s to its first use, 10 min in all).
    pub(crate) fn token(&mut self, now: u64) -> Option<&mut Token> {
        let over = |token: &mut Token| {
            let limit = if token.used { 600_000 } else { 30_000 };
            now >= token.issued_at + limit
        };
        self.token.take_if(over);
        self.token.as_mut()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Model {
    pub(crate) durable: Durable,
    pub(crate) volatile: Volatile,
}

/// A serialized large-blob array (§6.10): any bytes, and their hash behind.
pub(crate) fn array(length: usize, seed: u8) -> Vec<u8> {
    let mut bytes = vec![seed; length.max(17) - 16];
    bytes.extend(&sha256(&bytes)[..16]);
    bytes
}
