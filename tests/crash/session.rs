//! A client at one key: each request is noted before it is sent, and its answer when it came.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rand_chacha::{ChaCha20Rng, rand_core::Rng as _};

use super::{
    model::{Account, Fate, Model, Request},
    tap::{Gone, Tapped, Trigger, Watched},
};
use crate::support::{
    carrier::try_import,
    cbor,
    ctap2::{GetAssertion, MakeCredential, Outcome, RESET, status},
    ctaphid::{Channel, Platform},
    host::{Linux, PATIENCE_MS},
    manage::user,
    pin::{Protocol, Shared, Token, padded, permission},
};

/// How long a key may take to notice that its last host is gone.
const PATIENCE: Duration = Duration::from_secs(10);
/// What is shown of a key's past when something is wrong.
const TRAIL_LEN: usize = 60;

/// How a PIN is tried.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    Token,
    LegacyToken,
    Change,
}

/// A key over all kills.
pub(super) struct Tracked {
    pub(super) index: usize,
    pub(super) model: Model,
    pub(super) rng: ChaCha20Rng,
    /// The latest requests and what came of them.
    pub(super) trail: VecDeque<String>,
    /// Answers by kind of request, while the key was under load.
    pub(super) answers: BTreeMap<&'static str, u64>,
    /// Answers while the key was checked.
    pub(super) checks: u64,
    pub(super) is_checking: bool,
    /// How often a start found how many PIN attempts left.
    pub(super) starts: BTreeMap<u64, u64>,
    /// What became of requests that had no answer, by kind of request.
    pub(super) fates: BTreeMap<(&'static str, Fate), u64>,
}

impl Tracked {
    pub(super) fn new(index: usize, rng: ChaCha20Rng) -> Self {
        Self {
            index,
            model: Model::new(),
            rng,
            trail: VecDeque::new(),
            answers: BTreeMap::new(),
            checks: 0,
            is_checking: false,
            starts: BTreeMap::new(),
            fates: BTreeMap::new(),
        }
    }

    pub(super) fn note(&mut self, text: String) {
        if self.trail.len() == TRAIL_LEN {
            self.trail.pop_front();
        }
        self.trail.push_back(text);
    }

    /// What became of a request without an answer.
    pub(super) fn settle(&mut self, request: &Request, fate: Fate) {
        self.note(format!("{}: {fate:?}", request.label()));
        *self.fates.entry((request.label(), fate)).or_default() += 1;
    }

    pub(super) fn pick(&mut self, count: usize) -> usize {
        usize::try_from(self.rng.next_u32()).expect("a number") % count
    }
}

/// Where a key is, and what watches its traffic.
#[derive(Clone)]
pub(super) struct Line {
    pub(super) address: SocketAddr,
    pub(super) trigger: Arc<Trigger>,
}

/// A client that has attached the key.
pub(super) struct Session<'k> {
    pub(super) key: &'k mut Tracked,
    line: Line,
    platform: Option<Platform>,
    channel: Channel,
}

impl<'k> Session<'k> {
    pub(super) fn attach(key: &'k mut Tracked, line: Line) -> Self {
        let mut session = Self {
            key,
            line,
            platform: None,
            channel: Channel(0),
        };
        session.replug();
        session
    }

    /// Power goes and comes.
    pub(super) fn replug(&mut self) {
        self.key.note("power".to_owned());
        self.platform = None;
        let busid = format!("1-{}", self.key.index + 1);
        let end = Instant::now() + PATIENCE;
        let link = loop {
            let Ok(imported) = try_import(self.line.address, &busid) else {
                Gone::unwind();
            };
            match imported {
                Ok(link) => break link,
                // The key has not noticed yet that its last host is gone.
                Err(status) => assert!(Instant::now() < end, "{busid}: status {status}"),
            }
            thread::sleep(Duration::from_millis(1));
        };
        let host = Linux::attach(Box::new(Watched(link)));
        self.key.model.powered();
        let mut platform = Platform::open(Box::new(Tapped {
            host: Box::new(host),
            key: self.key.index,
            trigger: Arc::clone(&self.line.trigger),
            wrote: false,
        }));
        self.channel = platform.init();
        self.platform = Some(platform);
    }

    /// Does nothing until the process is gone, which unwinds.
    pub(super) fn wait_for_end(&mut self) {
        self.plain(|platform, _| platform.host.is_gone_within(PATIENCE_MS));
    }

    /// What needs no note: it changes nothing, or its caller notes it.
    pub(super) fn plain<T>(&mut self, run: impl FnOnce(&mut Platform, Channel) -> T) -> T {
        run(self.platform.as_mut().expect("attached"), self.channel)
    }

    /// Sends a request; until its answer is here, nobody knows what it has changed.
    pub(super) fn ask<T>(
        &mut self,
        request: Request,
        run: impl FnOnce(&mut Platform, Channel) -> Outcome<T>,
    ) -> Outcome<T> {
        let label = request.label();
        self.key.note(format!("{label} …"));
        self.key.model.pending = Some(request);
        let outcome = self.plain(run);
        self.key.model.pending = None;
        if self.key.is_checking {
            self.key.checks += 1;
        } else {
            *self.key.answers.entry(label).or_default() += 1;
        }
        let answer = outcome.as_ref().err().copied().unwrap_or_default();
        self.key.note(format!("{label}: status {answer:#04x}"));
        outcome
    }

    fn protocol(&mut self) -> Protocol {
        [Protocol::One, Protocol::Two][self.key.pick(2)]
    }

    fn agree(&mut self) -> Shared {
        let protocol = self.protocol();
        self.plain(|platform, channel| platform.agree(channel, protocol))
    }

    /// Tries a PIN that is not to be changed; the answer must be what the model foresees.
    pub(super) fn try_pin(
        &mut self,
        way: Way,
        pin: &str,
        (permissions, rp_id): (u64, Option<&str>),
    ) -> Option<Token> {
        let shared = self.agree();
        let members = match way {
            Way::Token => shared.token(pin, permissions, rp_id),
            Way::LegacyToken => shared.pin_token(pin),
            Way::Change => shared.change_pin(pin, &padded("never to be set")),
        };
        let right = self.key.model.pin.as_deref() == Some(pin);
        let refusal = self.key.model.refusal();
        let request = match (refusal, right) {
            (Some(_), _) => Request::Use("PIN refused unseen"),
            (None, true) => Request::RightPin,
            (None, false) => Request::WrongPin,
        };
        let outcome = self.ask(request, |platform, channel| {
            platform.client_pin(channel, members)
        });
        let expected = match refusal {
            Some(status) => Err(status),
            None => self.key.model.tried(right),
        };
        let answer = outcome.as_ref().map(drop).map_err(|status| *status);
        let left = self.key.model.retries;
        assert_eq!(answer, expected, "{way:?}, right: {right}, {left} left");
        let secret = shared.decrypt(&cbor::bytes(cbor::member(&outcome.ok()?, 2)));
        Some(Token {
            protocol: shared.protocol,
            secret,
        })
    }

    /// A token with the PIN; `None` where none is set.
    pub(super) fn token(&mut self, permissions: u64, rp_id: Option<&str>) -> Option<Token> {
        let pin = self.key.model.pin.clone()?;
        let token = self.try_pin(Way::Token, &pin, (permissions, rp_id));
        Some(token.expect("the PIN may be tried"))
    }

    /// The first PIN.
    pub(super) fn set_pin(&mut self, pin: String) {
        let members = self.agree().set_pin(&padded(&pin));
        let request = Request::SetPin(pin.clone());
        let outcome = self.ask(request, |platform, channel| {
            platform.client_pin(channel, members)
        });
        outcome.expect("no PIN is set");
        self.key.model.has_pin(pin);
    }

    pub(super) fn change_pin(&mut self, to: String) {
        let pin = self.key.model.pin.clone().expect("a PIN");
        let members = self.agree().change_pin(&pin, &padded(&to));
        let request = Request::ChangePin(to.clone());
        let outcome = self.ask(request, |platform, channel| {
            platform.client_pin(channel, members)
        });
        outcome.expect("the PIN may be tried");
        self.key.model.has_pin(to);
    }

    /// Makes a discoverable credential, perhaps in an older one's place.
    pub(super) fn make_passkey(&mut self, account: Account, name: &'static str) {
        let mut request = MakeCredential::discoverable(account.site, &[account.user]);
        request.user_name = Some(name);
        if let Some(token) = self.token(permission::MC, Some(account.site)) {
            request = request.with(&token);
        }
        let made = self.ask(Request::Register(account, name), |platform, channel| {
            platform.make(channel, &request)
        });
        let made = made.expect("a credential");
        let model = &mut self.key.model;
        model.stored(made.id, (account, name), made.public_key, made.counter);
    }

    pub(super) fn make_derived(&mut self, site: &'static str) {
        let mut request = MakeCredential::new(site, b"nobody");
        if let Some(token) = self.token(permission::MC, Some(site)) {
            request = request.with(&token);
        }
        let made = self.ask(Request::Use("credential made"), |platform, channel| {
            platform.make(channel, &request)
        });
        let made = made.expect("a credential");
        let model = &mut self.key.model;
        model.derived(made.id, site, made.public_key, made.counter);
    }

    /// Signs with a credential that must be there.
    pub(super) fn sign(&mut self, id: &[u8], silent: bool) {
        let known = self.key.model.known.get(id).expect("one of ours");
        let (site, public_key) = (known.site, known.public_key.clone());
        let mut request = GetAssertion::new(site, &[id]);
        let mut label = "signed";
        if silent {
            request = request.silent();
            label = "signed silently";
        }
        let asserted = self.ask(Request::Use(label), |platform, channel| {
            platform.get(channel, &request)
        });
        let asserted = asserted.expect("a credential that was confirmed");
        assert_eq!(asserted.id, id);
        asserted.verify(site, &public_key);
        self.key.model.signed(id, asserted.auth_data.counter);
    }

    pub(super) fn delete(&mut self, id: &[u8]) {
        let token = self.token(permission::CM, None).expect("a PIN");
        let deleted = self.ask(Request::Delete(id.to_vec()), |platform, channel| {
            platform.delete(channel, &token, id)
        });
        deleted.expect("a credential that was confirmed");
        self.key.model.removed(id);
    }

    pub(super) fn rename(&mut self, id: &[u8], to: &'static str) {
        let known = self.key.model.known.get(id).expect("one of ours");
        let (account, _) = known.account.expect("a discoverable one");
        let entity = user(&[account.user], &[("name", to)]);
        let token = self.token(permission::CM, None).expect("a PIN");
        let renamed = self.ask(Request::Rename(id.to_vec(), to), |platform, channel| {
            platform.update(channel, &token, id, entity)
        });
        renamed.expect("a credential that was confirmed");
        self.key.model.renamed(id, to);
    }

    /// Erases the key. Power comes first, which opens the time for it.
    pub(super) fn reset(&mut self) {
        self.replug();
        let erased = self.ask(Request::Reset, |platform, channel| {
            platform.ctap2(channel, RESET, None)
        });
        erased.expect("power came just now");
        self.key.model.erased();
    }

    /// The attempts that are left and the soft lock, as the model has them.
    pub(super) fn check_retries(&mut self) {
        let model = &self.key.model;
        let expected = match model.pin {
            Some(_) => Ok((model.retries, model.is_locked())),
            None => Err(status::PIN_NOT_SET),
        };
        let retries = self.plain(Platform::pin_retries);
        assert_eq!(retries, expected, "attempts left, and the soft lock");
    }
}
