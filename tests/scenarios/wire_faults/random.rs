//! Random use of a key whose reports go wrong: it never fails, never piles reports up, and works
//! once no fault is armed.

use rand_chacha::{ChaCha20Rng, rand_core::Rng as _};
use roamkey_ctap::Fault;

use super::{reports, rule};
use crate::support::{
    ctap2::{GET_INFO, GET_NEXT_ASSERTION, MakeCredential, SELECTION},
    ctaphid::{BROADCAST, Channel, MAX_MESSAGE_LEN, Platform, command, first_packet, packets},
    host::Report,
    rig::{Place, Rig, virtual_scenarios},
    u2f::apdu,
};

const STEPS: usize = 600;
/// The longest answer twice, and what waits beside it.
const MAX_UNREAD: usize = 2 * 129 + 64;

virtual_scenarios!(random_faults_leave_a_key_that_works);

struct Walk {
    rig: Rig,
    rng: ChaCha20Rng,
    platform: Option<Platform>,
    /// Those of two clients, since power came.
    channels: Vec<Channel>,
    nonces: u64,
    attached: usize,
    unplugged: usize,
}

impl Walk {
    fn pick(&mut self, count: usize) -> usize {
        let number = usize::try_from(self.rng.next_u32()).expect("a number");
        number % count
    }

    fn ms(&mut self) -> u32 {
        let most = [100, 1_000, 100_000][self.pick(3)];
        self.rng.next_u32() % most
    }

    /// The host, with the key plugged in again if a fault wanted it unplugged.
    fn platform(&mut self) -> &mut Platform {
        let gone = |platform: &mut Platform| platform.host.is_gone_within(0);
        if self.platform.as_mut().is_none_or(gone) {
            self.unplugged += usize::from(self.platform.take().is_some());
            self.channels.clear();
            self.attached += 1;
            self.platform = Some(self.rig.attach());
        }
        self.platform.as_mut().expect("attached")
    }

    fn write(&mut self, report: &Report) {
        self.platform().write(report);
    }

    fn send(&mut self, channel: Channel, command: u8, payload: &[u8]) {
        for packet in packets(channel, command, payload) {
            self.write(&packet);
        }
    }

    /// Reads what the host has already: what it keeps is no matter of the key.
    fn clear(&mut self) {
        reports(self.platform(), 0);
    }

    /// Writes an INIT and waits for its answer, unless the key is unplugged meanwhile.
    fn init(&mut self, channel: Channel) -> Option<Channel> {
        let attached = self.attached;
        self.nonces += 1;
        let nonce = self.nonces.to_be_bytes();
        self.clear();
        self.write(&first_packet(channel, command::INIT, 8, &nonce));
        let platform = self.platform.as_mut().expect("attached");
        let mut granted = None;
        for report in reports(platform, 10) {
            if report[4] == 0x86 && report[7..15] == nonce {
                let id = report[15..19].try_into().expect("four bytes");
                granted = Some(Channel(u32::from_be_bytes(id)));
            }
        }
        self.platform();
        if self.attached != attached {
            return None;
        }
        assert!(granted.is_some(), "INIT is not answered");
        granted
    }

    /// One of the clients' channels.
    fn channel(&mut self) -> Channel {
        self.platform();
        while self.channels.len() < 2 {
            let granted = self.init(BROADCAST);
            self.channels.extend(granted);
        }
        let at = self.pick(2);
        self.channels[at]
    }

    fn step(&mut self) {
        match self.pick(16) {
            0..=2 => self.arm(),
            3..=8 => self.ask(),
            9 => {
                let channel = self.channel();
                self.send(channel, command::CANCEL, &[]);
            }
            10 => {
                let channel = self.channel();
                self.init(channel);
            }
            11 => {
                let mut report = [0; 64];
                self.rng.fill_bytes(&mut report);
                let channel = self.channel();
                report[..4].copy_from_slice(&channel.0.to_be_bytes());
                self.write(&report);
            }
            12 => self.write_unread(),
            13 => self.rig.world().disarm_all(0),
            14 => {
                self.platform = None;
                self.channels.clear();
            }
            _ => {
                self.clear();
                let ms = u64::from(self.ms());
                let read = reports(self.platform(), ms).len();
                let keepalives = usize::try_from(ms / 50).expect("a number");
                assert!(read <= MAX_UNREAD + keepalives, "{read} in {ms} ms");
            }
        }
    }

    fn arm(&mut self) {
        let ms = self.ms();
        let faults = [
            Fault::DropReport,
            Fault::DelayReport(ms),
            Fault::DuplicateReport,
            Fault::CorruptReport,
            Fault::ReorderReports,
            Fault::WrongSequence,
            Fault::WrongChannel,
            Fault::NoKeepalives,
            Fault::EndlessKeepalives,
            Fault::SlowTrickle(ms),
            Fault::UnplugAfterInit,
            Fault::UnplugBetweenPackets,
            Fault::UnplugDuringTouch,
            Fault::UnplugBeforeAnswer,
        ];
        let fault = faults[self.pick(faults.len())];
        let remaining = 1 + self.rng.next_u32() % 3;
        self.rig.world().arm(0, rule(fault, Some(remaining)));
    }

    /// Sends a message, whatever comes of it.
    fn ask(&mut self) {
        let channel = self.channel();
        let length = self.pick(MAX_MESSAGE_LEN);
        match self.pick(7) {
            0 => self.send(channel, command::CBOR, &[GET_INFO]),
            1 => self.send(channel, command::CBOR, &[SELECTION]),
            2 => self.send(channel, command::CBOR, &[GET_NEXT_ASSERTION]),
            3 => self.send(channel, command::MSG, &apdu(0x03, 0, &[])),
            4 => self.send(channel, command::PING, &vec![1; length]),
            5 => self.send(channel, command::MSG, &vec![0; length]),
            _ => {
                let request = MakeCredential::new("example.com", b"alice").to_value();
                let parameters = crate::support::cbor::emit(&request);
                self.send(channel, command::CBOR, &[vec![1], parameters].concat());
            }
        }
    }

    /// The program is gone for some messages.
    fn write_unread(&mut self) {
        self.platform().close();
        for _ in 0..self.pick(200) {
            let platform = self.platform.as_mut().expect("attached");
            if platform.host.is_gone_within(0) {
                return;
            }
            let payload = [GET_INFO, SELECTION][self.pick(2)];
            let channel = Channel(self.channels.first().map_or(1, |channel| channel.0));
            self.send_once(channel, payload);
        }
        let ms = u64::from(self.ms());
        self.rig.world().pass(ms);
        let platform = self.platform.as_mut().expect("attached");
        if platform.host.is_gone_within(0) {
            return;
        }
        platform.reopen();
        let read = reports(platform, 0).len();
        assert!(read <= MAX_UNREAD, "{read} waited");
    }

    fn send_once(&mut self, channel: Channel, payload: u8) {
        let packet = first_packet(channel, command::CBOR, 1, &[payload]);
        let platform = self.platform.as_mut().expect("attached");
        platform.write(&packet);
    }

    /// No fault is armed: what is under way ends with INIT, and the key works.
    fn expect_normal(&mut self) {
        self.rig.world().disarm_all(0);
        // A touch that is about to end does.
        reports(self.platform(), 100);
        self.platform();
        for channel in self.channels.clone() {
            assert_eq!(self.init(channel), Some(channel));
        }
        let platform = self.platform();
        reports(platform, 1_000);
        let channel = platform.init();
        platform.info(channel).expect("getInfo");
        platform.expect_silence(60_000);
        assert_eq!(self.rig.world().next_timeout(0), None, "the key rests");
    }
}

fn random_faults_leave_a_key_that_works(place: Place) {
    let rig = place.rig();
    let rng = rig.seed.rng("random wire faults", 0);
    let mut walk = Walk {
        rig,
        rng,
        platform: None,
        channels: Vec::new(),
        nonces: 0,
        attached: 0,
        unplugged: 0,
    };
    for _ in 0..10 {
        for _ in 0..STEPS / 10 {
            walk.step();
        }
        walk.expect_normal();
    }
    assert!(walk.unplugged > 0, "some fault was met");
}
