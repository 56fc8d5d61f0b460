//! Finds a passkey by the beginning of its id, among those of every key or of one.

use super::account;
use crate::{
    cli::{Failure, desk::Desk, output::shown},
    rig::PasskeyView,
};

/// An id is shown with this many hexadecimal digits, or as many as tell it from the others.
const SHORT: usize = 8;
/// As many passkeys are named where an id fits several.
const MOST_CANDIDATES: usize = 10;

/// Which passkey.
#[derive(Debug, clap::Args)]
pub(super) struct Which {
    /// The beginning of its id, as far as it is no other's.
    id: String,
    /// Look in this key alone, by its name or bus id.
    #[arg(long, value_name = "NAME")]
    key: Option<String>,
}

/// The passkeys of every key, or of one.
pub(super) fn of_keys(desk: &Desk, key: Option<&str>) -> Result<Vec<PasskeyView>, Failure> {
    if let Some(key) = key {
        return desk.passkeys(key, None);
    }
    let mut all = Vec::new();
    for key in desk.keys()? {
        all.extend(desk.passkeys(&key.bus_id, None)?);
    }
    Ok(all)
}

/// How many hexadecimal digits tell every id from the others.
pub(super) fn digits(all: &[PasskeyView]) -> usize {
    let mut ids: Vec<_> = all.iter().map(|passkey| passkey.id.as_str()).collect();
    ids.sort_unstable();
    let common = ids.windows(2).filter_map(|pair| match pair {
        [one, other] => {
            let same = one.bytes().zip(other.bytes());
            Some(same.take_while(|(one, other)| one == other).count())
        }
        _ => None,
    });
    common.max().map_or(SHORT, |most| SHORT.max(most + 1))
}

impl Which {
    /// The passkey whose id begins so.
    pub(super) fn find(&self, desk: &Desk) -> Result<PasskeyView, Failure> {
        let wanted = self.id.to_ascii_lowercase();
        if wanted.is_empty() || !wanted.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(Failure::Usage(format!(
                "{:?} is no beginning of an id: those are hexadecimal digits, as `roamkey passkey \
                 list` shows them",
                self.id
            )));
        }
        let all = of_keys(desk, self.key.as_deref())?;
        let digits = digits(&all).max(wanted.len());
        let fits = |passkey: &PasskeyView| passkey.id.starts_with(&wanted);
        let mut found: Vec<_> = all.into_iter().filter(fits).collect();
        if found.len() > 1 {
            return Err(several(&found, &wanted, digits));
        }
        found.pop().ok_or_else(|| {
            Failure::Failed(format!(
                "no passkey's id begins with {wanted}: `roamkey passkey list` shows them"
            ))
        })
    }
}

fn several(found: &[PasskeyView], wanted: &str, digits: usize) -> Failure {
    let named = found.iter().take(MOST_CANDIDATES).map(|passkey| {
        let id = passkey.id.get(..digits).unwrap_or(&passkey.id);
        let (site, key) = (shown(&passkey.rp_id), shown(&passkey.key));
        format!("  {id}  {site} as {}, key {key}", shown(&account(passkey)))
    });
    let named: Vec<_> = named.collect();
    let more = match found.len().saturating_sub(named.len()) {
        0 => String::new(),
        more => format!("\n  … and {more} more"),
    };
    Failure::Failed(format!(
        "the ids of {} passkeys begin with {wanted}: type more of the one you mean\n{}{more}",
        found.len(),
        named.join("\n")
    ))
}
