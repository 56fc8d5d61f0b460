//! Windows: usbip-win2 under hidclass.
//!
//! Four interrupt-IN transfers wait at once; a seqnum holds its direction in bit 0 and does not
//! count by one; header and payload travel in two segments. A transfer that is taken back is over
//! for the host when the UNLINK is sent: whatever is answered to either is read and forgotten.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{
    Enumerated, Host, PATIENCE_MS, Report, check_report_descriptor, expect_stall, get_descriptor,
    strings,
};
use crate::support::{
    bus::Bus,
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
    bus: Bus,
    counter: u32,
    /// Transfers without an answer, and how much each has room for.
    pending: BTreeMap<u32, u32>,
    answered: BTreeMap<u32, (i32, u32, Vec<u8>)>,
    /// UNLINK commands whose answers nobody waits for, and what each took back.
    unlinks: BTreeMap<u32, u32>,
    /// Taken back here, and perhaps answered there already.
    forgotten: BTreeSet<u32>,
    /// Reads in flight, the oldest first.
    reads: VecDeque<u32>,
    is_open: bool,
    queue: VecDeque<Report>,
    replies: usize,
}

impl Windows {
    /// Attaches and enumerates: after this the key has power.
    pub(crate) fn attach(link: Box<dyn Link>) -> Self {
        let mut windows = Self {
            bus: Bus::new(link),
            counter: 0x0001_0000,
            pending: BTreeMap::new(),
            answered: BTreeMap::new(),
            unlinks: BTreeMap::new(),
            forgotten: BTreeSet::new(),
            reads: VecDeque::new(),
            is_open: false,
            queue: VecDeque::new(),
            replies: 0,
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

    fn submit(&mut self, is_in: bool, ep: u32, length: u32, setup: [u8; 8], data: &[u8]) -> u32 {
        let seqnum = self.next_seqnum(is_in);
        let header = Submit {
            seqnum,
            devid: self.bus.devid,
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
        self.bus.send(&header);
        if !data.is_empty() {
            self.bus.send(data);
        }
        seqnum
    }

    fn pump(&mut self, wait_ms: u64) -> bool {
        let Some(reply) = self.bus.reply(wait_ms, |seqnum| seqnum & 1 == 1) else {
            return false;
        };
        self.replies += 1;
        match reply.body {
            Body::Submit {
                actual_length,
                data,
            } => self.submitted(reply.seqnum, reply.status, actual_length, data),
            Body::Unlink => self.unlinked(reply.seqnum, reply.status),
        }
        true
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
            self.answered.insert(seqnum, (status, actual_length, data));
            return;
        }
        assert_eq!(
            self.reads.pop_front(),
            Some(seqnum),
            "reads are answered in order"
        );
        assert_eq!(status, 0, "an interrupt-IN transfer failed");
        self.queue
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

    fn wait_for(&mut self, seqnum: u32) -> (i32, u32, Vec<u8>) {
        loop {
            if let Some(answer) = self.answered.remove(&seqnum) {
                return answer;
            }
            assert!(self.pump(PATIENCE_MS), "no answer to {seqnum:#x}");
        }
    }
}

impl Host for Windows {
    fn open(&mut self) {
        assert!(!self.is_open);
        self.is_open = true;
        self.park();
    }

    fn close(&mut self) {
        assert!(self.is_open);
        self.is_open = false;
        self.queue.clear();
        for target in std::mem::take(&mut self.reads) {
            let seqnum = self.next_seqnum(false);
            self.pending.remove(&target);
            self.forgotten.insert(target);
            self.unlinks.insert(seqnum, target);
            self.bus.send(&unlink(seqnum, self.bus.devid, target));
        }
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
            if let Some(report) = self.queue.pop_front() {
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
        Ok(data)
    }

    fn now_ms(&self) -> u64 {
        self.bus.now_ms()
    }

    fn is_gone_within(&mut self, wait_ms: u64) -> bool {
        while self.pump(wait_ms) {}
        self.bus.is_closed()
    }

    fn take_reply_count(&mut self) -> usize {
        std::mem::take(&mut self.replies)
    }

    fn send_raw(&mut self, bytes: &[u8]) {
        self.bus.send(bytes);
    }

    fn devid(&self) -> u32 {
        self.bus.devid
    }
}
