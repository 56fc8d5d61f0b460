//! Virtual time: sessions and devices without I/O, glued as `roamkey::key` glues them. Time moves
//! only while a host waits, from one due timer to the next, so minutes take no time and the same
//! inputs give the same bytes.

use std::{
    cell::RefCell,
    pin::pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use roamkey::{
    presence::{Broker, Seat},
    profile::Profile,
    vault::{KeyVault, Pending, VaultError},
};
use roamkey_ctap::{
    AdminRefusal, ChangeSet, CommitFailed, CommitId, Device, Event, Fault, FaultId, FaultRefusal,
    FaultRule, Instant, KeyState, Profile as CtapProfile, Rng, Trace,
};
use roamkey_transport::{
    Event as HostEvent,
    usb::Identity,
    usbip::{session::Session, urb::DevId},
};

use super::{Link, Received, work::Workshop};

/// A timer that is due again and again at one moment is a bug, not a busy key.
const TURNS_LIMIT: usize = 10_000;

enum Vaulting {
    Nothing,
    Committing(CommitId, Pending<Result<(), VaultError>>),
    Reloading(Pending<Result<KeyState, VaultError>>),
    /// It could not be read, and is left alone until then.
    Pausing(Instant),
}

/// As long as `roamkey::key` leaves a vault alone that cannot be read.
const RELOAD_PAUSE_MS: u64 = 1_000;

/// A key with its host's session, if it has one.
struct Station {
    device: Device,
    identity: Identity,
    session: Option<Session>,
    vault: Box<dyn KeyVault>,
    vaulting: Vaulting,
    workshop: Workshop,
    seat: Seat,
    winks: usize,
    met: Vec<(FaultId, Fault)>,
    traces: Vec<Trace>,
    /// Every byte that the host was sent.
    sent: Vec<u8>,
    /// What a key that was unplugged had sent before, and its host has not read.
    rest: Vec<u8>,
}

/// Keys and the time that they share. Clones are handles to the same ones.
#[derive(Clone)]
pub(crate) struct World(Rc<RefCell<Inner>>);

struct Inner {
    now_ms: u64,
    stations: Vec<Station>,
}

impl World {
    /// Keys as bus ids 1-1 and on, one for each vault, `now_ms` after the origin.
    pub(crate) fn new(
        profile: &Profile,
        rngs: Vec<Rng>,
        vaults: Vec<Box<dyn KeyVault>>,
        broker: &Broker,
        now_ms: u64,
    ) -> Self {
        let stations = rngs.into_iter().zip(vaults).enumerate();
        let stations = stations.map(|(index, (rng, vault))| {
            let mut vault = vault;
            let Some(Ok(state)) = poll_once(&mut vault.load()) else {
                panic!("the vault holds no whole key");
            };
            let identity = profile.usb_identity(&format!("TEST{index}"));
            Station {
                device: Device::new(profile.ctap.clone(), state, rng),
                identity: identity.expect("an identity that fits"),
                session: None,
                vault,
                vaulting: Vaulting::Nothing,
                workshop: Workshop::default(),
                seat: broker.seat(&format!("1-{}", index + 1)),
                winks: 0,
                met: Vec::new(),
                traces: Vec::new(),
                sent: Vec::new(),
                rest: Vec::new(),
            }
        });
        let stations = stations.collect();
        Self(Rc::new(RefCell::new(Inner { now_ms, stations })))
    }

    /// What an import leads to; the error is the status of a refusal, as a server has it.
    pub(crate) fn import(&self, index: usize) -> Result<Box<dyn Link>, u32> {
        let mut inner = self.0.borrow_mut();
        let station = inner.stations.get_mut(index).ok_or(4_u32)?;
        if station.session.is_some() {
            return Err(2);
        }
        let port = u16::try_from(index + 1).expect("few keys");
        let devid = DevId::new(1, port);
        station.rest.clear();
        station.session = Some(Session::new(&station.identity, devid));
        Ok(Box::new(VirtualLink {
            world: self.clone(),
            index,
            devid: devid.0,
        }))
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.0.borrow().now_ms
    }

    /// Lets time pass, with everything that is due meanwhile.
    pub(crate) fn pass(&self, ms: u64) {
        let end = self.now_ms() + ms;
        let mut inner = self.0.borrow_mut();
        while inner.advance(end) {}
    }

    /// When a key next wants to be woken; `None` for an idle one.
    pub(crate) fn next_timeout(&self, index: usize) -> Option<u64> {
        let mut inner = self.0.borrow_mut();
        inner.settle();
        let device = &inner.stations[index].device;
        device.poll_timeout().map(Instant::as_millis)
    }

    pub(crate) fn winks(&self, index: usize) -> usize {
        self.0.borrow().stations[index].winks
    }

    /// Every byte that the key's hosts were sent so far.
    pub(crate) fn sent(&self, index: usize) -> Vec<u8> {
        self.0.borrow().stations[index].sent.clone()
    }

    /// The owner of a key changes it.
    pub(crate) fn change<E>(
        &self,
        index: usize,
        change: impl FnOnce(&KeyState, &CtapProfile, &mut Rng) -> Result<ChangeSet, E>,
    ) -> Result<Option<CommitId>, AdminRefusal<E>> {
        let mut inner = self.0.borrow_mut();
        let now = Instant::from_millis(inner.now_ms);
        let station = &mut inner.stations[index];
        let changed = station.device.handle_admin(now, change);
        station.events(now);
        inner.settle();
        changed
    }

    /// Begins or ends to trace what a key does.
    pub(crate) fn trace(&self, index: usize, on: bool) {
        let mut inner = self.0.borrow_mut();
        inner.stations[index].device.handle_tracing(on);
    }

    /// What was traced since somebody looked.
    pub(crate) fn take_traces(&self, index: usize) -> Vec<Trace> {
        std::mem::take(&mut self.0.borrow_mut().stations[index].traces)
    }

    /// Looks at what a key remembers.
    pub(crate) fn look<T>(&self, index: usize, at: impl FnOnce(&KeyState) -> T) -> T {
        at(self.0.borrow().stations[index].device.state())
    }

    /// Arms a fault of a key.
    pub(crate) fn arm(&self, index: usize, rule: FaultRule) -> FaultId {
        self.try_arm(index, rule).expect("it can be met")
    }

    pub(crate) fn try_arm(&self, index: usize, rule: FaultRule) -> Result<FaultId, FaultRefusal> {
        let device = &mut self.0.borrow_mut().stations[index].device;
        device.handle_fault(rule)
    }

    /// Takes a fault of a key away.
    pub(crate) fn disarm(&self, index: usize, id: FaultId) -> bool {
        let device = &mut self.0.borrow_mut().stations[index].device;
        device.handle_fault_over(id)
    }

    /// What is armed in a key.
    pub(crate) fn armed(&self, index: usize) -> Vec<(FaultId, FaultRule)> {
        self.0.borrow().stations[index].device.faults().to_vec()
    }

    /// The faults that operations of a key met since somebody looked.
    pub(crate) fn take_met(&self, index: usize) -> Vec<(FaultId, Fault)> {
        std::mem::take(&mut self.0.borrow_mut().stations[index].met)
    }

    /// Takes every fault away that is still armed.
    pub(crate) fn disarm_all(&self, index: usize) {
        let device = &mut self.0.borrow_mut().stations[index].device;
        let armed: Vec<FaultId> = device.faults().iter().map(|(id, _)| *id).collect();
        for id in armed {
            assert!(device.handle_fault_over(id), "it is armed");
        }
    }

    /// A key's work waits from now on until it is let go.
    pub(crate) fn hold_work(&self, index: usize, held: bool) {
        let mut inner = self.0.borrow_mut();
        inner.stations[index].workshop.hold(held);
        inner.settle();
    }

    /// Whether a key's work is being done, and how many pieces were begun so far.
    pub(crate) fn work(&self, index: usize) -> (bool, usize) {
        let workshop = &self.0.borrow().stations[index].workshop;
        (workshop.is_busy(), workshop.begun())
    }

    /// Deals with what came from outside, such as a decision.
    pub(crate) fn settle(&self) {
        self.0.borrow_mut().settle();
    }
}

impl Inner {
    /// Goes to the next due timer, or to `end`. False once nothing is due up to `end`.
    fn advance(&mut self, end: u64) -> bool {
        self.settle();
        let due = self.stations.iter();
        let due = due.filter_map(Station::poll_timeout);
        let due = due.map(Instant::as_millis).min();
        match due {
            Some(due) if due <= end => {
                self.now_ms = self.now_ms.max(due);
                self.settle();
                true
            }
            _ => {
                self.now_ms = self.now_ms.max(end);
                false
            }
        }
    }

    /// Runs every key until each has done what it can do now.
    fn settle(&mut self) {
        let now = Instant::from_millis(self.now_ms);
        for station in &mut self.stations {
            let mut turns = 0;
            while station.turn(now) {
                turns += 1;
                assert!(turns < TURNS_LIMIT, "the key never comes to rest");
            }
        }
    }
}

impl Station {
    /// When there is something to do though nothing comes.
    fn poll_timeout(&self) -> Option<Instant> {
        let pause = match self.vaulting {
            Vaulting::Pausing(end) => Some(end),
            Vaulting::Nothing | Vaulting::Committing(..) | Vaulting::Reloading(_) => None,
        };
        let due = pause.into_iter().chain(self.workshop.due());
        due.chain(self.device.poll_timeout()).min()
    }

    /// One thing, as a turn of the key's task deals with it. False if there is nothing.
    fn turn(&mut self, now: Instant) -> bool {
        let decision = poll_once(&mut pin!(self.seat.decision()));
        if let Some((id, decision)) = decision {
            self.device.handle_decision(now, id, decision);
        } else if self.vault_answered(now) {
        } else if let Some((id, done)) = self.workshop.take_done(now) {
            self.device.handle_work_done(now, id, done);
        } else if self.device.poll_timeout().is_some_and(|due| due <= now) {
            self.device.handle_timeout(now);
        } else {
            let Some(session) = &mut self.session else {
                return false;
            };
            match session.poll_event() {
                Ok(Some(HostEvent::PowerOn)) => self.device.handle_power(now, true),
                Ok(Some(HostEvent::Report(report))) => self.device.handle_report(now, &report),
                Ok(Some(HostEvent::ReportWanted)) => self.device.handle_reader(now, true),
                Ok(Some(HostEvent::ReportUnwanted)) => self.device.handle_reader(now, false),
                Ok(None) => return self.reports(),
                Err(_) => {
                    self.detach(now);
                    return true;
                }
            }
        }
        self.events(now);
        self.reports();
        true
    }

    fn vault_answered(&mut self, now: Instant) -> bool {
        match &mut self.vaulting {
            Vaulting::Nothing => false,
            Vaulting::Committing(id, commit) => {
                let id = *id;
                let Some(result) = poll_once(commit) else {
                    return false;
                };
                self.vaulting = Vaulting::Nothing;
                if result.is_err() {
                    self.vaulting = Vaulting::Reloading(self.vault.load());
                }
                let result = result.map_err(|_| CommitFailed);
                self.device.handle_committed(now, id, result);
                true
            }
            Vaulting::Reloading(load) => {
                match poll_once(load) {
                    None => return false,
                    Some(Ok(state)) => {
                        self.vaulting = Vaulting::Nothing;
                        self.device.handle_restored(state);
                    }
                    Some(Err(_)) => {
                        self.vaulting = Vaulting::Pausing(now.after_ms(RELOAD_PAUSE_MS))
                    }
                }
                true
            }
            Vaulting::Pausing(end) if now >= *end => {
                self.vaulting = Vaulting::Reloading(self.vault.load());
                true
            }
            Vaulting::Pausing(_) => false,
        }
    }

    fn events(&mut self, now: Instant) {
        while let Some(event) = self.device.poll_event() {
            match event {
                Event::PresenceNeeded { id, prompt } => {
                    if let Some(decision) = self.seat.ask(id, &prompt) {
                        self.device.handle_decision(now, id, decision);
                    }
                }
                Event::PresenceWithdrawn { id, reason } => self.seat.withdraw(id, reason),
                Event::Commit { id, set } => {
                    self.vaulting = Vaulting::Committing(id, self.vault.commit(set));
                    self.vault_answered(now);
                }
                Event::Work { id, work } => self.workshop.begin(now, id, work),
                Event::Wink => self.winks += 1,
                Event::FaultMet { id, fault, .. } => self.met.push((id, fault)),
                Event::Unplug => {
                    if let Some(session) = self.session.take() {
                        self.rest.extend(session.output());
                    }
                    self.device.handle_power(now, false);
                }
            }
        }
        while let Some(trace) = self.device.poll_trace() {
            self.traces.push(trace);
        }
    }

    fn reports(&mut self) -> bool {
        let mut any = false;
        while let Some(session) = self.session.as_mut().filter(|s| s.wants_report()) {
            let Some(report) = self.device.poll_report() else {
                break;
            };
            session.send_report(&report);
            any = true;
        }
        any
    }

    fn detach(&mut self, now: Instant) {
        self.session = None;
        self.device.handle_power(now, false);
        self.events(now);
    }
}

struct VirtualLink {
    world: World,
    index: usize,
    devid: u32,
}

impl Link for VirtualLink {
    fn send(&mut self, mut bytes: &[u8]) {
        let mut inner = self.world.0.borrow_mut();
        while !bytes.is_empty() {
            let Some(session) = &mut inner.stations[self.index].session else {
                return;
            };
            let taken = session.handle_bytes(bytes);
            bytes = &bytes[taken..];
            inner.settle();
            assert!(taken > 0 || bytes.is_empty(), "the session takes no more");
        }
    }

    fn recv(&mut self, into: &mut Vec<u8>, wait_ms: u64) -> Received {
        let mut inner = self.world.0.borrow_mut();
        let end = inner.now_ms.saturating_add(wait_ms);
        for _ in 0..TURNS_LIMIT {
            inner.settle();
            let station = &mut inner.stations[self.index];
            let Some(session) = &mut station.session else {
                if station.rest.is_empty() {
                    return Received::Closed;
                }
                into.append(&mut station.rest);
                return Received::Some;
            };
            let output = session.output();
            if !output.is_empty() {
                let count = output.len();
                into.extend(output);
                station.sent.extend(output);
                session.sent(count);
                return Received::Some;
            }
            if !inner.advance(end) {
                return Received::Nothing;
            }
        }
        panic!("timers are due without end");
    }

    fn now_ms(&self) -> u64 {
        self.world.now_ms()
    }

    fn devid(&self) -> u32 {
        self.devid
    }
}

impl Drop for VirtualLink {
    fn drop(&mut self) {
        // A test that fails in the middle of a turn must show its own message.
        let Ok(mut inner) = self.world.0.try_borrow_mut() else {
            return;
        };
        let now = Instant::from_millis(inner.now_ms);
        let station = &mut inner.stations[self.index];
        if station.session.is_some() {
            station.detach(now);
        }
        inner.settle();
    }
}

/// What a future has now.
fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    let mut cx = Context::from_waker(Waker::noop());
    match std::pin::Pin::new(future).poll(&mut cx) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}
