//! One timer for a key's task, however often the point that it waits for moves.
//!
//! A new timer for each turn costs the lock of tokio's timers, and where it is the earliest, a
//! write that wakes the thread that waits for sockets. So the timer stays where it was set while
//! the point that is wanted is not before it, and looks again when it goes off: a host whose
//! packets follow one another sets it once. What stays set when nothing is waited for any more
//! goes off once and is set no more.

use std::{future::pending, pin::Pin};

use tokio::time::{Instant, Sleep, sleep_until};

/// Wakes the task at a point of time.
#[derive(Default)]
pub(super) struct Alarm {
    /// Where it is set, and when it goes off.
    set: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Alarm {
    /// Sleeps to `at`; for ever, where there is none. Cancel-safe.
    pub(super) async fn reached(&mut self, at: Option<Instant>) {
        let Some(at) = at else {
            return pending().await;
        };
        loop {
            let (goes_off, sleep) = self
                .set
                .get_or_insert_with(|| (at, Box::pin(sleep_until(at))));
            if at < *goes_off {
                *goes_off = at;
                sleep.as_mut().reset(at);
            }
            sleep.as_mut().await;
            if at <= *goes_off {
                self.set = None;
                return;
            }
            *goes_off = at;
            sleep.as_mut().reset(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::{Future, poll_fn},
        pin::pin,
        task::Poll,
        time::Duration,
    };

    use tokio::time::advance;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    impl Alarm {
        /// When it goes off, if it is set.
        fn goes_off(&self) -> Option<Instant> {
            self.set.as_ref().map(|(at, _)| *at)
        }

        /// Polls it once, as a turn of the key's task does.
        async fn look(&mut self, at: Option<Instant>) -> bool {
            let mut reached = pin!(self.reached(at));
            poll_fn(|cx| Poll::Ready(reached.as_mut().poll(cx).is_ready())).await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn idle_key_sets_no_timer() {
        let mut alarm = Alarm::default();
        assert!(!alarm.look(None).await);
        assert_eq!(alarm.goes_off(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn point_that_moves_on_sets_the_timer_once() {
        let mut alarm = Alarm::default();
        let start = Instant::now();
        for turn in 0..100 {
            assert!(!alarm.look(Some(start + 500 * MS + turn * MS)).await);
            assert!(!alarm.look(None).await);
            assert_eq!(alarm.goes_off(), Some(start + 500 * MS));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn alarm_goes_off_at_the_last_point() {
        let mut alarm = Alarm::default();
        let start = Instant::now();
        let later = Some(start + 800 * MS);
        assert!(!alarm.look(Some(start + 500 * MS)).await);
        alarm.reached(later).await;
        assert_eq!(Instant::now(), start + 800 * MS);
        assert_eq!(alarm.goes_off(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn point_that_comes_sooner_is_met() {
        let mut alarm = Alarm::default();
        let start = Instant::now();
        assert!(!alarm.look(Some(start + 500 * MS)).await);
        alarm.reached(Some(start + 50 * MS)).await;
        assert_eq!(Instant::now(), start + 50 * MS);
    }

    #[tokio::test(start_paused = true)]
    async fn point_after_a_long_rest_is_met() {
        let mut alarm = Alarm::default();
        let start = Instant::now();
        assert!(!alarm.look(Some(start + 500 * MS)).await);
        advance(60_000 * MS).await;
        assert!(!alarm.look(None).await);
        alarm.reached(Some(start + 60_500 * MS)).await;
        assert_eq!(Instant::now(), start + 60_500 * MS);
        // One that is over is met at once.
        assert!(alarm.look(Some(start)).await);
    }
}
