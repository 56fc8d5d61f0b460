//! Windows: usbip-win2 under hidclass.
//!
//! Four interrupt-IN transfers wait at once; a seqnum holds its direction in bit 0 and does not
//! count by one; header and payload travel in two segments. A transfer that is taken back is over
//! for the host when the UNLINK is sent: whatever is answered to either is read and forgotten.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{
    Enumerated, Host, Model, Wire, check_report_descriptor, expect_stall, get_descriptor, strings,
};
use crate::support::{
    carrier::Link,
    wire::{Body, Submit, UNLINKED, setup, unlink},
};

/// USBD_TRANSFER_DIRECTION_IN and USBD_SHORT_TRANSFER_OK, as hidclass sets them.
const FLAGS_IN: u32 = 0x3;
/// number_of_packets of what is not isochronous.
const NOT_ISO: u32 = 0xffff_ffff;
/// Reads that hidclass keeps in flight.
const READS: usize = 4;
/// Steps of the counter above bit 0 of seqnum.
const STEPS: [u32; 3] = [1, 7, 2];

/// A Windows machine with the key attached.
pub(crate) struct Windows {
    wire: Wire,
    counter: u32,
    /// Transfers without an answer, and how much each has room for.
    pending: BTreeMap<u32, u32>,
    /// UNLINK commands whose answers nobody waits for, and what each took back.
    unlinks: BTreeMap<u32, u32>,
    /// Taken back here, and perhaps answered there already.
    forgotten: BTreeSet<u32>,
    /// Reads in flight, the oldest first.
    reads: VecDeque<u32>,
    is_open: bool,
}

impl Windows {
    /// Attaches and enumerates: after this the key has power.
    pub(crate) fn attach(link: Box<dyn Link>) -> Self {
        let mut windows = Self {
            wire: Wire::new(link),
            counter: 0x0001_0000,
            pending: BTreeMap::new(),
            unlinks: BTreeMap::new(),
            forgotten: BTreeSet::new(),
            reads: VecDeque::new(),
            is_open: false,
        };
        windows.enumerate();
        windows
    }

    fn enumerate(&mut self) {
        let mut get = |kind, index, language, length| {
            let setup = get_descriptor(kind, index, language, length);
            self.control(setup, &[])
        };
        let device = get(1, 0, 0, 18).expect("device descriptor");
        expect_stall(get(6, 0, 0, 10), "the device qualifier");
        let head = get(2, 0, 0, 9).expect("configuration head");
        let total = u16::from_le_bytes([head[2], head[3]]);
        // 255 bytes are asked for although the head said how many there are.
        let configuration = get(2, 0, 0, 255).expect("configuration");
        assert_eq!(
            configuration.len(),
            usize::from(total),
            "wLength may exceed"
        );
        expect_stall(get(3, 0xee, 0, 18), "string 0xEE");
        let languages = get(3, 0, 0, 255).expect("languages");
        assert_eq!(languages[..2], [4, 3]);
        let texts = strings(&device, |index| get(3, index, 0x0409, 255));
        assert_eq!(texts.len(), 3, "manufacturer, product and serial");
        Enumerated {
            device,
            configuration,
        }
        .check();
        let status = self.control(setup(0x80, 0, 0, 0, 2), &[]);
        assert_eq!(status, Ok(vec![0, 0]), "GET_STATUS of the device");
        let done = self.control(setup(0x00, 9, 1, 0, 0), &[]);
        assert_eq!(done, Ok(Vec::new()), "SET_CONFIGURATION");
        let number = self.control(setup(0x80, 8, 0, 0, 1), &[]);
        assert_eq!(number, Ok(vec![1]), "GET_CONFIGURATION");
        let alternate = self.control(setup(0x01, 11, 0, 0, 0), &[]);
        assert_eq!(alternate, Ok(Vec::new()), "SET_INTERFACE");
        let idle = self.control(setup(0x21, 0x0a, 0, 0, 0), &[]);
        assert_eq!(idle, Ok(Vec::new()), "SET_IDLE");
        // hidclass asks for 64 bytes more than the HID descriptor names.
        let report = self.control(setup(0x81, 6, 0x2200, 0, 34 + 64), &[]);
        let report = report.expect("report descriptor");
        assert_eq!(report.len(), 34, "wLength may exceed");
        check_report_descriptor(&report);
    }

    fn next_seqnum(&mut self, is_in: bool) -> u32 {
        let at = usize::try_from(self.counter).expect("an index") % STEPS.len();
        self.counter += STEPS[at];
        self.counter << 1 | u32::from(is_in)
    }

    fn submitted(&mut self, seqnum: u32, status: i32, actual_length: u32, data: Vec<u8>) {
        // Late: it was on its way when the UNLINK was sent.
        if self.forgotten.remove(&seqnum) {
            return;
        }
        let room = self.pending.remove(&seqnum);
        let room = room.unwrap_or_else(|| panic!("no transfer has seqnum {seqnum:#x}"));
        assert!(
            actual_length <= room,
            "{actual_length} bytes of at most {room}"
        );
        if !self.reads.contains(&seqnum) {
            self.wire
                .answered
                .insert(seqnum, (status, actual_length, data));
            return;
        }
        assert_eq!(
            self.reads.pop_front(),
            Some(seqnum),
            "reads are answered in order"
        );
        assert_eq!(status, 0, "an interrupt-IN transfer failed");
        self.wire
            .received
            .push_back(data.try_into().expect("a report has 64 bytes"));
        self.park();
    }

    /// Not waited for, but no licence to answer what was reported as removed.
    fn unlinked(&mut self, seqnum: u32, status: i32) {
        let target = self.unlinks.remove(&seqnum);
        let target = target.unwrap_or_else(|| panic!("no UNLINK has seqnum {seqnum:#x}"));
        match status {
            UNLINKED => assert!(
                self.forgotten.remove(&target),
                "-ECONNRESET for {target:#x}, which was answered"
            ),
            0 => assert!(
                !self.forgotten.contains(&target),
                "0 for {target:#x}, which is not answered"
            ),
            other => panic!("UNLINK answered with status {other}"),
        }
    }

    fn park(&mut self) {
        while self.reads.len() < READS {
            let seqnum = self.submit(true, 1, 64, [0; 8], &[]);
            self.reads.push_back(seqnum);
        }
    }
}

impl Model for Windows {
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
        for target in std::mem::take(&mut self.reads) {
            let seqnum = self.next_seqnum(false);
            self.pending.remove(&target);
            self.forgotten.insert(target);
            self.unlinks.insert(seqnum, target);
            self.wire
                .bus
                .send(&unlink(seqnum, self.wire.bus.devid, target));
        }
    }

    fn submit(&mut self, is_in: bool, ep: u32, length: u32, setup: [u8; 8], data: &[u8]) -> u32 {
        let seqnum = self.next_seqnum(is_in);
        let header = Submit {
            seqnum,
            devid: self.wire.bus.devid,
            direction: u32::from(is_in),
            ep,
            flags: if is_in { FLAGS_IN } else { 0 },
            length,
            number_of_packets: NOT_ISO,
            interval: if ep == 0 { 0 } else { 5 },
            setup,
        }
        .header();
        self.pending.insert(seqnum, length);
        self.wire.bus.send(&header);
        if !data.is_empty() {
            self.wire.bus.send(data);
        }
        seqnum
    }

    fn pump(&mut self, wait_ms: u64) -> bool {
        let Some(reply) = self.wire.bus.reply(wait_ms, |seqnum| seqnum & 1 == 1) else {
            return false;
        };
        self.wire.replies += 1;
        match reply.body {
            Body::Submit {
                actual_length,
                data,
            } => self.submitted(reply.seqnum, reply.status, actual_length, data),
            Body::Unlink => self.unlinked(reply.seqnum, reply.status),
        }
        true
    }
}
