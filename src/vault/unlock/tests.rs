//! Slots as a whole.
