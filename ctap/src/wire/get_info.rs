//! authenticatorGetInfo, 0x04 (CTAP 2.1 §6.4).

use ciborium::Value;

use super::{PUBLIC_KEY, cbor};
use crate::{credential::CREDENTIAL_ID_LEN, profile::Profile};

/// What the platform gets: computed from what the key is and holds.
pub(crate) struct Response<'a> {
    pub(crate) profile: &'a Profile,
    /// How many more discoverable credentials fit.
    pub(crate) remaining_discoverable_credentials: u64,
}

impl Response<'_> {
    pub(crate) fn emit(self) -> Vec<u8> {
        let profile = self.profile;
        let versions = profile.versions.iter().map(|v| Value::from(v.as_str()));
        let algorithms = profile.algorithms.iter().map(|algorithm| {
            cbor::text_map([
                ("alg", Value::from(algorithm.cose())),
                ("type", Value::from(PUBLIC_KEY)),
            ])
        });
        let options = cbor::text_map([
            ("rk", Value::from(true)),
            ("up", Value::from(true)),
            ("plat", Value::from(false)),
        ]);
        let [major, minor, build] = profile.firmware_version;
        let firmware = u32::from_be_bytes([0, major, minor, build]);
        cbor::emit(&cbor::int_map([
            (0x01, Value::Array(versions.collect())),
            (0x03, Value::Bytes(profile.aaguid.to_vec())),
            (0x04, options),
            (0x05, Value::from(profile.max_msg_size)),
            (0x07, Value::from(profile.max_credential_count_in_list)),
            (0x08, Value::from(CREDENTIAL_ID_LEN as u64)),
            (0x09, Value::Array(vec![Value::from("usb")])),
            (0x0a, Value::Array(algorithms.collect())),
            (0x0e, Value::from(firmware)),
            (0x14, Value::from(self.remaining_discoverable_credentials)),
        ]))
    }
}
