//! How far a measurement has come, on stderr: a bar on a terminal, else a line now and then; and
//! whether it is to go on.

use std::{
    io::{self, IsTerminal as _, Write as _},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Between two drawings of a bar, and between two lines.
const REDRAW: Duration = Duration::from_millis(50);
const LINES: Duration = Duration::from_secs(5);
/// Characters of a bar.
const BAR: usize = 30;
/// Clears what is right of the cursor (ECMA-48 EL).
const ERASE: &str = "\x1b[K";

struct State {
    terminal: bool,
    what: String,
    done: u64,
    of: u64,
    shown: Instant,
    stopped: bool,
}

/// Clones are handles to the same bar.
#[derive(Clone)]
pub(super) struct Progress(Arc<Mutex<State>>);

impl Progress {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            terminal: io::stderr().is_terminal(),
            what: String::new(),
            done: 0,
            of: 1,
            shown: Instant::now(),
            stopped: false,
        })))
    }

    /// Something else is measured now, in so many steps.
    pub(super) fn begin(&self, what: impl Into<String>, of: u64) {
        let mut state = self.lock();
        state.what = what.into();
        state.done = 0;
        state.of = of.max(1);
        if state.terminal {
            state.show();
        }
    }

    /// So many more steps are done.
    ///
    /// # Errors
    /// Nobody waits for the rest.
    pub(super) fn advance(&self, steps: u64) -> io::Result<()> {
        let mut state = self.lock();
        if state.stopped {
            return Err(io::ErrorKind::Interrupted.into());
        }
        state.done = state.done.saturating_add(steps).min(state.of);
        let pause = match state.terminal {
            true => REDRAW,
            false => LINES,
        };
        if state.shown.elapsed() >= pause {
            state.show();
        }
        Ok(())
    }

    /// What is under way ends at its next step.
    pub(super) fn stop(&self) {
        self.lock().stopped = true;
    }

    /// Makes room for lines.
    pub(super) fn clear(&self) {
        if self.lock().terminal {
            // Nothing is left to do where stderr is gone.
            let _ = write!(io::stderr(), "\r{ERASE}");
        }
    }

    /// No code between lock and unlock can panic, so the state is whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn show(&mut self) {
        self.shown = Instant::now();
        let _ = match self.terminal {
            true => write!(io::stderr(), "\r{}{ERASE}", self.line()),
            false => writeln!(io::stderr(), "roamkey bench: {}", self.line()),
        };
    }

    fn line(&self) -> String {
        let percent = self.done.saturating_mul(100) / self.of.max(1);
        if !self.terminal {
            return format!("{}: {percent} %", self.what);
        }
        let percent = usize::try_from(percent).unwrap_or(100).min(100);
        let full = BAR * percent / 100;
        let (full, rest) = ("#".repeat(full), ".".repeat(BAR - full));
        format!("[{full}{rest}] {percent:3} %  {}", self.what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bar_is_as_long_as_what_is_done() {
        let progress = Progress::new();
        progress.lock().terminal = true;
        progress.begin("PING", 4);
        progress.advance(3).unwrap();
        let line = progress.lock().line();
        assert_eq!(line.matches('#').count(), 22);
        assert_eq!(line.matches('.').count(), 8);
        assert!(line.ends_with("75 %  PING"), "{line}");
        progress.advance(9).unwrap();
        progress.lock().terminal = false;
        assert_eq!(progress.lock().line(), "PING: 100 %");
    }

    #[test]
    fn nothing_advances_once_it_is_stopped() {
        let progress = Progress::new();
        progress.begin("PING", 4);
        progress.clone().stop();
        let why = progress.advance(1).unwrap_err();
        assert_eq!(why.kind(), io::ErrorKind::Interrupted);
    }
}
