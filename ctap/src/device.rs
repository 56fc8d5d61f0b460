//! A key's state machine: CTAPHID and the authenticator behind one interface.
//!
//! Inputs are pushed with `handle_*`, outputs pulled with `poll_*`. After any input, pull until
//! nothing comes: events first, then reports for as long as the host wants them.

use std::collections::VecDeque;

use rand_core::Rng as _;
use zeroize::Zeroizing;

use crate::{
    authenticator::{Authenticator, Client},
    command::Command,
    crypto::{Rng, ratchet},
    event::{AdminRefusal, CommitFailed, CommitId, Decision, Event, PresenceId},
    fault::{AnswerFaults, Fault, FaultId, FaultLayer, FaultRefusal, FaultRule, Plan, WireFilter},
    hid::{self, Hid, Identity, Input, KeepaliveStatus, MessageKind, REPORT_LEN},
    profile::Profile,
    state::{ChangeSet, KeyState},
    time::Instant,
    trace::{Trace, Tracer},
    wire,
    work::{WorkDone, WorkId},
};

/// One security key.
///
/// ```
/// use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
/// use roamkey_ctap::{Change, Device, Instant, KeyState, Profile};
///
/// let mut rng = ChaCha20Rng::from_seed([7; 32]);
/// let records = KeyState::create(&mut rng, 1_700_000_000, &Profile::default());
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
    /// How many messages the authenticator was given.
    operations: u64,
    faults: Plan,
    wire: WireFilter,
    /// Faults that were met.
    met: VecDeque<Event>,
    tracer: Tracer,
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
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *seed);
        let for_authenticator = rand_core::SeedableRng::from_seed(*seed);
        // It knows that seed no longer.
        ratchet(&mut rng);
        Self {
            hid: Hid::new(identity, rng.next_u32()),
            identity,
            authenticator: Authenticator::new(profile, state, for_authenticator),
            rng,
            wink: false,
            operations: 0,
            faults: Plan::default(),
            wire: WireFilter::default(),
            met: VecDeque::new(),
            tracer: Tracer::default(),
        }
    }

    /// Power comes or goes: channels, the lock, prompts and running commands end; a change set
    /// that is on its way to the vault still applies.
    pub fn handle_power(&mut self, now: Instant, on: bool) {
        self.hid = Hid::new(self.identity, self.rng.next_u32());
        self.hid.set_noting(self.tracer.is_on());
        self.wire.handle_power(on);
        self.authenticator.handle_power(on.then_some(now));
        self.tracer.given_up(now, self.authenticator.touch());
        self.settle(now);
    }

    /// The host sent a report.
    pub fn handle_report(&mut self, now: Instant, report: &[u8; REPORT_LEN]) {
        if self.wire.is_unplugged() {
            return;
        }
        let begins = !self.hid.is_receiving();
        let input = self.hid.handle_report(now, report);
        if begins && self.hid.is_receiving() {
            self.meet_unplug(Fault::UnplugBetweenPackets);
        }
        self.wire.handle_input(&mut self.hid, input.as_ref());
        self.take(now, input);
    }

    /// The host began to wait for reports, or took back its last wait. A touch is not waited for
    /// long when nobody is left to read the answer.
    pub fn handle_reader(&mut self, now: Instant, present: bool) {
        self.wire.handle_time(now);
        self.hid.handle_reader(now, present);
    }

    /// A person or a policy answers [`Event::PresenceNeeded`].
    pub fn handle_decision(&mut self, now: Instant, id: PresenceId, decision: Decision) {
        if self.wire.ends_touch() {
            return;
        }
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

    /// The driver answers [`Event::Work`].
    pub fn handle_work_done(&mut self, now: Instant, id: WorkId, done: WorkDone) {
        self.authenticator.handle_work_done(now, id, done);
        self.settle(now);
    }

    /// The key as it was read again from the vault after a failed commit.
    pub fn handle_restored(&mut self, state: KeyState) {
        self.authenticator.handle_restored(state);
    }

    /// What the key remembers, for its owner to look at.
    pub fn state(&self) -> &KeyState {
        self.authenticator.state()
    }

    /// What the key is.
    pub fn profile(&self) -> &Profile {
        self.authenticator.profile()
    }

    /// What authenticatorGetInfo answers as things are, in CBOR, for those who describe the key.
    pub fn info(&mut self) -> Vec<u8> {
        self.authenticator.info()
    }

    /// Its owner changes the key: `change` sees the state as it is and says what changes. The set
    /// goes to the vault as any other ([`Event::Commit`]); commands and decisions that come
    /// meanwhile wait, and enumerations that are under way end. `None` when there is nothing to
    /// change. The change shows once [`Self::handle_committed`] was told of the id.
    ///
    /// # Errors
    /// A set is on its way already ([`AdminRefusal::Busy`]; again after the next commit), the key
    /// is fenced after a failed commit, or `change` refused.
    pub fn handle_admin<E>(
        &mut self,
        now: Instant,
        change: impl FnOnce(&KeyState, &Profile, &mut Rng) -> Result<ChangeSet, E>,
    ) -> Result<Option<CommitId>, AdminRefusal<E>> {
        let id = self.authenticator.handle_admin(change)?;
        self.settle(now);
        Ok(id)
    }

    /// Arms a fault. Operations that begin from now on may meet it.
    ///
    /// # Errors
    /// The key holds too many, or none would meet this one.
    pub fn handle_fault(&mut self, rule: FaultRule) -> Result<FaultId, FaultRefusal> {
        self.faults.arm(rule)
    }

    /// Takes a fault away. False where it is not armed, or no more.
    pub fn handle_fault_over(&mut self, id: FaultId) -> bool {
        self.faults.disarm(id)
    }

    /// The armed faults, the oldest first.
    pub fn faults(&self) -> &[(FaultId, FaultRule)] {
        self.faults.rules()
    }

    /// Begins or ends to tell what the key does ([`Self::poll_trace`]). A device begins without.
    pub fn handle_tracing(&mut self, on: bool) {
        self.hid.set_noting(on);
        self.tracer.switch(on);
    }

    /// Does what is due at [`Self::poll_timeout`]; at any other time it does nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.wire.handle_timeout(now, &mut self.hid);
        let input = self.hid.handle_timeout(now);
        self.authenticator.handle_timeout(now);
        self.wire.handle_input(&mut self.hid, input.as_ref());
        self.take(now, input);
    }

    /// When [`Self::handle_timeout`] wants to be called; `None` for an idle key.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let hid = self.hid.poll_timeout();
        hid.into_iter()
            .chain(self.authenticator.poll_timeout())
            .chain(self.wire.poll_timeout())
            .min()
    }

    /// The next report for the host. To be asked only when the host wants one, so that at most
    /// one keepalive waits and cancelled answers never leave.
    ///
    /// An event may come of it where a fault wants that; [`Self::poll_timeout`] is due then.
    pub fn poll_report(&mut self) -> Option<[u8; REPORT_LEN]> {
        let report = self.wire.poll_report(&mut self.hid)?;
        if hid::is_init_answer(&report) {
            self.meet_unplug(Fault::UnplugAfterInit);
        }
        Some(report)
    }

    /// The next thing for the driver to see to.
    pub fn poll_event(&mut self) -> Option<Event> {
        if std::mem::take(&mut self.wink) {
            return Some(Event::Wink);
        }
        if let Some(met) = self.met.pop_front() {
            return Some(met);
        }
        self.authenticator
            .poll_event()
            .or_else(|| self.wire.poll_unplug().then_some(Event::Unplug))
    }

    /// What happened on the wire, the oldest first; nothing, unless [`Self::handle_tracing`] asked
    /// for it. It costs time to put together, so ask once the host has its reports.
    pub fn poll_trace(&mut self) -> Option<Trace> {
        self.tracer.poll()
    }

    /// How many traces wait for [`Self::poll_trace`].
    pub fn waiting_traces(&self) -> usize {
        self.tracer.waiting()
    }

    /// What happens now is below operations; a fault may want that it was the last.
    fn meet_unplug(&mut self, fault: Fault) {
        for (id, fault) in self.faults.meet(None, None, |armed| armed == fault) {
            self.met.push_back(Event::FaultMet {
                id,
                fault,
                operation: None,
            });
            self.wire.unplug();
        }
    }

    fn take(&mut self, now: Instant, input: Option<Input>) {
        self.tracer.hid(self.hid.take_notes());
        match input {
            Some(Input::Message {
                channel,
                kind,
                payload,
            }) => {
                self.operations += 1;
                self.tracer
                    .started(now, self.operations, channel, kind, &payload);
                let client = Client(channel.0);
                let met = self.meet(now, client, kind, &payload);
                let message = (kind, payload);
                self.authenticator
                    .handle_faulty_message(now, client, message, met);
            }
            Some(Input::Cancel) => self.authenticator.handle_cancel(),
            Some(Input::Aborted) => {
                self.authenticator.handle_abort();
                self.tracer.given_up(now, self.authenticator.touch());
            }
            Some(Input::Wink) => self.wink = true,
            None => {}
        }
        self.settle(now);
    }

    /// The faults that a message meets. Those of the reports go where the reports pass; those of
    /// the answer are the caller's to give to the authenticator.
    fn meet(
        &mut self,
        now: Instant,
        client: Client,
        kind: MessageKind,
        payload: &[u8],
    ) -> AnswerFaults {
        if self.faults.rules().is_empty() {
            return AnswerFaults::default();
        }
        let (message, signs) = match kind {
            MessageKind::Cbor => (wire::peek(payload), true),
            MessageKind::Msg => (
                wire::peek_apdu(payload),
                self.authenticator.signs_now(now, payload),
            ),
        };
        let hash = if message.command == Command::GetNextAssertion {
            self.authenticator.enumerated_site(client)
        } else {
            message.rp_id_hash
        };
        let named = hash.and_then(|hash| self.faults.rp_id_of(&hash).map(str::to_owned));
        let rp_id = message.rp_id.or(named);
        let shows = |fault: Fault| fault.shows(signs, !message.unattested);
        let met = self
            .faults
            .meet(Some(message.command), rp_id.as_deref(), shows);
        let operation = Some(self.operations);
        let mut in_answer = Vec::new();
        for (id, fault) in met {
            self.met.push_back(Event::FaultMet {
                id,
                fault,
                operation,
            });
            match fault.info().layer {
                FaultLayer::Answer => in_answer.push(fault),
                FaultLayer::Wire => self.wire.arm(now, fault),
            }
        }
        AnswerFaults::new(in_answer)
    }

    /// Brings CTAPHID to where the authenticator is.
    fn settle(&mut self, now: Instant) {
        self.wire.handle_time(now);
        if let Some(response) = self.authenticator.poll_response() {
            let touch = self.authenticator.touch();
            self.tracer.answered(now, touch, &response);
            self.wire.respond(now, &mut self.hid, response);
            return;
        }
        let status = if self.authenticator.wants_presence() {
            self.wire.handle_touch_wanted(now);
            KeepaliveStatus::UpNeeded
        } else {
            KeepaliveStatus::Processing
        };
        self.hid.set_status(now, status);
    }
}
