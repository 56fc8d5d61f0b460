//! A key's state machine: CTAPHID and the authenticator behind one interface.
//!
//! Inputs are pushed with `handle_*`, outputs pulled with `poll_*`. After any input, pull until
//! nothing comes: events first, then reports for as long as the host wants them.

use rand_core::Rng as _;

use crate::{
    authenticator::{Authenticator, Client},
    crypto::Rng,
    event::{CommitFailed, CommitId, Decision, Event, PresenceId},
    hid::{Hid, Identity, Input, KeepaliveStatus, REPORT_LEN},
    profile::Profile,
    state::KeyState,
    time::Instant,
};

/// One security key.
///
/// ```
/// use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
/// use roamkey_ctap::{Change, Device, Instant, KeyState, Profile};
///
/// let mut rng = ChaCha20Rng::from_seed([7; 32]);
/// let records = KeyState::create(&mut rng, 1_700_000_000);
/// let records = records.into_iter().filter_map(|change| match change {
///     Change::Put(record) => Some(record),
///     Change::Delete(_) => None,
/// });
/// let state = KeyState::load(records)?;
/// let mut device = Device::new(Profile::default(), state, rng);
///
/// let now = Instant::from_millis(0);
/// device.handle_power(now, true);
/// let mut init = [0; 64];
/// init[..7].copy_from_slice(&[0xff, 0xff, 0xff, 0xff, 0x86, 0, 8]);
/// device.handle_report(now, &init);
/// let reply = device.poll_report().expect("INIT is always answered");
/// assert_eq!(reply[4], 0x86);
/// # Ok::<(), roamkey_ctap::LoadError>(())
/// ```
pub struct Device {
    hid: Hid,
    identity: Identity,
    authenticator: Authenticator,
    rng: Rng,
    wink: bool,
}

impl Device {
    /// A key without power. `rng` must not be used elsewhere; the same one and the same inputs
    /// give the same outputs.
    pub fn new(profile: Profile, state: KeyState, mut rng: Rng) -> Self {
        let identity = Identity {
            version: profile.firmware_version,
            msg: profile.u2f(),
            cbor: profile.ctap2(),
        };
        let mut seed = [0; 32];
        rng.fill_bytes(&mut seed);
        let for_authenticator = rand_core::SeedableRng::from_seed(seed);
        Self {
            hid: Hid::new(identity, rng.next_u32()),
            identity,
            authenticator: Authenticator::new(profile, state, for_authenticator),
            rng,
            wink: false,
        }
    }

    /// Power comes or goes: channels, the lock, prompts and running commands end; a change set
    /// that is on its way to the vault still applies.
    pub fn handle_power(&mut self, now: Instant, on: bool) {
        self.hid = Hid::new(self.identity, self.rng.next_u32());
        self.authenticator.handle_power(on.then_some(now));
        self.settle(now);
    }

    /// The host sent a report.
    pub fn handle_report(&mut self, now: Instant, report: &[u8; REPORT_LEN]) {
        let input = self.hid.handle_report(now, report);
        self.take(now, input);
    }

    /// The host began to wait for reports, or took back its last wait. A touch is not waited for
    /// long when nobody is left to read the answer.
    pub fn handle_reader(&mut self, now: Instant, present: bool) {
        self.hid.handle_reader(now, present);
    }

    /// A person or a policy answers [`Event::PresenceNeeded`].
    pub fn handle_decision(&mut self, now: Instant, id: PresenceId, decision: Decision) {
        self.authenticator.handle_decision(now, id, decision);
        self.settle(now);
    }

    /// The vault answers [`Event::Commit`].
    ///
    /// After a failure every command but getInfo is refused until [`Self::handle_restored`].
    pub fn handle_committed(
        &mut self,
        now: Instant,
        id: CommitId,
        result: Result<(), CommitFailed>,
    ) {
        self.authenticator.handle_committed(now, id, result);
        self.settle(now);
    }

    /// The key as it was read again from the vault after a failed commit.
    pub fn handle_restored(&mut self, state: KeyState) {
        self.authenticator.handle_restored(state);
    }

    /// Does what is due at [`Self::poll_timeout`]; at any other time it does nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        let input = self.hid.handle_timeout(now);
        self.authenticator.handle_timeout(now);
        self.take(now, input);
    }

    /// When [`Self::handle_timeout`] wants to be called; `None` for an idle key.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let hid = self.hid.poll_timeout();
        hid.into_iter()
            .chain(self.authenticator.poll_timeout())
            .min()
    }

    /// The next report for the host. To be asked only when the host wants one, so that at most
    /// one keepalive waits and cancelled answers never leave.
    pub fn poll_report(&mut self) -> Option<[u8; REPORT_LEN]> {
        self.hid.poll_report()
    }

    /// The next thing for the driver to see to.
    pub fn poll_event(&mut self) -> Option<Event> {
        if std::mem::take(&mut self.wink) {
            return Some(Event::Wink);
        }
        self.authenticator.poll_event()
    }

    fn take(&mut self, now: Instant, input: Option<Input>) {
        match input {
            Some(Input::Message {
                channel,
                kind,
                payload,
            }) => {
                let client = Client(channel.0);
                self.authenticator
                    .handle_message(now, client, kind, payload);
            }
            Some(Input::Cancel) => self.authenticator.handle_cancel(),
            Some(Input::Aborted) => self.authenticator.handle_abort(),
            Some(Input::Wink) => self.wink = true,
            None => {}
        }
        self.settle(now);
    }

    /// Brings CTAPHID to where the authenticator is.
    fn settle(&mut self, now: Instant) {
        if let Some(response) = self.authenticator.poll_response() {
            self.hid.respond(response);
            return;
        }
        let status = if self.authenticator.wants_presence() {
            KeepaliveStatus::UpNeeded
        } else {
            KeepaliveStatus::Processing
        };
        self.hid.set_status(now, status);
    }
}
