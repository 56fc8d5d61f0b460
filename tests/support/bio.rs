//! A platform's side of authenticatorBioEnrollment (CTAP 2.1 §6.7) and of tokens by a finger
//! (§6.5.5.7.3), and benches whose key has a sensor.

use ciborium::Value;
use roamkey::{presence::Touch, profile::Profile};
use roamkey_ctap::{Decision, Fingerprint, Gesture, Operation, Record, UvState};

use super::{
    bench::Bench,
    cbor,
    ctap2::{BIO_ENROLLMENT, CLIENT_PIN, Outcome},
    pin::{self, Protocol, Shared, Token, opened},
    rig::{Asked, Options, Place, Rig},
};

/// Subcommands of authenticatorBioEnrollment.
pub(crate) mod subcommand {
    pub(crate) const BEGIN: u8 = 1;
    pub(crate) const NEXT: u8 = 2;
    pub(crate) const CANCEL: u8 = 3;
    pub(crate) const ENUMERATE: u8 = 4;
    pub(crate) const NAME: u8 = 5;
    pub(crate) const REMOVE: u8 = 6;
    pub(crate) const SENSOR: u8 = 7;
}

/// lastEnrollSampleStatus.
pub(crate) mod sample {
    pub(crate) const GOOD: u64 = 0x00;
    pub(crate) const POOR_QUALITY: u64 = 0x07;
    pub(crate) const NO_USER_ACTIVITY: u64 = 0x0d;
}

/// What a sample was answered: templateId, lastEnrollSampleStatus, remainingSamples.
pub(crate) type Sampled = (Option<Vec<u8>>, u64, u64);

/// A key with a sensor that knows one finger; touches are the test's.
pub(crate) fn sensor() -> Options {
    let mut profile = Profile::default();
    profile.ctap.built_in_uv = true;
    profile.ctap.bio_enroll = true;
    profile.ctap.max_fingerprints = 5;
    profile.ctap.enrolled_fingerprints = 1;
    Options {
        touch: Touch::Ask,
        profile,
        ..Options::default()
    }
}

/// A bench with it, without a PIN.
pub(crate) fn sensor_bench(place: Place, protocol: Protocol) -> Bench {
    Bench::bare(place, protocol, sensor())
}

/// The parameters of authenticatorBioEnrollment.
pub(crate) fn enrollment(
    subcommand: u8,
    params: Option<&Value>,
    token: Option<&Token>,
) -> Vec<(i64, Value)> {
    let mut message = vec![1, subcommand];
    message.extend(params.map(cbor::emit).unwrap_or_default());
    let mut members = vec![(1, Value::from(1)), (2, Value::from(subcommand))];
    members.extend(params.map(|params| (3, params.clone())));
    if let Some(token) = token {
        members.push((4, Value::from(token.protocol.number())));
        members.push((5, Value::from(token.param(&message))));
    }
    members
}

/// subCommandParams that name a finger.
pub(crate) fn of_finger(id: &[u8]) -> Value {
    cbor::map([(1, Value::from(id))])
}

/// subCommandParams that give a finger a name.
pub(crate) fn named(id: &[u8], name: &str) -> Value {
    cbor::map([(1, Value::from(id)), (2, Value::from(name))])
}

fn sampled(value: &Value) -> Sampled {
    let number = |key: i64| cbor::unsigned(cbor::member(value, key));
    let id = cbor::member(value, 4).map(|id| cbor::bytes(Some(id)));
    (id, number(5), number(6))
}

impl Bench {
    /// Waits for the request for a finger, and answers it.
    pub(crate) fn finger(&mut self, decision: Decision) -> Asked {
        let asked = self.asked();
        assert_eq!(asked.prompt.gesture, Gesture::Finger);
        self.rig.decide(&asked, decision);
        asked
    }

    /// Sends a command and answers each request for a finger that it leads to.
    pub(crate) fn with_fingers(
        &mut self,
        command: u8,
        parameters: &Value,
        fingers: &[Decision],
    ) -> Outcome<Value> {
        let channel = self.channel;
        self.platform().start(channel, command, Some(parameters));
        for finger in fingers {
            self.finger(*finger);
        }
        let outcome = self.platform().finish(channel);
        assert_eq!(self.rig.pending(), 0);
        outcome.map(|(value, _)| value)
    }

    /// Agrees on a key; the parameters of getPinUvAuthTokenUsingUvWithPermissions.
    pub(crate) fn by_finger(
        &mut self,
        permissions: u64,
        rp_id: Option<&str>,
    ) -> (Shared, Vec<(i64, Value)>) {
        let (channel, protocol) = (self.channel, self.protocol);
        let shared = self.platform().agree(channel, protocol);
        let mut members = shared.members(pin::subcommand::GET_TOKEN_USING_UV);
        members.push((9, Value::from(permissions)));
        members.extend(rp_id.map(|rp_id| (10, Value::from(rp_id))));
        (shared, members)
    }

    /// A token by these fingers.
    pub(crate) fn try_finger_token(
        &mut self,
        permissions: u64,
        rp_id: Option<&str>,
        fingers: &[Decision],
    ) -> Outcome<Token> {
        let (shared, members) = self.by_finger(permissions, rp_id);
        let value = self.with_fingers(CLIENT_PIN, &cbor::map(members), fingers)?;
        Ok(opened(&shared, &value))
    }

    /// A token by a finger that the key knows.
    pub(crate) fn finger_token(&mut self, permissions: u64, rp_id: Option<&str>) -> Token {
        let fingers = [Decision::Approved];
        let token = self.try_finger_token(permissions, rp_id, &fingers);
        token.expect("a finger that it knows")
    }

    /// The same where a policy gives the finger.
    pub(crate) fn finger_token_unasked(&mut self, permissions: u64) -> Token {
        let (shared, members) = self.by_finger(permissions, None);
        let value = self.client_pin(members).expect("a token");
        opened(&shared, &value)
    }

    pub(crate) fn uv_retries(&mut self) -> Outcome<u64> {
        let members = vec![(2, Value::from(pin::subcommand::GET_UV_RETRIES))];
        let value = self.client_pin(members)?;
        assert_eq!(value.as_map().map(Vec::len), Some(1));
        Ok(cbor::unsigned(cbor::member(&value, 5)))
    }

    /// authenticatorBioEnrollment without a finger.
    pub(crate) fn bio(
        &mut self,
        subcommand: u8,
        params: Option<&Value>,
        token: Option<&Token>,
    ) -> Outcome<Value> {
        let members = enrollment(subcommand, params, token);
        let channel = self.channel;
        self.platform()
            .ctap2(channel, BIO_ENROLLMENT, Some(&cbor::map(members)))
    }

    /// A sample of a finger: the first of an enrollment without `id`.
    pub(crate) fn sample(
        &mut self,
        token: &Token,
        id: Option<&[u8]>,
        finger: Decision,
    ) -> Outcome<Sampled> {
        let params = id.map(of_finger);
        let subcommand = if id.is_some() {
            subcommand::NEXT
        } else {
            subcommand::BEGIN
        };
        let members = enrollment(subcommand, params.as_ref(), Some(token));
        let channel = self.channel;
        let parameters = cbor::map(members);
        self.platform()
            .start(channel, BIO_ENROLLMENT, Some(&parameters));
        let asked = self.finger(finger);
        assert_eq!(asked.prompt.operation, Operation::Enroll);
        let outcome = self.platform().finish(channel);
        outcome.map(|(value, _)| sampled(&value))
    }

    /// Enrolls a finger; its id.
    pub(crate) fn enroll(&mut self, token: &Token) -> Vec<u8> {
        let first = self.sample(token, None, Decision::Approved);
        let (id, ..) = first.expect("a sample");
        let id = id.expect("a templateId");
        for left in (0..3).rev() {
            let next = self.sample(token, Some(&id), Decision::Approved);
            assert_eq!(next, Ok((None, sample::GOOD, left)));
        }
        id
    }

    /// The fingers that the key tells of, with their names.
    pub(crate) fn fingers(&mut self, token: &Token) -> Outcome<Vec<(Vec<u8>, Option<String>)>> {
        let value = self.bio(subcommand::ENUMERATE, None, Some(token))?;
        let infos = cbor::member(&value, 7).and_then(|infos| infos.into_array().ok());
        let infos = infos.expect("templateInfos").into_iter();
        let finger = |info: Value| {
            let name = cbor::member(&info, 2).map(|name| cbor::text(Some(name)));
            (cbor::bytes(cbor::member(&info, 1)), name)
        };
        Ok(infos.map(finger).collect())
    }
}

/// The fingers that are durable.
pub(crate) fn stored_fingers(rig: &Rig) -> Option<Vec<Fingerprint>> {
    let mut records = rig.vaults[0].records().into_iter();
    records.find_map(|record| match record {
        Record::Fingerprints(fingers) => Some(fingers),
        _ => None,
    })
}

/// What is durable of built-in verification.
pub(crate) fn stored_uv(rig: &Rig) -> Option<UvState> {
    let mut records = rig.vaults[0].records().into_iter();
    records.find_map(|record| match record {
        Record::Uv(uv) => Some(uv),
        _ => None,
    })
}
