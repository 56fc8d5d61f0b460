//! What CTAPHID does by itself as time goes on: keepalives, time-outs, giving up on a reader.

use super::{
    Hid, HidError, Input, KEEPALIVE_INTERVAL_MS, KeepaliveStatus, MessageKind, Outgoing,
    READER_GONE_MS, Transaction, command,
};
use crate::time::Instant;

impl Hid {
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
                kind: MessageKind::Cbor,
                status,
                next_keepalive,
                unread_since,
            } => {
                let channel = *channel;
                let gone = unread_since.is_some_and(|since| now >= since.after_ms(READER_GONE_MS));
                if gone && *status == KeepaliveStatus::UpNeeded {
                    return self.abort(channel);
                }
                if unread_since.is_none() && now >= *next_keepalive {
                    self.queue_keepalive(now);
                }
            }
            Transaction::Receiving { .. }
            | Transaction::Processing { .. }
            | Transaction::Idle
            | Transaction::Responding { .. } => {}
        }
        None
    }

    /// When [`Self::handle_timeout`] has something to do; `None` when nothing will be due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match &self.transaction {
            Transaction::Receiving { deadline, .. } => Some(*deadline),
            Transaction::Processing {
                kind: MessageKind::Cbor,
                status,
                next_keepalive,
                unread_since,
                ..
            } => match (unread_since, status) {
                (None, _) => Some(*next_keepalive),
                (Some(since), KeepaliveStatus::UpNeeded) => Some(since.after_ms(READER_GONE_MS)),
                (Some(_), KeepaliveStatus::Processing) => None,
            },
            Transaction::Processing {
                kind: MessageKind::Msg,
                ..
            }
            | Transaction::Idle
            | Transaction::Responding { .. } => None,
        }
    }
}
