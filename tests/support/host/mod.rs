//! Host models: what an operating system does with a key, as a program on it sees that.

mod linux;
mod windows;

pub(crate) use linux::Linux;
pub(crate) use windows::Windows;

use std::collections::{BTreeMap, VecDeque};

use super::{
    bus::Bus,
    carrier::Link,
    wire::{STALL, setup},
};

/// Every report, both ways.
pub(crate) type Report = [u8; 64];

/// How long a model waits for what has to come. Far more than it takes: only a failure waits.
pub(crate) const PATIENCE_MS: u64 = 20_000;

/// A host with the key attached.
pub(crate) trait Host {
    /// A program opens the device: reports are read from now on.
    fn open(&mut self);
    /// The program closes it, or is killed: transfers that wait are taken back.
    fn close(&mut self);
    /// Sends a report and waits for its acknowledgement.
    fn write(&mut self, report: &Report);
    /// The next report, if one comes within the time.
    fn read(&mut self, wait_ms: u64) -> Option<Report>;
    /// A control request, for IN with room for wLength bytes; the error is the URB's status.
    fn control(&mut self, setup: [u8; 8], data: &[u8]) -> Result<Vec<u8>, i32>;
    /// The carrier's time.
    fn now_ms(&self) -> u64;
    /// Whether the connection ends within the time.
    fn is_gone_within(&mut self, wait_ms: u64) -> bool;
    /// Replies that came since the last call: an idle key sends none.
    fn take_reply_count(&mut self) -> usize;
    /// Writes bytes that no model would; what comes of it is the test's matter.
    fn send_raw(&mut self, bytes: &[u8]);
    /// devid, for bytes made by hand.
    fn devid(&self) -> u32;
}

/// What every model has on the wire.
struct Wire {
    bus: Bus,
    /// Answers that a caller waits for: status, actual_length, data.
    answered: BTreeMap<u32, (i32, u32, Vec<u8>)>,
    /// Reports that no program has read yet.
    received: VecDeque<Report>,
    replies: usize,
}

impl Wire {
    fn new(link: Box<dyn Link>) -> Self {
        Self {
            bus: Bus::new(link),
            answered: BTreeMap::new(),
            received: VecDeque::new(),
            replies: 0,
        }
    }
}

/// What one operating system does in its own way.
trait Model {
    fn wire(&self) -> &Wire;
    fn wire_mut(&mut self) -> &mut Wire;
    fn open(&mut self);
    fn close(&mut self);
    /// Sends a transfer; its seqnum.
    fn submit(&mut self, is_in: bool, ep: u32, length: u32, setup: [u8; 8], data: &[u8]) -> u32;
    /// Takes one reply, if one comes within the time.
    fn pump(&mut self, wait_ms: u64) -> bool;

    fn wait_for(&mut self, seqnum: u32) -> (i32, u32, Vec<u8>) {
        loop {
            if let Some(answer) = self.wire_mut().answered.remove(&seqnum) {
                return answer;
            }
            assert!(self.pump(PATIENCE_MS), "no answer to {seqnum:#x}");
        }
    }
}

impl<M: Model> Host for M {
    fn open(&mut self) {
        Model::open(self);
    }

    fn close(&mut self) {
        Model::close(self);
    }

    fn write(&mut self, report: &Report) {
        let seqnum = self.submit(false, 1, 64, [0; 8], report);
        let (status, actual_length, _) = self.wait_for(seqnum);
        assert_eq!(
            (status, actual_length),
            (0, 64),
            "an OUT report is taken whole"
        );
    }

    fn read(&mut self, wait_ms: u64) -> Option<Report> {
        let deadline = self.now_ms().saturating_add(wait_ms);
        loop {
            if let Some(report) = self.wire_mut().received.pop_front() {
                return Some(report);
            }
            if !self.pump(deadline.saturating_sub(self.now_ms())) {
                return None;
            }
        }
    }

    fn control(&mut self, setup: [u8; 8], data: &[u8]) -> Result<Vec<u8>, i32> {
        let is_in = setup[0] & 0x80 != 0;
        let length = u32::from(u16::from_le_bytes([setup[6], setup[7]]));
        let seqnum = self.submit(is_in, 0, length, setup, data);
        let (status, actual_length, data) = self.wait_for(seqnum);
        if status != 0 {
            assert_eq!(actual_length, 0, "a stall carries nothing");
            return Err(status);
        }
        if !is_in {
            assert_eq!(actual_length, length, "OUT data is taken whole");
        }
        Ok(data)
    }

    fn now_ms(&self) -> u64 {
        self.wire().bus.now_ms()
    }

    fn is_gone_within(&mut self, wait_ms: u64) -> bool {
        while self.pump(wait_ms) {}
        self.wire().bus.is_closed()
    }

    fn take_reply_count(&mut self) -> usize {
        std::mem::take(&mut self.wire_mut().replies)
    }

    fn send_raw(&mut self, bytes: &[u8]) {
        self.wire_mut().bus.send(bytes);
    }

    fn devid(&self) -> u32 {
        self.wire().bus.devid
    }
}

impl dyn Host {
    /// GET_DESCRIPTOR of the device.
    pub(crate) fn descriptor(&mut self, kind: u8, index: u8, length: u16) -> Result<Vec<u8>, i32> {
        self.control(get_descriptor(kind, index, 0, length), &[])
    }
}

/// GET_DESCRIPTOR to the device (USB 2.0 §9.4.3).
fn get_descriptor(kind: u8, index: u8, language: u16, length: u16) -> [u8; 8] {
    let value = u16::from_be_bytes([kind, index]);
    setup(0x80, 6, value, language, length)
}

/// What both models check of the descriptors that they read while enumerating.
struct Enumerated {
    device: Vec<u8>,
    configuration: Vec<u8>,
}

impl Enumerated {
    fn check(&self) {
        let (device, configuration) = (&self.device, &self.configuration);
        assert_eq!(device.len(), 18, "device descriptor");
        assert_eq!(
            device[..4],
            [18, 1, 0, 2],
            "bcdUSB 2.00, so that no BOS is asked for"
        );
        assert_eq!(device[7], 64, "bMaxPacketSize0");
        let total = u16::from_le_bytes([configuration[2], configuration[3]]);
        assert_eq!(configuration.len(), usize::from(total), "wTotalLength");
        let mut rest = configuration.as_slice();
        let mut endpoints = Vec::new();
        while let [length, kind, ..] = *rest {
            let (descriptor, after) = rest.split_at(usize::from(length));
            match kind {
                4 => assert_eq!(descriptor[5], 3, "bInterfaceClass HID"),
                5 => endpoints.push(descriptor.to_vec()),
                _ => {}
            }
            rest = after;
        }
        assert!(rest.is_empty(), "descriptors fill wTotalLength");
        let mut addresses: Vec<u8> = endpoints.iter().map(|e| e[2]).collect();
        addresses.sort_unstable();
        assert_eq!(addresses, [0x01, 0x81]);
        for endpoint in &endpoints {
            assert_eq!(endpoint[3], 3, "interrupt");
            assert_eq!(endpoint[4..6], [64, 0], "wMaxPacketSize");
            assert!((1..=10).contains(&endpoint[6]), "bInterval");
        }
    }
}

/// The report descriptor begins with FIDO's usage page, by which hosts find a key.
fn check_report_descriptor(descriptor: &[u8]) {
    assert!(
        descriptor.starts_with(&[0x06, 0xd0, 0xf1, 0x09, 0x01]),
        "usage page 0xF1D0, usage 1"
    );
}

/// The strings that the device descriptor names, as text.
fn strings(device: &[u8], mut read: impl FnMut(u8) -> Result<Vec<u8>, i32>) -> Vec<String> {
    let texts = device[14..17].iter().filter(|index| **index != 0);
    texts
        .map(|index| {
            let bytes = read(*index).expect("a string that the device descriptor names");
            assert_eq!(usize::from(bytes[0]), bytes.len(), "bLength of a string");
            assert_eq!(bytes[1], 3, "bDescriptorType of a string");
            let units = bytes[2..].as_chunks::<2>().0.iter();
            let units: Vec<u16> = units.map(|unit| u16::from_le_bytes(*unit)).collect();
            String::from_utf16(&units).expect("UTF-16")
        })
        .collect()
}

/// A request that a full-speed key without extras has to refuse, and to answer.
fn expect_stall(result: Result<Vec<u8>, i32>, what: &str) {
    assert_eq!(result, Err(STALL), "{what} stalls");
}
