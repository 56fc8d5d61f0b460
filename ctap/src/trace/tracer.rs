//! Puts traces together as a device works. Switched off, it does nothing and holds nothing.
//!
//! Messages are kept as they came and decoded when a trace is asked for, so that no host waits for
//! that.

use std::collections::VecDeque;

use zeroize::Zeroizing;

use super::{Touched, Trace, decode};
use crate::{
    command::Command,
    hid::{ChannelId, MessageKind, Note},
    status::Status,
    time::Instant,
    u2f::StatusWord,
};

/// A command that has not been answered.
struct Running {
    operation: u64,
    kind: MessageKind,
    since: Instant,
}

/// What happened, not decoded yet. Messages may hold secrets.
enum Kept {
    Hid(Note),
    Started {
        operation: u64,
        channel: ChannelId,
        kind: MessageKind,
        payload: Zeroizing<Vec<u8>>,
    },
    Finished {
        running: Running,
        now: Instant,
        /// `None` where nobody waits for it any more.
        response: Option<Zeroizing<Vec<u8>>>,
        touch: Touched,
    },
}

/// The traces of one device.
#[derive(Default)]
pub(crate) struct Tracer {
    is_on: bool,
    running: Option<Running>,
    kept: VecDeque<Kept>,
    /// The command, and its site, of the last message that was told of.
    told: Option<(Command, Option<String>)>,
}

impl Tracer {
    /// Of a command that runs when traces are switched on nothing is told.
    pub(crate) fn switch(&mut self, on: bool) {
        *self = Self {
            is_on: on,
            ..Self::default()
        };
    }

    pub(crate) fn is_on(&self) -> bool {
        self.is_on
    }

    /// What CTAPHID did by itself.
    pub(crate) fn hid(&mut self, notes: impl Iterator<Item = Note>) {
        self.kept.extend(notes.map(Kept::Hid));
    }

    /// The authenticator is given a message.
    pub(crate) fn started(
        &mut self,
        now: Instant,
        operation: u64,
        channel: ChannelId,
        kind: MessageKind,
        payload: &[u8],
    ) {
        if !self.is_on {
            return;
        }
        self.kept.push_back(Kept::Started {
            operation,
            channel,
            kind,
            payload: Zeroizing::new(payload.to_vec()),
        });
        self.running = Some(Running {
            operation,
            kind,
            since: now,
        });
    }

    /// It answers.
    pub(crate) fn answered(&mut self, now: Instant, touch: Touched, response: &[u8]) {
        if let Some(running) = self.running.take() {
            self.kept.push_back(Kept::Finished {
                running,
                now,
                response: Some(Zeroizing::new(response.to_vec())),
                touch,
            });
        }
    }

    /// Nobody waits for its answer any more.
    pub(crate) fn given_up(&mut self, now: Instant, touch: Touched) {
        if let Some(running) = self.running.take() {
            self.kept.push_back(Kept::Finished {
                running,
                now,
                response: None,
                touch,
            });
        }
    }

    pub(crate) fn waiting(&self) -> usize {
        self.kept.len()
    }

    pub(crate) fn poll(&mut self) -> Option<Trace> {
        Some(match self.kept.pop_front()? {
            Kept::Hid(note) => Trace::Hid {
                channel: note.channel.0,
                command: note.command,
                value: note.value,
            },
            Kept::Started {
                operation,
                channel,
                kind,
                payload,
            } => {
                let asked = decode::request(kind, &payload);
                self.told = Some((asked.command, asked.rp_id));
                Trace::Started {
                    operation,
                    channel: channel.0,
                    command: asked.command,
                    details: asked.details,
                }
            }
            Kept::Finished {
                running,
                now,
                response,
                touch,
            } => self.finished(
                &running,
                now,
                response.as_ref().map(|r| r.as_slice()),
                touch,
            ),
        })
    }

    fn finished(
        &mut self,
        running: &Running,
        now: Instant,
        response: Option<&[u8]>,
        touch: Touched,
    ) -> Trace {
        let (command, rp_id) = self.told.take().unwrap_or((Command::Unknown, None));
        let answer = match (response, running.kind) {
            (Some(response), kind) => decode::response(kind, command, response),
            (None, MessageKind::Cbor) => given_up(Status::KeepaliveCancel.code().into()),
            (None, MessageKind::Msg) => given_up(StatusWord::Unknown.code()),
        };
        let since = running.since.as_millis();
        Trace::Finished {
            operation: running.operation,
            command,
            rp_id,
            status: answer.status,
            answered: response.is_some(),
            duration_ms: now.as_millis().saturating_sub(since),
            touch,
            details: answer.details,
        }
    }
}

fn given_up(status: u16) -> decode::Answered {
    decode::Answered {
        status,
        details: Vec::new(),
    }
}
