//! Linux: vhci_hcd, usbhid and hidraw.
//!
//! One interrupt-IN transfer while hidraw is open, taken back at every close. As strict as
//! vhci_hcd, which drops the device at a reply it does not expect.

use std::collections::BTreeMap;

use super::{
    Enumerated, Host, Model, PATIENCE_MS, Wire, check_report_descriptor, get_descriptor, strings,
};
use crate::support::{
    carrier::Link,
    wire::{Body, Reply, Submit, UNLINKED, setup, unlink},
};

/// URB_SHORT_NOT_OK is not set and URB_DIR_IN is, as usbhid submits them.
const FLAGS_IN: u32 = 0x0200;
/// What hidraw keeps for a program that does not read.
const RING_LEN: usize = 64;

#[derive(Clone, Copy)]
struct Pending {
    is_in: bool,
    length: u32,
}

/// A Linux machine with the key attached.
pub(crate) struct Linux {
    wire: Wire,
    last_seqnum: u32,
    /// Transfers without an answer.
    pending: BTreeMap<u32, Pending>,
    /// UNLINK commands without an answer, and which transfer each takes back.
    unlinks: BTreeMap<u32, u32>,
    in_urb: Option<u32>,
    is_open: bool,
}

impl Linux {
    /// Attaches and enumerates: after this the key has power.
    pub(crate) fn attach(link: Box<dyn Link>) -> Self {
        let mut linux = Self {
            wire: Wire::new(link),
            last_seqnum: 0,
            pending: BTreeMap::new(),
            unlinks: BTreeMap::new(),
            in_urb: None,
            is_open: false,
        };
        linux.enumerate();
        linux
    }

    fn enumerate(&mut self) {
        let mut get = |kind, index, language, length| {
            let setup = get_descriptor(kind, index, language, length);
            self.control(setup, &[])
        };
        // 64 bytes are asked for before the address is set; there are only 18.
        let first = get(1, 0, 0, 64).expect("device descriptor");
        assert!(
            first.len() >= 8,
            "bMaxPacketSize0 stands in the first 8 bytes"
        );
        let device = get(1, 0, 0, 18).expect("device descriptor");
        let head = get(2, 0, 0, 9).expect("configuration head");
        assert_eq!(head.len(), 9, "never more than wLength");
        let total = u16::from_le_bytes([head[2], head[3]]);
        let configuration = get(2, 0, 0, total).expect("configuration");
        let languages = get(3, 0, 0, 255).expect("languages");
        let language = u16::from_le_bytes([languages[2], languages[3]]);
        let texts = strings(&device, |index| get(3, index, language, 255));
        assert_eq!(texts.len(), 3, "manufacturer, product and serial");
        Enumerated {
            device,
            configuration,
        }
        .check();
        let done = self.control(setup(0x00, 9, 1, 0, 0), &[]);
        assert_eq!(done, Ok(Vec::new()), "SET_CONFIGURATION");
        let idle = self.control(setup(0x21, 0x0a, 0, 0, 0), &[]);
        assert_eq!(idle, Ok(Vec::new()), "SET_IDLE");
        let report = self.control(setup(0x81, 6, 0x2200, 0, 34), &[]);
        check_report_descriptor(&report.expect("report descriptor"));
    }

    fn submitted(&mut self, seqnum: u32, status: i32, actual_length: u32, data: Vec<u8>) {
        let pending = self.pending.remove(&seqnum);
        let pending = pending.unwrap_or_else(|| panic!("vhci_hcd: cannot find a urb of {seqnum}"));
        assert!(
            actual_length <= pending.length,
            "{actual_length} bytes of at most {}",
            pending.length
        );
        if self.in_urb != Some(seqnum) {
            self.wire
                .answered
                .insert(seqnum, (status, actual_length, data));
            return;
        }
        self.in_urb = None;
        assert_eq!(status, 0, "the interrupt-IN transfer failed");
        let report = data.try_into().expect("a report has 64 bytes");
        if self.is_open {
            if self.wire.received.len() < RING_LEN {
                self.wire.received.push_back(report);
            }
            self.park();
        }
    }

    fn unlinked(&mut self, reply: &Reply) {
        let target = self.unlinks.remove(&reply.seqnum);
        let target = target.unwrap_or_else(|| panic!("no UNLINK has seqnum {}", reply.seqnum));
        let waited = self.pending.remove(&target).is_some();
        let status = reply.status;
        match status {
            UNLINKED => assert!(waited, "-ECONNRESET for {target}, which was answered"),
            0 => assert!(!waited, "0 for {target}, which is not answered"),
            other => panic!("UNLINK answered with status {other}"),
        }
        if self.in_urb == Some(target) {
            self.in_urb = None;
        }
    }

    fn park(&mut self) {
        let seqnum = self.submit(true, 1, 64, [0; 8], &[]);
        self.in_urb = Some(seqnum);
    }
}

impl Model for Linux {
    fn wire(&self) -> &Wire {
        &self.wire
    }

    fn wire_mut(&mut self) -> &mut Wire {
        &mut self.wire
    }

    fn open(&mut self) {
        assert!(!self.is_open);
        self.is_open = true;
        self.park();
    }

    fn close(&mut self) {
        assert!(self.is_open);
        self.is_open = false;
        self.wire.received.clear();
        let Some(target) = self.in_urb else { return };
        self.last_seqnum += 1;
        let seqnum = self.last_seqnum;
        self.unlinks.insert(seqnum, target);
        self.wire
            .bus
            .send(&unlink(seqnum, self.wire.bus.devid, target));
        while self.unlinks.contains_key(&seqnum) {
            assert!(self.pump(PATIENCE_MS), "no answer to UNLINK {seqnum}");
        }
        assert_eq!(self.in_urb, None);
    }

    /// Submits a transfer and gives its seqnum. Header and payload leave together.
    fn submit(&mut self, is_in: bool, ep: u32, length: u32, setup: [u8; 8], data: &[u8]) -> u32 {
        self.last_seqnum += 1;
        let seqnum = self.last_seqnum;
        let mut bytes = Submit {
            seqnum,
            devid: self.wire.bus.devid,
            direction: u32::from(is_in),
            ep,
            flags: if is_in { FLAGS_IN } else { 0 },
            length,
            number_of_packets: 0,
            interval: if ep == 0 { 0 } else { 5 },
            setup,
        }
        .header();
        bytes.extend(data);
        self.pending.insert(seqnum, Pending { is_in, length });
        self.wire.bus.send(&bytes);
        seqnum
    }

    /// Waits for one reply and takes it to where it belongs. False if none came.
    fn pump(&mut self, wait_ms: u64) -> bool {
        let pending = &self.pending;
        let is_in = |seqnum| pending.get(&seqnum).is_some_and(|pending| pending.is_in);
        let Some(reply) = self.wire.bus.reply(wait_ms, is_in) else {
            return false;
        };
        self.wire.replies += 1;
        match reply.body {
            Body::Submit {
                actual_length,
                data,
            } => self.submitted(reply.seqnum, reply.status, actual_length, data),
            Body::Unlink => self.unlinked(&reply),
        }
        true
    }
}
