//! A host's controller in a world: transfers and their answers, as Linux's vhci_hcd and Windows'
//! usbip-win2 have them (facts of [`crate::support::host`], which blocks).
//!
//! Checks that each seqnum is answered exactly once, that reports come to reads in their order,
//! and what UNLINK says.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, VecDeque},
    rc::Rc,
    time::Duration,
};

use rand_chacha::ChaCha20Rng;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf},
    sync::{Notify, mpsc},
    time::{Instant, timeout_at},
};

use super::{
    World,
    hid::Channels,
    net::{End, Plug, Stream, below},
};
use crate::support::wire::{HEADER_LEN, Head, Submit, UNLINKED, unlink};

/// How long the answer to a transfer may take that does not wait for the key: a network's worst
/// there and back, and a vault that takes its time.
pub(crate) const TRANSFER_LIMIT: Duration = Duration::from_secs(12);

/// Which operating system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Linux,
    Windows,
}

/// What a transfer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Control,
    Out,
    Read,
}

#[derive(Clone, Copy, Debug)]
struct Transfer {
    kind: Kind,
    is_in: bool,
    room: u32,
}

pub(crate) struct State {
    counter: u32,
    pending: BTreeMap<u32, Transfer>,
    /// Status and data of what a caller waits for.
    answered: BTreeMap<u32, (i32, Vec<u8>)>,
    /// What each UNLINK takes back.
    unlinks: BTreeMap<u32, u32>,
    /// Reads in flight, the oldest first.
    reads: VecDeque<u32>,
    /// Programs that have the device open.
    pub(crate) open: usize,
    pub(crate) channels: Channels,
}

impl State {
    /// Whether everything has its answer, reads aside.
    pub(crate) fn is_settled(&self) -> bool {
        let reads = |transfer: &Transfer| transfer.kind == Kind::Read;
        self.pending.values().all(reads) && self.unlinks.is_empty()
    }
}

/// A host that has a key.
pub(crate) struct Host {
    pub(crate) world: World,
    pub(crate) key: usize,
    pub(crate) name: String,
    pub(super) style: Style,
    /// Reads that it keeps in flight.
    parked: usize,
    devid: u32,
    pub(crate) state: RefCell<State>,
    out: mpsc::UnboundedSender<Vec<u8>>,
    plug: Plug,
    gone: Cell<bool>,
    changed: Notify,
}

impl Host {
    /// A host on a connection over which it has imported a key.
    pub(crate) fn new(
        (world, key, name): (World, usize, String),
        style: Style,
        devid: u32,
        (stream, mut rng): (Stream, ChaCha20Rng),
    ) -> Rc<Self> {
        let plug = stream.plug();
        let (read, write) = tokio::io::split(stream);
        let (out, queue) = mpsc::unbounded_channel();
        let parked = match style {
            Style::Linux => 1 + below(&mut rng, 2),
            Style::Windows => 2 + below(&mut rng, 3),
        };
        let host = Rc::new(Self {
            world,
            key,
            name,
            style,
            parked,
            devid,
            state: RefCell::new(State {
                counter: 1 + u32::try_from(below(&mut rng, 1_000)).expect("a number"),
                pending: BTreeMap::new(),
                answered: BTreeMap::new(),
                unlinks: BTreeMap::new(),
                reads: VecDeque::new(),
                open: 0,
                channels: Channels::default(),
            }),
            out,
            plug,
            gone: Cell::new(false),
            changed: Notify::new(),
        });
        let world = host.world.clone();
        world.spawn(writer(Rc::downgrade(&host), write, queue));
        world.spawn(reader(Rc::clone(&host), read));
        host
    }

    pub(crate) fn note(&self, text: impl AsRef<str>) {
        let text = text.as_ref();
        self.world
            .note(format!("{} key {}: {text}", self.name, self.key));
    }

    pub(crate) fn fail(&self, why: impl AsRef<str>) -> ! {
        let why = why.as_ref();
        self.world
            .fail(format!("{} with key {}: {why}", self.name, self.key));
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.gone.get()
    }

    /// The connection is over, as far as this host knows.
    pub(crate) fn set_gone(&self) {
        if !self.gone.replace(true) {
            self.note("its session is over");
            self.changed.notify_waiters();
        }
    }

    /// Ends the connection.
    pub(crate) fn leave(&self, end: End) {
        self.note(format!("leaves: {end:?}"));
        self.plug.pull(end);
        self.set_gone();
    }

    /// Ends it within what is sent next.
    pub(crate) fn leave_after(&self, bytes: usize, end: End) {
        self.plug.pull_after(bytes, end);
    }

    /// Waits until something is there, for so long and as long as there is a session.
    pub(crate) async fn until<T>(
        &self,
        deadline: Instant,
        mut find: impl FnMut(&mut State) -> Option<T>,
    ) -> Result<T, Waited> {
        loop {
            let changed = self.changed.notified();
            if let Some(found) = find(&mut self.state.borrow_mut()) {
                return Ok(found);
            }
            if self.is_gone() {
                return Err(Waited::Gone);
            }
            if timeout_at(deadline, changed).await.is_err() {
                return Err(Waited::Late);
            }
        }
    }

    pub(crate) fn wake(&self) {
        self.changed.notify_waiters();
    }

    fn next_seqnum(&self, state: &mut State, is_in: bool) -> u32 {
        match self.style {
            Style::Linux => {
                state.counter += 1;
                state.counter
            }
            Style::Windows => {
                state.counter += [1, 7, 2][usize::try_from(state.counter % 3).expect("a number")];
                state.counter << 1 | u32::from(is_in)
            }
        }
    }

    fn send(&self, bytes: Vec<u8>) {
        // A writer that is gone has said so.
        let _ = self.out.send(bytes);
    }

    fn submit(&self, transfer: Transfer, ep: u32, setup: [u8; 8], data: &[u8]) -> u32 {
        let mut state = self.state.borrow_mut();
        let seqnum = self.next_seqnum(&mut state, transfer.is_in);
        let windows = self.style == Style::Windows;
        let mut bytes = Submit {
            seqnum,
            devid: self.devid,
            direction: u32::from(transfer.is_in),
            ep,
            flags: match (windows, transfer.is_in) {
                (true, true) => 3,
                (false, true) => 0x200,
                _ => 0,
            },
            length: transfer.room,
            number_of_packets: if windows { u32::MAX } else { 0 },
            interval: if ep == 0 { 0 } else { 5 },
            setup,
        }
        .header();
        state.pending.insert(seqnum, transfer);
        if transfer.kind == Kind::Read {
            state.reads.push_back(seqnum);
        }
        if windows && !data.is_empty() {
            self.send(bytes);
            self.send(data.to_vec());
        } else {
            bytes.extend(data);
            self.send(bytes);
        }
        seqnum
    }

    async fn answer(&self, seqnum: u32) -> Option<(i32, Vec<u8>)> {
        let deadline = Instant::now() + TRANSFER_LIMIT;
        let answer = self.until(deadline, |state| state.answered.remove(&seqnum));
        match answer.await {
            Ok(answer) => Some(answer),
            Err(Waited::Gone) => None,
            Err(Waited::Late) => self.fail(format!("no answer to transfer {seqnum:#x}")),
        }
    }

    /// A control request; `None` if the session is over.
    pub(crate) async fn control(&self, setup: [u8; 8]) -> Option<(i32, Vec<u8>)> {
        let transfer = Transfer {
            kind: Kind::Control,
            is_in: setup[0] & 0x80 != 0,
            room: u32::from(u16::from_le_bytes([setup[6], setup[7]])),
        };
        let seqnum = self.submit(transfer, 0, setup, &[]);
        self.answer(seqnum).await
    }

    /// Sends a report without waiting; the transfer's seqnum.
    pub(crate) fn write(&self, report: &[u8; 64]) -> u32 {
        let transfer = Transfer {
            kind: Kind::Out,
            is_in: false,
            room: 64,
        };
        self.submit(transfer, 1, [0; 8], report)
    }

    /// Waits until a report was taken. False if the session is over.
    pub(crate) async fn written(&self, seqnum: u32) -> bool {
        match self.answer(seqnum).await {
            Some((0, _)) => true,
            Some((status, _)) => self.fail(format!("an OUT report answered with {status}")),
            None => false,
        }
    }

    /// A program opens the device.
    pub(crate) fn open(&self) {
        self.state.borrow_mut().open += 1;
        self.park();
    }

    fn park(&self) {
        let transfer = Transfer {
            kind: Kind::Read,
            is_in: true,
            room: 64,
        };
        loop {
            let state = self.state.borrow();
            let unlinking: Vec<u32> = state.unlinks.values().copied().collect();
            let reads = state.reads.iter().filter(|read| !unlinking.contains(read));
            let wants = state.open > 0 && reads.count() < self.parked;
            drop(state);
            if !wants || self.is_gone() {
                return;
            }
            self.submit(transfer, 1, [0; 8], &[]);
        }
    }

    /// A program closes the device, or ends. Linux waits for its reads' end, Windows does not.
    pub(crate) async fn close(&self) {
        let sent = self.unlink_reads();
        if self.style == Style::Windows {
            return;
        }
        let deadline = Instant::now() + TRANSFER_LIMIT;
        let all = |state: &mut State| {
            let waiting = sent.iter().any(|seqnum| state.unlinks.contains_key(seqnum));
            (!waiting).then_some(())
        };
        if let Err(Waited::Late) = self.until(deadline, all).await {
            self.fail("an UNLINK without an answer");
        }
    }

    /// Takes its reads back when the last program has closed the device: the UNLINKs' seqnums.
    fn unlink_reads(&self) -> Vec<u32> {
        let mut state = self.state.borrow_mut();
        let mut sent = Vec::new();
        state.open -= 1;
        if state.open > 0 {
            return sent;
        }
        let unlinked: Vec<u32> = state.unlinks.values().copied().collect();
        let reads: Vec<u32> = state.reads.iter().copied().collect();
        for target in reads.into_iter().filter(|read| !unlinked.contains(read)) {
            let seqnum = self.next_seqnum(&mut state, false);
            state.unlinks.insert(seqnum, target);
            sent.push(seqnum);
            self.send(unlink(seqnum, self.devid, target));
        }
        state.channels.reader_left();
        sent
    }

    /// Takes one reply. True after the last packet of an answer.
    fn handle(&self, head: &Head, data: Vec<u8>) -> bool {
        let mut state = self.state.borrow_mut();
        if !head.is_submit {
            self.handle_unlinked(&mut state, head);
            return false;
        }
        let Some(transfer) = state.pending.remove(&head.seqnum) else {
            self.fail(format!(
                "an answer to {:#x}, which waits for none",
                head.seqnum
            ));
        };
        if head.actual_length > transfer.room {
            self.fail("an answer longer than was asked for");
        }
        if transfer.kind != Kind::Read {
            state.answered.insert(head.seqnum, (head.status, data));
            return false;
        }
        if state.reads.pop_front() != Some(head.seqnum) {
            self.fail("a report came to a read that was not the first");
        }
        match (head.status, data.try_into()) {
            (0, Ok(report)) => {
                let now = self.world.tape.now_ms();
                let handled = state.channels.handle(&report, now);
                drop(state);
                match handled {
                    Ok(ends) => ends,
                    Err(why) => self.fail(why),
                }
            }
            // A configuration is set again: what waited ends.
            (-108, Err(_)) => false,
            (status, _) => self.fail(format!("a read was answered with {status}")),
        }
    }

    fn handle_unlinked(&self, state: &mut State, head: &Head) {
        let Some(target) = state.unlinks.remove(&head.seqnum) else {
            self.fail(format!("no UNLINK has seqnum {:#x}", head.seqnum));
        };
        self.world.count(|figures| figures.unlinks += 1);
        let waits = state.pending.contains_key(&target);
        match (head.status, waits) {
            (UNLINKED, true) => {
                state.pending.remove(&target);
                state.reads.retain(|read| *read != target);
            }
            (0, false) => {}
            (status, _) => self.fail(format!(
                "UNLINK of {target:#x}, which waits: {waits}, answered with {status}"
            )),
        }
    }

    fn is_in(&self, seqnum: u32) -> bool {
        let state = self.state.borrow();
        let transfer = state.pending.get(&seqnum);
        transfer.is_some_and(|transfer| transfer.is_in)
    }
}

/// Why there is nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    Gone,
    Late,
}

async fn writer(
    host: std::rc::Weak<Host>,
    mut stream: WriteHalf<Stream>,
    mut queue: mpsc::UnboundedReceiver<Vec<u8>>,
) {
    while let Some(bytes) = queue.recv().await {
        if stream.write_all(&bytes).await.is_err() {
            if let Some(host) = host.upgrade() {
                host.set_gone();
            }
            return;
        }
    }
}

async fn reader(host: Rc<Host>, mut stream: ReadHalf<Stream>) {
    let mut input = Vec::new();
    let mut space = [0; 4096];
    loop {
        let read = tokio::select! {
            biased;
            read = stream.read(&mut space) => read,
            () = gone(&host) => return,
        };
        let count = match read {
            Ok(count @ 1..) => count,
            Ok(_) | Err(_) => break,
        };
        input.extend(&space[..count]);
        while let Some(bytes) = input.get(..HEADER_LEN) {
            let head = Head::parse(bytes);
            let length = if head.is_submit && host.is_in(head.seqnum) {
                usize::try_from(head.actual_length).expect("a length")
            } else {
                0
            };
            let Some(data) = input.get(HEADER_LEN..HEADER_LEN + length) else {
                break;
            };
            let data = data.to_vec();
            input.drain(..HEADER_LEN + length);
            let ends = host.handle(&head, data);
            host.park();
            host.wake();
            if ends {
                // Who waits for it takes it before the next.
                tokio::task::yield_now().await;
            }
            if host.is_gone() {
                return;
            }
        }
    }
    host.set_gone();
}

async fn gone(host: &Host) {
    while !host.is_gone() {
        host.changed.notified().await;
    }
}
