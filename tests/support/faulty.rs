//! A key with faults, and answers that may be wrong: read leniently, and whole.

use ciborium::Value;
use roamkey_ctap::{Command, Fault, FaultId, FaultRule};

use super::{
    auth_data::AuthData,
    cbor,
    cose::PublicKey,
    ctap2::{GET_ASSERTION, GET_NEXT_ASSERTION, GetAssertion, MAKE_CREDENTIAL, MakeCredential},
    ctaphid::{Channel, Platform, command},
    rig::{Options, Place, Rig},
};

/// A rule for every operation that can show the fault.
pub(crate) fn always(fault: Fault) -> FaultRule {
    FaultRule {
        fault,
        remaining: None,
        command: None,
        rp_id: None,
    }
}

/// A rule for the next operation that can show the fault.
pub(crate) fn once(fault: Fault) -> FaultRule {
    FaultRule {
        remaining: Some(1),
        ..always(fault)
    }
}

/// The same for the next of one command.
pub(crate) fn once_in(command: Command, fault: Fault) -> FaultRule {
    FaultRule {
        command: Some(command),
        ..once(fault)
    }
}

/// A key in virtual time that approves every touch, with a client on a channel.
pub(crate) struct Faulty {
    pub(crate) rig: Rig,
    pub(crate) platform: Platform,
    pub(crate) channel: Channel,
}

/// A registration or an assertion as it came.
pub(crate) struct Signed {
    pub(crate) value: Value,
    pub(crate) auth_data: Vec<u8>,
    client_data_hash: [u8; 32],
    pub(crate) signature: Vec<u8>,
}

impl Signed {
    /// Whether a key signed what was sent.
    pub(crate) fn is_by(&self, key: &PublicKey) -> bool {
        let parts = [self.auth_data.as_slice(), &self.client_data_hash];
        key.signed(&parts, &self.signature)
    }

    /// The authenticator data with some bits of the flags turned back.
    pub(crate) fn parsed(&self, flipped: u8) -> AuthData {
        let mut bytes = self.auth_data.clone();
        bytes[32] ^= flipped;
        AuthData::parse(&bytes)
    }

    /// A member of the answer.
    pub(crate) fn member(&self, key: u8) -> Option<Value> {
        cbor::member(&self.value, key)
    }
}

impl Faulty {
    pub(crate) fn new(place: Place) -> Self {
        Self::with(place, Options::default())
    }

    pub(crate) fn with(place: Place, options: Options) -> Self {
        let rig = place.rig_with(options);
        let mut platform = rig.attach();
        let channel = platform.init();
        Self {
            rig,
            platform,
            channel,
        }
    }

    pub(crate) fn arm(&self, rule: FaultRule) -> FaultId {
        self.rig.world().arm(0, rule)
    }

    /// Fails the test unless just these faults were met and none is left.
    pub(crate) fn expect_met(&self, faults: &[Fault]) {
        let met = self.rig.world().take_met(0);
        let met: Vec<Fault> = met.into_iter().map(|(_, fault)| fault).collect();
        assert_eq!(met, faults);
        assert_eq!(self.rig.world().armed(0), []);
    }

    /// A whole answer: status and what is behind it.
    pub(crate) fn raw(&mut self, command: u8, parameters: Option<&Value>) -> Vec<u8> {
        let mut payload = vec![command];
        payload.extend(parameters.map(cbor::emit).unwrap_or_default());
        let answer = self.platform.call(self.channel, command::CBOR, &payload);
        assert_eq!(answer.message.command, command::CBOR);
        answer.message.payload
    }

    /// The value of a whole answer of success, in whatever form it is encoded.
    fn value(answer: &[u8]) -> Value {
        assert_eq!(answer[0], 0, "CTAP2_OK");
        ciborium::from_reader(&answer[1..]).expect("CBOR")
    }

    pub(crate) fn make(&mut self, request: &MakeCredential) -> Signed {
        let answer = self.raw(MAKE_CREDENTIAL, Some(&request.to_value()));
        let value = Self::value(&answer);
        let statement = cbor::member(&value, 3).expect("a statement");
        Signed {
            auth_data: cbor::bytes(cbor::member(&value, 2)),
            signature: cbor::member(&statement, "sig")
                .map(|signature| cbor::bytes(Some(signature)))
                .unwrap_or_default(),
            client_data_hash: request.client_data_hash(),
            value,
        }
    }

    fn asserted(answer: &[u8], request: &GetAssertion) -> Signed {
        let value = Self::value(answer);
        Signed {
            auth_data: cbor::bytes(cbor::member(&value, 2)),
            signature: cbor::bytes(cbor::member(&value, 3)),
            client_data_hash: request.client_data_hash,
            value,
        }
    }

    pub(crate) fn get(&mut self, request: &GetAssertion) -> Signed {
        let answer = self.raw(GET_ASSERTION, Some(&request.to_value()));
        Self::asserted(&answer, request)
    }

    pub(crate) fn get_next(&mut self, request: &GetAssertion) -> Signed {
        let answer = self.raw(GET_NEXT_ASSERTION, None);
        Self::asserted(&answer, request)
    }
}
