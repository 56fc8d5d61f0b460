//! What must not go back when an older copy of a key takes its place: signature counters, and the
//! tries of its PIN and of its fingers.
//!
//! A counter goes on from the higher ceiling. Where nobody knows what was used since the copy was
//! made, it is raised by more than a person uses; the PIN keeps the lower number of tries.

use std::collections::BTreeMap;

use roamkey_ctap::{CredentialId, MAX_PIN_RETRIES, MAX_UV_RETRIES, Record, UvState};

/// How far a ceiling is raised where nobody knows what was used since.
pub(crate) const UNKNOWN_USE: u32 = 1 << 16;
/// Tries that are left of a PIN, or of a finger, where what was stored of them cannot be read.
const UNKNOWN_RETRIES: u8 = 1;

/// Whose counter a record is: a passkey's, or (`None`) the key's own, which U2F and all other
/// registrations without a passkey share.
type Owner = Option<CredentialId>;

/// What a key in use says of its counters and its PIN.
pub(crate) struct Live {
    ceilings: BTreeMap<Owner, u32>,
    /// Tries of the PIN that are left.
    pin_retries: u8,
    /// Tries of a finger that are left.
    uv_retries: u8,
    /// Whether all of it is what was last written.
    whole: bool,
}

impl Live {
    /// Of the records that can be read; `whole` where those are all, and the last ones.
    pub(crate) fn of<'r>(records: impl IntoIterator<Item = &'r Record>, whole: bool) -> Self {
        let (pin_retries, uv_retries) = match whole {
            true => (MAX_PIN_RETRIES, MAX_UV_RETRIES),
            false => (UNKNOWN_RETRIES, UNKNOWN_RETRIES),
        };
        let mut live = Self {
            ceilings: BTreeMap::new(),
            pin_retries,
            uv_retries,
            whole,
        };
        for record in records {
            if let Some((owner, ceiling)) = counter(record) {
                live.ceilings.insert(owner, ceiling);
            } else if let Record::PinRetries(left) = record {
                live.pin_retries = live.pin_retries.min(*left);
            } else if let Record::Uv(uv) = record {
                live.uv_retries = live.uv_retries.min(uv.retries);
            }
        }
        live
    }
}

/// A copy's counter as it goes on after a rollback; `None` for a record that stays as it is. The
/// copy was made by this vault: what is live and whole tells all that was used since.
pub(crate) fn rolled_back(record: &Record, live: Option<&Live>) -> Option<Record> {
    let (owner, copied) = counter(record)?;
    let whole = live.is_some_and(|live| live.whole);
    let goes_on = match live.and_then(|live| live.ceilings.get(&owner)) {
        Some(live) if whole => copied.max(*live),
        Some(live) => copied.max(*live).saturating_add(UNKNOWN_USE),
        None => copied.saturating_add(UNKNOWN_USE),
    };
    (goes_on != copied).then(|| counter_of(owner, goes_on))
}

/// The same after a restore. The copy may have been in use elsewhere.
pub(crate) fn restored(record: Record, live: Option<&Live>) -> Record {
    let Some((owner, copied)) = counter(&record) else {
        return record;
    };
    let live = live.and_then(|live| live.ceilings.get(&owner).copied());
    let raised = copied.saturating_add(UNKNOWN_USE);
    counter_of(owner, raised.max(live.unwrap_or(0)))
}

/// The tries that the copy's PIN and its fingers have, where they are fewer than the copy says.
pub(crate) fn fewer_retries<'r>(
    copy: impl IntoIterator<Item = &'r Record>,
    live: Option<&Live>,
) -> impl Iterator<Item = Record> {
    let (mut has_pin, mut has_fingers) = (false, false);
    let (mut copied, mut copied_uv) = (MAX_PIN_RETRIES, UvState::default());
    for record in copy {
        if let Record::PinRetries(left) = record {
            copied = *left;
        } else if let Record::Uv(uv) = record {
            copied_uv = *uv;
        }
        has_pin |= matches!(record, Record::Pin(_));
        has_fingers |= matches!(record, Record::Fingerprints(_));
    }
    let left = live.map_or(MAX_PIN_RETRIES, |live| live.pin_retries);
    let uv_left = live.map_or(MAX_UV_RETRIES, |live| live.uv_retries);
    // Without a PIN there is nothing to guess, and without a finger nothing to show.
    let pin = (has_pin && left < copied).then_some(Record::PinRetries(left));
    let uv = (has_fingers && uv_left < copied_uv.retries).then_some(Record::Uv(UvState {
        retries: uv_left,
        ..copied_uv
    }));
    pin.into_iter().chain(uv)
}

fn counter(record: &Record) -> Option<(Owner, u32)> {
    if let Record::Counter { ceiling } = record {
        return Some((None, *ceiling));
    }
    if let Record::CredentialCounter { id, ceiling } = record {
        return Some((Some(*id), *ceiling));
    }
    None
}

fn counter_of(owner: Owner, ceiling: u32) -> Record {
    match owner {
        None => Record::Counter { ceiling },
        Some(id) => Record::CredentialCounter { id, ceiling },
    }
}
