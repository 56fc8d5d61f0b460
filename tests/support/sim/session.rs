//! A host's attachment to a key in a world, from its import to its end.

use std::{rc::Rc, time::Duration};

use futures_util::future::join_all;
use rand_chacha::ChaCha20Rng;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Mutex,
    time::{Instant, sleep, timeout},
};

use super::{
    World, chance,
    net::{End, Stream, below},
    pause,
    programs::Program,
    urbs::{Host, Style, TRANSFER_LIMIT, Waited},
};
use crate::support::wire::{STALL, setup};

/// How long an import may take: the wait for a host that is going away, and a network.
const IMPORT_LIMIT: Duration = Duration::from_secs(8);
/// How long a key may be busy after its host has vanished: keepalives find that out in time.
const VANISHED_LIMIT: Duration = Duration::from_secs(60);
/// Bytes of the bus id and the record behind it in the reply to an import.
const RECORD_LEN: usize = 312;

/// What a host gets instead of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Another host has it.
    Busy,
    /// It is not there, or there is no server, or the connection ended.
    Nothing,
}

/// Asks for a key: its devid.
pub(crate) async fn import(world: &World, stream: &mut Stream, key: usize) -> Result<u32, Refused> {
    let mut request = vec![1, 0x11, 0x80, 3, 0, 0, 0, 0];
    let mut busid = [0; 32];
    let text = format!("1-{}", key + 1);
    busid[..text.len()].copy_from_slice(text.as_bytes());
    request.extend(busid);
    if stream.write_all(&request).await.is_err() {
        return Err(Refused::Nothing);
    }
    let mut head = [0; 8];
    match timeout(IMPORT_LIMIT, stream.read_exact(&mut head)).await {
        Ok(Ok(_)) => {}
        Ok(Err(_)) => return Err(Refused::Nothing),
        Err(_) => world.fail(format!("an import of key {key} without an answer")),
    }
    match head {
        [1, 0x11, 0, 3, 0, 0, 0, 0] => {}
        [1, 0x11, 0, 3, 0, 0, 0, 2] => return Err(Refused::Busy),
        [1, 0x11, 0, 3, 0, 0, 0, 4] => return Err(Refused::Nothing),
        other => world.fail(format!("an import answered with {other:02x?}")),
    }
    // The key has changed hands, whether or not the rest of the reply arrives.
    world.models[key].borrow_mut().attached();
    let mut record = [0; RECORD_LEN];
    match timeout(IMPORT_LIMIT, stream.read_exact(&mut record)).await {
        Ok(Ok(_)) => {}
        Ok(Err(_)) => return Err(Refused::Nothing),
        Err(_) => world.fail("half an answer to an import"),
    }
    if record[256..288] != busid {
        world.fail("an import echoes the bus id");
    }
    let word = |at: usize| {
        let bytes = record[at..at + 4].try_into().expect("four bytes");
        u32::from_be_bytes(bytes)
    };
    Ok(word(288) << 16 | word(292))
}

impl Host {
    /// What this system does before programs see the device. `None` if the session is over.
    pub(crate) async fn enumerate(&self) -> Option<()> {
        let get = |kind: u16, length| setup(0x80, 6, kind << 8, 0, length);
        let first = if self.style == Style::Linux { 64 } else { 18 };
        let (_, device) = self.control(get(1, first)).await?;
        if device.len() != 18 {
            self.fail("a device descriptor has 18 bytes");
        }
        if self.style == Style::Windows {
            let (status, _) = self.control(get(6, 10)).await?;
            if status != STALL {
                self.fail("the device qualifier stalls");
            }
        }
        let (_, configuration) = self.control(get(2, 255)).await?;
        if configuration.get(..4) != Some(&[9, 2, 41, 0]) {
            self.fail("a configuration has 41 bytes");
        }
        self.control(get(3, 255)).await?;
        self.configure().await?;
        let (_, report) = self.control(setup(0x81, 6, 0x2200, 0, 98)).await?;
        if !report.starts_with(&[0x06, 0xd0, 0xf1]) {
            self.fail("not a FIDO device");
        }
        Some(())
    }

    /// SET_CONFIGURATION and SET_IDLE, also of a host that enumerates again.
    pub(crate) async fn configure(&self) -> Option<()> {
        let (status, _) = self.control(setup(0, 9, 1, 0, 0)).await?;
        let (other, _) = self.control(setup(0x21, 10, 0, 0, 0)).await?;
        if (status, other) != (0, 0) {
            self.fail("a configuration that is refused");
        }
        Some(())
    }
}

/// A host without malice: some attachments, one after the other.
pub(crate) async fn host(world: World, number: usize) {
    let mut rng = world.rng("host");
    let style = [Style::Linux, Style::Windows][below(&mut rng, 2)];
    let sessions = 1 + below(&mut rng, 3);
    pause(&mut rng, 3_000).await;
    for _ in 0..sessions {
        for _ in 0..5 {
            let key = below(&mut rng, world.climate.keys);
            let name = format!("host {number} ({style:?})");
            match attach(&world, key, name, (style, &mut rng)).await {
                Ok(host) => {
                    session(&host, &mut rng).await;
                    break;
                }
                Err(_) => pause(&mut rng, 4_000).await,
            }
        }
        pause(&mut rng, 2_000).await;
    }
}

async fn attach(
    world: &World,
    key: usize,
    name: String,
    (style, rng): (Style, &mut ChaCha20Rng),
) -> Result<Rc<Host>, Refused> {
    let mut stream = world.connect().ok_or(Refused::Nothing)?;
    let devid = import(world, &mut stream, key).await?;
    world.count(|figures| figures.sessions += 1);
    world.note(format!("{name} has key {key}"));
    let own = world.rng("controller");
    let host = Host::new((world.clone(), key, name), style, devid, (stream, own));
    // Somewhere in what it sends the connection ends, in some sessions.
    if chance(rng, 10) {
        let end = [End::Closed, End::Reset, End::Vanished][below(rng, 3)];
        host.leave_after(below(rng, 12_000), end);
    }
    Ok(host)
}

async fn session(host: &Rc<Host>, rng: &mut ChaCha20Rng) {
    if host.enumerate().await.is_none() {
        host.set_gone();
        return;
    }
    let pins = Rc::new(Mutex::new(()));
    let count = if chance(rng, 60) { 1 } else { 2 };
    let slots = (0..count).map(|_| {
        let (host, pins) = (Rc::clone(host), Rc::clone(&pins));
        let mut rng = host.world.rng("slot");
        async move { while slot(&host, &pins, &mut rng).await {} }
    });
    let used = join_all(slots);
    let abrupt = chance(rng, 20);
    let after = Duration::from_millis(u64::try_from(below(rng, 8_000)).expect("64 bits"));
    tokio::select! {
        biased;
        _ = used => {}
        () = sleep(after), if abrupt => {
            host.leave([End::Closed, End::Reset, End::Vanished][below(rng, 3)]);
        }
        () = reconfigure(host, after), if chance(rng, 8) => {}
    }
    detach(host).await;
}

/// A program after another; whether there is another one.
async fn slot(host: &Rc<Host>, pins: &Rc<Mutex<()>>, rng: &mut ChaCha20Rng) -> bool {
    let Some(mut program) = Program::start(host, pins, false).await else {
        return false;
    };
    for _ in 0..1 + below(rng, 9) {
        if host.is_gone() {
            return false;
        }
        program.step().await;
        pause(rng, 400).await;
    }
    program.finish().await;
    chance(rng, 25) && !host.is_gone()
}

/// The system enumerates again, as after a reset of the port.
async fn reconfigure(host: &Rc<Host>, after: Duration) {
    sleep(after).await;
    host.note("enumerates again");
    let _ = host.configure().await;
    std::future::pending().await
}

/// Everything that was sent has its answer before a host leaves of itself.
async fn detach(host: &Rc<Host>) {
    let deadline = Instant::now() + TRANSFER_LIMIT;
    let settled = host.until(deadline, |state| state.is_settled().then_some(()));
    if let Err(Waited::Late) = settled.await {
        host.fail("a transfer without an answer");
    }
    if !host.is_gone() {
        host.leave(End::Closed);
    }
}

/// After everybody has gone: every key is free, and is as its model says.
pub(crate) async fn last_look(world: &World) {
    for key in 0..world.climate.keys {
        let mut rng = world.rng("last look");
        let deadline = Instant::now() + VANISHED_LIMIT;
        let host = loop {
            let name = "the last host".to_owned();
            let mut stream = world.connect().unwrap_or_else(|| world.fail("no server"));
            match import(world, &mut stream, key).await {
                Ok(devid) => {
                    let own = world.rng("controller");
                    let about = (world.clone(), key, name);
                    break Host::new(about, Style::Linux, devid, (stream, own));
                }
                Err(_) if Instant::now() < deadline => pause(&mut rng, 2_000).await,
                Err(why) => world.fail(format!("key {key} is not free: {why:?}")),
            }
        };
        world.count(|figures| figures.sessions += 1);
        let pins = Rc::new(Mutex::new(()));
        if host.enumerate().await.is_none() {
            host.fail("the last host was left");
        }
        let Some(mut program) = Program::start(&host, &pins, true).await else {
            host.fail("the last host was left");
        };
        program.look_at_all().await;
        program.finish().await;
        detach(&host).await;
    }
}
