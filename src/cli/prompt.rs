//! A person's answers, read from stdin a line at a time.

use std::{io::BufRead, thread};

use roamkey_ctap::{Decision, Gesture};
use tracing::{info, warn};

use crate::{
    limits::ANSWER_LINE_LEN,
    presence::{Broker, RequestId, Waiting},
};

/// Reads answers until stdin ends, on a thread of its own: a terminal cannot be read otherwise.
pub(super) fn start(broker: Broker) {
    thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        loop {
            match line(&mut input) {
                Ok(Some(line)) => answer(&broker, &line),
                Ok(None) => break,
                Err(why) => {
                    warn!(%why, "stdin cannot be read: touches time out");
                    return;
                }
            }
        }
        info!("stdin is closed: touches time out");
    });
}

/// The next line; the beginning of one that is too long, which is then no answer.
fn line(input: &mut impl BufRead) -> std::io::Result<Option<String>> {
    let mut line = Vec::new();
    loop {
        let there = input.fill_buf()?;
        if there.is_empty() {
            let line = String::from_utf8_lossy(&line).into_owned();
            return Ok(Some(line).filter(|line| !line.is_empty()));
        }
        let end = there.iter().position(|byte| *byte == b'\n');
        let part = there.get(..end.unwrap_or(there.len())).unwrap_or_default();
        let room = (ANSWER_LINE_LEN + 1).saturating_sub(line.len());
        line.extend_from_slice(part.get(..room).unwrap_or(part));
        let taken = part.len() + usize::from(end.is_some());
        input.consume(taken);
        if end.is_some() {
            return Ok(Some(String::from_utf8_lossy(&line).into_owned()));
        }
    }
}

fn answer(broker: &Broker, line: &str) {
    let waiting = broker.waiting();
    let pending: Vec<_> = waiting.iter().map(|waiting| waiting.id).collect();
    match parse(line, &pending) {
        Some((id, Decision::Unverified)) if !wants_finger(&waiting, id) => {
            warn!("that touch verifies nobody: answer y or n");
        }
        Some((id, decision)) => {
            if !broker.decide(id, decision) {
                warn!("that touch is no longer needed");
            }
        }
        None if pending.is_empty() => warn!("no touch is needed now"),
        None => warn!(
            "answer y or n, or w for a wrong finger, with the number in front when several \
             touches are needed"
        ),
    }
}

/// Whether a request asks for a finger, or is over.
fn wants_finger(waiting: &[Waiting], id: RequestId) -> bool {
    let mut asked = waiting.iter().filter(|waiting| waiting.id == id);
    asked.all(|waiting| waiting.prompt.gesture == Gesture::Finger)
}

/// `y`, `n`, `w` (a wrong finger) or nothing (yes) for the only request; `2`, `2y` or `2 n` for one
/// of several.
fn parse(line: &str, pending: &[RequestId]) -> Option<(RequestId, Decision)> {
    if line.len() > ANSWER_LINE_LEN {
        return None;
    }
    let line = line.trim();
    let digits = line.len() - line.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, word) = line.split_at_checked(digits)?;
    let id = match (number, pending) {
        ("", [only]) => *only,
        ("", _) => return None,
        (number, _) => RequestId(number.parse().ok()?),
    };
    match word.trim().to_ascii_lowercase().as_str() {
        "" | "y" | "yes" => Some((id, Decision::Approved)),
        "n" | "no" => Some((id, Decision::Denied)),
        "w" | "wrong" => Some((id, Decision::Unverified)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_request_needs_no_number() {
        let pending = [RequestId(7)];
        let approved = Some((RequestId(7), Decision::Approved));
        for line in ["", "y", " Yes ", "7", "7y", "7 yes"] {
            assert_eq!(parse(line, &pending), approved, "{line:?}");
        }
        let denied = Some((RequestId(7), Decision::Denied));
        for line in ["n", "No", "7n", "7 no"] {
            assert_eq!(parse(line, &pending), denied, "{line:?}");
        }
        let wrong = Some((RequestId(7), Decision::Unverified));
        for line in ["w", "Wrong", "7w", "7 wrong"] {
            assert_eq!(parse(line, &pending), wrong, "{line:?}");
        }
        assert_eq!(parse("maybe", &pending), None);
    }

    #[test]
    fn one_of_several_needs_a_number() {
        let pending = [RequestId(1), RequestId(2)];
        assert_eq!(parse("y", &pending), None);
        assert_eq!(
            parse("2 n", &pending),
            Some((RequestId(2), Decision::Denied))
        );
        assert_eq!(parse("99999999999999999999999", &pending), None);
    }

    #[test]
    fn line_that_is_too_long_is_no_answer_and_costs_nothing() {
        let longest = format!("y{}", " ".repeat(ANSWER_LINE_LEN - 1));
        let too_long = "y".repeat(10_000_000);
        let text = format!("{longest}\n{longest} \n{too_long}\r\n\nn");
        // In pieces, as a pipe has them.
        let mut input = std::io::BufReader::with_capacity(100, text.as_bytes());
        let mut next = || line(&mut input).unwrap();
        let pending = [RequestId(7)];
        let approved = Some((RequestId(7), Decision::Approved));
        assert_eq!(parse(&next().unwrap(), &pending), approved, "at the bound");
        assert_eq!(parse(&next().unwrap(), &pending), None, "one more");
        let cut = next().unwrap();
        assert_eq!(cut.len(), ANSWER_LINE_LEN + 1);
        assert_eq!(parse(&cut, &pending), None);
        assert_eq!(parse(&next().unwrap(), &pending), approved, "an empty line");
        assert_eq!(next().as_deref(), Some("n"), "the last has no end");
        assert_eq!(next(), None);
    }
}
