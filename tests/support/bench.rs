//! A key on a host with a PIN protocol chosen: what scenarios about PINs have in common.

use ciborium::Value;
use roamkey::profile::Profile;

use super::{
    cbor,
    ctap2::{Asserted, GetAssertion, MakeCredential, Outcome, RESET, Registered},
    ctaphid::{Channel, Platform},
    manage::config,
    pin::{Protocol, Token, permission},
    rig::{Asked, Options, Place, Rig},
};

/// The PIN that benches set.
pub(crate) const PIN: &str = "2468";
/// One that is wrong.
pub(crate) const WRONG: &str = "1357";
/// The site of most scenarios.
pub(crate) const RP: &str = "example.com";

/// A rig, a platform with a channel, and the protocol to use.
pub(crate) struct Bench {
    pub(crate) rig: Rig,
    platform: Option<Platform>,
    pub(crate) channel: Channel,
    pub(crate) protocol: Protocol,
}

impl Bench {
    /// A key without a PIN.
    pub(crate) fn bare(place: Place, protocol: Protocol, options: Options) -> Self {
        let rig = place.rig_with(options);
        let mut platform = rig.attach();
        let channel = platform.init();
        Self {
            rig,
            platform: Some(platform),
            channel,
            protocol,
        }
    }

    /// A key with [`PIN`].
    pub(crate) fn new(place: Place, protocol: Protocol) -> Self {
        Self::with(place, protocol, Options::default())
    }

    /// The same with touches that wait for the test.
    pub(crate) fn held(place: Place, protocol: Protocol) -> Self {
        Self::with(place, protocol, Options::held())
    }

    /// A key of a built-in profile with [`PIN`].
    pub(crate) fn of_profile(place: Place, protocol: Protocol, name: &str) -> Self {
        Self::with(place, protocol, of_profile(name))
    }

    /// The same with other options.
    pub(crate) fn with(place: Place, protocol: Protocol, options: Options) -> Self {
        let mut bench = Self::bare(place, protocol, options);
        bench.set_pin(PIN).expect("no PIN is set");
        bench
    }

    pub(crate) fn platform(&mut self) -> &mut Platform {
        self.platform.as_mut().expect("attached")
    }

    /// Power goes and comes.
    pub(crate) fn replug(&mut self) {
        self.platform = None;
        self.attach();
    }

    fn attach(&mut self) {
        let mut platform = self.rig.attach();
        self.channel = platform.init();
        self.platform = Some(platform);
    }

    /// The process ends, and starts again with what is durable.
    pub(crate) fn restart(&mut self) {
        self.platform = None;
        self.rig.restart();
        self.attach();
    }

    /// Power goes, and the process with it.
    pub(crate) fn unplug(&mut self) {
        self.platform = None;
    }

    /// Erases the key, after a replug.
    pub(crate) fn reset(&mut self) {
        self.replug();
        let channel = self.channel;
        let erased = self.platform().ctap2(channel, RESET, None);
        erased.expect("power came just now");
    }

    /// Nothing happens for some time.
    pub(crate) fn pass(&mut self, ms: u64) {
        self.platform().expect_silence(ms);
    }

    pub(crate) fn approve(&mut self) -> Asked {
        let platform = self.platform.as_mut().expect("attached");
        self.rig.approve(platform)
    }

    /// Waits for a touch that is the test's to give.
    pub(crate) fn asked(&mut self) -> Asked {
        let platform = self.platform.as_mut().expect("attached");
        self.rig.wait_asked(platform)
    }

    pub(crate) fn set_pin(&mut self, pin: &str) -> Outcome<()> {
        let (channel, protocol) = (self.channel, self.protocol);
        self.platform().set_pin(channel, protocol, pin)
    }

    pub(crate) fn change_pin(&mut self, old: &str, new: &str) -> Outcome<()> {
        let (channel, protocol) = (self.channel, self.protocol);
        self.platform().change_pin(channel, protocol, (old, new))
    }

    pub(crate) fn client_pin(&mut self, members: Vec<(i64, Value)>) -> Outcome<Value> {
        let channel = self.channel;
        self.platform().client_pin(channel, members)
    }

    pub(crate) fn retries(&mut self) -> Outcome<(u64, bool)> {
        let channel = self.channel;
        self.platform().pin_retries(channel)
    }

    /// A token by getPinToken.
    pub(crate) fn legacy_token(&mut self, pin: &str) -> Outcome<Token> {
        let (channel, protocol) = (self.channel, self.protocol);
        self.platform().pin_token(channel, protocol, pin)
    }

    /// A token by getPinUvAuthTokenUsingPinWithPermissions.
    pub(crate) fn try_token(
        &mut self,
        pin: &str,
        permissions: u64,
        rp: Option<&str>,
    ) -> Outcome<Token> {
        let (channel, protocol) = (self.channel, self.protocol);
        self.platform()
            .token(channel, protocol, pin, (permissions, rp))
    }

    pub(crate) fn token(&mut self, permissions: u64, rp: Option<&str>) -> Token {
        self.try_token(PIN, permissions, rp).expect("a token")
    }

    /// A token for registrations and assertions at [`RP`].
    pub(crate) fn uv(&mut self) -> Token {
        self.token(permission::MC | permission::GA, Some(RP))
    }

    /// A token for all of credential management.
    pub(crate) fn cm(&mut self) -> Token {
        self.token(permission::CM, None)
    }

    pub(crate) fn make(&mut self, request: &MakeCredential) -> Outcome<Registered> {
        let channel = self.channel;
        self.platform().make(channel, request)
    }

    /// A passkey at [`RP`], its touch given by hand; its id.
    pub(crate) fn make_approved(&mut self, account: &[u8]) -> Vec<u8> {
        let channel = self.channel;
        let request = MakeCredential::discoverable(RP, account);
        self.platform().start_make(channel, &request);
        self.approve();
        let made = self.platform().finish_make(channel, &request);
        made.expect("a credential").id
    }

    /// A registration with user verification.
    pub(crate) fn make_uv(&mut self, request: MakeCredential) -> Registered {
        let token = self.token(permission::MC, Some(request.rp_id));
        let made = self.make(&request.with(&token)).expect("a credential");
        assert!(made.auth_data.user_verified);
        made
    }

    pub(crate) fn get(&mut self, request: &GetAssertion) -> Outcome<Asserted> {
        let channel = self.channel;
        self.platform().get(channel, request)
    }

    pub(crate) fn get_next(&mut self, request: &GetAssertion) -> Outcome<Asserted> {
        let channel = self.channel;
        self.platform().get_next(channel, request)
    }

    pub(crate) fn info(&mut self) -> Value {
        let channel = self.channel;
        self.platform().info(channel).expect("getInfo")
    }

    /// An option of getInfo.
    pub(crate) fn option(&mut self, name: &str) -> Option<bool> {
        let options = cbor::member(&self.info(), 4).expect("options");
        cbor::member(&options, name).map(|value| value.as_bool().expect("a boolean"))
    }

    /// authenticatorConfig with a fresh token.
    pub(crate) fn configure(&mut self, subcommand: u8, params: Option<Value>) -> Outcome<()> {
        let token = self.token(permission::ACFG, None);
        let channel = self.channel;
        self.platform()
            .configure(channel, Some(&token), subcommand, params)
    }

    /// setMinPINLength with a fresh token.
    pub(crate) fn set_min_pin_length(&mut self, members: Vec<(i64, Value)>) -> Outcome<()> {
        self.configure(config::SET_MIN_PIN_LENGTH, Some(cbor::map(members)))
    }
}

/// Options with a built-in profile.
pub(crate) fn of_profile(name: &str) -> Options {
    Options {
        profile: Profile::named(name).expect("a built-in profile"),
        ..Options::default()
    }
}
