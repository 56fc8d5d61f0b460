//! What a key holds after a kill, against what it acknowledged.

use std::collections::BTreeMap;

use super::{
    fingers, loader,
    model::{ALL_RETRIES, Account, Fate, Model, Request},
    session::{Session, Way},
};
use crate::support::{
    cbor,
    cose::PublicKey,
    ctap2::{GetAssertion, status},
    pin::{Protocol, Token, permission},
};

/// A former PIN is tried only while this many attempts are left.
const ENOUGH_RETRIES: u64 = 4;

/// A discoverable credential as credential management lists it.
struct Listed {
    account: Account,
    name: String,
    public_key: PublicKey,
}

/// Checks the key as it has just started, and settles what had no answer.
pub(super) fn check(session: &mut Session<'_>) {
    session.key.is_checking = true;
    let pending = session.key.model.pending.take();
    let has_pin = options(session);
    check_reset(session, pending.as_ref(), has_pin);
    check_pin(session, pending.as_ref(), has_pin);
    check_blobs(session, pending.as_ref());
    if !spares_pin(session, pending.as_ref()) {
        if session.key.model.pin.is_none() {
            let pin = loader::new_pin(session);
            session.set_pin(pin);
        }
        check_former_pin(session);
        let token = session.token(permission::CM, None).expect("a PIN");
        let listed = list(session, &token);
        check_list(session, pending.as_ref(), listed);
        fingers::check(session, pending.as_ref());
    }
    let ids: Vec<_> = session.key.model.known.keys().cloned().collect();
    for id in ids {
        session.sign(&id, true);
    }
    check_gone(session);
    session.key.is_checking = false;
}

/// What getInfo says: whether a PIN is set. Large blobs must be offered, or nothing is tested.
fn options(session: &mut Session<'_>) -> bool {
    let info = session.plain(|platform, channel| platform.info(channel));
    let options = cbor::member(&info.expect("getInfo"), 4).expect("options");
    let option = |name: &str| cbor::member(&options, name).and_then(|value| value.as_bool());
    assert_eq!(
        option("largeBlobs"),
        Some(true),
        "this test loads the key with large blobs, and getInfo does not offer them"
    );
    option("clientPin").expect("a key with PINs")
}

/// A reset takes the PIN away, and nothing else does.
fn check_reset(session: &mut Session<'_>, pending: Option<&Request>, has_pin: bool) {
    let Some(request @ Request::Reset) = pending else {
        return;
    };
    let had_pin = session.key.model.pin.is_some();
    let fate = match (had_pin, has_pin) {
        (true, false) => Fate::Stored,
        (true, true) => Fate::Lost,
        (false, _) => panic!("only keys with a PIN are reset"),
    };
    session.key.settle(request, fate);
    if fate == Fate::Stored {
        session.key.model.erased();
    }
}

/// How many attempts may be left beside what the model says, after an attempt without an answer.
fn check_pin(session: &mut Session<'_>, pending: Option<&Request>, has_pin: bool) {
    if let Some(request @ Request::SetPin(pin)) = pending {
        assert!(session.key.model.pin.is_none());
        let fate = if has_pin { Fate::Stored } else { Fate::Lost };
        session.key.settle(request, fate);
        if has_pin {
            session.key.model.has_pin(pin.clone());
        }
    }
    assert_eq!(
        session.key.model.pin.is_some(),
        has_pin,
        "whether a PIN is set"
    );
    if !has_pin {
        return session.check_retries();
    }
    let retries = session.plain(|platform, channel| platform.pin_retries(channel));
    let (left, locked) = retries.expect("a PIN is set");
    assert!(!locked, "a soft lock ends with power");
    *session.key.starts.entry(left).or_default() += 1;
    let before = session.key.model.retries;
    let spent = before.saturating_sub(1);
    match pending {
        Some(request @ Request::WrongPin) => {
            assert!(left == before || left == spent, "{left} after {before}");
            let fate = if left == spent {
                Fate::Stored
            } else {
                Fate::Lost
            };
            session.key.settle(request, fate);
            session.key.model.retries = left;
        }
        Some(request @ (Request::RightPin | Request::ChangePin(_))) => {
            let restored = left == ALL_RETRIES;
            assert!(
                left == before || left == spent || restored,
                "{left} after {before}, and the PIN was right"
            );
            session.key.model.retries = left;
            if let Request::ChangePin(new) = request {
                settle_change(session, request, new, (before, left));
            } else if restored && before == ALL_RETRIES {
                session.key.settle(request, Fate::Untold);
            } else if left == before {
                session.key.settle(request, Fate::Lost);
            } else {
                session.key.settle(request, Fate::Stored);
            }
        }
        _ => assert_eq!(left, before, "attempts left"),
    }
}

/// The new PIN and all attempts are stored together; only a try tells where there were all
/// attempts before.
fn settle_change(
    session: &mut Session<'_>,
    request: &Request,
    new: &str,
    (before, left): (u64, u64),
) {
    let old = session.key.model.pin.clone().expect("a PIN");
    let is_changed = if left != ALL_RETRIES {
        false
    } else if before != ALL_RETRIES {
        true
    } else {
        let shared = session.plain(|platform, channel| platform.agree(channel, Protocol::Two));
        let members = shared.token(new, permission::CM, None);
        let tried = session.plain(|platform, channel| platform.client_pin(channel, members));
        match tried {
            Ok(_) => true,
            Err(answer) => {
                assert_eq!(answer, status::PIN_INVALID);
                session.key.model.retries -= 1;
                session.key.model.mismatches += 1;
                false
            }
        }
    };
    if is_changed {
        session.key.settle(request, Fate::Stored);
        session.key.model.has_pin(new.to_owned());
    } else {
        let fate = if left == before {
            Fate::Lost
        } else {
            Fate::Stored // the loss of an attempt
        };
        session.key.settle(request, fate);
        session.key.model.former = Some(new.to_owned()).filter(|new| *new != old);
    }
}

fn check_blobs(session: &mut Session<'_>, pending: Option<&Request>) {
    let found = session.blobs();
    let old = &session.key.model.blobs;
    if let Some(request @ Request::Blobs(new)) = pending {
        assert!(
            found == *old || found == *new,
            "neither the old array nor the new one"
        );
        let fate = match (found == *old, found == *new) {
            (true, true) => Fate::Untold,
            (true, false) => Fate::Lost,
            (false, _) => Fate::Stored,
        };
        session.key.model.blobs = found;
        session.key.settle(request, fate);
    } else {
        assert!(found == *old, "another large-blob array");
    }
}

/// Whether this check leaves the PIN alone: the attempts that it would give back are to be seen
/// after the next kill, too.
fn spares_pin(session: &mut Session<'_>, pending: Option<&Request>) -> bool {
    let model = &session.key.model;
    if model.pin.is_none() || pending.is_some_and(Request::is_told_by_lists) {
        return false;
    }
    model.retries == 0 || model.retries < ALL_RETRIES && session.key.pick(3) != 0
}

/// A PIN that was changed is a wrong one.
fn check_former_pin(session: &mut Session<'_>) {
    let model = &session.key.model;
    let Some(former) = model.former.clone() else {
        return;
    };
    if model.retries >= ENOUGH_RETRIES && model.mismatches == 0 && session.key.pick(2) == 0 {
        let token = session.try_pin(Way::Token, &former, (permission::CM, None));
        assert!(token.is_none(), "a former PIN is taken");
    }
}

/// All discoverable credentials, by credential management.
fn list(session: &mut Session<'_>, token: &Token) -> BTreeMap<Vec<u8>, Listed> {
    let mut listed = BTreeMap::new();
    let mut rps = Vec::new();
    for site in loader::sites() {
        let found = session.plain(|platform, channel| platform.credentials(channel, token, site));
        let found = match found {
            Ok(found) => found,
            Err(answer) => {
                assert_eq!(answer, status::NO_CREDENTIALS);
                continue;
            }
        };
        rps.push(site);
        for managed in found {
            let user = cbor::bytes(cbor::member(&managed.user, "id"));
            let account = Account {
                site,
                user: user[0],
            };
            let credential = Listed {
                account,
                name: cbor::text(cbor::member(&managed.user, "name")),
                public_key: managed.public_key,
            };
            listed.insert(managed.id, credential);
        }
    }
    rps.sort_unstable();
    let found = session.plain(|platform, channel| platform.rps(channel, token));
    let found = match found {
        Err(status::NO_CREDENTIALS) => Vec::new(),
        found => found.expect("a list of sites"),
    };
    assert_eq!(found, rps, "the sites that have credentials");
    listed
}

/// Settles what had no answer; the rest must be listed as it was acknowledged.
fn check_list(
    session: &mut Session<'_>,
    pending: Option<&Request>,
    listed: BTreeMap<Vec<u8>, Listed>,
) {
    let fate = pending.and_then(|request| settle_list(&mut session.key.model, request, &listed));
    if let (Some(request), Some(fate)) = (pending, fate) {
        session.key.settle(request, fate);
    }
    let model = &session.key.model;
    let expected = model.passkeys();
    let found: Vec<_> = listed.keys().cloned().collect();
    assert!(
        found == expected,
        "{} passkeys are listed, of which {} were confirmed; {} should be there",
        found.len(),
        found.iter().filter(|id| expected.contains(id)).count(),
        expected.len()
    );
    for (id, listed) in listed {
        let known = &model.known[&id];
        let account = (listed.account, listed.name.as_str());
        assert_eq!(Some(account), known.account, "a passkey's account");
        assert_eq!(listed.public_key, known.public_key, "a passkey's key");
    }
}

fn settle_list(
    model: &mut Model,
    request: &Request,
    listed: &BTreeMap<Vec<u8>, Listed>,
) -> Option<Fate> {
    let is_stored = match request {
        Request::Register(account, name) => {
            let mut listed = listed.iter();
            let new = listed.find(|(id, new)| {
                new.account == *account && !model.known.contains_key(id.as_slice())
            });
            if let Some((id, new)) = new {
                // No count of it was ever seen. The name is compared with the others'.
                model.stored(id.clone(), (*account, name), new.public_key.clone(), 0);
            }
            new.is_some()
        }
        Request::Delete(id) => {
            let deleted = !listed.contains_key(id);
            if deleted {
                model.removed(id);
            }
            deleted
        }
        Request::Rename(id, to) => {
            let (_, before) = model.known[id].account.expect("a discoverable one");
            if before == *to {
                return Some(Fate::Untold);
            }
            let renamed = listed.get(id).is_some_and(|listed| listed.name == *to);
            if renamed {
                model.renamed(id, to);
            }
            renamed
        }
        _ => return None,
    };
    Some(if is_stored { Fate::Stored } else { Fate::Lost })
}

/// What was deleted, replaced or erased signs no more.
fn check_gone(session: &mut Session<'_>) {
    for (site, id) in session.key.model.gone.clone() {
        let request = GetAssertion::new(site, &[&id]).silent();
        let outcome = session.plain(|platform, channel| platform.get(channel, &request));
        assert_eq!(
            outcome.map(drop),
            Err(status::NO_CREDENTIALS),
            "a credential that was gone is back"
        );
    }
}
