//! What a client wants of a virtual authenticator, and the key that is it (WebAuthn §11.2).

use serde_json::{Map, Value, json};

use super::FrontError;
use crate::{
    profile::Profile,
    rig::{NewKey, TouchPolicy, TouchRule, VerifyRule},
    vault::StoredProfile,
};

/// The protocol that a virtual authenticator speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// `ctap1/u2f`; `u2f` in the DevTools protocol.
    U2f,
    /// `ctap2`: CTAP 2.0.
    Ctap2,
    /// `ctap2_1`.
    Ctap2_1,
}

/// How a virtual authenticator is attached (WebAuthn §5.8.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    /// What a key here is.
    Usb,
    /// Near field communication.
    Nfc,
    /// Bluetooth.
    Ble,
    /// Smart cards, and phones over the network.
    Other,
    /// A part of the browser's machine.
    Internal,
}

impl Transport {
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "usb" => Self::Usb,
            "nfc" => Self::Nfc,
            "ble" => Self::Ble,
            "smart-card" | "hybrid" | "cable" => Self::Other,
            "internal" => Self::Internal,
            _ => return None,
        })
    }
}

/// What becomes of a person who is not verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Refusal {
    /// A wrong finger, as with any key: the browser asks again, and tells the page in the end.
    #[default]
    WrongFinger,
    /// An answer that the browser refuses at once: Chromium shows a dialog after wrong fingers, and
    /// the page hears of nothing until a person has closed it.
    BadAnswer,
}

impl Refusal {
    /// Which finger it takes.
    pub(super) fn rule(self, verified: bool) -> VerifyRule {
        match (verified, self) {
            (true, _) | (false, Self::BadAnswer) => VerifyRule::Pass,
            (false, Self::WrongFinger) => VerifyRule::Fail,
        }
    }
}

/// A virtual authenticator as it is asked for; what defaults are is the fronts' to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Configuration {
    pub(super) protocol: Protocol,
    pub(super) resident_keys: bool,
    /// It verifies people by itself.
    pub(super) user_verification: bool,
    /// Somebody touches it.
    pub(super) consenting: bool,
    /// Nobody touches it until somebody does (`automaticPresenceSimulation` false).
    pub(super) waiting: bool,
    /// Whoever touches it is who it knows.
    pub(super) verified: bool,
    pub(super) refusal: Refusal,
    pub(super) prf: bool,
    pub(super) large_blob: bool,
    pub(super) cred_blob: bool,
    pub(super) min_pin_length: bool,
    pub(super) backup_eligible: bool,
    pub(super) backup_state: bool,
}

impl Configuration {
    /// WebAuthn's defaults (§11.2 table "Authenticator Configuration").
    pub(super) fn new(protocol: Protocol) -> Self {
        Self {
            protocol,
            resident_keys: false,
            user_verification: false,
            consenting: true,
            waiting: false,
            verified: false,
            refusal: Refusal::default(),
            prf: false,
            large_blob: false,
            cred_blob: false,
            min_pin_length: false,
            backup_eligible: false,
            backup_state: false,
        }
    }

    /// Asks for an extension by WebAuthn's or CTAP's name.
    pub(super) fn extend(&mut self, name: &str) -> Result<(), FrontError> {
        match name {
            "prf" | "hmac-secret" => self.prf = true,
            "largeBlob" | "largeBlobKey" => self.large_blob = true,
            "credBlob" => self.cred_blob = true,
            "minPinLength" => self.min_pin_length = true,
            // Each of ours that verifies people has it.
            "credProtect" => {}
            other => {
                return Err(FrontError::Unsupported(format!(
                    "no key here has the extension {other:?}: there is prf, largeBlob, credBlob, \
                     minPinLength and credProtect"
                )));
            }
        }
        Ok(())
    }

    /// The policy that answers its touches.
    pub(super) fn touch(&self) -> TouchPolicy {
        let touch = match (self.consenting, self.waiting) {
            (false, _) => TouchRule::Deny,
            (true, true) => TouchRule::Ask,
            (true, false) => TouchRule::Auto,
        };
        TouchPolicy {
            verify: self.refusal.rule(self.verified),
            ..TouchPolicy::of(touch)
        }
    }

    /// The key that is it, made after `base` where the rig's owner says what keys are, and else
    /// after what the protocol's keys are.
    pub(super) fn new_key(&self, name: &str, base: Option<&NewKey>) -> NewKey {
        let usual = match self.protocol {
            Protocol::U2f => "u2f-only",
            Protocol::Ctap2 => "fido-2.0",
            Protocol::Ctap2_1 => "default",
        };
        let based = base.filter(|_| self.protocol != Protocol::U2f);
        let mut overrides = match (based, self.protocol) {
            (Some(_), _) if self.resident_keys => Map::new(),
            (Some(base), _) => without_passkeys(base),
            (None, Protocol::U2f) => Map::new(),
            (None, Protocol::Ctap2) => self.ctap2(),
            (None, Protocol::Ctap2_1) => self.ctap2_1(),
        };
        let mut set = |table: &str, member: &str, value: Value| {
            let table = overrides.entry(table).or_insert_with(|| json!({}));
            if let Some(table) = table.as_object_mut() {
                table.insert(member.to_owned(), value);
            }
        };
        if self.protocol != Protocol::U2f {
            set("options", "rk", self.resident_keys.into());
            if !self.resident_keys {
                set("limits", "maxDiscoverableCredentials", 0.into());
            }
            set("options", "uv", self.user_verification.into());
            let fingers = u8::from(self.user_verification);
            set("limits", "maxFingerprints", fingers.into());
            set("limits", "enrolledFingerprints", fingers.into());
            if !self.user_verification {
                set("options", "bioEnroll", false.into());
            }
            set("flags", "BE", self.backup_eligible.into());
            set("flags", "BS", self.backup_state.into());
        }
        set("limits", "maxCredentialIdLength", 1023.into());
        overrides.insert("exportable".to_owned(), true.into());
        overrides.insert("storesAll".to_owned(), true.into());
        NewKey {
            name: Some(name.to_owned()),
            profile: match based {
                Some(base) => base.profile.clone(),
                None => Some(usual.to_owned()),
            },
            profile_toml: based.and_then(|base| base.profile_toml.clone()),
            overrides: Some(overrides),
            stored: false,
            unplugged: false,
            touch: Some(self.touch()),
        }
    }

    fn extensions(&self, more: &[&str]) -> Vec<String> {
        let blob = self.cred_blob && self.resident_keys;
        let wanted = [
            (blob, "credBlob"),
            (self.large_blob && self.resident_keys, "largeBlobKey"),
            (self.min_pin_length, "minPinLength"),
        ];
        let wanted = wanted.iter().filter(|(wanted, _)| *wanted);
        let wanted = wanted.map(|(_, name)| *name);
        wanted
            .chain(more.iter().copied())
            .map(str::to_owned)
            .collect()
    }

    fn algorithms(&self) -> Vec<&'static str> {
        // A private key of RSA is stored.
        match self.resident_keys {
            true => vec!["ES256", "EdDSA", "RS256"],
            false => vec!["ES256", "EdDSA"],
        }
    }

    /// What differs from `fido-2.0`.
    fn ctap2(&self) -> Map<String, Value> {
        let mut more = Vec::new();
        if self.prf {
            more.push("hmac-secret");
        }
        if self.cred_blob || self.user_verification {
            more.push("credProtect");
        }
        let blobs = self.large_blob && self.resident_keys;
        let value = json!({
            "versions": ["FIDO_2_0"],
            "extensions": self.extensions(&more),
            "algorithms": self.algorithms(),
            "options": {
                "clientPin": self.min_pin_length,
                "authnrCfg": self.min_pin_length,
                "setMinPINLength": self.min_pin_length,
                "largeBlobs": blobs,
            },
            "limits": {
                "maxMsgSize": 7609,
                "maxCredentialCountInList": 64,
                "maxDiscoverableCredentials": 1000,
                "maxCredBlobLength": if self.cred_blob && self.resident_keys { 32 } else { 0 },
                "maxSerializedLargeBlobArray": if blobs { 16384 } else { 0 },
                "maxRPIDsForSetMinPINLength": if self.min_pin_length { 8 } else { 0 },
            },
        });
        object(value)
    }

    /// What differs from `default`: CTAP 2.1 §9 makes a PIN or a sensor mandatory with passkeys.
    fn ctap2_1(&self) -> Map<String, Value> {
        let pin = self.min_pin_length || self.resident_keys && !self.user_verification;
        let verifies = pin || self.user_verification;
        let blobs = self.large_blob && self.resident_keys;
        let mut more = vec!["hmac-secret"];
        if verifies || self.cred_blob {
            more.push("credProtect");
        }
        if self.prf {
            more.push("hmac-secret-mc");
        }
        let value = json!({
            "versions": ["FIDO_2_0", "FIDO_2_1"],
            "extensions": self.extensions(&more),
            "algorithms": self.algorithms(),
            "options": {
                "clientPin": pin,
                "pinUvAuthToken": verifies,
                "credMgmt": self.resident_keys,
                "largeBlobs": blobs,
                "authnrCfg": self.min_pin_length,
                "setMinPINLength": self.min_pin_length,
                "alwaysUv": "absent",
                "perCredMgmtRO": false,
            },
            "policy": {"longTouchForReset": "absent", "pinComplexityPolicy": "absent"},
            "limits": {
                "maxRPIDsForSetMinPINLength": if self.min_pin_length { 8 } else { 0 },
                "maxCredBlobLength": if self.cred_blob && self.resident_keys { 32 } else { 0 },
                "maxSerializedLargeBlobArray": if blobs { 16384 } else { 0 },
            },
        });
        object(value)
    }
}

/// What a key after `base` has not, as it has no passkeys (CTAP 2.2 §6.8, §6.10, §12.2, §12.3).
fn without_passkeys(base: &NewKey) -> Map<String, Value> {
    let stored = StoredProfile {
        name: base.profile.clone().unwrap_or_else(|| "default".to_owned()),
        text: base.profile_toml.clone(),
    };
    // One that is refused is refused again when the key is made, with the reason.
    let profile = Profile::stored(&stored).unwrap_or_default();
    let extensions = profile.ctap.extensions.iter().map(|one| one.as_str());
    let extensions = extensions.filter(|name| !["credBlob", "largeBlobKey"].contains(name));
    // A private key of RSA is stored, as in [`Configuration::algorithms`].
    let algorithms = profile.ctap.algorithms.iter().map(|one| one.name());
    let algorithms = algorithms.filter(|name| *name != "RS256");
    object(json!({
        "extensions": extensions.collect::<Vec<_>>(),
        "algorithms": algorithms.collect::<Vec<_>>(),
        "options": {"credMgmt": false, "perCredMgmtRO": false, "largeBlobs": false},
        "limits": {"maxCredBlobLength": 0, "maxSerializedLargeBlobArray": 0},
    }))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Map::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_configuration_is_a_profile_that_holds_together() {
        let mut tried = 0;
        for protocol in [Protocol::U2f, Protocol::Ctap2, Protocol::Ctap2_1] {
            for bits in 0..512_u16 {
                let bit = |n: u16| bits & (1 << n) != 0;
                let configuration = Configuration {
                    resident_keys: bit(0),
                    user_verification: bit(1),
                    prf: bit(2),
                    large_blob: bit(3),
                    cred_blob: bit(4),
                    min_pin_length: bit(5),
                    backup_eligible: bit(6),
                    backup_state: bit(6) && bit(7),
                    verified: bit(8),
                    ..Configuration::new(protocol)
                };
                let key = configuration.new_key("one", None);
                let stored = StoredProfile {
                    name: key.profile.expect("a profile"),
                    text: None,
                };
                let overrides = key.overrides.expect("overrides");
                let made = Profile::with_overrides(&stored, &overrides);
                let (profile, _) = made.unwrap_or_else(|why| panic!("{configuration:?}: {why}"));
                let u2f = protocol == Protocol::U2f;
                assert_eq!(profile.ctap.rk(), bit(0) && !u2f, "{configuration:?}");
                assert_eq!(profile.ctap.built_in_uv, bit(1) && !u2f);
                assert!(profile.ctap.exportable && profile.ctap.stores_all);
                tried += 1;
            }
        }
        assert_eq!(tried, 3 * 512);
    }
}
