//! The authenticator: decides what each command does (CTAP 2.1 §6).
//!
//! One command runs at a time. It goes in steps: a step answers, waits for a person, or waits for
//! a change set to become durable, and what comes next is data in [`Next`]. Deliberately absent:
//! byte offsets and CBOR keys (`wire`, `u2f`), packets and keepalives (`hid`).

mod attest;
mod bio_enrollment;
mod built_in_uv;
mod client_pin;
mod commits;
mod config;
mod credential_management;
mod extension;
mod faults;
mod get_assertion;
mod large_blobs;
mod make_credential;
mod persistent;
mod presence;
mod reset;
#[cfg(test)]
mod tests;
mod u2f;
mod verification;
mod work;

use std::collections::VecDeque;

use crate::{
    crypto::{Rng, ratchet},
    event::{CommitId, Decision, Event, Gesture, Operation, PresenceId, Prompt, Withdrawn},
    hid::MessageKind,
    pin::PinState,
    profile::Profile,
    state::{ChangeSet, KeyState},
    status::Status,
    time::Instant,
    trace::Touched,
    u2f as u2f_wire,
    wire::{self, Request},
    work::{Work, WorkDone, WorkId},
};
use commits::{Admin, CounterOf};
pub use get_assertion::NEXT_ASSERTION_TIMEOUT_MS;
use presence::Latch;
pub use reset::RESET_WINDOW_MS;

/// How long a person has to answer (CTAP 2.1 §6.1.2 leaves 10 s to 2 min to the key).
pub const PRESENCE_TIMEOUT_MS: u64 = 30_000;

/// One client of the key; a stateful command goes on only for the client that began it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Client(pub(crate) u32);

/// A request whose caller's right to it was checked.
struct Checked<R> {
    request: R,
    /// Whether a person was verified for it.
    uv: bool,
}

/// A command that goes on in later ones.
enum Stateful {
    Assertions(get_assertion::Enumeration),
    Management(credential_management::Remaining),
    LargeBlobs(large_blobs::Pending),
    Enrollment(bio_enrollment::Enrollment),
}

/// What a command does next, once what it waits for has come.
enum Next {
    Respond(Vec<u8>),
    Refuse(Status),
    MakeCredential(Box<Checked<wire::make_credential::Request>>),
    StoreCredential(Box<Checked<wire::make_credential::Request>>, Box<WorkDone>),
    GetAssertion(Box<Checked<wire::get_assertion::Request>>),
    GetNextAssertion,
    ComparePin(Box<client_pin::Attempt>),
    IssueToken(Box<client_pin::Issue>),
    LookAtFinger(Box<built_in_uv::Verification>),
    CompareFinger(Box<built_in_uv::Verification>),
    TakeSample(Box<bio_enrollment::Sample>),
    Reset,
    U2f(Box<u2f_wire::Authenticate>),
}

impl Next {
    /// How long a person has for it.
    fn patience_ms(&self) -> u64 {
        if let Self::TakeSample(sample) = self {
            sample.patience_ms
        } else {
            PRESENCE_TIMEOUT_MS
        }
    }

    /// Takes down whether the finger that was asked for is the right one, or a good one.
    fn note_finger(&mut self, right: bool) {
        if let Self::LookAtFinger(verification) = self {
            verification.known = right;
        } else if let Self::TakeSample(sample) = self {
            sample.good = right;
        }
    }

    /// The response when what was waited for failed.
    fn failure(&self) -> Vec<u8> {
        match self {
            Self::U2f(_) => u2f_wire::StatusWord::Unknown.emit(),
            Self::Respond(_)
            | Self::Refuse(_)
            | Self::MakeCredential(_)
            | Self::StoreCredential(..)
            | Self::GetAssertion(_)
            | Self::GetNextAssertion
            | Self::ComparePin(_)
            | Self::IssueToken(_)
            | Self::LookAtFinger(_)
            | Self::CompareFinger(_)
            | Self::TakeSample(_)
            | Self::Reset => wire::response(Err(Status::Other)),
        }
    }
}

/// Where a command has come to.
enum Step {
    /// Done; the whole response message.
    Respond(Vec<u8>),
    AskPresence(Prompt, Next),
    Commit(ChangeSet, Next),
    /// Only a registration needs slow work.
    Work(Work, Box<Checked<wire::make_credential::Request>>),
}

impl Step {
    /// Success, with the encoded value of the response.
    fn success(body: Option<Vec<u8>>) -> Self {
        Self::Respond(wire::response(Ok(body)))
    }
}

/// What the running command waits for.
enum Waiting {
    Presence {
        id: PresenceId,
        gesture: Gesture,
        deadline: Instant,
        next: Next,
    },
    /// A person has answered or work is done, and the owner's changes are on their way.
    Decided { decision: Decision, next: Next },
    Commit {
        id: CommitId,
        set: ChangeSet,
        /// `None` when nobody wants the answer any more.
        next: Option<Next>,
    },
    Work {
        id: WorkId,
        /// Until it is handed out: another piece is not over yet.
        work: Option<Work>,
        checked: Box<Checked<wire::make_credential::Request>>,
    },
}

impl Waiting {
    /// Whether a command ends without a trace: nothing of it is on its way to the vault, and no
    /// person is asked.
    fn is_silent(&self) -> bool {
        matches!(self, Self::Decided { .. } | Self::Work { .. })
    }
}

/// The authenticator of one key.
pub(crate) struct Authenticator {
    profile: Profile,
    state: KeyState,
    rng: Rng,
    powered_on_at: Option<Instant>,
    /// The client whose command runs.
    client: Client,
    waiting: Option<Waiting>,
    /// The piece of work that runs, whether or not its command still waits.
    working: Option<WorkId>,
    /// What its owner changes.
    admin: Option<Admin>,
    /// A command that came while a change set of its owner, or of a client that left, was on its
    /// way.
    deferred: Option<(MessageKind, Vec<u8>)>,
    /// Whose enumeration is under way, and which.
    stateful: Option<(Client, Stateful)>,
    pin: PinState,
    latch: Latch,
    faults: faults::Faults,
    /// A commit failed: nothing is decided on a state that may not be what is stored.
    fenced: bool,
    /// Of the command that runs, or ran last.
    touch: Touched,
    last_id: u64,
    events: VecDeque<Event>,
    response: Option<Vec<u8>>,
}

impl Authenticator {
    pub(crate) fn new(profile: Profile, state: KeyState, mut rng: Rng) -> Self {
        Self {
            pin: PinState::new(&mut rng),
            profile,
            state,
            rng,
            powered_on_at: None,
            client: Client(0),
            waiting: None,
            working: None,
            admin: None,
            deferred: None,
            stateful: None,
            latch: Latch::default(),
            faults: faults::Faults::default(),
            fenced: false,
            touch: Touched::NotAsked,
            last_id: 0,
            events: VecDeque::new(),
            response: None,
        }
    }

    pub(crate) fn state(&self) -> &KeyState {
        &self.state
    }

    pub(crate) fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Power comes (`Some`, now) or goes. What is on its way to the vault goes on.
    pub(crate) fn handle_power(&mut self, powered_on_at: Option<Instant>) {
        self.handle_abort();
        self.withdraw_latch(Withdrawn::HostGone);
        self.stateful = None;
        self.powered_on_at = powered_on_at;
        // What a session agreed on ends with it, in the generator that gave it as well.
        ratchet(&mut self.rng);
        self.pin = PinState::new(&mut self.rng);
    }

    /// A whole message from a client. The last one's response has been taken.
    pub(crate) fn handle_message(
        &mut self,
        now: Instant,
        client: Client,
        kind: MessageKind,
        payload: Vec<u8>,
    ) {
        self.client = client;
        self.touch = Touched::NotAsked;
        if self.waiting.is_some() || self.admin.is_some() {
            self.deferred = Some((kind, payload));
        } else {
            self.start(now, kind, &payload);
        }
    }

    fn start(&mut self, now: Instant, kind: MessageKind, payload: &[u8]) {
        let step = match kind {
            MessageKind::Cbor => {
                self.withdraw_latch(Withdrawn::Cancelled);
                self.start_command(now, payload)
            }
            MessageKind::Msg => Ok(self.start_apdu(now, payload)),
        };
        self.go_on(now, step);
    }

    fn start_command(&mut self, now: Instant, payload: &[u8]) -> Result<Step, Status> {
        if payload.len() > usize::from(self.profile.max_msg_size) {
            return Err(Status::RequestTooLarge);
        }
        if !payload.first().is_some_and(|command| self.offers(*command)) {
            return Err(Status::InvalidCommand);
        }
        let request = Request::parse(payload)?;
        self.end_other_enumerations(&request);
        if self.fenced && !matches!(request, Request::GetInfo) {
            return Err(Status::Other);
        }
        match request {
            Request::MakeCredential(request) => self.make_credential(now, *request),
            Request::GetAssertion(request) => self.get_assertion(now, *request),
            Request::GetInfo => Ok(Step::success(Some(self.info()))),
            Request::ClientPin(request) => self.client_pin(*request),
            Request::Reset => self.reset(now),
            Request::GetNextAssertion => self.get_next_assertion(now),
            Request::BioEnrollment(request) => self.bio_enrollment(now, *request),
            Request::CredentialManagement(request) => self.credential_management(now, request),
            Request::LargeBlobs(request) => self.large_blobs(now, request),
            Request::Config(request) => self.config(now, request),
            Request::Selection => Ok(Step::AskPresence(
                Prompt {
                    operation: Operation::Select,
                    rp_id: None,
                    rp_id_hash: None,
                    account: None,
                    gesture: Gesture::Touch,
                },
                Next::Respond(wire::response(Ok(None))),
            )),
        }
    }

    /// Whether the profile has this command: what it does not offer is unknown, whatever follows.
    fn offers(&self, command: u8) -> bool {
        let profile = &self.profile;
        match command {
            // hmac-secret needs key agreement of a key that has no PIN, too.
            0x06 => profile.client_pin || !profile.pin_protocols.is_empty(),
            0x09 | 0x40 => profile.bio_enroll,
            0x0a | 0x41 => profile.cred_mgmt,
            // authenticatorSelection came with CTAP 2.1 (§6.9).
            0x0b => profile.ctap2_1(),
            0x0c => profile.large_blobs,
            0x0d => profile.authnr_cfg,
            _ => true,
        }
    }

    /// Of one client's stateful commands only the next of the same kind goes on (§6, §6.3);
    /// another client's commands leave them alone.
    fn end_other_enumerations(&mut self, request: &Request) {
        let goes_on = |stateful: &Stateful| match stateful {
            Stateful::Assertions(_) => matches!(request, Request::GetNextAssertion),
            Stateful::Management(_) => matches!(request, Request::CredentialManagement(_)),
            Stateful::LargeBlobs(_) => matches!(request, Request::LargeBlobs(_)),
            // §6.7 names none that ends it. A platform may look, and get another token, meanwhile.
            Stateful::Enrollment(_) => matches!(
                request,
                Request::BioEnrollment(_) | Request::GetInfo | Request::ClientPin(_)
            ),
        };
        let client = self.client;
        self.stateful
            .take_if(|(whose, stateful)| *whose == client && !goes_on(stateful));
    }

    pub(crate) fn info(&mut self) -> Vec<u8> {
        let identifiers = self.identifiers();
        let profile = &self.profile;
        let response = wire::get_info::Response {
            profile,
            pin_is_set: self.state.pin_is_set(),
            uv_enabled: self.built_in_uv_enabled(),
            uv_count_since_last_pin_entry: self.state.uv.since_pin_entry,
            always_uv: self.always_uv(),
            min_pin_length: self.min_pin_length(),
            force_pin_change: self.state.config.force_pin_change,
            remaining_discoverable_credentials: self.remaining_discoverable_credentials(),
            enterprise_attestation: self.enterprise_attestation(),
            pin_complexity_policy: self.state.pin_complexity_policy(profile),
            long_touch_for_reset: self.state.long_touch_for_reset(profile),
            identifiers,
        };
        response.emit()
    }

    fn remaining_discoverable_credentials(&self) -> u64 {
        let room = u64::from(self.profile.max_discoverable_credentials);
        let used = u64::try_from(self.state.credentials.len()).unwrap_or(u64::MAX);
        room.saturating_sub(used)
    }

    /// Goes on with what a touch or a commit was waited for.
    fn resume(&mut self, now: Instant, next: Next) -> Result<Step, Status> {
        match next {
            Next::Respond(response) => Ok(Step::Respond(response)),
            Next::Refuse(status) => Err(status),
            Next::MakeCredential(checked) => self.create_credential(now, checked),
            Next::StoreCredential(checked, done) => self.store_made(&checked, *done),
            Next::GetAssertion(request) => self.assert(now, request),
            Next::GetNextAssertion => self.get_next_assertion(now),
            Next::ComparePin(attempt) => self.compare_pin(*attempt),
            Next::IssueToken(issue) => Ok(self.issue_token(now, issue)),
            Next::LookAtFinger(verification) => Ok(self.spend_uv_attempt(verification)),
            Next::CompareFinger(verification) => self.compare_finger(verification),
            Next::TakeSample(sample) => self.take_sample(&sample),
            Next::Reset => Ok(self.erase()),
            Next::U2f(request) => Ok(self.authenticate(*request)),
        }
    }

    /// Takes a step's outcome to where it leads.
    fn go_on(&mut self, now: Instant, step: Result<Step, Status>) {
        match step {
            Ok(Step::Respond(response)) => self.response = Some(response),
            Err(status) => self.response = Some(wire::response(Err(status))),
            Ok(Step::AskPresence(prompt, next)) => {
                self.touch = Touched::Unanswered;
                self.waiting = Some(Waiting::Presence {
                    gesture: prompt.gesture,
                    id: self.ask_presence(prompt),
                    deadline: now.after_ms(next.patience_ms()),
                    next,
                });
            }
            Ok(Step::Commit(set, next)) => {
                let id = self.submit(&set);
                let next = Some(next);
                self.waiting = Some(Waiting::Commit { id, set, next });
            }
            Ok(Step::Work(work, checked)) => self.wait_for_work(work, checked),
        }
    }

    /// A person or a policy answers; an answer to what is no longer asked does nothing.
    pub(crate) fn handle_decision(&mut self, now: Instant, id: PresenceId, decision: Decision) {
        match self.waiting.take() {
            Some(Waiting::Presence {
                id: asked,
                gesture,
                mut next,
                ..
            }) if asked == id => {
                self.touch = Touched::of(decision, gesture);
                next.note_finger(decision == Decision::Approved);
                self.waiting = Some(Waiting::Decided { decision, next });
                self.follow_decision(now);
            }
            waiting => {
                self.waiting = waiting;
                self.latch.handle_decision(now, id, decision);
            }
        }
    }

    /// Goes on with a command whose touch was decided, or whose work is done; not while the owner's changes are on their
    /// way.
    fn follow_decision(&mut self, now: Instant) {
        if self.admin.is_some() {
            return;
        }
        match self.waiting.take() {
            Some(Waiting::Decided { decision, next }) => {
                let step = match decision {
                    Decision::Approved | Decision::Unverified if self.fenced => {
                        Ok(Step::Respond(next.failure()))
                    }
                    Decision::Approved | Decision::Unverified => self.resume(now, next),
                    Decision::Denied => {
                        self.end_enrollment();
                        Err(Status::OperationDenied)
                    }
                };
                self.go_on(now, step);
            }
            waiting => self.waiting = waiting,
        }
    }

    /// Whether the running command waits for a person.
    pub(crate) fn wants_presence(&self) -> bool {
        matches!(self.waiting, Some(Waiting::Presence { .. }))
    }

    /// What became of the touch of the command that runs, or ran last.
    pub(crate) fn touch(&self) -> Touched {
        self.touch
    }

    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    pub(crate) fn poll_response(&mut self) -> Option<Vec<u8>> {
        self.response.take().map(|response| self.damaged(response))
    }

    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }
}
