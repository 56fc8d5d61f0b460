//! Time as the state machine sees it: an argument.
//!
//! Deliberately absent: a clock. Whoever drives a [`crate::Device`] says what time it is, so a
//! test runs years of protocol in milliseconds.

/// A point in time, in milliseconds since an origin that the driver chose once for the device.
///
/// It must never go back between two calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(u64);

impl Instant {
    /// The point `ms` milliseconds after the driver's origin.
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the driver's origin.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The point `ms` milliseconds later; stays at the end of time rather than wrap.
    #[must_use]
    pub const fn after_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }
}
