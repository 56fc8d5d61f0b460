//! Faults of the reports that carry an answer, between CTAPHID and the transport (CTAP 2.1 §11.2).
//!
//! What goes wrong is asked of `hid`, which keeps what waits: a transaction whose answer is late
//! is a transaction still, so other clients find the key busy, INIT ends it, and nothing piles up.
//!
//! Deliberately absent: whether an operation meets a fault; U2F's "touch needed" is an answer, and
//! no wait for a touch.

#[cfg(test)]
mod tests;

use super::Fault;
use crate::{
    hid::{self, ChannelId, Hid, Input, KEEPALIVE_INTERVAL_MS, MessageKind, REPORT_LEN},
    time::Instant,
};

/// How long the host has to take the keepalive that announces a touch before the key is unplugged.
const ANNOUNCEMENT_MS: u64 = KEEPALIVE_INTERVAL_MS;

type Report = [u8; REPORT_LEN];

/// Stands between CTAPHID's reports and the host; without a fault it lets all through.
#[derive(Default)]
pub(crate) struct WireFilter {
    /// The time when anything last came.
    now: Instant,
    message: Message,
    unplugged: bool,
    /// [`crate::Event::Unplug`] is due.
    unplug_due: bool,
}

/// What goes wrong with the answer to the last message.
#[derive(Default)]
struct Message {
    faults: Vec<Fault>,
    cancelled: bool,
    /// When the key is unplugged at the latest, once a touch is waited for.
    touch_ends: Option<Instant>,
    /// The answer, and when it is over that it is kept back.
    delayed: Option<(Instant, Vec<u8>)>,
    /// There was an answer, and there will be none.
    swallowed: bool,
    trickle: Option<Trickle>,
}

/// An answer whose reports leave one by one.
struct Trickle {
    channel: ChannelId,
    interval_ms: u64,
    /// When the next may leave.
    next: Option<Instant>,
}

impl Message {
    fn meets(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }

    /// The sum of a parameter over the faults that have it.
    fn total_ms(&self, parameter: impl Fn(Fault) -> Option<u32>) -> u64 {
        let all = self.faults.iter().filter_map(|fault| parameter(*fault));
        all.map(u64::from).sum()
    }

    fn delay_ms(&self) -> u64 {
        self.total_ms(|fault| {
            if let Fault::DelayReport(ms) = fault {
                return Some(ms);
            }
            None
        })
    }

    fn trickle_ms(&self) -> u64 {
        self.total_ms(|fault| {
            if let Fault::SlowTrickle(ms) = fault {
                return Some(ms);
            }
            None
        })
    }
}

impl WireFilter {
    /// Arms a fault for the answer to the message that is being handled, if it is one of answers'
    /// reports. Those that strike below messages are met elsewhere and are [`Self::unplug`].
    pub(crate) fn arm(&mut self, now: Instant, fault: Fault) {
        self.now = now;
        if fault.is_of_answer_reports() {
            self.message.faults.push(fault);
        }
    }

    /// Power comes or goes: every fault is over.
    pub(crate) fn handle_power(&mut self, on: bool) {
        *self = Self {
            unplugged: self.unplugged && !on,
            ..Self::default()
        };
    }

    /// Says what time it is.
    pub(crate) fn handle_time(&mut self, now: Instant) {
        self.now = now;
    }

    /// What CTAPHID made of a report or of time that passed.
    pub(crate) fn handle_input(&mut self, hid: &mut Hid, input: Option<&Input>) {
        match input {
            Some(Input::Message { .. } | Input::Aborted) => self.message = Message::default(),
            Some(Input::Cancel) => {
                self.message.cancelled = true;
                if self.message.swallowed {
                    hid.give_up();
                    self.message = Message::default();
                }
            }
            Some(Input::Wink) | None => {}
        }
    }

    /// The command waits for a touch.
    pub(crate) fn handle_touch_wanted(&mut self, now: Instant) {
        let message = &mut self.message;
        if message.meets(Fault::UnplugDuringTouch) && !message.cancelled {
            let ends = now.after_ms(ANNOUNCEMENT_MS);
            message.touch_ends.get_or_insert(ends);
        }
    }

    /// Whether the touch that is waited for can no longer be given.
    pub(crate) fn ends_touch(&self) -> bool {
        self.unplugged || self.message.touch_ends.is_some()
    }

    /// The command's answer is ready.
    pub(crate) fn respond(&mut self, now: Instant, hid: &mut Hid, response: Vec<u8>) {
        if self.message.faults.is_empty() {
            hid.respond(response);
            return;
        }
        self.message.touch_ends = None;
        match self.message.delay_ms() {
            0 => self.answer(now, hid, response),
            ms => {
                hid.hold(now);
                self.message.delayed = Some((now.after_ms(ms), response));
            }
        }
    }

    /// The answer's time has come.
    fn answer(&mut self, now: Instant, hid: &mut Hid, response: Vec<u8>) {
        let Some((channel, kind)) = hid.running() else {
            return;
        };
        let message = &mut self.message;
        let shown = !message.cancelled && !has_failed(kind, &response);
        if message.meets(Fault::UnplugBeforeAnswer) && shown {
            self.unplug();
            return;
        }
        if message.meets(Fault::EndlessKeepalives) {
            if message.cancelled {
                hid.give_up();
            } else {
                hid.hold_for_ever(now);
                message.swallowed = true;
            }
            return;
        }
        let interval_ms = message.trickle_ms();
        message.trickle = (interval_ms > 0).then_some(Trickle {
            channel,
            interval_ms,
            next: None,
        });
        hid.respond_altered(response, |reports, unused| alter(message, reports, unused));
    }

    /// The key is pulled out: nothing leaves or comes any more.
    pub(crate) fn unplug(&mut self) {
        *self = Self {
            now: self.now,
            unplugged: true,
            unplug_due: true,
            message: Message::default(),
        };
    }

    pub(crate) fn is_unplugged(&self) -> bool {
        self.unplugged
    }

    /// Whether [`crate::Event::Unplug`] is due; asked once.
    pub(crate) fn poll_unplug(&mut self) -> bool {
        std::mem::take(&mut self.unplug_due)
    }

    /// The next report for the host, which wants one.
    pub(crate) fn poll_report(&mut self, hid: &mut Hid) -> Option<Report> {
        if self.unplugged {
            return None;
        }
        let mut report = self.poll_paced(hid)?;
        // One keepalive waits at most.
        while hid::is_keepalive(&report) && self.message.meets(Fault::NoKeepalives) {
            report = self.poll_paced(hid)?;
        }
        if self.message.touch_ends.is_some() && hid::announces_touch(&report) {
            self.unplug();
        }
        Some(report)
    }

    /// The next report, when its time has come.
    fn poll_paced(&mut self, hid: &mut Hid) -> Option<Report> {
        let message = &mut self.message;
        message
            .trickle
            .take_if(|trickle| !hid.responds_on(trickle.channel));
        let Some(trickle) = &mut message.trickle else {
            return hid.poll_report();
        };
        if trickle.next.is_some_and(|next| self.now < next) {
            return hid.poll_report_beside(trickle.channel);
        }
        let of_answer = hid.next_is_of_response(trickle.channel);
        let report = hid.poll_report()?;
        if of_answer {
            trickle.next = Some(self.now.after_ms(trickle.interval_ms));
        }
        if !hid.responds_on(trickle.channel) {
            message.trickle = None;
        }
        Some(report)
    }

    /// Does what is due.
    pub(crate) fn handle_timeout(&mut self, now: Instant, hid: &mut Hid) {
        self.now = now;
        let message = &mut self.message;
        if let Some(trickle) = &mut message.trickle {
            trickle.next.take_if(|next| *next <= now);
        }
        if message.touch_ends.is_some_and(|ends| ends <= now) {
            self.unplug();
        } else if let Some((_, response)) = message.delayed.take_if(|(due, _)| *due <= now) {
            self.answer(now, hid, response);
        }
    }

    /// When [`Self::handle_timeout`] has something to do, or an event came of a report that left.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let message = &self.message;
        let event = self.unplug_due.then_some(self.now);
        let delayed = message.delayed.as_ref().map(|(due, _)| *due);
        let next = message.trickle.as_ref().and_then(|trickle| trickle.next);
        let all = event.into_iter().chain(message.touch_ends);
        all.chain(delayed).chain(next).min()
    }
}

impl Fault {
    /// Whether [`WireFilter::arm`] makes something of it.
    pub(crate) fn is_of_answer_reports(self) -> bool {
        matches!(
            self,
            Self::DropReport
                | Self::DelayReport(_)
                | Self::DuplicateReport
                | Self::CorruptReport
                | Self::ReorderReports
                | Self::WrongSequence
                | Self::WrongChannel
                | Self::NoKeepalives
                | Self::EndlessKeepalives
                | Self::SlowTrickle(_)
                | Self::UnplugDuringTouch
                | Self::UnplugBeforeAnswer
        )
    }
}

/// Whether a command failed. U2F's "touch needed" is what every touch begins with, and no failure.
fn has_failed(kind: MessageKind, response: &[u8]) -> bool {
    match kind {
        MessageKind::Cbor => response.first() != Some(&0),
        MessageKind::Msg => {
            let word = response.last_chunk::<2>();
            !word.is_some_and(|word| matches!(word, [0x90, 0x00] | [0x69, 0x85]))
        }
    }
}

/// Makes wrong reports of the right ones of an answer. Contents first, then their order, so that
/// each of several faults finds what it looks for.
fn alter(message: &Message, reports: &mut Vec<Report>, unused: ChannelId) {
    if message.meets(Fault::CorruptReport)
        && let Some(byte) = hid::last_byte(reports)
    {
        *byte ^= 1;
    }
    if message.meets(Fault::WrongSequence) {
        match reports.as_mut_slice() {
            [_, second, ..] => hid::skip_sequence(second),
            [only] => {
                let stray = hid::continuation_beside(only);
                reports.insert(0, stray);
            }
            [] => {}
        }
    }
    if message.meets(Fault::ReorderReports) {
        match reports.as_mut_slice() {
            [_, second, third, ..] => std::mem::swap(second, third),
            [first, second] => std::mem::swap(first, second),
            [only] => {
                let keepalive = hid::keepalive_beside(only);
                reports.push(keepalive);
            }
            [] => {}
        }
    }
    if message.meets(Fault::DropReport) {
        reports.pop();
    }
    if message.meets(Fault::DuplicateReport)
        && let Some(first) = reports.first().copied()
    {
        reports.insert(1, first);
    }
    if message.meets(Fault::WrongChannel) {
        for report in reports {
            hid::set_channel(report, unused);
        }
    }
}
