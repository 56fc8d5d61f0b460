//! What was done: a line for a person, a file for a machine.

use std::{
    ffi::OsStr,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::SystemTime,
};

use serde::Serialize;
use serde_json::{Value, json};

use super::{
    super::{Failure, output::shown, table::count},
    place::{Missed, Place, ReadyKey, reasons},
    recorder::Recorded,
};
use crate::rig::Contact;

/// A run as far as it has come.
pub(super) struct Run<'a> {
    pub(super) place: Place,
    pub(super) missed: &'a [Missed],
    pub(super) keys: &'a [ReadyKey],
    /// How far hosts have come with each key.
    pub(super) contacts: &'a [Contact],
    pub(super) recorded: &'a Recorded,
    /// Whether something else than the system gave the command keys.
    pub(super) fronts: bool,
    /// What fronts had to tell.
    pub(super) notes: &'a [String],
    pub(super) program: &'a OsStr,
    pub(super) started: u64,
    pub(super) end: Option<End>,
}

/// How the command ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    /// With what `exec` ends, too.
    pub(super) status: u8,
    /// What ended it, where it did not end by itself.
    pub(super) signal: Option<i32>,
    pub(super) at: u64,
}

#[derive(Serialize)]
struct KeyReport<'a> {
    #[serde(flatten)]
    key: &'a ReadyKey,
    contact: Contact,
    contact_text: String,
}

impl Run<'_> {
    /// Whether a program has spoken to a key.
    fn is_contacted(&self) -> bool {
        self.contacts
            .iter()
            .any(|contact| *contact >= Contact::Opened)
    }

    /// The backend and why not a better one, the keys, what came.
    pub(super) fn line(&self) -> String {
        let mut line = format!("roamkey: {}", self.place.name());
        if !self.missed.is_empty() {
            // What mends it stands in the report.
            let short = self.missed.iter().map(|missed| Missed {
                backend: missed.backend,
                why: first_sentence(&missed.why).to_owned(),
            });
            let short: Vec<_> = short.collect();
            line.push_str(&format!(" ({})", shown(&reasons(&short))));
        }
        if self.keys.is_empty() && !self.fronts {
            line.push_str(": no device was there");
            return line;
        }
        if self.place == Place::Browser {
            line.push_str(": its own virtual authenticators, no device was there");
            return line;
        }
        let names: Vec<_> = self.keys.iter().map(|key| shown(&key.name)).collect();
        line.push_str(&format!(", {}", count(names.len(), "key")));
        if names != ["default"] && !names.is_empty() {
            line.push_str(&format!(" ({})", names.join(", ")));
        }
        line.push_str(&format!(", {}", self.work()));
        line
    }

    fn work(&self) -> String {
        let them = match self.keys.len() {
            1 => "it",
            _ => "them",
        };
        if !self.is_contacted() {
            return format!("no program ever contacted {them}");
        }
        let operations = usize::try_from(self.recorded.operations).unwrap_or(usize::MAX);
        let mut work = count(operations, "operation");
        let both = self.keys.iter().zip(self.contacts);
        let alone = both.filter(|(key, contact)| !key.spare && **contact < Contact::Opened);
        let alone: Vec<_> = alone.map(|(key, _)| shown(&key.name)).collect();
        if !alone.is_empty() {
            work.push_str(&format!(", no program ever contacted {}", alone.join(", ")));
        }
        work
    }

    /// The file's document.
    pub(super) fn document(&self) -> Value {
        let both = self.keys.iter().zip(self.contacts);
        let keys: Vec<_> = both
            .map(|(key, contact)| KeyReport {
                key,
                contact: *contact,
                contact_text: contact.text(&shown(&key.name)),
            })
            .collect();
        let events = &self.recorded.events;
        let is_fault = |event: &&Value| event.get("event").is_some_and(|kind| kind == "fault");
        let (faults, events): (Vec<_>, Vec<_>) = events.iter().partition(is_fault);
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "backend": self.place.name(),
            "why_not": self.missed,
            "keys": keys,
            "contacted": self.is_contacted(),
            "command": self.program.to_string_lossy(),
            "status": self.end.map(|end| end.status),
            "signal": self.end.and_then(|end| end.signal),
            "started_ms": self.started,
            "ended_ms": self.end.map(|end| end.at),
            "operations": self.recorded.operations,
            "events": events,
            "faults": faults,
            "notes": self.notes,
            "left_out": self.recorded.left_out,
            "missed": self.recorded.missed,
            "text": self.line(),
        })
    }
}

fn first_sentence(text: &str) -> &str {
    text.split_once(". ").map_or(text, |(first, _)| first)
}

/// A file for reports.
pub(super) struct ReportFile(PathBuf);

impl ReportFile {
    /// The one that is wanted, if one is.
    pub(super) fn wanted(path: Option<&Path>) -> Result<Option<Self>, Failure> {
        let Some(path) = path else {
            return Ok(None);
        };
        match fs::metadata(path) {
            // A device or a pipe would be replaced by the file.
            Ok(found) if !found.is_file() => Err(Failure::Failed(format!(
                "--report {}: a file is wanted",
                path.display()
            ))),
            Ok(_) | Err(_) => Ok(Some(Self(path.to_owned()))),
        }
    }

    /// Writes the file as it is from now on: whoever reads it meanwhile has the one before.
    pub(super) fn write(&self, document: &Value) -> Result<(), Failure> {
        let mut draft = self.0.clone().into_os_string();
        draft.push(format!(".{}.new", std::process::id()));
        let draft = PathBuf::from(draft);
        let write = || {
            let mut file = fs::File::create(&draft)?;
            serde_json::to_writer_pretty(&mut file, document)?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            fs::rename(&draft, &self.0)
        };
        write().map_err(|why: io::Error| {
            let _ = fs::remove_file(&draft); // it may not be there
            Failure::failed(format!("--report {}", self.0.display()), why)
        })
    }
}

/// Milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

#[cfg(test)]
mod tests;
