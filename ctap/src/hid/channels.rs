//! Which channel ids are allocated, in constant memory.
//!
//! Ids run on from a random start, so a client that kept one over a power cycle does not by
//! accident speak on somebody else's, and none is ever refused for want of a table.

use super::packet::ChannelId;

/// Ids 1 ..= `0xffff_fffe` are allocatable.
const ALLOCATABLE: u32 = u32::MAX - 1;

/// The channels handed out since the last power-on.
pub(super) struct Channels {
    /// Zero-based number of the first id handed out.
    first: u32,
    /// How many ids are handed out, from `first` on and around the end.
    count: u32,
}

impl Channels {
    /// `start` is any random number.
    pub(super) fn new(start: u32) -> Self {
        Self {
            first: start % ALLOCATABLE,
            count: 0,
        }
    }

    /// A channel for one more client. After 2^32 - 2 of them the first ids come round again.
    pub(super) fn allocate(&mut self) -> ChannelId {
        let number = (u64::from(self.first) + u64::from(self.count)) % u64::from(ALLOCATABLE);
        if self.count < ALLOCATABLE - 1 {
            self.count += 1;
        } else {
            self.first = (self.first + 1) % ALLOCATABLE;
        }
        ChannelId(u32::try_from(number).unwrap_or_default() + 1)
    }

    /// The id before the first: handed out last of all.
    pub(super) fn unused(&self) -> ChannelId {
        let before = self.first.checked_sub(1).unwrap_or(ALLOCATABLE - 1);
        ChannelId(before + 1)
    }

    /// Whether `channel` was handed out.
    pub(super) fn contains(&self, channel: ChannelId) -> bool {
        let Some(number) = channel.0.checked_sub(1).filter(|n| *n < ALLOCATABLE) else {
            return false;
        };
        let offset = if number >= self.first {
            number - self.first
        } else {
            ALLOCATABLE - self.first + number
        };
        offset < self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_near_the_end_wraps_past_the_reserved_ids() {
        let mut channels = Channels::new(ALLOCATABLE - 2);
        let ids: Vec<u32> = (0..4).map(|_| channels.allocate().0).collect();
        assert_eq!(ids, [0xffff_fffd, 0xffff_fffe, 1, 2]);
        for id in ids {
            assert!(channels.contains(ChannelId(id)));
        }
        assert_eq!(channels.unused(), ChannelId(0xffff_fffc));
        assert_eq!(Channels::new(0).unused(), ChannelId(0xffff_fffe));
        for id in [3, 0xffff_fffc, 0, 0xffff_ffff] {
            assert!(!channels.contains(ChannelId(id)), "{id:#x}");
        }
    }
}
