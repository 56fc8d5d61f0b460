//! What goes on in an attachment, without I/O: URBs in, answers out, reports across.
//!
//! Each command gets exactly one answer. Interrupt-IN transfers wait in order until the key has
//! a report for them or the host takes them back. A bad transfer stalls; what cannot be framed
//! any more, or names another device, ends the session, as in Linux's drivers/usb/usbip.
//!
//! Decided here, where clients leave room:
//! - A host that leaves more than [`PARKED_LIMIT`] transfers waiting gets -ENOMEM for the next,
//!   which is what Linux's usb_submit_urb says and what usbip-win2 maps to "insufficient
//!   resources"; the session goes on.
//! - An IN transfer with room for less than a report gets -EOVERFLOW at once, so that no report
//!   is cut; one with more room gets one report.
//! - Packet descriptors are only expected on endpoints that the device does not have: Linux
//!   reads them by the endpoint's type, and none of ours is isochronous.
//!
//! Absent: time, sockets, and every limit that needs them ([`super::Server`]).

use std::collections::VecDeque;
use std::fmt;

use crate::limits::{OUTPUT_LIMIT, PARKED_LIMIT, TRANSFER_LIMIT};
use crate::usb::{self, Answer, Direction, Effect, INTERRUPT_ENDPOINT, Identity, Setup};
use crate::{Event, REPORT_LEN};

use super::urb::{
    Command, DevId, HEADER_LEN, ISO_DESCRIPTOR_LEN, Reply, SeqNum, Status, Submit, Unlink, UrbError,
};

/// The most packet descriptors of one transfer: USBIP_MAX_ISO_PACKETS of Linux.
const ISO_PACKETS_LIMIT: u32 = 1024;
/// Room for what was read and not yet handled; the longest unit of it is a header and a report.
const INPUT_LEN: usize = 4096;

/// How a host broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A header is no command.
    Header(UrbError),
    /// A command names another device.
    DevId(DevId),
    /// A transfer has the seqnum of one that waits.
    SeqNumReused(SeqNum),
    /// A payload is longer than any transfer's.
    TransferLength(u32),
    /// A transfer has more isochronous packets than Linux allows.
    IsoPackets(u32),
    /// The connection ended within a command.
    Truncated,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(error) => write!(f, "{error}"),
            Self::DevId(devid) => write!(f, "a command for another device, {devid}"),
            Self::SeqNumReused(seqnum) => write!(f, "seqnum {seqnum} used again while it waits"),
            Self::TransferLength(length) => write!(f, "a transfer of {length} bytes"),
            Self::IsoPackets(count) => write!(f, "a transfer of {count} isochronous packets"),
            Self::Truncated => f.write_str("the connection ended within a command"),
        }
    }
}

impl std::error::Error for Violation {}

impl From<UrbError> for Violation {
    fn from(error: UrbError) -> Self {
        Self::Header(error)
    }
}

/// The device's side of an attachment.
///
/// Bytes come in by [`space`](Self::space) and [`received`](Self::received), are handled by
/// [`poll_event`](Self::poll_event), and leave by [`output`](Self::output) and
/// [`sent`](Self::sent).
#[derive(Debug)]
pub struct Session {
    device: usb::Device,
    devid: DevId,
    input: Box<[u8; INPUT_LEN]>,
    /// What of `input` was received and not yet handled.
    start: usize,
    end: usize,
    /// How much more is to be thrown away.
    skip: usize,
    /// Interrupt-IN transfers that wait, the oldest first.
    parked: VecDeque<SeqNum>,
    events: VecDeque<Event>,
    powered: bool,
    output: Vec<u8>,
    /// How much of `output` has left.
    sent: usize,
}

/// A command with all that belongs to it.
enum Pdu {
    /// The payload is None if it was too long to keep.
    Submit(Submit, Option<Payload>),
    Unlink(Unlink),
}

/// An OUT transfer's data: none of ours is longer than a report.
struct Payload {
    bytes: [u8; REPORT_LEN],
    length: usize,
}

impl Payload {
    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl Session {
    /// A session with a host that just imported the device.
    #[must_use]
    pub fn new(identity: &Identity, devid: DevId) -> Self {
        Self {
            device: usb::Device::new(identity),
            devid,
            input: Box::new([0; INPUT_LEN]),
            start: 0,
            end: 0,
            skip: 0,
            parked: VecDeque::with_capacity(PARKED_LIMIT),
            events: VecDeque::with_capacity(2),
            powered: false,
            output: Vec::with_capacity(1024),
            sent: 0,
        }
    }

    /// Where to put bytes from the host; never empty once [`poll_event`](Self::poll_event) had
    /// no event and the output is empty.
    pub fn space(&mut self) -> &mut [u8] {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        } else if self.start > 0 {
            self.input.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        self.input.get_mut(self.end..).unwrap_or_default()
    }

    /// So many bytes were put into [`space`](Self::space).
    pub fn received(&mut self, count: usize) {
        self.end = self.end.saturating_add(count).min(INPUT_LEN);
    }

    /// For a host model: takes as many of the bytes as there is room for, and says how many.
    pub fn handle_bytes(&mut self, bytes: &[u8]) -> usize {
        let mut count = 0;
        for (to, from) in self.space().iter_mut().zip(bytes) {
            *to = *from;
            count += 1;
        }
        self.received(count);
        count
    }

    /// The next thing that the host did, if enough of it was received.
    ///
    /// # Errors
    ///
    /// The host broke the protocol. The session is over; what is in the output may still leave.
    pub fn poll_event(&mut self) -> Result<Option<Event>, Violation> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            if self.is_throttled() {
                return Ok(None);
            }
            match self.next_pdu()? {
                Some(Pdu::Submit(submit, payload)) => self.handle_submit(&submit, payload)?,
                Some(Pdu::Unlink(unlink)) => self.handle_unlink(&unlink),
                None => return Ok(None),
            }
        }
    }

    /// Whether input has to wait until output has left.
    #[must_use]
    pub fn is_throttled(&self) -> bool {
        self.output().len() >= OUTPUT_LIMIT
    }

    /// Whether the end of the connection here would cut a command.
    #[must_use]
    pub fn is_within_command(&self) -> bool {
        self.start != self.end || self.skip > 0
    }

    /// Whether an interrupt-IN transfer waits.
    #[must_use]
    pub fn wants_report(&self) -> bool {
        !self.parked.is_empty()
    }

    /// Answers the transfer that has waited longest. False if none waits.
    pub fn send_report(&mut self, report: &[u8; REPORT_LEN]) -> bool {
        let Some(seqnum) = self.parked.pop_front() else {
            return false;
        };
        answer(&mut self.output, seqnum, Status::OK, REPORT_LEN);
        self.output.extend_from_slice(report);
        true
    }

    /// What has to be sent to the host. Bounded, as long as reports are only sent when wanted.
    #[must_use]
    pub fn output(&self) -> &[u8] {
        self.output.get(self.sent..).unwrap_or_default()
    }

    /// So many bytes of [`output`](Self::output) have left.
    pub fn sent(&mut self, count: usize) {
        self.sent = self.sent.saturating_add(count);
        if self.sent >= self.output.len() {
            self.output.clear();
            self.sent = 0;
        }
    }

    /// Puts the reply to the import before everything else.
    pub(super) fn greet(&mut self, reply: &[u8]) {
        self.output.extend_from_slice(reply);
    }

    /// The next command that was received whole.
    fn next_pdu(&mut self) -> Result<Option<Pdu>, Violation> {
        let skipped = self.skip.min(self.end - self.start);
        self.start += skipped;
        self.skip -= skipped;
        let input = self.input.get(self.start..self.end).unwrap_or_default();
        let Some((header, rest)) = input.split_first_chunk::<HEADER_LEN>() else {
            return Ok(None);
        };
        let submit = match Command::parse(header)? {
            Command::Submit(submit) => submit,
            Command::Unlink(unlink) => {
                self.check_devid(unlink.basic.devid)?;
                self.start += HEADER_LEN;
                return Ok(Some(Pdu::Unlink(unlink)));
            }
        };
        self.check_devid(submit.basic.devid)?;
        let length = payload_len(&submit)?;
        let iso = iso_len(&submit)?;
        let mut payload = Payload {
            bytes: [0; REPORT_LEN],
            length,
        };
        let Some(kept) = payload.bytes.get_mut(..length) else {
            self.start += HEADER_LEN;
            self.skip = length + iso;
            return Ok(Some(Pdu::Submit(submit, None)));
        };
        let Some(received) = rest.get(..length) else {
            return Ok(None);
        };
        kept.copy_from_slice(received);
        self.start += HEADER_LEN + length;
        self.skip = iso;
        Ok(Some(Pdu::Submit(submit, Some(payload))))
    }

    fn check_devid(&self, devid: DevId) -> Result<(), Violation> {
        if devid == self.devid {
            Ok(())
        } else {
            Err(Violation::DevId(devid))
        }
    }

    fn handle_submit(
        &mut self,
        submit: &Submit,
        payload: Option<Payload>,
    ) -> Result<(), Violation> {
        let seqnum = submit.basic.seqnum;
        if self.parked.contains(&seqnum) {
            return Err(Violation::SeqNumReused(seqnum));
        }
        match (endpoint(submit), submit.basic.direction, payload) {
            (Endpoint::Control, _, Some(payload)) => self.handle_control(submit, payload.bytes()),
            (Endpoint::Interrupt, Direction::In, _) => self.handle_in(submit),
            (Endpoint::Interrupt, Direction::Out, Some(payload)) => {
                self.handle_out(seqnum, &payload);
            }
            (Endpoint::Control | Endpoint::Interrupt, _, None) | (Endpoint::Unknown, _, _) => {
                self.stall(seqnum);
            }
        }
        Ok(())
    }

    fn handle_control(&mut self, submit: &Submit, data: &[u8]) {
        let seqnum = submit.basic.seqnum;
        let setup = Setup::parse(&submit.setup);
        if setup.length > 0 && setup.direction() != submit.basic.direction {
            return self.stall(seqnum);
        }
        let outcome = self.device.control(setup, data);
        match outcome.answer {
            Answer::Data(data) => {
                // More than the host has room for makes Linux drop the device.
                let room = usize::try_from(submit.transfer_buffer_length).unwrap_or(usize::MAX);
                let data = data.get(..room).unwrap_or(data);
                answer(&mut self.output, seqnum, Status::OK, data.len());
                self.output.extend_from_slice(data);
            }
            Answer::Done => answer(&mut self.output, seqnum, Status::OK, data.len()),
            Answer::Stall => answer(&mut self.output, seqnum, Status::STALL, 0),
        }
        let effect = outcome.effect;
        self.handle_effect(effect);
    }

    fn handle_effect(&mut self, effect: Effect) {
        match effect {
            Effect::None => {}
            Effect::Configured(on) => {
                self.end_parked(Status::SHUTDOWN);
                if on && !self.powered {
                    self.powered = true;
                    self.events.push_back(Event::PowerOn);
                }
            }
            Effect::HaltedIn => self.end_parked(Status::STALL),
            Effect::Report(report) => self.events.push_back(Event::Report(report)),
        }
    }

    fn handle_in(&mut self, submit: &Submit) {
        let seqnum = submit.basic.seqnum;
        let (open, effect) = self.device.open_endpoint(Direction::In);
        self.handle_effect(effect);
        let room = usize::try_from(submit.transfer_buffer_length).unwrap_or(usize::MAX);
        if !open {
            self.stall(seqnum);
        } else if room < REPORT_LEN {
            answer(&mut self.output, seqnum, Status::OVERFLOW, 0);
        } else if self.parked.len() >= PARKED_LIMIT {
            answer(&mut self.output, seqnum, Status::NO_MEMORY, 0);
        } else {
            if self.parked.is_empty() {
                self.events.push_back(Event::ReportWanted);
            }
            self.parked.push_back(seqnum);
        }
    }

    fn handle_out(&mut self, seqnum: SeqNum, payload: &Payload) {
        let (open, effect) = self.device.open_endpoint(Direction::Out);
        self.handle_effect(effect);
        if !open {
            return self.stall(seqnum);
        }
        answer(&mut self.output, seqnum, Status::OK, payload.length);
        if payload.length > 0 {
            // A short report is filled with zeros: all of ours have one size.
            self.events.push_back(Event::Report(payload.bytes));
        }
    }

    fn handle_unlink(&mut self, unlink: &Unlink) {
        let parked = self
            .parked
            .iter()
            .position(|&seqnum| seqnum == unlink.unlink_seqnum);
        let status = match parked.and_then(|at| self.parked.remove(at)) {
            Some(_) => Status::UNLINKED,
            None => Status::OK, // its answer is on the way
        };
        let reply = Reply::Unlink {
            seqnum: unlink.basic.seqnum,
            status,
        };
        self.output.extend_from_slice(&reply.emit());
        if self.parked.is_empty() {
            self.events.push_back(Event::ReportUnwanted);
        }
    }

    fn end_parked(&mut self, status: Status) {
        for seqnum in self.parked.drain(..) {
            answer(&mut self.output, seqnum, status, 0);
        }
    }

    fn stall(&mut self, seqnum: SeqNum) {
        answer(&mut self.output, seqnum, Status::STALL, 0);
    }
}

fn answer(output: &mut Vec<u8>, seqnum: SeqNum, status: Status, actual_length: usize) {
    let actual_length = u32::try_from(actual_length).unwrap_or(u32::MAX); // at most 255
    output.extend_from_slice(
        &Reply::Submit {
            seqnum,
            status,
            actual_length,
        }
        .emit(),
    );
}

enum Endpoint {
    Control,
    Interrupt,
    Unknown,
}

fn endpoint(submit: &Submit) -> Endpoint {
    match submit.basic.ep {
        0 => Endpoint::Control,
        ep if ep == u32::from(INTERRUPT_ENDPOINT) => Endpoint::Interrupt,
        _ => Endpoint::Unknown,
    }
}

fn payload_len(submit: &Submit) -> Result<usize, Violation> {
    match (submit.basic.direction, submit.transfer_buffer_length) {
        (Direction::In, _) => Ok(0),
        (Direction::Out, length @ 0..=TRANSFER_LIMIT) => {
            usize::try_from(length).map_err(|_| Violation::TransferLength(length))
        }
        (Direction::Out, length) => Err(Violation::TransferLength(length)),
    }
}

fn iso_len(submit: &Submit) -> Result<usize, Violation> {
    match (endpoint(submit), submit.iso_packets()) {
        (Endpoint::Control | Endpoint::Interrupt, _) => Ok(0),
        (Endpoint::Unknown, count @ 0..=ISO_PACKETS_LIMIT) => {
            usize::try_from(count * ISO_DESCRIPTOR_LEN).map_err(|_| Violation::IsoPackets(count))
        }
        (Endpoint::Unknown, count) => Err(Violation::IsoPackets(count)),
    }
}

#[cfg(test)]
mod tests;
