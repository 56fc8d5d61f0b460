//! A key's PIN as its owner sees and changes it, by the rules of CTAP 2.1 §6.5.
//!
//! Deliberately absent: PIN protocols and wrong PINs in a row, which are `pin`'s.

use std::fmt;

use crate::{
    pin::{MAX_PIN_LEN, PinHash, StoredPin},
    profile::Profile,
    state::{ChangeSet, Config, KeyState, Place, Record, UvState},
};

/// What may be known of a key's PIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PinStatus {
    /// Whether the key has PINs at all.
    pub offered: bool,
    /// Whether one is set.
    pub is_set: bool,
    /// Attempts that are left; none is left of a blocked PIN.
    pub retries: u8,
    /// The least code points that a new one has.
    pub min_length: u8,
    /// It serves for nothing but to be changed.
    pub must_change: bool,
}

/// Why a PIN is not set, changed or compared. The text is for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinRefusal {
    /// The profile has none.
    NotOffered,
    /// None is set.
    NotSet,
    /// One is set already.
    Set,
    /// No attempt is left.
    Blocked,
    /// A new one is too short.
    TooShort {
        /// The least code points that it has.
        least: u8,
    },
    /// A new one is too long.
    TooLong,
    /// A new one has more characters than the profile takes.
    TooMany {
        /// The most code points that it has.
        most: u8,
    },
    /// A new one is among the first that anybody would try.
    TooSimple,
    /// A new one ends with a zero, which is lost on its way to a key (§6.5.5.5).
    EndsWithZero,
    /// It must be changed, and the new one is the old one.
    Same,
}

impl fmt::Display for PinRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOffered => f.write_str("its profile has no PIN"),
            Self::NotSet => f.write_str("it has no PIN: set one first"),
            Self::Set => f.write_str("it has a PIN already: change it"),
            Self::Blocked => f.write_str(
                "its PIN is blocked, since no attempt is left: only wiping the key, which loses \
                 its passkeys, makes it usable again",
            ),
            Self::TooShort { least } => {
                write!(
                    f,
                    "the new PIN is too short: take {least} characters at least"
                )
            }
            Self::TooLong => write!(
                f,
                "the new PIN is too long: {MAX_PIN_LEN} bytes fit, and a letter that is not ASCII \
                 takes two to four"
            ),
            Self::TooMany { most } => {
                write!(f, "the new PIN is too long: take {most} characters at most")
            }
            Self::TooSimple => f.write_str(
                "the new PIN is too simple: take one that is not one character repeated, two in \
                 turns, or a run such as 123456",
            ),
            Self::EndsWithZero => f.write_str("the new PIN ends with a zero byte: leave that away"),
            Self::Same => {
                f.write_str("the PIN must be changed, and the new one is the old one: take another")
            }
        }
    }
}

impl std::error::Error for PinRefusal {}

impl KeyState {
    /// Whether a PIN is set.
    pub fn pin_is_set(&self) -> bool {
        self.pin.is_some()
    }

    /// What may be known of the PIN of a key with this profile.
    pub fn pin_status(&self, profile: &Profile) -> PinStatus {
        PinStatus {
            offered: profile.client_pin,
            is_set: self.pin_is_set(),
            retries: self.pin_retries,
            min_length: self.min_pin_length(profile),
            must_change: self.config.force_pin_change,
        }
    }

    /// The least code points of a new PIN.
    pub(crate) fn min_pin_length(&self, profile: &Profile) -> u8 {
        self.config.min_pin_length.unwrap_or(profile.min_pin_length)
    }

    /// pinComplexityPolicy (CTAP 2.2 §6.4): whether simple PINs are refused.
    pub(crate) fn pin_complexity_policy(&self, profile: &Profile) -> bool {
        let at_first = profile.pin_complexity_policy;
        at_first.is_some_and(|on| on || self.config.pin_complexity_policy)
    }

    /// longTouchForReset (CTAP 2.3 §6.4); `None` for a key without it.
    pub(crate) fn long_touch_for_reset(&self, profile: &Profile) -> Option<bool> {
        let at_first = profile.long_touch_for_reset?;
        Some(at_first || self.config.long_touch_for_reset)
    }

    /// The first PIN.
    ///
    /// # Errors
    /// There is one, the profile has none, or it breaks a rule.
    pub fn set_pin(&self, profile: &Profile, pin: &str) -> Result<ChangeSet, PinRefusal> {
        if !profile.client_pin {
            return Err(PinRefusal::NotOffered);
        }
        if self.pin_is_set() {
            return Err(PinRefusal::Set);
        }
        let pin = self.checked_pin(profile, pin)?;
        Ok(self.store_pin(pin))
    }

    /// Takes an attempt away. A PIN is looked at only once this is durable, so that power may go
    /// at any point without giving an attempt away.
    ///
    /// # Errors
    /// No PIN is set, the profile has none, or no attempt is left.
    pub fn spend_pin_attempt(&self, profile: &Profile) -> Result<ChangeSet, PinRefusal> {
        if !profile.client_pin {
            return Err(PinRefusal::NotOffered);
        }
        if !self.pin_is_set() {
            return Err(PinRefusal::NotSet);
        }
        if self.pin_retries == 0 {
            return Err(PinRefusal::Blocked);
        }
        let mut set = ChangeSet::default();
        set.put(Record::PinRetries(self.pin_retries - 1));
        Ok(set)
    }

    /// Whether this is the PIN; [`Self::spend_pin_attempt`] comes before.
    pub fn pin_is(&self, pin: &str) -> bool {
        let hash = PinHash::of(pin.as_bytes());
        self.pin.as_ref().is_some_and(|stored| stored.hash == hash)
    }

    /// Gives the attempts back, after the right PIN: those of built-in verification, too
    /// (CTAP 2.1 §6.5.3).
    pub fn restore_pin_attempts(&self) -> ChangeSet {
        let mut set = ChangeSet::default();
        set.delete(Place::PinRetries);
        if self.uv != UvState::default() {
            set.delete(Place::Uv);
        }
        set
    }

    /// Another PIN, after the right one.
    ///
    /// # Errors
    /// It breaks a rule.
    pub fn change_pin(&self, profile: &Profile, pin: &str) -> Result<ChangeSet, PinRefusal> {
        let pin = self.checked_pin(profile, pin)?;
        Ok(self.store_pin(pin))
    }

    /// Holds a new PIN against the rules (CTAP 2.1 §6.5.1, §6.5.5.6).
    pub(crate) fn checked_pin(
        &self,
        profile: &Profile,
        pin: &str,
    ) -> Result<StoredPin, PinRefusal> {
        let least = self.min_pin_length(profile);
        let code_points = u8::try_from(pin.chars().count()).unwrap_or(u8::MAX);
        if pin.len() > MAX_PIN_LEN {
            return Err(PinRefusal::TooLong);
        }
        if code_points < least {
            return Err(PinRefusal::TooShort { least });
        }
        if code_points > profile.max_pin_length {
            return Err(PinRefusal::TooMany {
                most: profile.max_pin_length,
            });
        }
        if pin.ends_with('\0') {
            return Err(PinRefusal::EndsWithZero);
        }
        if self.pin_complexity_policy(profile) && is_simple(pin) {
            return Err(PinRefusal::TooSimple);
        }
        let hash = PinHash::of(pin.as_bytes());
        let same = self.pin.as_ref().is_some_and(|old| old.hash == hash);
        if same && self.config.force_pin_change {
            return Err(PinRefusal::Same);
        }
        Ok(StoredPin { hash, code_points })
    }

    /// A new PIN has all attempts, and ends the duty to change.
    pub(crate) fn store_pin(&self, pin: StoredPin) -> ChangeSet {
        let mut set = self.restore_pin_attempts();
        set.put(Record::Pin(pin));
        // CTAP 2.2 §6.5.5.6: what reads the key's credentials ends with the PIN that opened them.
        if self.pin_is_set() && self.persistent_token.is_some() {
            set.delete(Place::PersistentToken);
        }
        if self.config.force_pin_change {
            set.put(Record::Config(Config {
                force_pin_change: false,
                ..self.config.clone()
            }));
        }
        set
    }
}

/// What pinComplexityPolicy refuses, the standard leaving it to the key: one character repeated,
/// two in turns, and runs up or down by one.
fn is_simple(pin: &str) -> bool {
    let points: Vec<i64> = pin.chars().map(|c| i64::from(u32::from(c))).collect();
    let steps: Vec<i64> = points
        .iter()
        .zip(points.iter().skip(1))
        .map(|(a, b)| b - a)
        .collect();
    let all = |step: i64| steps.iter().all(|one| *one == step);
    let in_turns = points
        .iter()
        .zip(points.iter().skip(2))
        .all(|(a, b)| a == b);
    all(0) || all(1) || all(-1) || in_turns
}
