//! The large-blob array under kills: written in fragments, and there whole or not at all.

use super::{model::Request, session::Session};
use crate::support::{large_blobs::array, pin::permission};

/// What a client sends at a time, in bytes.
const FRAGMENT: usize = 700;
/// The longest array, in bytes.
const LONGEST: usize = 2500;
/// The hash at the end, and one byte in front.
const SHORTEST: usize = 17;

impl Session<'_> {
    /// Writes another array. Only its last fragment can change what is stored.
    pub(super) fn write_blobs(&mut self) {
        let length = SHORTEST + self.key.pick(LONGEST - SHORTEST);
        let seed = u8::try_from(self.key.pick(256)).expect("a byte");
        let blobs = array(length, seed);
        let token = self.token(permission::LBW, None);
        let last = (blobs.len() - 1) / FRAGMENT;
        for (number, part) in blobs.chunks(FRAGMENT).enumerate() {
            let length = (number == 0).then_some(blobs.len());
            let request = if number == last {
                Request::Blobs(blobs.clone())
            } else {
                Request::Use("large-blob fragment")
            };
            let written = self.ask(request, |platform, channel| {
                platform.write_blobs(channel, part, number * FRAGMENT, length, token.as_ref())
            });
            written.expect("a fragment in its order");
        }
        self.key.model.blobs = blobs;
    }

    /// Reads the array as it is.
    pub(super) fn blobs(&mut self) -> Vec<u8> {
        self.plain(|platform, channel| platform.read_all_blobs(channel, FRAGMENT))
    }

    pub(super) fn read_blobs(&mut self) {
        let found = self.ask(Request::Use("large blobs read"), |platform, channel| {
            Ok(platform.read_all_blobs(channel, FRAGMENT))
        });
        assert!(
            found.as_ref() == Ok(&self.key.model.blobs),
            "another array than was written"
        );
    }
}
