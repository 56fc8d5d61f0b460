//! Scripts of touches: what the next requests get, written as a person would say it.
//!
//! ```text
//! approve, deny, wait 3 s then approve, approve verified=false, ignore
//! ```
//! Behind `approve` may stand `verified=true` or `verified=false`: what the finger is that is put
//! on a key with built-in user verification. Where a touch is asked for it means nothing, and
//! where it is left out the policy around the script says what a finger is. A PIN is verified by
//! the key, whatever a script says.

use std::{fmt, str::FromStr, time::Duration};

use crate::limits::MOST_STEPS;

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
    Approve {
        /// Whether a finger is one that the key knows; `None` leaves that to the policy.
        verified: Option<bool>,
    },
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
                 a wait, like `wait 3 s then approve` or `wait 200 ms then deny`; verified=true or \
                 verified=false may stand behind approve"
            )
        };
        let (wait, answer) = match text.strip_prefix("wait") {
            Some(rest) => {
                let (wait, answer) = rest.split_once("then").ok_or_else(unknown)?;
                (duration(wait.trim()).ok_or_else(unknown)?, answer.trim())
            }
            None => (Duration::ZERO, text),
        };
        let words: Vec<_> = answer.split_whitespace().collect();
        let answer = match words.as_slice() {
            ["approve"] => Answer::Approve { verified: None },
            ["approve", "verified=true"] => Answer::Approve {
                verified: Some(true),
            },
            ["approve", "verified=false"] => Answer::Approve {
                verified: Some(false),
            },
            ["deny"] => Answer::Deny,
            ["ignore"] if wait.is_zero() => Answer::Ignore,
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
            Answer::Approve { verified: None } => "approve",
            Answer::Approve {
                verified: Some(true),
            } => "approve verified=true",
            Answer::Approve {
                verified: Some(false),
            } => "approve verified=false",
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
        let steps = parse(
            "approve, deny , wait 3 s then approve,wait 200ms then deny, ignore,\
             approve verified=false, wait 1 s then  approve  verified=true",
        );
        let steps = steps.unwrap();
        let texts: Vec<_> = steps.iter().map(Step::to_string).collect();
        let expected = [
            "approve",
            "deny",
            "wait 3000 ms then approve",
            "wait 200 ms then deny",
            "ignore",
            "approve verified=false",
            "wait 1000 ms then approve verified=true",
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
            "verified=false",
            "deny verified=true",
            "approve verified=maybe",
            "ignore verified=true",
        ] {
            assert!(parse(wrong).unwrap_err().contains(wrong), "{wrong}");
        }
        let steps = |count| parse(&vec!["approve"; count].join(","));
        assert_eq!(steps(MOST_STEPS).unwrap().len(), MOST_STEPS);
        assert!(steps(MOST_STEPS + 1).is_err());
    }
}
