//! What faults of the wire ask of CTAPHID: an answer that is late, that never comes, or whose
//! reports are not those of CTAP 2.1 §11.2.4. Deliberately absent: which fault wants what.

use super::{
    ChannelId, Hid, KeepaliveStatus, MessageKind, Outgoing, Packet, REPORT_LEN, Transaction,
    command,
    packet::{CONTINUATION_DATA_LEN, INIT_DATA_LEN},
};
use crate::time::Instant;

impl Hid {
    /// Whose message waits for its response, and of which kind it is.
    pub(crate) fn running(&self) -> Option<(ChannelId, MessageKind)> {
        match &self.transaction {
            Transaction::Processing { channel, kind, .. } => Some((*channel, *kind)),
            Transaction::Idle | Transaction::Receiving { .. } | Transaction::Responding { .. } => {
                None
            }
        }
    }

    /// Whether the first packet of a message came and its last did not.
    pub(crate) fn is_receiving(&self) -> bool {
        matches!(self.transaction, Transaction::Receiving { .. })
    }

    /// Whether a response on `channel` has reports left.
    pub(crate) fn responds_on(&self, channel: ChannelId) -> bool {
        matches!(self.transaction, Transaction::Responding { channel: busy } if busy == channel)
    }

    /// The response is there and kept back: as the client sees it, the command runs on. It ends
    /// as a touch does when nobody reads any more, or the key were busy with it for ever.
    pub(crate) fn hold(&mut self, now: Instant) {
        if let Transaction::Processing {
            held,
            status,
            unread_since,
            ..
        } = &mut self.transaction
        {
            *held = true;
            *status = KeepaliveStatus::Processing;
            *unread_since = unread_since.map(|_| now);
        }
    }

    /// The same without an end: U2F's commands get keepalives then, too, and can be cancelled.
    pub(crate) fn hold_for_ever(&mut self, now: Instant) {
        self.hold(now);
        if let Transaction::Processing { kind, .. } = &mut self.transaction {
            *kind = MessageKind::Cbor;
        }
    }

    /// Ends the running message without a response.
    pub(crate) fn give_up(&mut self) {
        if let Some((channel, _)) = self.running() {
            self.abort(channel);
        }
    }

    /// Answers the running message with what `alter` makes of the right reports. It is told a
    /// channel that no client has.
    pub(crate) fn respond_altered(
        &mut self,
        payload: Vec<u8>,
        alter: impl FnOnce(&mut Vec<[u8; REPORT_LEN]>, ChannelId),
    ) {
        if self.running().is_none() {
            return;
        }
        self.respond(payload);
        let unused = self.channels.unused();
        let Some(response) = self.out.back_mut() else {
            return;
        };
        response.alter(|reports| alter(reports, unused));
        if response.is_done() {
            self.out.pop_back();
            self.transaction = Transaction::Idle;
        }
    }

    /// Whether the next report is of the response on `channel`.
    pub(crate) fn next_is_of_response(&self, channel: ChannelId) -> bool {
        let next = self.out.front();
        next.is_some_and(|out| is_response(out, channel))
    }

    /// The next report that is not of the response on `channel`.
    pub(crate) fn poll_report_beside(&mut self, channel: ChannelId) -> Option<[u8; REPORT_LEN]> {
        let beside = |out: &Outgoing| !is_response(out, channel);
        let at = self.out.iter().position(beside)?;
        self.poll_message(at)
    }
}

/// While a response is queued, nothing else is on its channel but a keepalive from before and
/// errors: INIT would have dropped it.
fn is_response(out: &Outgoing, channel: ChannelId) -> bool {
    out.channel() == channel && !matches!(out.command(), command::KEEPALIVE | command::ERROR)
}

/// Whether a report for the host answers CTAPHID_INIT.
pub(crate) fn is_init_answer(report: &[u8; REPORT_LEN]) -> bool {
    command_of(report) == Some(command::INIT)
}

/// Whether a report for the host is a keepalive.
pub(crate) fn is_keepalive(report: &[u8; REPORT_LEN]) -> bool {
    command_of(report) == Some(command::KEEPALIVE)
}

/// Whether it is one that announces a touch.
pub(crate) fn announces_touch(report: &[u8; REPORT_LEN]) -> bool {
    let [_, _, _, _, _, _, _, status, ..] = *report;
    is_keepalive(report) && status == KeepaliveStatus::UpNeeded as u8
}

fn command_of(report: &[u8; REPORT_LEN]) -> Option<u8> {
    match Packet::parse(report) {
        Packet::Init { command, .. } => Some(command),
        Packet::Continuation { .. } => None,
    }
}

/// A keepalive on the channel that `report` is for: the key works.
pub(crate) fn keepalive_beside(report: &[u8; REPORT_LEN]) -> [u8; REPORT_LEN] {
    let status = vec![KeepaliveStatus::Processing as u8];
    Outgoing::new(channel_of(report), command::KEEPALIVE, status).poll_packet()
}

/// The first continuation packet of nothing, on the channel that `report` is for.
pub(crate) fn continuation_beside(report: &[u8; REPORT_LEN]) -> [u8; REPORT_LEN] {
    let mut continuation = [0; REPORT_LEN];
    set_channel(&mut continuation, channel_of(report));
    continuation
}

fn channel_of(report: &[u8; REPORT_LEN]) -> ChannelId {
    match Packet::parse(report) {
        Packet::Init { channel, .. } | Packet::Continuation { channel, .. } => channel,
    }
}

/// Addresses a report to another channel.
pub(crate) fn set_channel(report: &mut [u8; REPORT_LEN], channel: ChannelId) {
    if let Some(to) = report.first_chunk_mut() {
        *to = channel.0.to_be_bytes();
    }
}

/// Counts a continuation packet one up; leaves others alone.
pub(crate) fn skip_sequence(report: &mut [u8; REPORT_LEN]) {
    if command_of(report).is_none()
        && let [_, _, _, _, sequence, ..] = report
    {
        *sequence = sequence.wrapping_add(1) & 0x7f;
    }
}

/// The last byte of the message in the last of its reports, which are whole and in order.
pub(crate) fn last_byte(reports: &mut [[u8; REPORT_LEN]]) -> Option<&mut u8> {
    let length = match Packet::parse(reports.first()?) {
        Packet::Init { length, .. } => usize::from(length),
        Packet::Continuation { .. } => return None,
    };
    let at = match length.checked_sub(INIT_DATA_LEN + 1) {
        None => REPORT_LEN - INIT_DATA_LEN + length.saturating_sub(1),
        Some(rest) => REPORT_LEN - CONTINUATION_DATA_LEN + rest % CONTINUATION_DATA_LEN,
    };
    reports.last_mut()?.get_mut(at)
}
