//! What CTAPHID dealt with by itself, for traces. Nothing is kept unless somebody wants it.

use super::{ChannelId, Hid};

/// A command that was dealt with here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) channel: ChannelId,
    pub(crate) command: &'static str,
    /// Bytes in the message; of an error the code.
    pub(crate) value: u32,
}

impl Hid {
    /// Begins or ends to keep notes.
    pub(crate) fn set_noting(&mut self, on: bool) {
        self.notes = on.then(Vec::new);
    }

    pub(super) fn note(&mut self, channel: ChannelId, command: &'static str, value: u32) {
        if let Some(notes) = &mut self.notes {
            notes.push(Note {
                channel,
                command,
                value,
            });
        }
    }

    /// The notes since somebody looked; whoever switched them on looks after each input.
    pub(crate) fn take_notes(&mut self) -> impl Iterator<Item = Note> + '_ {
        self.notes.iter_mut().flat_map(|notes| notes.drain(..))
    }
}
