//! Scripts of touches: what the next requests get, written as a person would say it.
//!
//! ```text
//! approve, deny, wait 3 s then approve, ignore
//! ```
//! Deliberately absent: `verified=`, until keys verify people themselves (built-in user
//! verification); a PIN is verified by the key, whatever a script says.

use std::{fmt, str::FromStr, time::Duration};

/// A script has this many steps at most.
pub const MOST_STEPS: usize = 1_000;
/// The longest wait. No host waits longer for a touch.
const LONGEST: Duration = Duration::from_secs(600);

/// What happens at one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Time before the answer.
    pub wait: Duration,
    /// The answer.
    pub answer: Answer,
}

/// An answer of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Yes.
    Approve,
    /// No.
    Deny,
    /// None at all.
    Ignore,
}

/// Reads steps that are separated by commas.
///
/// # Errors
/// A step is none, or there are too many; the text says which and what can stand there.
pub fn parse(text: &str) -> Result<Vec<Step>, String> {
    let steps = text.split(',').map(str::trim);
    let steps: Vec<_> = steps.filter(|step| !step.is_empty()).collect();
    if steps.len() > MOST_STEPS {
        return Err(format!("a script has {MOST_STEPS} steps at most"));
    }
    steps.into_iter().map(str::parse).collect()
}

impl FromStr for Step {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unknown = || {
            format!(
                "{text:?} is no step: it is approve, deny, ignore, or one of the first two after \
                 a wait, like `wait 3 s then approve` or `wait 200 ms then deny`"
            )
        };
        if text.contains("verified") {
            return Err(format!(
                "{text:?}: this key verifies people by PIN alone, which no script can answer for"
            ));
        }
        let (wait, answer) = match text.strip_prefix("wait") {
            Some(rest) => {
                let (wait, answer) = rest.split_once("then").ok_or_else(unknown)?;
                (duration(wait.trim()).ok_or_else(unknown)?, answer.trim())
            }
            None => (Duration::ZERO, text),
        };
        let answer = match answer {
            "approve" => Answer::Approve,
            "deny" => Answer::Deny,
            "ignore" if wait.is_zero() => Answer::Ignore,
            _ => return Err(unknown()),
        };
        Ok(Self { wait, answer })
    }
}

/// `3 s`, `200ms`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let digits = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let number: u64 = text.strip_suffix(digits)?.parse().ok()?;
    let wait = match digits.trim() {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        _ => return None,
    };
    (wait <= LONGEST).then_some(wait)
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.wait.is_zero() {
            write!(f, "wait {} ms then ", self.wait.as_millis())?;
        }
        f.write_str(match self.answer {
            Answer::Approve => "approve",
            Answer::Deny => "deny",
            Answer::Ignore => "ignore",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn script_reads_as_a_person_says_it() {
        let steps = parse("approve, deny , wait 3 s then approve,wait 200ms then deny, ignore,");
        let steps = steps.unwrap();
        let texts: Vec<_> = steps.iter().map(Step::to_string).collect();
        let expected = [
            "approve",
            "deny",
            "wait 3000 ms then approve",
            "wait 200 ms then deny",
            "ignore",
        ];
        assert_eq!(texts, expected);
        let again: Vec<Step> = parse(&texts.join(", ")).unwrap();
        assert_eq!(again, steps);
    }

    #[test]
    fn what_is_no_step_is_named() {
        for wrong in [
            "maybe",
            "wait then approve",
            "wait 3 then deny",
            "wait 601 s then approve",
        ] {
            assert!(parse(wrong).unwrap_err().contains(wrong), "{wrong}");
        }
        assert!(
            parse("approve, verified=false")
                .unwrap_err()
                .contains("PIN")
        );
        assert!(parse(&"approve,".repeat(MOST_STEPS + 1)).is_err());
    }
}
