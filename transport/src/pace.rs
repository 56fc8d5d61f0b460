//! How fast reports go to the host: a short answer at once, the rest of a long one no faster than
//! a bus would carry it.
//!
//! A real bus asks an interrupt endpoint once in bInterval. A USB/IP host asks again as soon as it
//! has its answer, and UHID takes whatever it is given. What programs have not read yet is kept
//! in a queue that drops what overflows: 63 reports in Linux's hidraw, 32 in Windows unless a
//! program asks for more. The longest message is 129 reports, and a program that is not run for a
//! few milliseconds would wait for ever for the ones that were dropped. One that sends has read
//! its last answer: request and answer in turn are not slowed down.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

/// How many reports go at once after a pause, or after one from the host. It is half of the
/// shortest queue, so that the other half is time for the program that reads, and most answers
/// are shorter.
const AT_ONCE: u32 = 16;

pub(crate) struct Pace {
    interval: Duration,
    /// When a bus would have carried all that was sent.
    carried: Instant,
    /// Until the next report may be sent.
    pause: Option<Pin<Box<Sleep>>>,
}

impl Pace {
    pub(crate) fn new(interval: Duration) -> Self {
        Self {
            interval,
            carried: Instant::now(),
            pause: None,
        }
    }

    /// Whether a report may be sent now.
    pub(crate) fn allows(&self) -> bool {
        self.pause.is_none()
    }

    /// A report came from the host.
    pub(crate) fn heard(&mut self) {
        self.carried = Instant::now();
        self.pause = None;
    }

    /// A report was sent.
    pub(crate) fn sent(&mut self) {
        let now = Instant::now();
        self.carried = self.carried.max(now) + self.interval;
        let ahead = self.carried - now;
        let most = self.interval * (AT_ONCE - 1);
        if ahead > most {
            self.pause = Some(Box::pin(sleep(ahead - most)));
        }
    }

    /// Ready once at the end of a pause.
    pub(crate) fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(pause) = &mut self.pause else {
            return Poll::Pending;
        };
        ready!(pause.as_mut().poll(cx));
        self.pause = None;
        Poll::Ready(())
    }
}
