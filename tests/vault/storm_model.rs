//! What keys on a stormy disk have acknowledged, and random use of them.
//!
//! A request that is answered with an error is in doubt: its change is there, or it is not, and
//! after the next look at it nobody may change their mind.

use rand_chacha::{ChaCha20Rng, rand_core::Rng as _};

use crate::support::{
    carrier::World,
    cose::PublicKey,
    ctap2::{GetAssertion, MakeCredential, Outcome, status},
    ctaphid::{Channel, Platform},
    host::Linux,
    large_blobs::{INITIAL, array},
    manage::management,
    pin::{Protocol, Token, permission},
};

/// Each has one account, so a list of its credentials has one entry at most.
const SITES: [&str; 4] = ["a.example", "b.example", "c.example", "d.example"];
const PIN: &str = "the right PIN";
const WRONG: &str = "a wrong PIN";
const ALL_RETRIES: u64 = 8;
/// No fewer are used up, or the key would be blocked for good.
const LEAST_RETRIES: u64 = 3;
const FRAGMENT: usize = 1024;
/// How long a key is given to get going again, in seconds of virtual time.
const PATIENCE_S: usize = 100;

/// A site's credential.
#[derive(Default)]
struct Slot {
    /// Id, public key (of one that was seen made) and the highest count.
    known: Option<(Vec<u8>, Option<PublicKey>, u32)>,
    /// Something that was to change it was not answered with success.
    in_doubt: bool,
}

struct Key {
    slots: [Slot; SITES.len()],
    has_pin: Option<bool>,
    /// What the retries may be.
    retries: Vec<u64>,
    /// What the count of wrong PINs in a row may be.
    mismatches: Vec<usize>,
    /// What the large blobs may be.
    blobs: Vec<Vec<u8>>,
    /// A non-discoverable credential.
    derived: Option<(Vec<u8>, PublicKey)>,
    /// The highest count of the key's own counter.
    shared: u32,
    platform: Option<(Platform, Channel)>,
}

impl Key {
    fn new() -> Self {
        Self {
            slots: Default::default(),
            has_pin: Some(false),
            retries: vec![ALL_RETRIES],
            mismatches: vec![0],
            blobs: vec![INITIAL.to_vec()],
            derived: None,
            shared: 0,
            platform: None,
        }
    }
}

impl Key {
    /// After a look, which has ended doubts about it.
    fn is_locked(&self) -> bool {
        self.mismatches.iter().all(|count| *count >= 3)
    }
}

/// Random use of several keys.
pub(super) struct Walk {
    keys: Vec<Key>,
    rng: ChaCha20Rng,
    now: usize,
    /// Requests that were answered with success.
    pub(super) answered: u64,
    /// Requests of which nobody knew what had become.
    pub(super) doubts: u64,
}

impl Walk {
    pub(super) fn new(keys: usize, rng: ChaCha20Rng) -> Self {
        Self {
            keys: (0..keys).map(|_| Key::new()).collect(),
            rng,
            now: 0,
            answered: 0,
            doubts: 0,
        }
    }

    fn pick(&mut self, count: usize) -> usize {
        usize::try_from(self.rng.next_u32()).expect("a number") % count
    }

    fn key(&mut self) -> &mut Key {
        &mut self.keys[self.now]
    }

    fn run<T>(&mut self, run: impl FnOnce(&mut Platform, Channel) -> T) -> T {
        let (platform, channel) = self.key().platform.as_mut().expect("attached");
        run(platform, *channel)
    }

    pub(super) fn attach(&mut self, world: &World) {
        for (index, key) in self.keys.iter_mut().enumerate() {
            let link = world.import(index).expect("a key that is free");
            let mut platform = Platform::open(Box::new(Linux::attach(link)));
            let channel = platform.init();
            key.platform = Some((platform, channel));
            key.mismatches = vec![0];
        }
    }

    pub(super) fn detach(&mut self) {
        for key in &mut self.keys {
            key.platform = None;
        }
    }

    /// What was to be done is done, or in doubt; any other answer is wrong.
    fn outcome<T>(&mut self, outcome: Outcome<T>) -> Option<T> {
        match outcome {
            Ok(done) => {
                self.answered += 1;
                Some(done)
            }
            Err(status) => {
                assert_eq!(status, status::OTHER, "only a failed commit refuses");
                self.doubts += 1;
                None
            }
        }
    }

    /// One request. `has_power` says whether the disk can be of use.
    pub(super) fn step(&mut self, has_power: &dyn Fn() -> bool) {
        self.now = self.pick(self.keys.len());
        if !self.is_going(has_power) {
            return;
        }
        match self.pick(12) {
            0..=2 => self.make(),
            3 | 4 => self.sign(),
            5 => self.derive(),
            6 => self.delete(),
            7 => self.write_blobs(),
            8 | 9 => self.wrong_pin(),
            10 => drop(self.token(permission::CM, None)),
            _ => self.check_key(),
        }
    }

    /// A key that has met a failure reads the vault again, and goes on when that can be read.
    fn is_going(&mut self, has_power: &dyn Fn() -> bool) -> bool {
        for _ in 0..PATIENCE_S {
            match self.run(Platform::pin_retries) {
                Err(status::OTHER) if !has_power() => return false,
                Err(status::OTHER) => self.run(|platform, _| platform.idle(1_000)),
                Ok(_) | Err(_) => return true,
            }
        }
        panic!("the disk works, and the key does not get going");
    }

    fn protocol(&mut self) -> Protocol {
        [Protocol::One, Protocol::Two][self.pick(2)]
    }

    /// A token with the right PIN, which is set first if there is none.
    fn token(&mut self, permissions: u64, rp_id: Option<&str>) -> Option<Token> {
        self.look_at_pin();
        let protocol = self.protocol();
        if self.key().has_pin == Some(false) {
            let set = self.run(|platform, channel| platform.set_pin(channel, protocol, PIN));
            let set = self.outcome(set);
            self.key().has_pin = set.map(|()| true);
            set?;
        }
        if self.key().is_locked() {
            return None; // until the next power cycle
        }
        let left = self.key().retries[0];
        let token = self
            .run(|platform, channel| platform.token(channel, protocol, PIN, (permissions, rp_id)));
        let token = self.outcome(token);
        match token {
            Some(_) => {
                self.key().retries = vec![ALL_RETRIES];
                self.key().mismatches = vec![0];
            }
            None => {
                // The PIN may have been compared, and found right.
                self.key().mismatches.push(0);
                self.key().retries = vec![left, left - 1, ALL_RETRIES];
            }
        }
        token
    }

    fn wrong_pin(&mut self) {
        self.look_at_pin();
        let left = self.key().retries[0];
        let pointless =
            self.key().has_pin != Some(true) || self.key().is_locked() || left <= LEAST_RETRIES;
        if pointless {
            return;
        }
        let protocol = self.protocol();
        let tried = self.run(|platform, channel| platform.pin_token(channel, protocol, WRONG));
        match tried.map(drop) {
            Err(status::OTHER) => {
                self.doubts += 1;
                self.key().retries = vec![left, left - 1];
            }
            answer => {
                self.answered += 1;
                let blocks = match answer {
                    Err(status::PIN_AUTH_BLOCKED) => true,
                    Err(status::PIN_INVALID) => false,
                    other => panic!("{other:?} for a wrong PIN"),
                };
                let mismatches = &mut self.key().mismatches;
                mismatches.iter_mut().for_each(|count| *count += 1);
                mismatches.retain(|count| (*count >= 3) == blocks);
                assert!(!mismatches.is_empty(), "the third in a row blocks");
                self.key().retries = vec![left - 1];
            }
        }
    }

    /// Ends doubts about the PIN and its retries.
    fn look_at_pin(&mut self) {
        let seen = self.run(Platform::pin_retries);
        let key = self.key();
        match seen {
            Ok((left, locked)) => {
                assert_ne!(key.has_pin, Some(false), "a PIN that was never set");
                assert!(key.retries.contains(&left), "{left} of {:?}", key.retries);
                key.mismatches.retain(|count| (*count >= 3) == locked);
                assert!(!key.mismatches.is_empty(), "the soft lock");
                key.has_pin = Some(true);
                key.retries = vec![left];
            }
            Err(status) => {
                assert_eq!(status, status::PIN_NOT_SET);
                assert_ne!(key.has_pin, Some(true), "a PIN that was set");
                key.has_pin = Some(false);
            }
        }
    }

    fn make(&mut self) {
        let site = self.pick(SITES.len());
        let mut request = MakeCredential::discoverable(SITES[site], b"account");
        if self.key().has_pin != Some(false) {
            let Some(token) = self.token(permission::MC, Some(SITES[site])) else {
                return;
            };
            request = request.with(&token);
        }
        let made = self.run(|platform, channel| platform.make(channel, &request));
        let slot = match self.outcome(made) {
            Some(made) => Slot {
                known: Some((made.id, Some(made.public_key), made.counter)),
                in_doubt: false,
            },
            None => Slot {
                known: self.key().slots[site].known.take(),
                in_doubt: true,
            },
        };
        self.key().slots[site] = slot;
    }

    fn delete(&mut self) {
        let site = self.pick(SITES.len());
        self.check_slot(site);
        let Some((id, ..)) = self.key().slots[site].known.clone() else {
            return;
        };
        let Some(token) = self.token(permission::CM, None) else {
            return;
        };
        let deleted = self.run(|platform, channel| platform.delete(channel, &token, &id));
        match self.outcome(deleted) {
            Some(_) => self.key().slots[site] = Slot::default(),
            None => self.key().slots[site].in_doubt = true,
        }
    }

    fn sign(&mut self) {
        let site = self.pick(SITES.len());
        self.check_slot(site);
    }

    /// The site's credential is the one that was acknowledged, signs, and counts up.
    fn check_slot(&mut self, site: usize) {
        let request = GetAssertion::new(SITES[site], &[]);
        let asserted = self.run(|platform, channel| platform.get(channel, &request));
        let slot = std::mem::take(&mut self.key().slots[site]);
        self.key().slots[site] = match asserted {
            // Its counter's lease could not be stored: it is as it was.
            Err(status::OTHER) => slot,
            Err(status) => {
                assert_eq!(status, status::NO_CREDENTIALS);
                assert!(slot.in_doubt || slot.known.is_none(), "{site}: it is gone");
                Slot::default()
            }
            Ok(asserted) => {
                let count = asserted.auth_data.counter;
                let (public_key, last) = match slot.known {
                    Some((id, public_key, last)) if id == asserted.id => (public_key, last),
                    _ => {
                        assert!(slot.in_doubt, "{site}: one that was never acknowledged");
                        (None, 0)
                    }
                };
                if let Some(public_key) = &public_key {
                    asserted.verify(SITES[site], public_key);
                }
                assert!(count > last, "{site}: count {count} after {last}");
                Slot {
                    known: Some((asserted.id, public_key, count)),
                    in_doubt: false,
                }
            }
        };
    }

    /// A credential in its own id, under the key's own counter.
    fn derive(&mut self) {
        if let Some((id, public_key)) = self.key().derived.clone() {
            let request = GetAssertion::new(SITES[0], &[&id]);
            let signed = self.run(|platform, channel| platform.get(channel, &request));
            if let Some(signed) = self.outcome(signed) {
                signed.verify(SITES[0], &public_key);
                self.counted(signed.auth_data.counter);
            }
            return;
        }
        let mut request = MakeCredential::new(SITES[0], b"nobody");
        if self.key().has_pin != Some(false) {
            let Some(token) = self.token(permission::MC, Some(SITES[0])) else {
                return;
            };
            request = request.with(&token);
        }
        let made = self.run(|platform, channel| platform.make(channel, &request));
        if let Some(made) = self.outcome(made) {
            self.counted(made.counter);
            self.key().derived = Some((made.id, made.public_key));
        }
    }

    fn counted(&mut self, count: u32) {
        let last = self.key().shared;
        assert!(count > last, "the key's count {count} after {last}");
        self.key().shared = count;
    }

    fn write_blobs(&mut self) {
        let length = 20 + self.pick(3_000);
        let seed = u8::try_from(self.pick(256)).expect("a byte");
        let new = array(length, seed);
        let token = match self.key().has_pin {
            Some(false) => None,
            _ => match self.token(permission::LBW, None) {
                Some(token) => Some(token),
                None => return,
            },
        };
        let written = self.run(|platform, channel| {
            platform.write_all_blobs(channel, &new, FRAGMENT, token.as_ref())
        });
        match self.outcome(written) {
            Some(()) => self.key().blobs = vec![new],
            None => self.key().blobs.push(new),
        }
    }

    fn check_key(&mut self) {
        self.look_at_pin();
        let read = self.run(|platform, channel| platform.read_all_blobs(channel, FRAGMENT));
        let key = self.key();
        assert!(
            key.blobs.contains(&read),
            "large blobs that were never written"
        );
        key.blobs = vec![read];
        for site in 0..SITES.len() {
            self.check_slot(site);
        }
        if self.key().has_pin == Some(true) {
            let left = self.key().retries[0];
            assert!(left >= LEAST_RETRIES - 1, "attempts are lost for nothing");
        }
    }

    /// Looks at everything that was acknowledged, in all keys.
    pub(super) fn check(&mut self) {
        for index in 0..self.keys.len() {
            self.now = index;
            self.check_key();
            self.derive();
        }
    }
}
