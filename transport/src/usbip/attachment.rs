//! A [`Session`] on a connection: the [`Transport`] that a key's task owns.
//!
//! One read and one write for each turn, straight from `poll_event`: no task, no channel and no
//! allocation stands between the socket and the key. A timer exists only while the host does
//! not take its answers, or takes many reports at once ([`Pace`]).

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep};

use crate::limits::STUCK_LIMIT;
use crate::pace::Pace;
use crate::{Ended, Event, Peer, REPORT_LEN, Transport};

use super::exports::Hold;
use super::session::{Session, Violation};

pub(super) struct Attachment<S: AsyncWrite + Unpin> {
    stream: S,
    session: Session,
    pace: Pace,
    peer: Peer,
    /// Says when the attachment has to end, and why.
    end: oneshot::Receiver<Ended>,
    stuck: Option<Pin<Box<Sleep>>>,
    over: Option<Ended>,
    /// Frees the key at the end.
    _hold: Option<Hold>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Attachment<S> {
    pub(super) fn new(
        stream: S,
        session: Session,
        interval: Duration,
        peer: Peer,
        end: oneshot::Receiver<Ended>,
        hold: Option<Hold>,
    ) -> Self {
        Self {
            stream,
            session,
            pace: Pace::new(interval),
            peer,
            end,
            stuck: None,
            over: None,
            _hold: hold,
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event, Ended>> {
        loop {
            if self.pace.poll_over(cx).is_ready() && self.session.wants_report() {
                return Poll::Ready(Ok(Event::ReportWanted));
            }
            match self.session.poll_event() {
                Ok(Some(event)) => {
                    if matches!(event, Event::Report(_)) {
                        self.pace.heard();
                    }
                    return Poll::Ready(Ok(event));
                }
                Ok(None) => {}
                Err(violation) => {
                    // What was answered before may still leave; nothing waits for it.
                    let _ = self.poll_flush(cx);
                    return Poll::Ready(Err(Ended::Violation(violation)));
                }
            }
            if let Poll::Ready(why) = Pin::new(&mut self.end).poll(cx) {
                return Poll::Ready(Err(why.unwrap_or(Ended::ServerClosed)));
            }
            let throttled = self.session.is_throttled();
            ready!(self.poll_flush(cx))?;
            if !throttled {
                ready!(self.poll_fill(cx))?;
            }
        }
    }

    /// Writes all output.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        while !self.session.output().is_empty() {
            let written = Pin::new(&mut self.stream).poll_write(cx, self.session.output());
            match written {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(Ended::PeerClosed)),
                Poll::Ready(Ok(count)) => self.session.sent(count),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Ended::Io(error.kind()))),
                Poll::Pending => {
                    let stuck = self
                        .stuck
                        .get_or_insert_with(|| Box::pin(sleep(STUCK_LIMIT)));
                    ready!(stuck.as_mut().poll(cx));
                    return Poll::Ready(Err(Ended::SlowReader));
                }
            }
        }
        self.stuck = None;
        Poll::Ready(Ok(()))
    }

    /// Reads once.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        let mut space = ReadBuf::new(self.session.space());
        match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut space)) {
            Ok(()) => {}
            Err(error) => return Poll::Ready(Err(Ended::Io(error.kind()))),
        }
        let count = space.filled().len();
        self.session.received(count);
        Poll::Ready(match count {
            0 if self.session.is_within_command() => Err(Ended::Violation(Violation::Truncated)),
            0 => Err(Ended::PeerClosed),
            _ => Ok(()),
        })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Transport for Attachment<S> {
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event, Ended>> {
        if let Some(ended) = self.over {
            return Poll::Ready(Err(ended));
        }
        let event = ready!(self.poll_next(cx));
        if let Err(ended) = event {
            self.over = Some(ended);
        }
        Poll::Ready(event)
    }

    fn wants_report(&self) -> bool {
        self.over.is_none() && self.pace.allows() && self.session.wants_report()
    }

    fn send_report(&mut self, report: &[u8; REPORT_LEN]) -> bool {
        let sent = self.wants_report() && self.session.send_report(report);
        if sent {
            self.pace.sent();
        }
        sent
    }

    fn flush(&mut self) {
        self.write_at_once();
    }

    fn peer(&self) -> Peer {
        self.peer
    }
}

impl<S: AsyncWrite + Unpin> Attachment<S> {
    /// Writes what can be written without waiting.
    fn write_at_once(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        while !self.session.output().is_empty() {
            let written = Pin::new(&mut self.stream).poll_write(&mut cx, self.session.output());
            match written {
                Poll::Ready(Ok(count)) if count > 0 => self.session.sent(count),
                Poll::Ready(_) | Poll::Pending => return,
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> Drop for Attachment<S> {
    /// Tells the host which reports the key has seen: else the program that wrote the last one
    /// before the key was pulled out takes it for one that failed.
    fn drop(&mut self) {
        self.write_at_once();
    }
}

#[cfg(test)]
mod tests;
