//! What was found: checks in groups, and which roads are open; as text and as a document.

use std::fmt::Display;

use serde_json::{Value, json};

use crate::cli::table::parts;

/// What a line has before what was found.
const INDENT: usize = 11;
/// What is left of 80 columns.
const ROOM: usize = 80 - INDENT;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Ok,
    /// A key works, with a limit.
    Warning,
    Failed,
    NotApplicable,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
            Self::NotApplicable => "not_applicable",
        }
    }

    fn mark(self) -> &'static str {
        match self {
            Self::NotApplicable => "-",
            Self::Ok | Self::Warning | Self::Failed => self.name(),
        }
    }
}

/// One thing that was looked at.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) name: String,
    pub(super) state: State,
    pub(super) found: String,
    /// What to do, or that nothing helps.
    pub(super) advice: Option<String>,
    /// What to type.
    pub(super) command: Option<String>,
}

impl Check {
    pub(super) fn new(name: impl Into<String>, state: State, found: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            state,
            found: found.into(),
            advice: None,
            command: None,
        }
    }

    pub(super) fn ok(name: impl Into<String>, found: impl Into<String>) -> Self {
        Self::new(name, State::Ok, found)
    }

    pub(super) fn not_applicable(name: impl Into<String>, found: impl Into<String>) -> Self {
        Self::new(name, State::NotApplicable, found)
    }

    /// Failed for a reason that an error tells, as `what: what to do`.
    #[cfg(target_os = "linux")]
    pub(super) fn failed_by(name: &str, error: &impl Display) -> Self {
        let text = error.to_string();
        let (found, advice) = text.split_once(": ").unwrap_or((&text, ""));
        let check = Self::new(name, State::Failed, found);
        match advice {
            "" => check,
            command if command.starts_with("sudo ") => check.command(command),
            advice => check.advice(advice),
        }
    }

    pub(super) fn advice(mut self, text: impl Into<String>) -> Self {
        self.advice = Some(text.into());
        self
    }

    pub(super) fn command(mut self, text: impl Into<String>) -> Self {
        self.command = Some(text.into());
        self
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = row(self.state.mark(), &format!("{}: {}", self.name, self.found));
        if let Some(advice) = &self.advice {
            lines.extend(row("", advice));
        }
        if let Some(command) = &self.command {
            // Whole, so that it can be copied.
            lines.push(format!("{:INDENT$}  {command}", ""));
        }
        lines
    }
}

/// A mark, and a text in as many lines as it takes.
fn row(mark: &str, text: &str) -> Vec<String> {
    let lines = parts(&crate::cli::output::shown(text), ROOM);
    let marks = std::iter::once(mark).chain(std::iter::repeat(""));
    let width = INDENT - 2;
    marks
        .zip(lines)
        .map(|(mark, line)| format!("  {mark:width$}{line}"))
        .collect()
}

/// Checks that belong together.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) title: &'static str,
    pub(super) checks: Vec<Check>,
}

impl Group {
    pub(super) fn new(title: &'static str, checks: Vec<Check>) -> Self {
        Self { title, checks }
    }
}

/// A way for a key to reach programs.
#[derive(Debug)]
pub(super) struct Road {
    pub(super) name: &'static str,
    /// What goes it.
    pub(super) how: String,
    pub(super) open: bool,
    /// Where it leads, or what is in the way.
    pub(super) found: String,
}

impl Road {
    pub(super) fn open(
        name: &'static str,
        how: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self {
            name,
            how: how.into(),
            open: true,
            found: found.into(),
        }
    }

    pub(super) fn closed(
        name: &'static str,
        how: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self {
            open: false,
            ..Self::open(name, how, found)
        }
    }
}

#[derive(Debug)]
pub(super) struct Report {
    /// What this machine runs.
    pub(super) system: String,
    pub(super) groups: Vec<Group>,
    pub(super) roads: Vec<Road>,
}

impl Report {
    pub(super) fn is_any_road_open(&self) -> bool {
        self.roads.iter().any(|road| road.open)
    }

    pub(super) fn text(&self) -> String {
        let mut lines = vec![self.system.clone()];
        for group in &self.groups {
            lines.extend([String::new(), group.title.to_owned()]);
            lines.extend(group.checks.iter().flat_map(Check::lines));
        }
        lines.extend([String::new(), "Roads".to_owned()]);
        for road in &self.roads {
            let mark = if road.open { "open" } else { "closed" };
            let text = format!("{} ({}): {}", road.name, road.how, road.found);
            lines.extend(row(mark, &text));
        }
        lines.join("\n")
    }

    pub(super) fn document(&self) -> Value {
        let checks = self.groups.iter().flat_map(|group| {
            group.checks.iter().map(|check| {
                let mut document = json!({
                    "group": group.title, "name": check.name, "state": check.state.name(),
                    "found": check.found,
                });
                let more = [("advice", &check.advice), ("command", &check.command)];
                if let Some(members) = document.as_object_mut() {
                    for (name, text) in more {
                        if let Some(text) = text {
                            members.insert(name.to_owned(), json!(text));
                        }
                    }
                }
                document
            })
        });
        let roads = self.roads.iter().map(|road| {
            json!({"road": road.name, "how": road.how, "open": road.open, "found": road.found})
        });
        json!({
            "system": self.system,
            "checks": checks.collect::<Vec<_>>(),
            "roads": roads.collect::<Vec<_>>(),
        })
    }
}
