//! Hosts that mean harm: what no client sends, in any order, and what they never read.
//!
//! None of it may end the server, keep a key from others for longer than a session lasts, or
//! change what the key remembers.

use std::time::Duration;

use rand_chacha::{ChaCha20Rng, rand_core::Rng as _};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{sleep, timeout},
};

use roamkey_transport::{
    limits::{OUTPUT_LIMIT, STUCK_LIMIT},
    usbip::urb::HEADER_LEN,
};

use super::{
    World,
    net::{End, Stream, below},
    pause,
    session::import,
};
use crate::support::{
    ctaphid::{Channel, command, first_packet, next_packet},
    wire::{Submit, setup, unlink},
};

/// What a session reads before it handles it, at most.
const INPUT_LEN: usize = 4_096;
/// For a peer that has to hear of its end.
const SLACK: Duration = Duration::from_secs(2);

/// Some attachments, and connections that come to none.
pub(crate) async fn host(world: World, number: usize) {
    let mut rng = world.rng("hostile");
    for _ in 0..2 + below(&mut rng, 4) {
        pause(&mut rng, 4_000).await;
        let Some(mut stream) = world.connect() else {
            continue;
        };
        let attack = below(&mut rng, 11);
        world.note(format!("hostile host {number} begins {attack}"));
        if attack < 3 {
            before_import(&mut stream, attack, &mut rng).await;
            continue;
        }
        let key = below(&mut rng, world.climate.keys);
        let Ok(devid) = import(&world, &mut stream, key).await else {
            continue;
        };
        world.note(format!("hostile host {number} has key {key}"));
        world.count(|figures| {
            figures.sessions += 1;
            figures.hostile += 1;
        });
        let mut attacker = Attacker {
            devid,
            seqnum: 0,
            rng: world.rng("attacker"),
        };
        if attack == 10 {
            attacker.flood(&world, &mut stream).await;
        } else {
            attacker.attack(&mut stream, attack).await;
        }
        let end = [End::Closed, End::Reset, End::Vanished][below(&mut rng, 3)];
        stream.plug().pull(end);
    }
}

async fn before_import(stream: &mut Stream, attack: usize, rng: &mut ChaCha20Rng) {
    match attack {
        0 => sleep(Duration::from_secs(7)).await,
        1 => {
            let mut bytes = vec![0; 1 + below(rng, 200)];
            rng.fill_bytes(&mut bytes);
            let _ = stream.write_all(&bytes).await;
            pause(rng, 2_000).await;
        }
        _ => {
            // A list, whose reply is read in part.
            let _ = stream.write_all(&[1, 0x11, 0x80, 5, 0, 0, 0, 0]).await;
            let mut some = vec![0; 1 + below(rng, 600)];
            let _ = timeout(Duration::from_secs(6), stream.read_exact(&mut some)).await;
        }
    }
}

struct Attacker {
    devid: u32,
    seqnum: u32,
    rng: ChaCha20Rng,
}

impl Attacker {
    fn submit(&mut self, ep: u32, direction: u32, length: u32) -> Submit {
        self.seqnum += 1;
        Submit {
            seqnum: self.seqnum,
            devid: self.devid,
            direction,
            ep,
            flags: 0,
            length,
            number_of_packets: 0,
            interval: 5,
            setup: [0; 8],
        }
    }

    fn configure(&mut self) -> Vec<u8> {
        let submit = Submit {
            setup: setup(0, 9, 1, 0, 0),
            ..self.submit(0, 0, 0)
        };
        submit.header()
    }

    /// A packet that no program would send.
    fn packet(&mut self) -> [u8; 64] {
        let channel = Channel(match below(&mut self.rng, 4) {
            0 => 0,
            1 => u32::MAX,
            _ => self.rng.next_u32() % 8,
        });
        let commands = [
            command::PING,
            command::INIT,
            command::CANCEL,
            command::WINK,
            command::LOCK,
            command::MSG,
            0x3f,
            0x7f,
        ];
        let command = commands[below(&mut self.rng, commands.len())];
        let length = u16::try_from(below(&mut self.rng, 9_000)).expect("a length");
        match below(&mut self.rng, 4) {
            0 => next_packet(channel, 0, &[0xa5; 59]),
            1 => first_packet(channel, command, length, &[]),
            _ => first_packet(channel, command, 8, b"hostile!"),
        }
    }

    /// One or several commands.
    fn command(&mut self, attack: usize) -> Vec<u8> {
        match attack {
            // Garbage behind a good beginning.
            3 => {
                let mut bytes = vec![0; 1 + below(&mut self.rng, 300)];
                self.rng.fill_bytes(&mut bytes);
                bytes
            }
            // Reports, and nobody who reads.
            4 | 5 => {
                let mut bytes = self.submit(1, 0, 64).header();
                bytes.extend(self.packet());
                if attack == 5 {
                    bytes.extend(self.submit(1, 1, 64).header());
                }
                bytes
            }
            // Transfers taken back that never were, or twice; seqnums used again.
            6 => match below(&mut self.rng, 3) {
                0 => {
                    self.seqnum += 1;
                    unlink(self.seqnum, self.devid, self.rng.next_u32() % 64)
                }
                1 => {
                    self.seqnum = self.seqnum.saturating_sub(2);
                    self.submit(1, 1, 64).header()
                }
                _ => self.submit(1, 1, 64).header(),
            },
            // Lengths that no buffer has.
            7 => {
                let lengths = [u32::MAX, 0x10_0000, 0xffff, 65, 63, 0];
                let length = lengths[below(&mut self.rng, lengths.len())];
                let (ep, direction) = (self.rng.next_u32() % 4, self.rng.next_u32() % 3);
                self.submit(ep, direction, length).header()
            }
            // Control requests of all kinds.
            8 => {
                let mut submit = self.submit(0, 1, 0xffff);
                self.rng.fill_bytes(&mut submit.setup);
                submit.header()
            }
            // Half a command, and then nothing.
            _ => self.submit(1, 0, 64).header()[..20].to_vec(),
        }
    }

    /// Reports without end, and nobody who reads an answer: what is kept for this host is bounded,
    /// and its session ends.
    async fn flood(&mut self, world: &World, stream: &mut Stream) {
        let answers = OUTPUT_LIMIT + world.climate.weather.room;
        let most = (answers / HEADER_LEN + 2) * (HEADER_LEN + 64)
            + INPUT_LEN
            + 2 * world.climate.weather.room;
        let mut bytes = self.configure();
        let mut taken = 0;
        loop {
            match timeout(STUCK_LIMIT + SLACK, stream.write_all(&bytes)).await {
                Ok(Ok(())) => taken += bytes.len(),
                Ok(Err(_)) => return,
                Err(_) => {
                    world.report("a host that reads nothing keeps its session".to_owned());
                    return;
                }
            }
            if taken > most {
                world.report(format!(
                    "{taken} bytes are taken from a host that reads nothing"
                ));
                return;
            }
            bytes = self.submit(1, 0, 64).header();
            bytes.extend(self.packet());
        }
    }

    async fn attack(&mut self, stream: &mut Stream, attack: usize) {
        let mut bytes = self.configure();
        let reads = below(&mut self.rng, 3) > 0;
        for _ in 0..5 + below(&mut self.rng, 40) {
            bytes.extend(self.command(attack));
            let write = stream.write_all(&bytes);
            if !matches!(timeout(Duration::from_secs(15), write).await, Ok(Ok(()))) {
                return;
            }
            bytes.clear();
            if reads {
                let mut some = [0; 512];
                let read = stream.read(&mut some);
                let read = timeout(Duration::from_millis(1), read).await;
                if matches!(read, Ok(Ok(0) | Err(_))) {
                    return;
                }
            }
            if attack == 9 {
                break;
            }
        }
        pause(&mut self.rng, 12_000).await;
    }
}
