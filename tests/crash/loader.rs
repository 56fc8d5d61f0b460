//! Random use of a key until it is killed.

use super::{
    model::Account,
    session::{Session, Way},
};
use crate::support::pin::permission;

const SITES: [&str; 3] = ["example.com", "example.org", "login.example.net"];
const NAMES: [&str; 4] = ["alice", "Bob Builder", "carol@example.com", "д"];
/// Accounts at each site: nine passkeys are the most that a key holds.
const USERS: usize = 3;
/// As few attempts as a client leaves, most of the time.
const LAST_RETRIES: u64 = 2;

/// All sites.
pub(super) const fn sites() -> [&'static str; 3] {
    SITES
}

/// Another PIN than all before, as likely as not of another length.
pub(super) fn new_pin(session: &mut Session<'_>) -> String {
    let digits = session.key.pick(1_000_000_000);
    let length = 4 + session.key.pick(10);
    format!("{digits:0length$}")
}

/// Uses the key until the process is gone, which unwinds.
pub(super) fn load(session: &mut Session<'_>) -> ! {
    // Attempts add up over kills only where no right PIN comes in between.
    let guesses = session.key.pick(3) == 0;
    loop {
        let model = &session.key.model;
        if model.pin.is_none() {
            use_without_pin(session);
        } else if model.retries == 0 {
            use_blocked(session);
        } else if guesses && may_guess(session) {
            guess(session);
        } else if session.key.model.refusal().is_some() {
            use_locked(session);
        } else {
            use_freely(session);
        }
    }
}

fn may_guess(session: &mut Session<'_>) -> bool {
    session.key.model.retries > LAST_RETRIES || session.key.pick(8) == 0
}

fn account(session: &mut Session<'_>) -> Account {
    Account {
        site: SITES[session.key.pick(SITES.len())],
        user: u8::try_from(session.key.pick(USERS)).expect("a small number"),
    }
}

fn make_passkey(session: &mut Session<'_>) {
    let account = account(session);
    let name = NAMES[session.key.pick(NAMES.len())];
    session.make_passkey(account, name);
}

fn any_passkey(session: &mut Session<'_>) -> Option<Vec<u8>> {
    let ids = session.key.model.passkeys();
    let at = session.key.pick(ids.len().max(1));
    ids.get(at).cloned()
}

fn sign(session: &mut Session<'_>) {
    let count = session.key.model.known.len();
    let at = session.key.pick(count.max(1));
    let id = session.key.model.known.keys().nth(at).cloned();
    let silent = session.key.pick(2) == 0;
    if let Some(id) = id {
        session.sign(&id, silent);
    }
}

fn wrong_pin(session: &mut Session<'_>) {
    let way = [Way::Token, Way::LegacyToken, Way::Change][session.key.pick(3)];
    let former = session.key.model.former.clone();
    let pin = match former.filter(|_| session.key.pick(2) == 0) {
        Some(former) => former,
        None => format!("wrong {}", session.key.pick(1000)),
    };
    session.try_pin(way, &pin, (permission::CM, None));
}

/// The right PIN, which is not looked at.
fn right_pin_in_vain(session: &mut Session<'_>) {
    let pin = session.key.model.pin.clone().expect("a PIN");
    let way = [Way::Token, Way::LegacyToken][session.key.pick(2)];
    let token = session.try_pin(way, &pin, (permission::CM, None));
    assert!(token.is_none());
}

fn use_without_pin(session: &mut Session<'_>) {
    match session.key.pick(8) {
        0 | 1 => make_passkey(session),
        2 => session.make_derived(SITES[0]),
        3 | 4 => sign(session),
        5 => session.write_blobs(),
        6 => session.check_retries(),
        _ => {
            let pin = new_pin(session);
            session.set_pin(pin);
        }
    }
}

fn use_blocked(session: &mut Session<'_>) {
    match session.key.pick(4) {
        0 => right_pin_in_vain(session),
        1 => sign(session),
        2 => session.check_retries(),
        _ => session.reset(),
    }
}

/// Three wrong PINs came in a row.
fn use_locked(session: &mut Session<'_>) {
    match session.key.pick(6) {
        0 => right_pin_in_vain(session),
        1 => wrong_pin(session),
        2 => session.check_retries(),
        _ => session.replug(),
    }
}

fn guess(session: &mut Session<'_>) {
    if session.key.model.refusal().is_some() {
        return use_locked(session);
    }
    match session.key.pick(6) {
        0..=3 => wrong_pin(session),
        4 => sign(session),
        _ => session.check_retries(),
    }
}

fn use_freely(session: &mut Session<'_>) {
    match session.key.pick(26) {
        0..=4 => make_passkey(session),
        5 | 6 => {
            let site = SITES[session.key.pick(SITES.len())];
            session.make_derived(site);
        }
        7..=11 => sign(session),
        12 | 13 => {
            if let Some(id) = any_passkey(session) {
                session.delete(&id);
            }
        }
        14 => {
            if let Some(id) = any_passkey(session) {
                let name = NAMES[session.key.pick(NAMES.len())];
                session.rename(&id, name);
            }
        }
        15 | 16 => wrong_pin(session),
        17 => {
            let pin = session.key.model.pin.clone().expect("a PIN");
            session.try_pin(Way::LegacyToken, &pin, (0, None));
        }
        18 => {
            let pin = new_pin(session);
            session.change_pin(pin);
        }
        19 | 20 => session.write_blobs(),
        21 => session.read_blobs(),
        22 => session.replug(),
        23 => session.enroll(),
        24 if session.key.pick(2) == 0 => session.remove_finger(),
        24 => session.enroll(),
        _ if session.key.pick(6) == 0 => session.reset(),
        _ => session.check_retries(),
    }
}
