//! What CTAPHID does by itself as time goes on: keepalives, time-outs, giving up on a reader.

use super::{
    Hid, HidError, Input, KEEPALIVE_INTERVAL_MS, KeepaliveStatus, MessageKind, Outgoing,
    READER_GONE_MS, READER_LEFT_MS, Transaction, command,
};
use crate::time::Instant;

impl Hid {
    /// The host began to wait for reports, or took back its last wait.
    pub(crate) fn handle_reader(&mut self, now: Instant, present: bool) {
        if let Transaction::Processing { left_at, .. } = &mut self.transaction {
            *left_at = (!present).then_some(now);
        }
    }

    /// Says what the running CBOR command waits for; a touch is announced at once, so that a
    /// client that counts touches sees each.
    pub(crate) fn set_status(&mut self, now: Instant, wanted: KeepaliveStatus) {
        let Transaction::Processing {
            kind: MessageKind::Cbor,
            status,
            ..
        } = &mut self.transaction
        else {
            return;
        };
        if *status == wanted {
            return;
        }
        *status = wanted;
        if wanted == KeepaliveStatus::UpNeeded {
            self.queue_keepalive(now);
        }
    }

    /// At most one keepalive waits for a reader.
    fn queue_keepalive(&mut self, now: Instant) {
        let Transaction::Processing {
            channel,
            status,
            next_keepalive,
            unread_since,
            ..
        } = &mut self.transaction
        else {
            return;
        };
        *next_keepalive = now.after_ms(KEEPALIVE_INTERVAL_MS);
        *unread_since = Some(now);
        let keepalive = Outgoing::new(*channel, command::KEEPALIVE, vec![*status as u8]);
        let waiting = self
            .out
            .iter_mut()
            .find(|out| out.command() == command::KEEPALIVE);
        match waiting {
            Some(waiting) => *waiting = keepalive,
            None => self.push(keepalive),
        }
    }

    /// Does what is due: a keepalive, a time-out, or giving up on a reader that went away.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Option<Input> {
        match &self.transaction {
            Transaction::Receiving {
                channel, deadline, ..
            } if now >= *deadline => {
                let channel = *channel;
                self.transaction = Transaction::Idle;
                self.error(channel, HidError::MessageTimeout);
            }
            Transaction::Processing {
                channel,
                kind,
                next_keepalive,
                unread_since,
                ..
            } => {
                let (channel, unread) = (*channel, unread_since.is_some());
                let keepalive_due = *kind == MessageKind::Cbor && !unread && now >= *next_keepalive;
                if self.reader_deadline().is_some_and(|gone| now >= gone) {
                    return self.abort(channel);
                }
                if keepalive_due {
                    self.queue_keepalive(now);
                }
            }
            Transaction::Receiving { .. } | Transaction::Idle | Transaction::Responding { .. } => {}
        }
        None
    }

    /// When [`Self::handle_timeout`] has something to do; `None` when nothing will be due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match &self.transaction {
            Transaction::Receiving { deadline, .. } => Some(*deadline),
            Transaction::Processing {
                kind,
                next_keepalive,
                unread_since,
                ..
            } => {
                let wanted = *kind == MessageKind::Cbor && unread_since.is_none();
                let keepalive = wanted.then_some(*next_keepalive);
                keepalive.into_iter().chain(self.reader_deadline()).min()
            }
            Transaction::Idle | Transaction::Responding { .. } => None,
        }
    }

    /// When a touch, or an answer that is kept back, is given up for want of a reader.
    fn reader_deadline(&self) -> Option<Instant> {
        match &self.transaction {
            Transaction::Processing {
                status,
                held,
                unread_since,
                left_at,
                ..
            } if *held || *status == KeepaliveStatus::UpNeeded => {
                let unread = unread_since.map(|since| since.after_ms(READER_GONE_MS));
                let left = left_at.map(|at| at.after_ms(READER_LEFT_MS));
                unread.into_iter().chain(left).min()
            }
            Transaction::Processing { .. }
            | Transaction::Idle
            | Transaction::Receiving { .. }
            | Transaction::Responding { .. } => None,
        }
    }
}
