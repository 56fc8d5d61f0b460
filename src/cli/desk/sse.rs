//! Server-sent events (WHATWG HTML §9.2.6) as the control plane sends them: `id`, `event` and one
//! line of `data`; comments in between show that it is still there.

use serde::Deserialize;

use super::Watched;

/// No event is longer, in bytes.
const LONGEST: usize = 1 << 20;

/// Takes bytes as they come and tells the events in them.
pub(super) struct Reader {
    /// What has come of a line.
    line: Vec<u8>,
    event: String,
    data: String,
    id: Option<u64>,
    last: u64,
}

#[derive(Deserialize)]
struct Missed {
    missed: u64,
}

impl Reader {
    /// Goes on behind this event.
    pub(super) fn new(last: u64) -> Self {
        Self {
            line: Vec::new(),
            event: String::new(),
            data: String::new(),
            id: None,
            last,
        }
    }

    /// The last event that was told.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// A new connection: what had come of an event comes again.
    pub(super) fn begin(&mut self) {
        *self = Self::new(self.last);
    }

    /// The events that are whole with these bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Watched>, String> {
        let mut watched = Vec::new();
        for byte in bytes {
            if *byte != b'\n' {
                self.line.push(*byte);
                if self.line.len() + self.data.len() > LONGEST {
                    return Err("an event is too long".to_owned());
                }
                continue;
            }
            let line = std::mem::take(&mut self.line);
            let line = String::from_utf8(line).map_err(|why| why.to_string())?;
            watched.extend(self.take_line(line.trim_end_matches('\r'))?);
        }
        Ok(watched)
    }

    fn take_line(&mut self, line: &str) -> Result<Option<Watched>, String> {
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => self.id = value.parse().ok(),
            "event" => value.clone_into(&mut self.event),
            "data" => self.data.push_str(value),
            // A comment has no name, and other fields are not for this reader.
            _ => {}
        }
        Ok(None)
    }

    fn dispatch(&mut self) -> Result<Option<Watched>, String> {
        let data = std::mem::take(&mut self.data);
        let event = std::mem::take(&mut self.event);
        if let Some(id) = self.id.take() {
            self.last = id;
        }
        if data.is_empty() {
            return Ok(None);
        }
        let unreadable = |why: serde_json::Error| format!("event {event:?}: {why}");
        let watched = match event.as_str() {
            "missed" => {
                let Missed { missed } = serde_json::from_str(&data).map_err(unreadable)?;
                Watched::Missed(missed)
            }
            _ => Watched::Entry(Box::new(serde_json::from_str(&data).map_err(unreadable)?)),
        };
        Ok(Some(watched))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{Entry, Event};

    fn text() -> String {
        let entry = Entry {
            sequence: 7,
            at: 1,
            key: "1-1".to_owned(),
            event: Event::Wink,
        };
        let data = entry.to_json();
        format!(
            ": hello\n\nid: 7\nevent: wink\ndata: {data}\n\nevent: missed\ndata: {{\"missed\":3}}\n\n"
        )
    }

    #[test]
    fn events_come_whole_however_they_are_cut() {
        let text = text();
        for size in 1..text.len() {
            let mut reader = Reader::new(0);
            let mut told = Vec::new();
            for part in text.as_bytes().chunks(size) {
                told.extend(reader.push(part).expect("events"));
            }
            let [Watched::Entry(entry), Watched::Missed(3)] = told.as_slice() else {
                panic!("{} events", told.len());
            };
            assert_eq!(entry.event, Event::Wink);
            assert_eq!(reader.last(), 7, "where a new connection goes on");
        }
    }

    #[test]
    fn half_an_event_is_forgotten_with_its_connection() {
        let mut reader = Reader::new(5);
        assert!(
            reader
                .push(b"id: 6\ndata: {\"se")
                .expect("nothing yet")
                .is_empty()
        );
        reader.begin();
        assert_eq!(reader.last(), 5);
        let told = reader.push(text().as_bytes()).expect("events");
        assert_eq!(told.len(), 2);
    }

    #[test]
    fn endless_event_is_refused() {
        let mut reader = Reader::new(0);
        let part = vec![b'x'; LONGEST / 2];
        assert!(reader.push(&part).is_ok());
        assert!(reader.push(&part).is_ok());
        assert!(reader.push(&part).is_err());
        assert!(Reader::new(0).push(b"data: {}\n\n").is_err(), "no entry");
    }
}
