//! What a front has to tell the person whose test it serves, beside the protocol: above all, what
//! was not done with a real key.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;
use tracing::info;

/// So many notes are kept; a run that goes on for days says the first ones.
const MOST: usize = 1_000;

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
        if kept.notes.contains(&note) || kept.notes.len() >= MOST {
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
