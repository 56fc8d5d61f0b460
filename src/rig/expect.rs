//! What a test expects of a key, and why it may not have come.

use std::{collections::BTreeSet, sync::Arc};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Rig, RigError, slot::Slot};
use crate::journal::{Entry, Event, TouchState};

/// How far a host has come with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Contact {
    /// No host can see the key.
    Unplugged,
    /// It is on the list, and no host has attached it.
    Plugged,
    /// A host has attached it, and no program has spoken to it.
    Attached,
    /// A program has opened a channel (CTAPHID_INIT), and asked nothing.
    Opened,
    /// A program has asked it something.
    Used,
}

/// How far a host has come with a key, in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ContactView {
    /// How far.
    pub contact: Contact,
    /// What that means and what to look at next.
    pub text: String,
}

/// What should have happened, counted in the events after `since`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// Events after the one with this number count; all that are kept, where this is absent.
    #[serde(default)]
    pub since: u64,
    /// Those of this key.
    #[serde(default)]
    pub key: Option<String>,
    /// What is counted: a kind of event, such as `touch`, `attach`, `hid`, `finished` or `fault`.
    /// Touches are counted once, however many events they have.
    pub event: String,
    /// Touches in this state: `asked`, `approved`, `denied` or `withdrawn`.
    #[serde(default)]
    pub state: Option<TouchState>,
    /// Operations with this command, such as `make-credential`; of `hid` such as `init`.
    #[serde(default)]
    pub command: Option<String>,
    /// Those for this site.
    #[serde(default)]
    pub rp: Option<String>,
    /// Operations that ended with this status, such as `CTAP2_OK`.
    #[serde(default)]
    pub status: Option<String>,
    /// As many.
    #[serde(default)]
    pub exactly: Option<u64>,
    /// As many or more; 1, where no number is given.
    #[serde(default)]
    pub at_least: Option<u64>,
    /// As many or fewer.
    #[serde(default)]
    pub at_most: Option<u64>,
}

/// Whether an expectation held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Held {
    /// Whether it did.
    pub holds: bool,
    /// How many there were.
    pub count: u64,
    /// The newest event that was looked at.
    pub last_event: u64,
    /// What was expected and what came; where nothing came, what the usual reason is.
    pub text: String,
}

impl Expectation {
    fn bounds(&self) -> Result<(u64, u64), RigError> {
        match (self.exactly, self.at_least, self.at_most) {
            (Some(exactly), None, None) => Ok((exactly, exactly)),
            (Some(_), ..) => Err(RigError::invalid(
                "exactly goes with neither at_least nor at_most",
            )),
            (None, None, None) => Ok((1, u64::MAX)),
            (None, least, most) => Ok((least.unwrap_or(0), most.unwrap_or(u64::MAX))),
        }
    }

    fn counts(&self, entry: &Entry) -> bool {
        let of = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
        };
        let (state, command, rp, status) = match &entry.event {
            Event::Touch { state, rp, .. } => (Some(*state), None, rp.as_deref(), None),
            Event::Hid { command, .. } => (None, Some(command.as_str()), None, None),
            Event::Started {
                command, details, ..
            } => {
                let rp = details.get("rp.id").or_else(|| details.get("rpId"));
                let rp = rp.and_then(serde_json::Value::as_str);
                (None, Some(command.as_str()), rp, None)
            }
            Event::Finished {
                command,
                rp_id,
                status,
                ..
            } => {
                let status = Some(status.as_str());
                (None, Some(command.as_str()), rp_id.as_deref(), status)
            }
            Event::Added { .. }
            | Event::Removed
            | Event::Plugged
            | Event::Unplugged
            | Event::PowerCycled
            | Event::Attach { .. }
            | Event::Detach { .. }
            | Event::Wink
            | Event::Fault { .. }
            | Event::Changed { .. } => (None, None, None, None),
        };
        entry.event.kind() == self.event
            && self.state.is_none_or(|wanted| state == Some(wanted))
            && of(&self.command, command)
            && of(&self.rp, rp)
            && of(&self.status, status)
    }

    /// How many of the entries count; a touch counts once.
    fn count(&self, entries: &[Arc<Entry>], bus_id: Option<&str>) -> u64 {
        let mut touches = BTreeSet::new();
        let mut others: u64 = 0;
        let of_key = |entry: &Entry| bus_id.is_none_or(|bus_id| entry.key == bus_id);
        for entry in entries
            .iter()
            .filter(|entry| of_key(entry) && self.counts(entry))
        {
            if let Event::Touch { id, .. } = &entry.event {
                touches.insert(*id);
            } else {
                others += 1;
            }
        }
        others + u64::try_from(touches.len()).unwrap_or(u64::MAX)
    }
}

impl Rig {
    /// Whether what should have happened did.
    ///
    /// # Errors
    /// There is no such key, the expectation contradicts itself, or events that it is about are
    /// no longer kept.
    pub async fn expect(&self, expectation: &Expectation) -> Result<Held, RigError> {
        let bounds = expectation.bounds()?;
        Event::check_kind(&expectation.event).map_err(RigError::invalid)?;
        let key = expectation.key.as_deref();
        let slot = key.map(|key| self.slot(key)).transpose()?;
        self.settle(slot.as_deref()).await;
        let (entries, missed) = self.journal().since(expectation.since);
        if missed {
            return Err(RigError::conflict(
                "events after that number are no longer kept: ask earlier, or from a later number",
            ));
        }
        let bus_id = slot.as_ref().map(|slot| slot.bus_id());
        let count = expectation.count(&entries, bus_id.as_deref());
        let holds = (bounds.0..=bounds.1).contains(&count);
        let mut text = sentence(expectation, bounds, count);
        if count == 0
            && !holds
            && let Some(slot) = &slot
        {
            text.push(' ');
            text.push_str(&self.contact_of(slot, expectation.since).text);
        }
        let last = entries
            .last()
            .map_or(expectation.since, |entry| entry.sequence);
        Ok(Held {
            holds,
            count,
            last_event: last,
            text,
        })
    }

    /// How far a host has come with a key since an event: where a browser hangs, this says
    /// whether it ever found the key.
    ///
    /// # Errors
    /// There is no such key.
    pub async fn contact(&self, key: &str, since: u64) -> Result<ContactView, RigError> {
        let slot = self.slot(key)?;
        self.settle(Some(&slot)).await;
        Ok(self.contact_of(&slot, since))
    }

    fn contact_of(&self, slot: &Slot, since: u64) -> ContactView {
        let bus_id = slot.bus_id();
        let (entries, _) = self.journal().since(since);
        let mut of_key = entries.iter().filter(|entry| entry.key == bus_id);
        let mut contact = match (slot.handle.is_plugged(), slot.handle.host()) {
            (false, _) => Contact::Unplugged,
            (true, None) => Contact::Plugged,
            (true, Some(_)) => Contact::Attached,
        };
        for entry in of_key.by_ref() {
            if matches!(entry.event, Event::Hid { .. }) {
                contact = contact.max(Contact::Opened);
            } else if matches!(entry.event, Event::Started { .. } | Event::Finished { .. }) {
                contact = contact.max(Contact::Used);
            }
        }
        ContactView {
            text: contact.text(&slot.called()),
            contact,
        }
    }
}

impl Contact {
    /// That, about the key of this name.
    pub(crate) fn text(self, key: &str) -> String {
        match self {
            Self::Unplugged => format!("No host can see the key {key}: it is not plugged in."),
            Self::Plugged => {
                format!("No host has attached the key {key}: attach it (`roamkey attach`).")
            }
            Self::Attached => format!(
                "No browser has contacted the key {key}: a host has it attached, and no program \
                 has opened it. Is its hidraw device accessible to the program's user (`roamkey \
                 doctor`), and does the page ask for a roaming key?"
            ),
            Self::Opened => format!(
                "A program has found the key {key} and asked it nothing: it may wait for a person \
                 to choose in a dialog, or have another key in use."
            ),
            Self::Used => format!("A program has used the key {key}."),
        }
    }
}

fn sentence(expectation: &Expectation, (least, most): (u64, u64), count: u64) -> String {
    let wanted = match (least, most) {
        (least, most) if least == most => format!("exactly {least}"),
        (least, u64::MAX) => format!("at least {least}"),
        (0, most) => format!("at most {most}"),
        (least, most) => format!("{least} to {most}"),
    };
    let mut what = expectation.event.clone();
    let state = expectation.state.map(|state| match state {
        TouchState::Asked => "asked",
        TouchState::Approved => "approved",
        TouchState::NotVerified => "not-verified",
        TouchState::Denied => "denied",
        TouchState::Withdrawn => "withdrawn",
    });
    let parts = [
        ("", state),
        ("", expectation.command.as_deref()),
        ("for ", expectation.rp.as_deref()),
        ("with ", expectation.status.as_deref()),
        ("of ", expectation.key.as_deref()),
    ];
    for (word, part) in parts {
        if let Some(part) = part {
            what.push(' ');
            what.push_str(word);
            what.push_str(part);
        }
    }
    format!(
        "Expected {wanted}, and there were {count}: {what} since event {}.",
        expectation.since
    )
}
