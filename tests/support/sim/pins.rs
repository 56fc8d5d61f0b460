//! The PIN in a key's model: which it may be, and how many attempts may be left.

use super::model::{ALL_RETRIES, Checked, Model};
use crate::support::ctap2::status;

/// Wrong PINs in a row that block until the next power-on.
const BLOCKING: u64 = 3;

impl Model {
    pub(super) fn may_be_pin(&mut self, pin: Option<String>) {
        if !self.pins.contains(&pin) {
            self.pins.push(pin);
        }
    }

    pub(super) fn doubt_attempt(&mut self, pin: &str) {
        self.retries.0 = self.retries.0.saturating_sub(1);
        self.mismatches.1 = (self.mismatches.1 + 1).min(BLOCKING);
        if self.may_match(pin) {
            self.retries.1 = ALL_RETRIES;
            self.mismatches.0 = 0;
        }
    }

    pub(super) fn may_match(&self, pin: &str) -> bool {
        self.pins.iter().flatten().any(|known| known == pin)
    }

    /// Whether this is the PIN for sure.
    fn surely_matches(&self, pin: &str) -> bool {
        let all = self.pins.iter();
        all.clone().count() > 0 && self.pins.iter().all(|known| known.as_deref() == Some(pin))
    }

    /// The PIN, if there surely is one and which.
    pub(crate) fn pin(&self) -> Option<&str> {
        match self.pins.as_slice() {
            [Some(pin)] => Some(pin),
            _ => None,
        }
    }

    pub(crate) fn may_have_pin(&self) -> bool {
        self.pins.iter().any(Option::is_some)
    }

    pub(crate) fn may_have_no_pin(&self) -> bool {
        self.pins.contains(&None)
    }

    /// Fewest attempts that may be left.
    pub(crate) fn least_retries(&self) -> u64 {
        self.retries.0
    }

    pub(crate) fn may_be_locked(&self) -> bool {
        self.mismatches.1 >= BLOCKING || self.retries.0 == 0
    }

    /// A PIN was compared, and was right.
    pub(crate) fn pin_matched(&mut self, pin: &str) -> Checked {
        if !self.may_match(pin) {
            return Err(format!(
                "{pin:?} was taken for the PIN, one of {:?}",
                self.pins
            ));
        }
        if self.retries.1 == 0 || self.mismatches.0 >= BLOCKING {
            return Err("a PIN was compared although that is blocked".to_owned());
        }
        self.pins = vec![Some(pin.to_owned())];
        self.retries = (ALL_RETRIES, ALL_RETRIES);
        self.mismatches = (0, 0);
        Ok(())
    }

    /// A PIN was refused with this status.
    pub(crate) fn pin_refused(&mut self, pin: &str, with: u8) -> Checked {
        let fewer = |count: u64| count.saturating_sub(1);
        match with {
            status::PIN_NOT_SET => return self.no_pin_seen(),
            status::PIN_INVALID => {
                if self.surely_matches(pin) {
                    return Err("the PIN was called wrong".to_owned());
                }
                if self.retries.1 == 0 {
                    return Err("an attempt beyond the last".to_owned());
                }
                if self.mismatches.0 + 1 >= BLOCKING {
                    return Err("the third wrong PIN in a row did not block".to_owned());
                }
                self.mismatches.0 += 1;
                self.mismatches.1 = (self.mismatches.1 + 1).min(BLOCKING - 1);
                self.retries = (fewer(self.retries.0), fewer(self.retries.1));
                self.pins.retain(|known| known.as_deref() != Some(pin));
            }
            status::PIN_AUTH_BLOCKED => {
                if self.mismatches.0 >= BLOCKING {
                    return Ok(());
                }
                if self.mismatches.1 + 1 < BLOCKING {
                    return Err("blocked before the third wrong PIN in a row".to_owned());
                }
                self.retries.0 = fewer(self.retries.0);
                if self.mismatches.1 < BLOCKING {
                    if self.surely_matches(pin) {
                        return Err("the PIN was called wrong".to_owned());
                    }
                    self.retries.1 = fewer(self.retries.1);
                }
                self.mismatches = (BLOCKING, BLOCKING);
            }
            status::PIN_BLOCKED => {
                if self.retries.0 > 1 {
                    return Err(format!("blocked with {} attempts left", self.retries.0));
                }
                self.retries = (0, 0);
            }
            other => return Err(format!("a PIN was answered with {other:#04x}")),
        }
        self.pins.retain(Option::is_some);
        Ok(())
    }

    fn no_pin_seen(&mut self) -> Checked {
        if !self.may_have_no_pin() {
            return Err("the PIN is gone".to_owned());
        }
        self.pins = vec![None];
        self.retries = (ALL_RETRIES, ALL_RETRIES);
        Ok(())
    }

    /// getPINRetries: the retries, or that there is no PIN.
    pub(crate) fn retries_seen(&mut self, left: Option<u64>) -> Checked {
        let Some(left) = left else {
            return self.no_pin_seen();
        };
        self.pins.retain(Option::is_some);
        if self.pins.is_empty() {
            return Err("a PIN that nobody set".to_owned());
        }
        let (least, most) = self.retries;
        if !(least..=most).contains(&left) {
            return Err(format!("{left} PIN retries, and not {least} to {most}"));
        }
        self.retries = (left, left);
        Ok(())
    }

    pub(crate) fn pin_set(&mut self, pin: &str) -> Checked {
        if !self.may_have_no_pin() {
            return Err("a PIN was set over another".to_owned());
        }
        self.pins = vec![Some(pin.to_owned())];
        self.retries = (ALL_RETRIES, ALL_RETRIES);
        self.mismatches = (0, 0);
        Ok(())
    }

    /// The old one matched.
    pub(crate) fn pin_changed(&mut self, new: &str) {
        self.pins = vec![Some(new.to_owned())];
    }
}
