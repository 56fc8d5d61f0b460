//! What a front has to tell the person whose test it serves, beside the protocol: above all, what
//! was not done with a real key.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;
use tracing::info;

use crate::limits::MOST_NOTES;

/// Something to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// In words.
    pub text: String,
}

#[derive(Default)]
struct Kept {
    notes: Vec<Note>,
    listener: Option<mpsc::UnboundedSender<Note>>,
}

/// The notes of a front, each told once. Clones are handles to the same.
#[derive(Clone, Default)]
pub struct Notes(Arc<Mutex<Kept>>);

impl Notes {
    /// Every note from now on.
    pub fn listen(&self) -> mpsc::UnboundedReceiver<Note> {
        let (listener, notes) = mpsc::unbounded_channel();
        self.lock().listener = Some(listener);
        notes
    }

    /// All that were told.
    pub fn told(&self) -> Vec<Note> {
        self.lock().notes.clone()
    }

    pub(super) fn tell(&self, text: String) {
        let note = Note { text };
        let mut kept = self.lock();
        if kept.notes.contains(&note) || kept.notes.len() >= MOST_NOTES {
            return;
        }
        info!("{}", note.text);
        if let Some(listener) = &kept.listener {
            // Who listened may be gone.
            let _ = listener.send(note.clone());
        }
        kept.notes.push(note);
    }

    /// No code between lock and unlock can panic, so a poisoned list is still whole.
    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_notes_are_kept_and_each_is_told_once() {
        let notes = Notes::default();
        let mut told = notes.listen();
        for number in (0..=MOST_NOTES).chain(0..=MOST_NOTES) {
            notes.tell(number.to_string());
        }
        let kept = notes.told();
        assert_eq!(kept.len(), MOST_NOTES);
        let last = MOST_NOTES - 1;
        assert_eq!(kept[last].text, last.to_string());
        let heard = std::iter::from_fn(|| told.try_recv().ok()).count();
        assert_eq!(heard, MOST_NOTES);
    }
}
