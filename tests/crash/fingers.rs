//! Fingers under kills: enrolled in samples, and there whole or not at all.

use ciborium::Value;

use super::{
    model::{Fate, Request},
    session::Session,
};
use crate::support::{
    bio::{enrollment, of_finger, subcommand},
    cbor,
    ctap2::{BIO_ENROLLMENT, Outcome, status},
    pin::{Token, permission},
};

/// maxFingerprints of [`PROFILE`].
const MOST: usize = 5;
/// Keys with a sensor that knows no finger yet; touches are given unasked.
pub(super) const PROFILE: &str =
    "[options]\nuv = true\nbioEnroll = true\n[limits]\nmaxFingerprints = 5\n";

impl Session<'_> {
    fn bio(
        &mut self,
        request: Request,
        subcommand: u8,
        params: Option<&Value>,
        token: &Token,
    ) -> Outcome<Value> {
        let parameters = cbor::map(enrollment(subcommand, params, Some(token)));
        self.ask(request, |platform, channel| {
            platform.ctap2(channel, BIO_ENROLLMENT, Some(&parameters))
        })
    }

    /// Enrolls a finger, or removes one where there is no room. Only the last sample can change
    /// what is stored.
    pub(super) fn enroll(&mut self) {
        if self.key.model.fingers.len() == MOST {
            return self.remove_finger();
        }
        let token = self.token(permission::BE, None).expect("a PIN");
        let sample = || Request::Use("finger sample");
        let begun = self.bio(sample(), subcommand::BEGIN, None, &token);
        let begun = begun.expect("there is room");
        let id = cbor::bytes(cbor::member(&begun, 4));
        let params = of_finger(&id);
        for request in [sample(), sample(), Request::Enroll(id.clone())] {
            let taken = self.bio(request, subcommand::NEXT, Some(&params), &token);
            taken.expect("a sample");
        }
        self.key.model.fingers.push(id);
    }

    pub(super) fn remove_finger(&mut self) {
        let count = self.key.model.fingers.len();
        if count == 0 {
            return;
        }
        let at = self.key.pick(count);
        let id = self.key.model.fingers[at].clone();
        let token = self.token(permission::BE, None).expect("a PIN");
        let request = Request::RemoveFinger(id.clone());
        let params = of_finger(&id);
        let removed = self.bio(request, subcommand::REMOVE, Some(&params), &token);
        removed.expect("a finger that was enrolled");
        self.key.model.fingers.remove(at);
    }

    /// The fingers that are enrolled.
    fn fingers(&mut self) -> Vec<Vec<u8>> {
        let token = self.token(permission::BE, None).expect("a PIN");
        let listed = Request::Use("fingers listed");
        let value = match self.bio(listed, subcommand::ENUMERATE, None, &token) {
            Err(status::INVALID_OPTION) => return Vec::new(),
            listed => listed.expect("a list of fingers"),
        };
        let infos = cbor::member(&value, 7).and_then(|infos| infos.into_array().ok());
        let infos = infos.expect("templateInfos").into_iter();
        let ids = infos.map(|info| cbor::bytes(cbor::member(&info, 1)));
        ids.collect()
    }
}

/// What had no answer is settled; the other fingers are as they were acknowledged.
pub(super) fn check(session: &mut Session<'_>, pending: Option<&Request>) {
    let found = session.fingers();
    let before = session.key.model.fingers.clone();
    let mut after = before.clone();
    match pending {
        Some(Request::Enroll(id)) => after.push(id.clone()),
        Some(Request::RemoveFinger(id)) => after.retain(|finger| finger != id),
        _ => return assert!(found == before, "other fingers than were enrolled"),
    }
    assert!(
        found == before || found == after,
        "neither the fingers of before nor those of after"
    );
    let fate = if found == after {
        Fate::Stored
    } else {
        Fate::Lost
    };
    session.key.model.fingers = found;
    if let Some(request) = pending {
        session.key.settle(request, fate);
    }
}
