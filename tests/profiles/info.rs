//! getInfo of every built-in profile against what CTAP 2.1 §9 makes mandatory and what strict
//! platforms check. The bytes on the wire are looked at, not the profile that they came from.

use std::collections::{BTreeMap, BTreeSet};

use ciborium::Value;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use roamkey::profile::Profile;
use roamkey_ctap::{Change, Device, Instant, KeyState};

const INIT: u8 = 0x06;
const CBOR: u8 = 0x10;
const ERROR: u8 = 0x3f;
const CAPABILITY_CBOR: u8 = 0x04;
const CAPABILITY_NMSG: u8 = 0x08;

/// A key of a profile, driven by hand.
struct Key {
    device: Device,
    channel: [u8; 4],
    capabilities: u8,
}

impl Key {
    fn of(profile: Profile) -> Self {
        let mut rng = ChaCha20Rng::from_seed([3; 32]);
        let records = KeyState::create(&mut rng, 1_735_689_600, &profile.ctap)
            .into_iter()
            .filter_map(|change| match change {
                Change::Put(record) => Some(record),
                Change::Delete(_) => None,
            });
        let state = KeyState::load(records).expect("a whole key");
        let mut device = Device::new(profile.ctap, state, rng);
        device.handle_power(Instant::from_millis(0), true);
        let mut key = Self {
            device,
            channel: [0xff; 4],
            capabilities: 0,
        };
        let (command, answer) = key.call(INIT, &[1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(command, INIT);
        key.channel = answer[8..12].try_into().expect("4 bytes");
        key.capabilities = answer[16];
        key
    }

    /// Sends a message that fits a packet; gives the answer's command and payload.
    fn call(&mut self, command: u8, payload: &[u8]) -> (u8, Vec<u8>) {
        let mut report = [0; 64];
        report[..4].copy_from_slice(&self.channel);
        report[4] = 0x80 | command;
        report[6] = payload.len().try_into().expect("a short message");
        report[7..7 + payload.len()].copy_from_slice(payload);
        self.device.handle_report(Instant::from_millis(1), &report);
        let first = self.device.poll_report().expect("an answer");
        let length = usize::from(u16::from_be_bytes([first[5], first[6]]));
        let mut answer = first[7..].to_vec();
        while answer.len() < length {
            let next = self.device.poll_report().expect("the rest");
            answer.extend(&next[5..]);
        }
        answer.truncate(length);
        (first[4] & 0x7f, answer)
    }

    fn info(&mut self) -> Info {
        let (command, answer) = self.call(CBOR, &[0x04]);
        assert_eq!((command, answer[0]), (CBOR, 0));
        Info::parse(&answer[1..])
    }
}

/// An answer to getInfo.
#[derive(Clone, Debug)]
pub(super) struct Info {
    pub(super) versions: BTreeSet<String>,
    pub(super) extensions: BTreeSet<String>,
    pub(super) options: BTreeMap<String, bool>,
    pub(super) protocols: Vec<u64>,
    /// Names and values of the members of each entry.
    pub(super) algorithms: Vec<Vec<(String, Value)>>,
    /// The members that are numbers.
    pub(super) numbers: BTreeMap<u8, u64>,
    /// All that are there.
    pub(super) members: BTreeSet<u8>,
}

fn text(value: &Value) -> String {
    value.as_text().expect("a text string").to_owned()
}

fn number(value: &Value) -> u64 {
    let number = value.as_integer().expect("an integer");
    number.try_into().expect("an unsigned integer")
}

fn list(value: Option<&Value>) -> &[Value] {
    value.map_or(&[], |value| value.as_array().expect("an array"))
}

fn named(value: &Value) -> Vec<(String, Value)> {
    let members = value.as_map().expect("a map").iter();
    members
        .map(|(name, value)| (text(name), value.clone()))
        .collect()
}

impl Info {
    fn parse(bytes: &[u8]) -> Self {
        let value: Value = ciborium::from_reader(bytes).expect("CBOR");
        let members: BTreeMap<u8, Value> = value
            .into_map()
            .expect("a map")
            .into_iter()
            .map(|(key, value)| (number(&key).try_into().expect("a known key"), value))
            .collect();
        let texts = |key: u8| list(members.get(&key)).iter().map(text).collect();
        let options = named(&members[&0x04]).into_iter();
        let numbers = members.iter().filter(|(_, value)| value.is_integer());
        Self {
            versions: texts(0x01),
            extensions: texts(0x02),
            options: options
                .map(|(name, on)| (name, on.as_bool().expect("a Boolean")))
                .collect(),
            protocols: list(members.get(&0x06)).iter().map(number).collect(),
            algorithms: list(members.get(&0x0a)).iter().map(named).collect(),
            numbers: numbers.map(|(key, value)| (*key, number(value))).collect(),
            members: members.keys().copied().collect(),
        }
    }

    fn says(&self, version: &str) -> bool {
        self.versions.contains(version)
    }

    fn extends(&self, extension: &str) -> bool {
        self.extensions.contains(extension)
    }

    /// Whether an option is there, true or false.
    pub(super) fn knows(&self, option: &str) -> bool {
        self.options.contains_key(option)
    }

    /// Whether an option is there and true.
    pub(super) fn is(&self, option: &str) -> bool {
        self.options.get(option) == Some(&true)
    }

    fn verifies(&self) -> bool {
        self.knows("clientPin") || self.knows("uv")
    }

    /// A version that §9 is about.
    fn fido_2_1(&self) -> bool {
        self.says("FIDO_2_1") || self.says("FIDO_2_3")
    }

    fn number(&self, member: u8) -> Option<u64> {
        self.numbers.get(&member).copied()
    }

    fn set(&mut self, option: &str, on: bool) {
        self.options.insert(option.to_owned(), on);
    }

    fn algorithm_is_alg_and_type(entry: &[(String, Value)]) -> bool {
        let names: Vec<&str> = entry.iter().map(|(name, _)| name.as_str()).collect();
        names == ["alg", "type"] && entry[0].1.is_integer() && entry[1].1.is_text()
    }
}

/// Option ids of CTAP 2.3 §6.4 that roamkey may say.
const OPTIONS: [&str; 20] = [
    "uv",
    "bioEnroll",
    "userVerificationMgmtPreview",
    "uvBioEnroll",
    "uvAcfg",
    "ep",
    "perCredMgmtRO",
    "plat",
    "rk",
    "up",
    "clientPin",
    "alwaysUv",
    "makeCredUvNotRqd",
    "authnrCfg",
    "credMgmt",
    "credentialMgmtPreview",
    "largeBlobs",
    "pinUvAuthToken",
    "setMinPINLength",
    "noMcGaPermissionsWithClientPin",
];

/// A rule in words, whether an answer keeps it, and a change to the default key's answer that
/// breaks it: a rule that nothing breaks would prove nothing.
type Rule = (&'static str, fn(&Info) -> bool, fn(&mut Info));

#[rustfmt::skip] // one part of a rule a line
const RULES: &[Rule] = &[
    ("versions are ones that were defined",
        |i| !i.versions.is_empty() && i.versions.iter().all(|v| ["U2F_V2", "FIDO_2_0", "FIDO_2_1", "FIDO_2_3"].contains(&v.as_str())),
        |i| { i.versions.insert("FIDO_2_2".into()); }),
    ("§9: FIDO_2_1 needs hmac-secret",
        |i| !i.fido_2_1() || i.extends("hmac-secret"),
        |i| { i.extensions.remove("hmac-secret"); }),
    ("§9: FIDO_2_1 with rk needs the option clientPin or uv",
        |i| !(i.fido_2_1() && i.is("rk")) || i.verifies(),
        |i| { i.options.remove("clientPin"); }),
    ("§9: FIDO_2_1 with rk needs credMgmt",
        |i| !(i.fido_2_1() && i.is("rk")) || i.is("credMgmt"),
        |i| { i.options.remove("credMgmt"); }),
    ("§9: FIDO_2_1 with verification needs credProtect",
        |i| !(i.fido_2_1() && i.verifies()) || i.extends("credProtect"),
        |i| { i.extensions.remove("credProtect"); }),
    ("§9: FIDO_2_1 with verification needs pinUvAuthToken",
        |i| !(i.fido_2_1() && i.verifies()) || i.is("pinUvAuthToken"),
        |i| i.set("pinUvAuthToken", false)),
    ("§9: FIDO_2_1 needs pinUvAuthProtocol 2",
        |i| !i.fido_2_1() || i.protocols.contains(&2),
        |i| i.protocols = vec![1]),
    ("§9: ep needs authnrCfg",
        |i| !i.knows("ep") || i.is("authnrCfg"),
        |i| { i.set("ep", true); i.options.remove("authnrCfg"); }),
    ("§9: alwaysUv and makeCredUvNotRqd are never both true",
        |i| !(i.is("alwaysUv") && i.is("makeCredUvNotRqd")),
        |i| { i.set("alwaysUv", true); i.set("makeCredUvNotRqd", true); }),
    ("§7.2: alwaysUv without built-in verification leaves no U2F_V2",
        |i| !i.is("alwaysUv") || i.is("uv") || !i.says("U2F_V2"),
        |i| i.set("alwaysUv", true)),
    ("§12.2: credBlob needs credProtect",
        |i| !i.extends("credBlob") || i.extends("credProtect"),
        |i| { i.extensions.remove("credProtect"); }),
    ("§12.3: largeBlobKey needs largeBlobs",
        |i| !i.extends("largeBlobKey") || i.is("largeBlobs"),
        |i| i.set("largeBlobs", false)),
    ("§12.4: minPinLength goes with setMinPINLength",
        |i| i.extends("minPinLength") == i.is("setMinPINLength"),
        |i| i.set("setMinPINLength", false)),
    ("§12.8 of CTAP 2.2: hmac-secret-mc needs hmac-secret",
        |i| !i.extends("hmac-secret-mc") || i.extends("hmac-secret"),
        |i| { i.extensions.remove("hmac-secret"); }),
    ("a PIN or hmac-secret needs a pinUvAuthProtocol",
        |i| !(i.knows("clientPin") || i.extends("hmac-secret")) || !i.protocols.is_empty(),
        |i| i.protocols.clear()),
    ("option ids are known ones",
        |i| i.options.keys().all(|name| OPTIONS.contains(&name.as_str())),
        |i| i.set("clientPIN", true)),
    ("a roaming key has plat false and up true",
        |i| i.options.get("plat") == Some(&false) && i.is("up"),
        |i| i.set("plat", true)),
    ("maxMsgSize is 1024 to 7609",
        |i| i.number(0x05).is_some_and(|size| (1024..=7609).contains(&size)),
        |i| { i.numbers.insert(0x05, 0); }),
    ("maxCredentialCountInList and maxCredentialIdLength are not 0",
        |i| i.number(0x07) != Some(0) && i.number(0x08) != Some(0),
        |i| { i.numbers.insert(0x07, 0); }),
    ("an algorithm is {alg, type} and nothing else",
        |i| i.algorithms.iter().all(|entry| Info::algorithm_is_alg_and_type(entry)),
        |i| i.algorithms[0].push(("x".into(), Value::Null))),
    ("maxSerializedLargeBlobArray is 1024 at least, and there with largeBlobs alone",
        |i| i.number(0x0b).map_or(!i.is("largeBlobs"), |length| i.is("largeBlobs") && length >= 1024),
        |i| { i.numbers.insert(0x0b, 1023); }),
    ("minPINLength is 4 at least, and there with FIDO_2_1 and clientPin",
        |i| i.number(0x0d).map_or(!(i.fido_2_1() && i.knows("clientPin")), |length| i.knows("clientPin") && length >= 4),
        |i| { i.numbers.insert(0x0d, 3); }),
    ("maxCredBlobLength is 32 at least, and there with credBlob alone",
        |i| i.number(0x0f).map_or(!i.extends("credBlob"), |length| i.extends("credBlob") && length >= 32),
        |i| { i.numbers.insert(0x0f, 31); }),
    ("maxRPIDsForSetMinPINLength is there with setMinPINLength alone",
        |i| i.members.contains(&0x10) == i.is("setMinPINLength"),
        |i| { i.members.remove(&0x10); }),
    ("§6.4: bioEnroll and its preview go with uv, and say the same",
        |i| !i.knows("bioEnroll") || (i.is("bioEnroll") == i.is("uv") && i.is("bioEnroll") == i.is("userVerificationMgmtPreview")),
        |i| i.set("bioEnroll", true)),
    ("§6.4: uvBioEnroll needs bioEnroll, and uvAcfg uv and authnrCfg",
        |i| i.is("uvBioEnroll") <= i.knows("bioEnroll") && i.is("uvAcfg") <= (i.knows("uv") && i.is("authnrCfg")),
        |i| i.set("uvAcfg", true)),
    ("§6.4: uvModality and preferredPlatformUvAttempts go with uv",
        |i| i.members.contains(&0x12) == i.knows("uv") && i.members.contains(&0x11) == i.knows("uv") && i.number(0x11) != Some(0),
        |i| { i.members.insert(0x12); }),
    ("§6.4: uvCountSinceLastPinEntry goes with uv and clientPin",
        |i| i.members.contains(&0x17) == (i.knows("uv") && i.knows("clientPin")),
        |i| { i.members.insert(0x17); }),
    ("CTAP 2.2 §6.4: perCredMgmtRO needs credMgmt",
        |i| !i.is("perCredMgmtRO") || i.is("credMgmt"),
        |i| { i.options.remove("credMgmt"); }),
    ("what CTAP 2.2 and 2.3 added is of FIDO_2_3 alone",
        |i| i.says("FIDO_2_3") || (!i.knows("perCredMgmtRO") && !i.extends("thirdPartyPayment") && !i.extends("pinComplexityPolicy")
            && [0x16, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f].iter().all(|member| !i.members.contains(member))),
        |i| { i.versions.remove("FIDO_2_3"); }),
    ("CTAP 2.2 §6.4: a key of FIDO_2_3 says its attestationFormats and transportsForReset",
        |i| !i.says("FIDO_2_3") || (i.members.contains(&0x16) && i.members.contains(&0x1a)),
        |i| { i.members.remove(&0x16); }),
    ("CTAP 2.2 §6.4: maxPINLength is 8 to 63",
        |i| i.number(0x1d).is_none_or(|length| (8..=63).contains(&length)),
        |i| { i.numbers.insert(0x1d, 64); }),
    ("CTAP 2.3 §6.4: authenticatorConfigCommands goes with authnrCfg",
        |i| i.members.contains(&0x1f) == (i.says("FIDO_2_3") && i.is("authnrCfg")),
        |i| { i.members.remove(&0x1f); }),
    ("CTAP 2.2 §6.4: nothing is encrypted for a token that nobody has",
        |i| !i.members.contains(&0x19) && !i.members.contains(&0x1e),
        |i| { i.members.insert(0x19); }),
    ("CTAP 2.2 §12.9: pinComplexityPolicy as an extension needs the member",
        |i| !i.extends("pinComplexityPolicy") || i.members.contains(&0x1b),
        |i| { i.members.remove(&0x1b); }),
    ("remainingDiscoverableCredentials is there with rk alone",
        |i| i.members.contains(&0x14) <= i.is("rk"),
        |i| i.set("rk", false)),
];

fn profiles() -> impl Iterator<Item = (&'static str, Profile)> {
    Profile::names().map(|name| (name, Profile::named(name).expect("a built-in profile")))
}

pub(super) fn infos() -> impl Iterator<Item = (&'static str, Info)> {
    let keys = profiles().filter(|(_, profile)| profile.ctap.ctap2());
    keys.map(|(name, profile)| (name, Key::of(profile).info()))
}

fn info(name: &str) -> Info {
    Key::of(Profile::named(name).expect("a built-in profile")).info()
}

#[test]
fn get_info_of_every_profile_keeps_the_mandatory_rules() {
    assert_eq!(infos().count(), 11, "all but u2f-only");
    for (name, info) in infos() {
        for (rule, keeps, _) in RULES {
            assert!(keeps(&info), "{name}: {rule}: {info:?}");
        }
    }
    for (rule, keeps, breaks) in RULES {
        let mut info = info("default");
        breaks(&mut info);
        assert!(!keeps(&info), "nothing breaks the rule: {rule}");
    }
}

#[test]
fn init_and_get_info_agree_on_u2f_and_ctap2() {
    for (name, profile) in profiles() {
        let serves = (profile.ctap.u2f(), profile.ctap.ctap2());
        let mut key = Key::of(profile);
        let msg = key.capabilities & CAPABILITY_NMSG == 0;
        let cbor = key.capabilities & CAPABILITY_CBOR != 0;
        assert_eq!((msg, cbor), serves, "{name}");
        let (command, answer) = key.call(CBOR, &[0x04]);
        if cbor {
            let info = Info::parse(&answer[1..]);
            assert_eq!(info.says("U2F_V2"), msg, "{name}");
        } else {
            assert_eq!(
                (command, answer),
                (ERROR, vec![0x01]),
                "{name}: no such command"
            );
        }
    }
}

/// What a profile is for shows in getInfo.
#[test]
fn get_info_says_what_a_profile_is_for() {
    let default = info("default");
    assert_eq!(default.options.get("clientPin"), Some(&false), "not set");
    assert!(!default.knows("uv") && !default.is("ep"));

    let old = info("fido-2.0");
    assert!(!old.fido_2_1() && old.knows("clientPin") && old.extends("hmac-secret"));
    assert_eq!(old.protocols, [1]);

    let no_u2f = info("fido-2.1-pin");
    assert!(no_u2f.fido_2_1() && !no_u2f.says("U2F_V2"));

    let no_prf = info("no-prf");
    assert!(!no_prf.extends("hmac-secret") && !no_prf.extends("hmac-secret-mc"));

    assert!(info("uv-not-required").is("makeCredUvNotRqd"));
    assert!(!default.is("makeCredUvNotRqd"));
}
