//! What a message asks, at a glance: for rules about operations.
//!
//! It never fails; what cannot be read is not there. Deliberately absent: whether the message is
//! right.

use super::{cbor, make_credential};
use crate::{command::Command, credential::RpIdHash, u2f};

/// What is read of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Peeked {
    pub(crate) command: Command,
    /// The site, where the message names it.
    pub(crate) rp_id: Option<String>,
    /// Its hash, where the message names that.
    pub(crate) rp_id_hash: Option<RpIdHash>,
    /// Whether a registration asks for no attestation.
    pub(crate) unattested: bool,
}

impl Peeked {
    fn of(command: Command) -> Self {
        Self {
            command,
            rp_id: None,
            rp_id_hash: None,
            unattested: false,
        }
    }
}

/// Looks at a CTAPHID_CBOR payload.
pub(crate) fn peek(payload: &[u8]) -> Peeked {
    let Some((command, parameters)) = payload.split_first() else {
        return Peeked::of(Command::Unknown);
    };
    let mut peeked = Peeked::of(Command::of_ctap2(*command));
    // The RP's member: in getAssertion a text, in clientPIN that of a token's permissions.
    let rp_key = match command {
        0x01 => 0x02,
        0x02 => 0x01,
        0x06 => 0x0a,
        _ => return peeked,
    };
    let Ok(mut members) = cbor::Members::parse(parameters) else {
        return peeked;
    };
    if peeked.command == Command::MakeCredential {
        let rp = members.optional(rp_key, make_credential::rp).ok().flatten();
        peeked.rp_id = rp.map(|rp| rp.id);
        let formats = members.optional(0x0b, |value| cbor::list(value, cbor::text));
        let formats = formats.ok().flatten().unwrap_or_default();
        peeked.unattested = make_credential::prefers_none(&formats);
    } else {
        peeked.rp_id = members.optional(rp_key, cbor::text).ok().flatten();
    }
    peeked
}

/// Looks at a CTAPHID_MSG payload.
pub(crate) fn peek_apdu(apdu: &[u8]) -> Peeked {
    let mut peeked = Peeked::of(match apdu {
        [0, 0x01, ..] => Command::U2fRegister,
        [0, 0x02, ..] => Command::U2fAuthenticate,
        [0, 0x03, ..] => Command::U2fVersion,
        _ => Command::Unknown,
    });
    peeked.rp_id_hash = match u2f::Request::parse(apdu) {
        Ok(u2f::Request::Register(request)) => Some(request.application),
        Ok(u2f::Request::Authenticate(request)) => Some(request.application),
        Ok(u2f::Request::Version) | Err(_) => None,
    };
    peeked
}

#[cfg(test)]
mod tests {
    use ciborium::Value;

    use super::*;

    fn message<const N: usize>(command: u8, members: [(i64, Value); N]) -> Vec<u8> {
        [vec![command], cbor::emit(&cbor::int_map(members))].concat()
    }

    fn seen(payload: &[u8]) -> (Command, Option<String>) {
        let peeked = peek(payload);
        (peeked.command, peeked.rp_id)
    }

    #[test]
    fn message_shows_its_command_and_site() {
        let rp = || Value::from("example.com");
        let site = Some("example.com".to_owned());
        let make = message(0x01, [(2, cbor::text_map([("id", rp())]))]);
        assert_eq!(seen(&make), (Command::MakeCredential, site.clone()));
        assert_eq!(
            seen(&message(0x02, [(1, rp())])),
            (Command::GetAssertion, site.clone())
        );
        assert_eq!(
            seen(&message(0x06, [(10, rp())])),
            (Command::ClientPin, site)
        );
        assert_eq!(
            seen(&message(0x0a, [(1, rp())])),
            (Command::CredentialManagement, None)
        );
        assert_eq!(seen(&[0x04]), (Command::GetInfo, None));
    }

    #[test]
    fn message_that_makes_no_sense_shows_its_command_at_most() {
        assert_eq!(seen(&[]), (Command::Unknown, None));
        assert_eq!(seen(&[0x99, 1, 2]), (Command::Unknown, None));
        assert_eq!(seen(&[0x02, 0xff]), (Command::GetAssertion, None));
        let number = message(0x02, [(1, Value::from(7))]);
        assert_eq!(seen(&number), (Command::GetAssertion, None));
        let nameless = message(0x01, [(2, cbor::text_map([("name", Value::from("x"))]))]);
        assert_eq!(seen(&nameless), (Command::MakeCredential, None));
    }

    #[test]
    fn registration_shows_whether_it_wants_attestation() {
        for (formats, unattested) in [
            (vec![], false),
            (vec!["packed", "none"], false),
            (vec!["tpm", "none", "packed"], true),
        ] {
            let formats = formats.into_iter().map(Value::from).collect();
            let make = message(0x01, [(11, Value::Array(formats))]);
            assert_eq!(peek(&make).unattested, unattested);
        }
    }

    #[test]
    fn apdu_shows_its_command_and_the_hash_of_its_site() {
        let application = RpIdHash([4; 32]);
        let register = [&[0, 1, 0, 0, 64], [3; 32].as_slice(), &application.0].concat();
        let peeked = peek_apdu(&register);
        assert_eq!(peeked.command, Command::U2fRegister);
        assert_eq!(peeked.rp_id_hash, Some(application));
        let cut = peek_apdu(&register[..40]);
        assert_eq!((cut.command, cut.rp_id_hash), (Command::U2fRegister, None));
        assert_eq!(peek_apdu(&[0, 3, 0, 0]).command, Command::U2fVersion);
        assert_eq!(peek_apdu(&[0, 9, 0, 0]).command, Command::Unknown);
        // Found by fuzzing: traces call it unknown, and it is answered CLA_NOT_SUPPORTED.
        assert_eq!(peek_apdu(&[0x80, 1, 0, 0]).command, Command::Unknown);
        assert_eq!(peek_apdu(&[]).command, Command::Unknown);
    }
}
