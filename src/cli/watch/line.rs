//! Events as lines for a person: when, which key, what.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    cli::{desk::Watched, output::shown},
    journal::{Entry, Event, TouchState},
};

const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const GREY: &str = "90";

/// Makes lines of events.
pub(super) struct Lines {
    /// What keys are called, by their bus ids.
    pub(super) names: BTreeMap<String, String>,
    /// The account that a key's operation is for, by the key's bus id.
    pub(super) accounts: BTreeMap<String, String>,
    /// Also what is below operations.
    pub(super) all: bool,
    /// Also what was asked and answered.
    pub(super) details: bool,
    /// For a terminal.
    pub(super) color: bool,
}

impl Lines {
    /// What is shown of it, if anything; several lines where there are details.
    pub(super) fn of(&mut self, watched: &Watched) -> Option<String> {
        match watched {
            Watched::Entry(entry) => self.of_entry(entry),
            Watched::Missed(count) => Some(self.paint(
                YELLOW,
                &format!("({count} events are not shown: they came too fast, or are long past)"),
            )),
            Watched::Again => Some(self.paint(YELLOW, "(connected again)")),
        }
    }

    fn of_entry(&mut self, entry: &Entry) -> Option<String> {
        self.remember(entry);
        let (color, what) = self.what(entry)?;
        let key = self.names.get(&entry.key).unwrap_or(&entry.key);
        let time = self.paint(GREY, &time_of(entry.at));
        let mut text = format!("{time}  {}  {}", shown(key), self.paint(color, &what));
        if let (true, Event::Started { details, .. } | Event::Finished { details, .. }) =
            (self.details, &entry.event)
        {
            for (name, value) in details {
                let plain = value.as_str().map(str::to_owned);
                let value = plain.unwrap_or_else(|| value.to_string());
                text.push_str(&format!("\n    {}: {}", shown(name), shown(&value)));
            }
        }
        Some(text)
    }

    /// What later lines tell of this one.
    fn remember(&mut self, entry: &Entry) {
        let account = match &entry.event {
            Event::Added {
                name: Some(name), ..
            } => {
                self.names.insert(entry.key.clone(), name.clone());
                return;
            }
            Event::Removed => {
                self.names.remove(&entry.key);
                return;
            }
            Event::Started { details, .. } => {
                self.accounts.remove(&entry.key);
                details.get("user.name").and_then(Value::as_str)
            }
            Event::Finished { details, .. } => details.get("user.name").and_then(Value::as_str),
            Event::Touch { account, .. } => account.as_deref(),
            Event::Added { name: None, .. }
            | Event::Plugged
            | Event::Unplugged
            | Event::PowerCycled
            | Event::Attach { .. }
            | Event::Detach { .. }
            | Event::Wink
            | Event::Hid { .. }
            | Event::Fault { .. }
            | Event::Changed { .. } => None,
        };
        if let Some(account) = account {
            self.accounts.insert(entry.key.clone(), account.to_owned());
        }
    }

    fn what(&self, entry: &Entry) -> Option<(&'static str, String)> {
        let plain = |text: &str| ("", text.to_owned());
        Some(match &entry.event {
            Event::Added { profile, .. } => plain(&format!("added, as {}", shown(profile))),
            Event::Removed => plain("removed"),
            Event::Plugged => plain("plugged in"),
            Event::Unplugged => plain("unplugged"),
            Event::PowerCycled => plain("was without power"),
            Event::Attach { peer } => plain(&format!("attached by {}", shown(peer))),
            Event::Detach { reason, .. } => plain(&format!("detached, {}", shown(reason))),
            Event::Wink => plain(";-)"),
            Event::Fault { fault, .. } => (YELLOW, format!("fault {}", shown(fault))),
            Event::Changed { what } => plain(&shown(what)),
            Event::Touch { .. } => touch(&entry.event)?,
            Event::Finished { .. } => self.finished(entry)?,
            Event::Started { command, .. } if self.all || self.details => {
                (GREY, format!("{} began", shown(command)))
            }
            Event::Hid { command, value, .. } if self.all => {
                (GREY, format!("CTAPHID {} ({value})", shown(command)))
            }
            Event::Started { .. } | Event::Hid { .. } => return None,
        })
    }

    /// An operation in one line.
    fn finished(&self, entry: &Entry) -> Option<(&'static str, String)> {
        let Event::Finished {
            command,
            rp_id,
            status,
            status_code,
            answered,
            duration_ms,
            touch,
            ..
        } = &entry.event
        else {
            return None;
        };
        let mut parts = vec![shown(command)];
        if let Some(rp_id) = rp_id {
            let account = self.accounts.get(&entry.key);
            let account = account.map(|account| format!(" as {}", shown(account)));
            parts.push(format!("{}{}", shown(rp_id), account.unwrap_or_default()));
        }
        parts.push(shown(status));
        if touch != "none" {
            parts.push(format!("touch {}", shown(touch)));
        }
        parts.push(format!("{duration_ms} ms"));
        if !answered {
            parts.push("nobody waited for the answer".to_owned());
        }
        // CTAP2_OK and SW_NO_ERROR.
        let color = match status_code {
            0 | 0x9000 => GREEN,
            _ => RED,
        };
        Some((color, parts.join("  ")))
    }

    fn paint(&self, color: &str, text: &str) -> String {
        match self.color && !color.is_empty() {
            true => format!("\u{1b}[{color}m{text}\u{1b}[0m"),
            false => text.to_owned(),
        }
    }
}

fn touch(event: &Event) -> Option<(&'static str, String)> {
    let Event::Touch {
        state,
        id,
        operation,
        gesture,
        rp,
        account,
        reason,
        ..
    } = event
    else {
        return None;
    };
    let (color, state) = match state {
        TouchState::Asked => (YELLOW, "is asked for"),
        TouchState::Approved => (GREEN, "was given"),
        TouchState::NotVerified => (RED, "did not verify"),
        TouchState::Denied => (RED, "was refused"),
        TouchState::Withdrawn => (GREY, "is no longer needed"),
    };
    let gesture = match gesture.as_str() {
        "finger" => "finger",
        "long-touch" => "long touch",
        _ => "touch",
    };
    let mut text = format!("{gesture} [{id}] {state}: {}", shown(operation));
    for (word, part) in [(" ", rp), (" as ", account), (", ", reason)] {
        if let Some(part) = part {
            text.push_str(word);
            text.push_str(&shown(part));
        }
    }
    Some((color, text))
}

/// The time of day, in UTC, of milliseconds since 1970.
fn time_of(at: u64) -> String {
    let (seconds, ms) = (at / 1_000, at % 1_000);
    let (hour, minute) = (seconds / 3_600 % 24, seconds / 60 % 60);
    format!("{hour:02}:{minute:02}:{:02}.{ms:03}", seconds % 60)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lines() -> Lines {
        Lines {
            names: [("1-1".to_owned(), "main".to_owned())].into(),
            accounts: BTreeMap::new(),
            all: false,
            details: false,
            color: false,
        }
    }

    fn entry(event: &Value) -> Watched {
        let mut members = json!({"sequence": 1, "at": 86_399_005_u64, "key": "1-1"});
        let object = members.as_object_mut().expect("an object");
        object.extend(event.as_object().expect("an object").clone());
        Watched::Entry(Box::new(serde_json::from_value(members).expect("an entry")))
    }

    fn started() -> Watched {
        entry(&json!({
            "event": "started", "operation": 1, "channel": "00000001",
            "command": "make-credential", "details": {"user.name": "ali\u{1b}ce", "options.rk": true},
        }))
    }

    fn finished() -> Watched {
        entry(&json!({
            "event": "finished", "operation": 1, "command": "make-credential",
            "rp_id": "example.com", "status": "CTAP2_OK", "status_code": 0, "answered": true,
            "duration_ms": 12, "touch": "approved", "details": {"fmt": "packed"},
        }))
    }

    #[test]
    fn operation_is_one_line_and_nothing_in_it_moves_the_cursor() {
        let mut lines = lines();
        assert_eq!(lines.of(&started()), None);
        let line = lines.of(&finished()).expect("a line");
        let expected = "23:59:59.005  main  make-credential  example.com as ali\u{fffd}ce  \
                        CTAP2_OK  touch approved  12 ms";
        assert_eq!(line, expected);
    }

    #[test]
    fn details_are_below_and_colors_on_a_terminal_alone() {
        let mut lines = lines();
        lines.details = true;
        let text = lines.of(&started()).expect("lines");
        assert!(
            text.ends_with("\n    options.rk: true\n    user.name: ali\u{fffd}ce"),
            "{text}"
        );
        let text = lines.of(&finished()).expect("lines");
        assert!(text.ends_with("\n    fmt: packed"), "{text}");
        lines.color = true;
        let text = lines.of(&finished()).expect("lines");
        assert!(text.contains("\u{1b}[32mmake-credential"), "{text:?}");
    }

    #[test]
    fn what_is_below_operations_is_shown_on_demand() {
        let mut lines = lines();
        let hid = json!({"event": "hid", "channel": "ffffffff", "command": "init", "value": 8});
        assert_eq!(lines.of(&entry(&hid)), None);
        lines.all = true;
        let line = lines.of(&entry(&hid)).expect("a line");
        assert!(line.ends_with("CTAPHID init (8)"), "{line}");
    }

    #[test]
    fn touch_tells_what_for() {
        let asked = json!({
            "event": "touch", "state": "asked", "id": 3, "operation": "authenticate",
            "rp": "example.com", "rp_id_hash": null, "account": "bob",
        });
        let line = lines().of(&entry(&asked)).expect("a line");
        let expected = "main  touch [3] is asked for: authenticate example.com as bob";
        assert!(line.ends_with(expected), "{line}");
        let failed = json!({
            "event": "touch", "state": "not-verified", "id": 4, "operation": "verify",
            "gesture": "finger", "rp": null, "rp_id_hash": null, "account": null,
        });
        let line = lines().of(&entry(&failed)).expect("a line");
        let expected = "main  finger [4] did not verify: verify";
        assert!(line.ends_with(expected), "{line}");
    }
}
