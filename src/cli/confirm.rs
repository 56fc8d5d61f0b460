//! Asks before something is lost for good.

use std::io::{self, BufRead as _, BufReader, IsTerminal as _, Read as _, Write as _};

use clap::Args;

use super::{Failure, table::wrapped};
use crate::limits::ANSWER_LINE_LEN;

/// What every command that loses something takes.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Confirm {
    /// Do not ask.
    #[arg(long)]
    pub(super) yes: bool,
}

impl Confirm {
    /// Says what is lost and asks, both on stderr, so that stdout has the result alone.
    ///
    /// # Errors
    /// The answer is no, or there is nobody to ask; then nothing may be done.
    pub(super) fn ask(self, lost: &str, question: &str) -> Result<(), Failure> {
        if self.yes {
            return Ok(());
        }
        if !io::stdin().is_terminal() {
            return Err(Failure::Usage(format!(
                "nothing was done: this asks first ({question}), and stdin is no terminal. Say \
                 --yes if you are sure"
            )));
        }
        let failed = |why| Failure::failed("nothing was done: the terminal cannot be used", why);
        let mut stderr = io::stderr().lock();
        write!(stderr, "{}\n{question} [y/N] ", wrapped(lost))
            .and_then(|()| stderr.flush())
            .map_err(failed)?;
        let mut answer = String::new();
        let line = io::stdin().lock().take(ANSWER_LINE_LEN as u64);
        BufReader::new(line)
            .read_line(&mut answer)
            .map_err(failed)?;
        match answer.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => Ok(()),
            _ => Err(Failure::Failed("nothing was done".to_owned())),
        }
    }
}
