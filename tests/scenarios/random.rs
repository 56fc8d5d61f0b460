//! Random use: whatever a host, a person, a vault and the power do, a counter rises, a credential
//! that was confirmed signs, the large-blob array is a whole one, and the key comes to rest.

use std::collections::BTreeMap;

use rand_chacha::{ChaCha20Rng, rand_core::Rng as _};
use roamkey_ctap::{
    AdminRefusal, CredentialId, Decision, KeyState, PasskeyEdit, PasskeyRefusal, Trace,
};

use crate::support::{
    cose::PublicKey,
    ctap2::{Asserted, GetAssertion, MakeCredential, Outcome, SELECTION, sha256, status},
    ctaphid::{Channel, Platform, command},
    large_blobs::{INITIAL, array},
    rig::{Options, Place, Rig, virtual_scenarios},
    u2f::{Control, word},
    vault::Failure,
};

const SITES: [&str; 3] = ["example.com", "example.org", "login.example.net"];
const STEPS: usize = 400;
/// ES256 the most often, since U2F knows no other.
const ALGORITHMS: [i64; 8] = [-7, -7, -7, -8, -35, -47, -36, -257];

virtual_scenarios!(random_use_never_repeats_a_count_and_never_loses_a_credential);

/// A credential that the key confirmed.
struct Known {
    site: &'static str,
    public_key: PublicKey,
    /// The account of a discoverable one.
    user: Option<u8>,
    /// Whether it has a record, and with it a counter.
    stored: bool,
    counter: u32,
}

struct Walk {
    rig: Rig,
    rng: ChaCha20Rng,
    platform: Option<Platform>,
    channel: Channel,
    known: BTreeMap<Vec<u8>, Known>,
    /// Accounts whose registration failed: whether they were stored nobody knows.
    in_doubt: Vec<(&'static str, u8)>,
    /// The highest value of the key's own counter.
    shared: u32,
    /// The large-blob arrays that may be stored: one, unless a write failed.
    blobs: Vec<Vec<u8>>,
    /// Commands that traces told of.
    told: usize,
}

impl Walk {
    fn pick(&mut self, count: usize) -> usize {
        let number = usize::try_from(self.rng.next_u32()).expect("a number");
        number % count
    }

    fn platform(&mut self) -> &mut Platform {
        self.platform.as_mut().expect("attached")
    }

    fn attach(&mut self) {
        self.rig.world().trace(0, true);
        let mut platform = self.rig.attach();
        self.channel = platform.init();
        self.platform = Some(platform);
    }

    /// Each command that began has ended, once, before the next one began.
    fn listen(&mut self) {
        let mut running = None;
        for trace in self.rig.world().take_traces(0) {
            match trace {
                Trace::Started { operation, .. } => {
                    assert_eq!(running.replace(operation), None);
                }
                Trace::Finished { operation, .. } => {
                    assert_eq!(running.take(), Some(operation));
                    self.told += 1;
                }
                Trace::Hid { .. } => {}
            }
        }
        assert_eq!(running, None);
    }

    fn step(&mut self) {
        match self.pick(15) {
            0 | 1 => self.register(),
            2..=5 => self.sign(),
            6 => self.sign_u2f(),
            7 => self.register_u2f(),
            8 => self.cancel_or_abandon(),
            9 => self.fail_a_commit(),
            10 => self.replug(),
            11 => self.write_blobs(),
            12 => self.change(),
            13 => self.abandon_an_rsa_key(),
            _ => self.wait(),
        }
    }

    fn register(&mut self) {
        let site = SITES[self.pick(SITES.len())];
        let user = u8::try_from(self.pick(4)).expect("a small number");
        let rk = self.pick(2) == 0;
        let mut request = MakeCredential::new(site, &[user]);
        request.options.push(("rk", rk));
        request.algorithms = vec![ALGORITHMS[self.pick(ALGORITHMS.len())]];
        let stored = rk || request.algorithms == [-257];
        let channel = self.channel;
        self.platform().start_make(channel, &request);
        self.approve();
        match self.platform().finish_make(channel, &request) {
            Ok(made) => {
                let user = rk.then_some(user);
                let same = |known: &Known| rk && known.site == site && known.user == user;
                self.known.retain(|_, known| !same(known));
                self.in_doubt
                    .retain(|doubt| !rk || *doubt != (site, request.user_id[0]));
                if !stored {
                    assert!(made.counter > self.shared, "a count twice");
                    self.shared = made.counter;
                }
                let known = Known {
                    site,
                    public_key: made.public_key,
                    user,
                    stored,
                    counter: made.counter,
                };
                assert!(self.known.insert(made.id, known).is_none(), "an id twice");
            }
            Err(status) => {
                assert_eq!(status, status::OTHER, "only a failed commit refuses");
                if rk {
                    self.in_doubt.push((site, user));
                }
            }
        }
    }

    fn sign(&mut self) {
        let Some(id) = self.any_id() else { return };
        let site = self.known[&id].site;
        let silent = self.pick(2) == 0;
        let mut request = GetAssertion::new(site, &[&id]);
        if silent {
            request = request.silent();
        }
        let channel = self.channel;
        self.platform().start_get(channel, &request);
        if !silent && !self.is_in_doubt(&id) {
            self.approve();
        } else if !silent {
            self.approve_if_asked();
        }
        let outcome = self.platform().finish_get(channel, &request);
        self.check(&id, outcome, silent);
    }

    fn check(&mut self, id: &[u8], outcome: Outcome<Asserted>, silent: bool) {
        let asserted = match outcome {
            Ok(asserted) => asserted,
            Err(status::OTHER) => return,
            Err(status) => {
                assert_eq!(status, status::NO_CREDENTIALS);
                assert!(self.is_in_doubt(id), "a confirmed credential is gone");
                return;
            }
        };
        let shared = self.shared;
        let known = self.known.get_mut(id).expect("one of ours");
        asserted.verify(known.site, &known.public_key);
        assert_eq!(asserted.auth_data.user_present, !silent);
        let counter = asserted.auth_data.counter;
        let last = if known.stored { known.counter } else { shared };
        assert!(counter > last, "{counter} after {last}");
        known.counter = counter;
        if !known.stored {
            self.shared = counter;
        }
    }

    fn register_u2f(&mut self) {
        let site = SITES[self.pick(SITES.len())];
        let channel = self.channel;
        let application = sha256(site.as_bytes());
        let apdu = crate::support::u2f::register_apdu(&[9; 32], &application);
        let first = self.platform().u2f(channel, &apdu);
        assert_eq!(first, Err(word::CONDITIONS_NOT_SATISFIED));
        self.approve();
        let response = self.platform().u2f(channel, &apdu).expect("a registration");
        let made = crate::support::u2f::registered(&response, &[9; 32], &application);
        let known = Known {
            site,
            public_key: made.public_key,
            user: None,
            stored: false,
            counter: 0,
        };
        self.known.insert(made.key_handle, known);
    }

    fn sign_u2f(&mut self) {
        let Some(id) = self.any_id() else { return };
        let known = &self.known[&id];
        let (key, stored) = (known.public_key.clone(), known.stored);
        let application = sha256(known.site.as_bytes());
        let channel = self.channel;
        let control = Control::DontEnforce;
        let signed = self
            .platform()
            .u2f_authenticate(channel, control, &application, (&id, &key));
        match signed {
            Ok(signed) => {
                let last = if stored {
                    self.known[&id].counter
                } else {
                    self.shared
                };
                assert!(signed.counter > last, "{} after {last}", signed.counter);
                self.known.get_mut(&id).expect("one of ours").counter = signed.counter;
                if !stored {
                    self.shared = signed.counter;
                }
            }
            Err(0x6f00) => {} // a failed commit
            Err(other) => {
                assert_eq!(other, word::WRONG_DATA);
                let unknown = key.algorithm() != -7 || self.is_in_doubt(&id);
                assert!(unknown, "a confirmed credential is gone");
            }
        }
    }

    /// Registers with RSA, and wants it no more before the key is there. What runs goes on for a
    /// while beside whatever comes next.
    fn abandon_an_rsa_key(&mut self) {
        let mut request = MakeCredential::discoverable(SITES[0], &[0]);
        request.algorithms = vec![-257];
        let channel = self.channel;
        self.rig.world().hold_work(0, true);
        self.platform().start_make(channel, &request);
        self.approve();
        let wait_ms = u64::from(self.rng.next_u32() % 2_000);
        self.platform().idle(wait_ms);
        match self.pick(3) {
            0 => {
                self.platform().send(channel, command::CANCEL, &[]);
                let outcome = self.platform().finish(channel).map(drop);
                assert_eq!(outcome, Err(status::KEEPALIVE_CANCEL));
            }
            1 => drop(self.platform().init_on(channel)),
            _ => self.replug(),
        }
        self.rig.world().hold_work(0, false);
    }

    fn cancel_or_abandon(&mut self) {
        let channel = self.channel;
        self.platform().start(channel, SELECTION, None);
        match self.pick(4) {
            0 => {
                self.platform().send(channel, command::CANCEL, &[]);
                let outcome = self.platform().finish(channel).map(drop);
                assert_eq!(outcome, Err(status::KEEPALIVE_CANCEL));
            }
            1 => drop(self.platform().init_on(channel)),
            2 => {
                self.platform().close();
                let wait_ms = u64::from(self.rng.next_u32() % 5_000);
                self.rig.world().pass(wait_ms);
                self.platform().reopen();
                self.channel = self.platform().init();
                // Before 2 s the request of the program that is gone still waits for a person.
                assert!(wait_ms < 2_100 || self.rig.pending() == 0);
                self.platform().init_on(channel);
            }
            _ => {
                let outcome = self.platform().finish(channel).map(drop);
                assert_eq!(outcome, Err(status::USER_ACTION_TIMEOUT));
            }
        }
        self.rig.take_notices();
        assert_eq!(self.rig.pending(), 0, "nobody is asked for nothing");
    }

    /// Writes an array, or begins to, and looks at what is stored.
    fn write_blobs(&mut self) {
        let seed = u8::try_from(self.pick(256)).expect("a byte");
        let whole = array(17 + self.pick(3_000), seed);
        let fragment = 1 + self.pick(whole.len()).max(whole.len() / 5);
        let stops = self.pick(3) == 0;
        let channel = self.channel;
        if stops {
            let part = &whole[..whole.len() / 2];
            let length = Some(whole.len());
            let begun = self.platform().write_blobs(channel, part, 0, length, None);
            assert_eq!(begun, Ok(()));
        } else {
            let written = self
                .platform()
                .write_all_blobs(channel, &whole, fragment, None);
            match written {
                Ok(()) => self.blobs = vec![whole],
                Err(status) => {
                    assert_eq!(status, status::OTHER, "only a failed commit refuses");
                    self.blobs.push(whole);
                }
            }
        }
        self.platform().idle(10); // until a vault that failed is read again
        let stored = self.platform().read_all_blobs(channel, 1_000);
        assert!(self.blobs.contains(&stored), "an array that nobody wrote");
        self.blobs = vec![stored];
    }

    /// Its owner gives a passkey another name and a higher counter, now and then in the middle of
    /// a touch.
    fn change(&mut self) {
        let Some(id) = self.any_id().filter(|id| self.known[id].user.is_some()) else {
            return;
        };
        let channel = self.channel;
        let touch = !self.is_in_doubt(&id) && self.pick(2) == 0;
        let request = GetAssertion::new(self.known[&id].site, &[&id]);
        if touch {
            self.platform().start_get(channel, &request);
        }
        let counter = self.known[&id].counter + self.rng.next_u32() % 300;
        let edit = PasskeyEdit {
            name: Some(format!("account {counter}")),
            counter: Some(counter),
            ..PasskeyEdit::default()
        };
        let number = CredentialId::from_slice(&id).expect("64 bytes");
        let world = self.rig.world();
        let changed = world.change(0, |state, profile, _| {
            state.edit_passkey(profile, &number, edit)
        });
        match changed {
            Ok(changed) => assert!(changed.is_some()),
            Err(why) => {
                assert_eq!(why, AdminRefusal::Refused(PasskeyRefusal::NotFound));
                assert!(self.is_in_doubt(&id), "a confirmed credential is gone");
            }
        }
        let ceiling = |state: &KeyState| Some(state.passkey(&number)?.counter_ceiling());
        if self.rig.world().look(0, ceiling) == Some(counter) {
            self.known.get_mut(&id).expect("one of ours").counter = counter;
        }
        if touch {
            self.approve();
            let outcome = self.platform().finish_get(channel, &request);
            self.check(&id, outcome, false);
        }
    }

    fn fail_a_commit(&mut self) {
        let failure = [Failure::NotStored, Failure::Stored][self.pick(2)];
        self.rig.vaults[0].fail_next(failure);
    }

    fn replug(&mut self) {
        self.platform = None;
        if self.pick(2) == 0 {
            self.rig.restart();
        }
        self.attach();
    }

    fn wait(&mut self) {
        let ms = u64::from(self.rng.next_u32() % 60_000);
        self.platform().expect_silence(ms);
        assert_eq!(self.rig.world().next_timeout(0), None, "the key rests");
    }

    fn approve(&mut self) {
        let mut platform = self.platform.take().expect("attached");
        let asked = self.rig.wait_asked(&mut platform);
        self.rig.decide(&asked, Decision::Approved);
        self.platform = Some(platform);
    }

    fn approve_if_asked(&mut self) {
        if self.rig.pending() > 0 {
            self.approve();
        }
    }

    fn any_id(&mut self) -> Option<Vec<u8>> {
        let at = self.pick(self.known.len().max(1));
        self.known.keys().nth(at).cloned()
    }

    /// Whether a registration that failed may have replaced it.
    fn is_in_doubt(&self, id: &[u8]) -> bool {
        let known = &self.known[id];
        let account = known.user.map(|user| (known.site, user));
        account.is_some_and(|account| self.in_doubt.contains(&account))
    }
}

fn random_use_never_repeats_a_count_and_never_loses_a_credential(place: Place) {
    let rig = place.rig_with(Options::held());
    let rng = rig.seed.rng("random use", 0);
    let mut walk = Walk {
        rig,
        rng,
        platform: None,
        channel: Channel(0),
        known: BTreeMap::new(),
        in_doubt: Vec::new(),
        shared: 0,
        blobs: vec![INITIAL.to_vec()],
        told: 0,
    };
    walk.attach();
    for _ in 0..STEPS {
        walk.step();
        walk.listen();
    }
    assert!(!walk.known.is_empty(), "something was registered");
    assert!(walk.told > 0, "commands were told of");
}
