//! A program on a host of a world: a channel of its own, requests that somebody may disturb at
//! any moment, and what their answers say.

use std::{cell::Cell, rc::Rc, time::Duration};

use ciborium::Value;
use rand_chacha::{ChaCha20Rng, rand_core::Rng as _};
use roamkey_ctap::PRESENCE_TIMEOUT_MS;
use tokio::time::{Instant, sleep};

use super::{
    World, chance,
    hid::BROADCAST,
    model::{Effect, Model},
    net::below,
    pause,
    urbs::{Host, Waited},
};
use crate::support::{
    cbor,
    ctap2::status,
    ctaphid::{Channel, Message, command, error, packets},
};

/// How long an answer may take that waits for nobody: a vault that takes its time, and a network.
const ANSWER_LIMIT: Duration = Duration::from_secs(8);
/// What an answer with a touch may take besides.
const TOUCH_LIMIT: Duration = Duration::from_millis(PRESENCE_TIMEOUT_MS);
/// The longest silence of a key under a command: two keepalives, beside the network.
const SILENCE_MS: u64 = 250;

/// What came of a request in CTAPHID.
enum Reply {
    Message(Message),
    /// CTAPHID_ERROR: nothing was done.
    Error(u8),
    /// Its channel was initialized before the answer.
    Left,
    /// Its session is over.
    Gone,
}

/// What came of a CTAP2 command.
#[derive(Debug)]
pub(crate) enum Outcome {
    Done(Value),
    Refused(u8),
    /// The key was busy for too long.
    NotRun,
    /// Nobody knows.
    Doubt,
}

/// What somebody does while a request runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Disturbance {
    Cancel,
    Init,
    /// The program ends, and is started again.
    Close,
}

pub(crate) struct Program {
    pub(crate) host: Rc<Host>,
    pub(crate) world: World,
    pub(crate) key: usize,
    pub(crate) rng: ChaCha20Rng,
    /// One at a time deals with PINs, so that nobody loses a key agreement to another.
    pub(crate) pins: Rc<tokio::sync::Mutex<()>>,
    pub(crate) steady: bool,
    channel: u32,
    cancelled: Cell<bool>,
}

impl Program {
    /// Opens the device and gets a channel. `None` if the session is over.
    pub(crate) async fn start(
        host: &Rc<Host>,
        pins: &Rc<tokio::sync::Mutex<()>>,
        steady: bool,
    ) -> Option<Self> {
        host.open();
        let mut program = Self {
            world: host.world.clone(),
            key: host.key,
            rng: host.world.rng("program"),
            host: Rc::clone(host),
            pins: Rc::clone(pins),
            steady,
            channel: BROADCAST,
            cancelled: Cell::new(false),
        };
        program.channel = program.init(BROADCAST).await?;
        program
            .host
            .state
            .borrow_mut()
            .channels
            .channel(program.channel);
        Some(program)
    }

    pub(crate) fn model<T>(&self, look: impl FnOnce(&mut Model) -> T) -> T {
        look(&mut self.world.models[self.key].borrow_mut())
    }

    pub(crate) fn check(&self, check: impl FnOnce(&mut Model) -> super::model::Checked) {
        if let Err(why) = self.model(check) {
            self.host.fail(why);
        }
    }

    pub(crate) fn pick(&mut self, count: usize) -> usize {
        below(&mut self.rng, count)
    }

    /// INIT: the channel that it gives.
    async fn init(&mut self, channel: u32) -> Option<u32> {
        let mut nonce = [0; 8];
        self.rng.fill_bytes(&mut nonce);
        for _ in 0..20 {
            let host = Rc::clone(&self.host);
            let init = command::INIT;
            host.state.borrow_mut().channels.begin(channel, init);
            for packet in packets(Channel(channel), command::INIT, &nonce) {
                let seqnum = host.write(&packet);
                if !host.written(seqnum).await {
                    return None;
                }
            }
            let mine = |message: &Message| {
                message.command == command::ERROR || message.payload.get(..8) == Some(&nonce)
            };
            let deadline = Instant::now() + ANSWER_LIMIT;
            let answer = host.until(deadline, |state| {
                let state = state.channels.channel(channel);
                // An error may still be the answer to what ran before.
                if channel != BROADCAST && state.inits > 0 {
                    return None;
                }
                let at = state.messages.iter().rposition(mine)?;
                state.messages.remove(at)
            });
            match answer.await {
                Ok(message) if message.command == command::INIT => {
                    if message.payload.len() != 17 {
                        host.fail("INIT's answer has 17 bytes");
                    }
                    let id = message.payload[8..12].try_into().expect("four bytes");
                    return Some(u32::from_be_bytes(id));
                }
                // Somebody is within a message.
                Ok(_) => sleep(Duration::from_millis(300)).await,
                Err(Waited::Gone) => return None,
                Err(Waited::Late) => host.fail("INIT is not answered"),
            }
        }
        self.host.fail("INIT is answered with errors only")
    }

    async fn write_all(&self, command: u8, payload: &[u8]) -> bool {
        for packet in packets(Channel(self.channel), command, payload) {
            let seqnum = self.host.write(&packet);
            if !self.host.written(seqnum).await {
                return false;
            }
        }
        true
    }

    /// A request and its answer.
    async fn request(
        &mut self,
        command: u8,
        payload: &[u8],
        (limit, effect): (Duration, &Effect),
    ) -> Reply {
        let speaks = command == command::CBOR;
        self.world.count(|figures| figures.requests += 1);
        self.cancelled.set(false);
        let host = Rc::clone(&self.host);
        let channel = self.channel;
        let first = payload.first();
        host.note(format!("{channel:#x} sends {command:#04x} {first:02x?}"));
        host.state
            .borrow_mut()
            .channels
            .begin(self.channel, command);
        if !self.write_all(command, payload).await {
            return Reply::Gone;
        }
        let disturbed = !self.steady && {
            let percent = self.world.climate.disturbed;
            chance(&mut self.rng, percent)
        };
        host.state.borrow_mut().channels.last_ms = self.world.tape.now_ms();
        let deadline = Instant::now() + limit;
        if disturbed {
            let disturbance = [Disturbance::Cancel, Disturbance::Init, Disturbance::Close];
            let disturbance = disturbance[self.pick(3)];
            let most = if self.pick(2) == 0 { 30 } else { 2_000 };
            let after = Duration::from_millis(u64::from(self.rng.next_u32()) % most);
            match self.answer(Instant::now() + after, speaks).await {
                Err(Waited::Late) => {}
                other => return reply(other),
            }
            host.note(format!("{:#x} {disturbance:?}", self.channel));
            if disturbance != Disturbance::Cancel {
                // It may be done before nobody listens any more, and other programs see it.
                self.model(|model| model.doubt(effect));
            }
            if !self.disturb(disturbance).await {
                return Reply::Gone;
            }
            if disturbance != Disturbance::Cancel {
                return Reply::Left;
            }
        }
        match self.answer(deadline, speaks).await {
            Err(Waited::Late) => host.fail(format!(
                "channel {:#x}: no answer to {command:#04x} {:02x?} within {limit:?}",
                self.channel,
                payload.first()
            )),
            other => reply(other),
        }
    }

    async fn disturb(&mut self, disturbance: Disturbance) -> bool {
        let channel = self.channel;
        match disturbance {
            Disturbance::Cancel => {
                self.cancelled.set(true);
                return self.write_all(command::CANCEL, &[]).await;
            }
            Disturbance::Init => {}
            Disturbance::Close => {
                self.host.close().await;
                pause(&mut self.rng, 300).await;
                self.host.open();
            }
        }
        let Some(given) = self.init(channel).await else {
            return false;
        };
        if given != channel {
            self.host.fail("INIT on a channel gave another");
        }
        true
    }

    /// Waits for the answer, and that there is no silence before it.
    async fn answer(&self, deadline: Instant, speaks: bool) -> Result<Message, Waited> {
        let channel = self.channel;
        let most = SILENCE_MS + 4 * u64::from(self.world.climate.weather.latency.1);
        loop {
            let now = self.world.tape.now_ms();
            let last = self.host.state.borrow().channels.last_ms;
            let silent = Duration::from_millis((last + most).saturating_sub(now) + 1);
            let until = deadline.min(Instant::now() + silent);
            let found = self.host.until(until, |state| {
                state.channels.channel(channel).messages.pop_front()
            });
            match found.await {
                Err(Waited::Late) if until < deadline => {
                    let same = self.host.state.borrow().channels.last_ms == last;
                    let quiet = self.world.tape.now_ms().saturating_sub(last) > most;
                    if same && quiet && speaks {
                        self.host.fail(format!(
                            "channel {channel:#x}: silence for more than {most} ms"
                        ));
                    }
                }
                other => return other,
            }
        }
    }

    /// A CTAP2 command; what it did to the model where that does not depend on its answer.
    pub(crate) async fn ctap2(
        &mut self,
        command: u8,
        parameters: Option<&Value>,
        (effect, touch): (Effect, bool),
    ) -> Outcome {
        let mut payload = vec![command];
        payload.extend(parameters.map(cbor::emit).unwrap_or_default());
        let limit = if touch {
            ANSWER_LIMIT + TOUCH_LIMIT
        } else {
            ANSWER_LIMIT
        };
        for _ in 0..6 {
            let op = self.model(|model| model.begin(effect.clone()));
            let begun = Instant::now();
            let refused = self.world.refused[self.key].get();
            let reply = self
                .request(command::CBOR, &payload, (limit, &effect))
                .await;
            let Some(effect) = self.model(|model| model.end(op)) else {
                // Another host has the key already, and has it from what was in doubt.
                return Outcome::Doubt;
            };
            match reply {
                Reply::Message(message) => {
                    self.world.count(|figures| figures.answered += 1);
                    return self.answered(message, &effect, (begun, refused));
                }
                Reply::Error(error::CHANNEL_BUSY) => {
                    self.world.count(|figures| figures.busy += 1);
                    pause(&mut self.rng, 1_500).await;
                }
                Reply::Error(error::MESSAGE_TIMEOUT | error::INVALID_SEQUENCE) => {}
                Reply::Error(code) => self.host.fail(format!("CTAPHID_ERROR {code:#04x}")),
                Reply::Left | Reply::Gone => {
                    self.world.count(|figures| figures.cut += 1);
                    self.model(|model| model.doubt(&effect));
                    return Outcome::Doubt;
                }
            }
            if self.host.is_gone() {
                return Outcome::NotRun;
            }
        }
        Outcome::NotRun
    }

    fn answered(
        &self,
        message: Message,
        effect: &Effect,
        (begun, refused): (Instant, u64),
    ) -> Outcome {
        let said = message.payload.first();
        self.host
            .note(format!("{:#x} gets {said:02x?}", self.channel));
        let Some((status, body)) = message.payload.split_first() else {
            self.host.fail("an answer without a status");
        };
        if *status != 0 && !body.is_empty() {
            self.host.fail("an error is its status alone");
        }
        match *status {
            0 if body.is_empty() => return Outcome::Done(Value::Null),
            0 => return Outcome::Done(cbor::parse(body)),
            status::OTHER => {
                if !self.world.may_fail() {
                    self.host.fail("CTAP1_ERR_OTHER, and no vault has failed");
                }
                self.model(|model| model.doubt(effect));
                return Outcome::Doubt;
            }
            status::KEEPALIVE_CANCEL => {
                self.world.count(|figures| figures.cancelled += 1);
                if !self.cancelled.get() {
                    self.host
                        .fail("CTAP2_ERR_KEEPALIVE_CANCEL, and nobody has cancelled");
                }
            }
            status::USER_ACTION_TIMEOUT => {
                self.world.count(|figures| figures.timed_out += 1);
                if begun.elapsed() < TOUCH_LIMIT {
                    self.host.fail("a touch timed out too soon");
                }
            }
            status::OPERATION_DENIED if self.world.refused[self.key].get() == refused => {
                self.host
                    .fail("CTAP2_ERR_OPERATION_DENIED, and nobody has refused");
            }
            _ => {}
        }
        Outcome::Refused(*status)
    }

    /// An APDU: data and status word. `None` if there was no answer.
    pub(crate) async fn u2f(&mut self, apdu: &[u8]) -> Option<(Vec<u8>, u16)> {
        for _ in 0..6 {
            let op = self.model(|model| model.begin(Effect::Nothing));
            // U2F has no keepalives.
            let reply = self
                .request(command::MSG, apdu, (ANSWER_LIMIT, &Effect::Nothing))
                .await;
            self.model(|model| model.end(op))?;
            match reply {
                Reply::Message(message) => {
                    self.world.count(|figures| figures.answered += 1);
                    let at = message.payload.len().checked_sub(2)?;
                    let (data, word) = message.payload.split_at(at);
                    return Some((data.to_vec(), u16::from_be_bytes([word[0], word[1]])));
                }
                Reply::Error(error::CHANNEL_BUSY) => pause(&mut self.rng, 1_500).await,
                Reply::Error(_) => {}
                Reply::Left | Reply::Gone => {
                    self.world.count(|figures| figures.cut += 1);
                    return None;
                }
            }
        }
        None
    }

    /// PING with some bytes, which come back.
    pub(crate) async fn ping(&mut self, length: usize) {
        let mut data = vec![0; length];
        self.rng.fill_bytes(&mut data);
        let limit = (ANSWER_LIMIT, &Effect::Nothing);
        if let Reply::Message(message) = self.request(command::PING, &data, limit).await
            && message.payload != data
        {
            self.host.fail("PING came back changed");
        }
    }

    /// The program ends.
    pub(crate) async fn finish(self) {
        if !self.host.is_gone() {
            self.host.close().await;
        }
    }
}

fn reply(found: Result<Message, Waited>) -> Reply {
    match found {
        Ok(message) if message.command == command::ERROR => {
            Reply::Error(message.payload.first().copied().unwrap_or_default())
        }
        Ok(message) => Reply::Message(message),
        Err(Waited::Gone | Waited::Late) => Reply::Gone,
    }
}
