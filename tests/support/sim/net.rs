//! A network in memory: byte streams with latency, reads that are split and merged, writes that
//! are taken in part, little room, and ends of every kind at any byte.
//!
//! What TCP does below that (retransmission, reordering) never shows above it. A peer that has
//! vanished is found by the server's keepalive, which is here a time-out of its read.

use std::{
    collections::VecDeque,
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use rand_chacha::{ChaCha20Rng, rand_core::Rng as _};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

use super::tape::Tape;

/// What keepalives of TCP need at most to find out that a peer has vanished.
const VANISHED_AFTER: Duration = Duration::from_secs(30);

/// How a network treats its bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    /// Latency of a segment in milliseconds.
    pub(crate) latency: (u32, u32),
    /// Bytes on their way that a direction has room for.
    pub(crate) room: usize,
    /// Whether reads and writes are cut anywhere.
    pub(crate) cuts: bool,
}

/// How a direction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Everything that was written arrives, then the end.
    Closed,
    /// What was not read is lost.
    Reset,
    /// Silence, until the keepalive gives up.
    Vanished,
}

pub(crate) fn below(rng: &mut ChaCha20Rng, bound: usize) -> usize {
    usize::try_from(rng.next_u32()).expect("a number") % bound.max(1)
}

struct Pipe {
    number: u32,
    /// When what arrives.
    segments: VecDeque<(Instant, VecDeque<u8>)>,
    buffered: usize,
    end: Option<(Instant, End)>,
    reader_gone: bool,
    /// Bytes after which the writer's end comes.
    limit: Option<(usize, End)>,
    reader: Option<Waker>,
    writer: Option<Waker>,
    weather: Weather,
    rng: ChaCha20Rng,
    tape: Tape,
}

type Shared = Arc<Mutex<Pipe>>;

fn lock(pipe: &Shared) -> MutexGuard<'_, Pipe> {
    pipe.lock().expect("no test panics in a pipe")
}

impl Pipe {
    fn wake_reader(&mut self) {
        if let Some(waker) = self.reader.take() {
            waker.wake();
        }
    }

    fn wake_writer(&mut self) {
        if let Some(waker) = self.writer.take() {
            waker.wake();
        }
    }

    fn arrival(&mut self) -> Instant {
        let (least, most) = self.weather.latency;
        let latency = least + self.rng.next_u32() % (most - least + 1);
        let at = Instant::now() + Duration::from_millis(latency.into());
        // Never before what was sent earlier.
        self.segments.back().map_or(at, |(last, _)| at.max(*last))
    }

    fn finish(&mut self, end: End) {
        if self.end.is_some() {
            return;
        }
        let at = match end {
            End::Closed => self.arrival(),
            End::Reset => {
                self.segments.clear();
                self.buffered = 0;
                Instant::now()
            }
            End::Vanished => Instant::now() + VANISHED_AFTER,
        };
        self.end = Some((at, end));
        self.wake_reader();
        self.wake_writer();
    }

    /// What a read gets now, or when something may come.
    fn take(&mut self, space: &mut ReadBuf<'_>) -> Result<bool, Option<Instant>> {
        let now = Instant::now();
        let mut most = space.remaining();
        if self.weather.cuts && below(&mut self.rng, 2) == 0 {
            most = most.min(1 + below(&mut self.rng, 100));
        }
        let mut bytes = Vec::new();
        while bytes.len() < most {
            let Some((_, segment)) = self.segments.front_mut().filter(|(at, _)| *at <= now) else {
                break;
            };
            let count = segment.len().min(most - bytes.len());
            bytes.extend(segment.drain(..count));
            if segment.is_empty() {
                self.segments.pop_front();
            }
        }
        if !bytes.is_empty() {
            self.buffered -= bytes.len();
            space.put_slice(&bytes);
            self.tape.wire(self.number, &bytes);
            self.wake_writer();
            return Ok(true);
        }
        if let Some((at, _)) = self.segments.front() {
            return Err(Some(*at));
        }
        match self.end {
            Some((at, _)) if at <= now => Ok(false),
            Some((at, _)) => Err(Some(at)),
            None => Err(None),
        }
    }
}

/// One end of a connection.
pub(crate) struct Stream {
    incoming: Shared,
    outgoing: Shared,
    timer: Option<Pin<Box<Sleep>>>,
}

/// A connection's two ends: the server's and the host's.
pub(crate) fn connection(
    number: u32,
    weather: Weather,
    (rng, other): (ChaCha20Rng, ChaCha20Rng),
    tape: &Tape,
) -> (Stream, Stream) {
    let pipe = |number, rng| {
        Arc::new(Mutex::new(Pipe {
            number,
            segments: VecDeque::new(),
            buffered: 0,
            end: None,
            reader_gone: false,
            limit: None,
            reader: None,
            writer: None,
            weather,
            rng,
            tape: tape.clone(),
        }))
    };
    let (up, down) = (pipe(number * 2, rng), pipe(number * 2 + 1, other));
    let server = Stream {
        incoming: Arc::clone(&up),
        outgoing: Arc::clone(&down),
        timer: None,
    };
    let host = Stream {
        incoming: down,
        outgoing: up,
        timer: None,
    };
    (server, host)
}

/// Ends a connection from the side of its host, whoever holds the stream.
#[derive(Clone)]
pub(crate) struct Plug {
    incoming: Shared,
    outgoing: Shared,
}

impl Plug {
    pub(crate) fn pull(&self, end: End) {
        lock(&self.outgoing).finish(end);
        let mut incoming = lock(&self.incoming);
        match end {
            End::Closed | End::Reset => {
                incoming.reader_gone = true;
                incoming.wake_writer();
                incoming.finish(End::Reset);
            }
            // Nobody reads, and nobody says so.
            End::Vanished => {
                incoming.weather.latency = (u32::MAX / 2, u32::MAX / 2);
                let far = Instant::now() + VANISHED_AFTER * 1_000;
                for (at, _) in &mut incoming.segments {
                    *at = far;
                }
            }
        }
    }

    /// The connection ends within or behind the byte that is sent after this many more.
    pub(crate) fn pull_after(&self, bytes: usize, end: End) {
        lock(&self.outgoing).limit = Some((bytes, end));
    }
}

impl Stream {
    pub(crate) fn plug(&self) -> Plug {
        Plug {
            incoming: Arc::clone(&self.incoming),
            outgoing: Arc::clone(&self.outgoing),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            let mut pipe = lock(&this.incoming);
            match pipe.take(space) {
                Ok(true) => return Poll::Ready(Ok(())),
                Ok(false) => {
                    return Poll::Ready(match pipe.end {
                        Some((_, End::Reset)) => Err(io::ErrorKind::ConnectionReset.into()),
                        Some((_, End::Vanished)) => Err(io::ErrorKind::TimedOut.into()),
                        Some((_, End::Closed)) | None => Ok(()),
                    });
                }
                Err(next) => {
                    pipe.reader = Some(cx.waker().clone());
                    drop(pipe);
                    let Some(at) = next else {
                        return Poll::Pending;
                    };
                    let timer = this.timer.insert(Box::pin(sleep_until(at)));
                    ready!(timer.as_mut().poll(cx));
                }
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut pipe = lock(&self.outgoing);
        if pipe.reader_gone || pipe.end.is_some() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let mut count = bytes
            .len()
            .min(pipe.weather.room.saturating_sub(pipe.buffered));
        if count == 0 {
            pipe.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        if pipe.weather.cuts && below(&mut pipe.rng, 4) == 0 {
            count = 1 + below(&mut pipe.rng, count);
        }
        if let Some((left, end)) = pipe.limit {
            count = count.min(left);
            pipe.limit = Some((left - count, end));
            if count == 0 {
                drop(pipe);
                self.plug().pull(end);
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
        }
        let at = pipe.arrival();
        pipe.segments
            .push_back((at, bytes[..count].iter().copied().collect()));
        pipe.buffered += count;
        pipe.wake_reader();
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        lock(&self.outgoing).finish(End::Closed);
        Poll::Ready(Ok(()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        lock(&self.outgoing).finish(End::Closed);
        let mut incoming = lock(&self.incoming);
        incoming.reader_gone = true;
        incoming.wake_writer();
    }
}
