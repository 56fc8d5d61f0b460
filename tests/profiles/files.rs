//! Files that are refused, with the line that is to blame, and files that say little.

use std::{fs, path::PathBuf};

use roamkey::profile::{MAX_PROFILE_LEN, Profile, ProfileError};
use roamkey_ctap::Algorithm;

/// A file in the test's own directory.
pub(super) fn file(name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, content).expect("the directory takes a file");
    path
}

fn refusal(text: &str) -> (Option<usize>, String) {
    match Profile::parse(text, "rig.toml") {
        Err(ProfileError::Refused {
            origin,
            line,
            reason,
        }) => {
            assert_eq!(origin, "rig.toml");
            (line, reason)
        }
        other => panic!("{other:?} for {text}"),
    }
}

/// Text, line, and what the reason says.
#[rustfmt::skip] // one case a line
const MALFORMED: &[(&str, usize, &str)] = &[
    // Not TOML.
    ("versions = [\n  \"U2F_V2\"\n\n[options]\n", 4, "this is not TOML"),
    ("[options]\nrk = true\nrk = true\n", 3, "this is not TOML"),
    // Another type.
    ("\n[options]\nclientPin = \"yes\"\n", 3, "clientPin: true or false is wanted, not \"yes\""),
    ("[options]\nalwaysUv = \"none\"\n", 2, "alwaysUv: true, false or \"absent\" is wanted, not \"none\""),
    ("[options]\nrk = \"absent\"\n", 2, "rk: true or false is wanted"),
    ("versions = \"FIDO_2_1\"\n", 1, "versions: a list is wanted, not \"FIDO_2_1\""),
    ("versions = [\n  \"FIDO_2_0\",\n  \"FIDO_2_2\",\n]\n", 3, "not \"FIDO_2_2\""),
    ("extensions = [\"hmac-secret\", \"largeBlob\"]\n", 1, "extensions: one of \"credBlob\", "),
    ("algorithms = [\"ES256\", -8]\n", 1, "algorithms: one of \"ES256\", \"EdDSA\", \"ES384\", \"ES256K\", \"ES512\", \"RS256\", \"ML-DSA-44\", \"ML-DSA-65\" is wanted, not -8"),
    ("algorithms = [\n \"ES256\",\n \"ES256\",\n]\n", 3, "algorithms: each item once is wanted"),
    ("pinUvAuthProtocols = [3]\n", 1, "pinUvAuthProtocols: 1 or 2 is wanted, not 3"),
    ("aaguid = \"33c78076c6cc406c95a644d084208762\"\n", 1, "aaguid: a UUID like"),
    ("aaguid = \"33c78076-c6cc-406c-95a6-44d08420876g\"\n", 1, "aaguid: a UUID like"),
    ("firmwareVersion = \"1.2\"\n", 1, "firmwareVersion: a version like \"1.2.3\""),
    ("firmwareVersion = \"1.2.256\"\n", 1, "firmwareVersion: a version like \"1.2.3\""),
    ("[limits]\nmaxMsgSize = 65536\n", 2, "maxMsgSize: a whole number from 0 to 65535 is wanted, not 65536"),
    ("[limits]\nminPINLength = -1\n", 2, "minPINLength: a whole number from 0 to 255 is wanted, not -1"),
    ("[limits]\nmaxMsgSize = 1024.0\n", 2, "maxMsgSize: a whole number from 0 to 65535 is wanted, not this float"),
    ("[limits]\nmaxSerializedLargeBlobArray = 65536\n", 2, "maxSerializedLargeBlobArray: a whole number from 0 to 65535 is wanted, not 65536"),
    ("[options]\nlargeBlobs = \"absent\"\n", 2, "largeBlobs: true or false is wanted"),
    ("[usb]\nidVendor = 0x10000\n", 2, "idVendor: a whole number from 0 to 65535 is wanted, not 0x10000"),
    ("[usb]\nproduct = 7\n", 2, "product: a string is wanted, not 7"),
    ("options = true\n", 1, "options: this is the name of a table, [options]"),
    ("[[usb]]\n", 1, "usb: this is the name of a table, [usb]"),
    // Unknown and misplaced members.
    ("\nversion = [\"FIDO_2_1\"]\n", 2, "\"version\" is no member before the first table; known are versions, extensions, "),
    ("[options]\nclientPIN = true\n", 2, "\"clientPIN\" is no member in [options]; known are rk, clientPin, "),
    ("[options]\nminPINLength = 4\n", 2, "\"minPINLength\" is no member in [options]; its place is in [limits]"),
    ("[usb]\nbInterval = 5\naaguid = \"\"\n", 3, "\"aaguid\" is no member in [usb]; its place is before the first table"),
    ("[limit]\n", 1, "\"limit\" is no member before the first table"),
    ("[usb]\nserial = \"1\"\n", 2, "\"serial\" is no member in [usb]"),
    // Against a rule: the member's own line.
    ("versions = []\n", 1, "versions: a key serves at least one version"),
    ("# mine\n\n[limits]\nmaxMsgSize = 1023\n", 4, "maxMsgSize: maxMsgSize is 1024 at least"),
    ("extensions = [\"credProtect\"]\n", 1, "extensions: FIDO_2_1 needs hmac-secret (§9)"),
    ("[limits]\nmaxMsgSize = 2048\nmaxSerializedLargeBlobArray = 1023\n", 3, "maxSerializedLargeBlobArray: maxSerializedLargeBlobArray is 1024 at least with largeBlobs"),
    ("[options]\ncredMgmt = false\n", 2, "credMgmt: FIDO_2_1 with rk needs credMgmt (§9)"),
    ("pinUvAuthProtocols = [1]\n", 1, "pinUvAuthProtocols: FIDO_2_1 needs pinUvAuthProtocol 2 (§9)"),
    ("[options]\nalwaysUv = false\nmakeCredUvNotRqd = true\nalwaysUV = true", 4, "\"alwaysUV\" is no member"),
    ("[flags]\nBE = false\nBS = true\n", 3, "BS: flag BS needs flag BE"),
    ("[usb]\nproduct = \"key\"\nbInterval = 0\n", 3, "bInterval: bInterval is 1 at least"),
    ("[usb]\nproduct = \"a\\nb\"\n", 2, "product: a USB string has no control characters"),
    // Members that contradict each other.
    ("[options]\nrk = false\n\n[limits]\nmaxDiscoverableCredentials = 5\n", 2, "rk: without rk maxDiscoverableCredentials is 0"),
    ("[options]\nrk = true\n\n[limits]\nmaxDiscoverableCredentials = 0\n", 2, "rk: rk needs maxDiscoverableCredentials of 1 at least"),
    ("versions = [\"FIDO_2_1\"]\n[options]\nmakeCredUvNotRqd = true\nalwaysUv = true\n", 3, "makeCredUvNotRqd: alwaysUv and makeCredUvNotRqd are never both true"),
    ("aaguid = \"33c78076-c6cc-406c-95a6-44d084208762\"\nversions = [\"FIDO_2_0\"]\n[options]\nclientPin = false\n", 4, "pinUvAuthToken: pinUvAuthToken needs clientPin or uv"),
    ("extensions = [\"credBlob\", \"credProtect\", \"hmac-secret\", \"minPinLength\"]\n[options]\nlargeBlobs = false\n[limits]\nmaxSerializedLargeBlobArray = 2048\n", 3, "maxSerializedLargeBlobArray: maxSerializedLargeBlobArray is 1024 at least with largeBlobs and 0 without"),
    // The member is not in the file: the line that does not go with the default.
    ("aaguid = \"33c78076-c6cc-406c-95a6-44d084208762\"\nversions = [\"U2F_V2\"]\n", 2, "clientPin: clientPin is CTAP2's"),
    ("[flags]\nBE = true\n[options]\nrk = false\n", 4, "credMgmt: credMgmt needs rk, and clientPin or uv (§6.8); the file leaves credMgmt out, so it is as in the default profile"),
    ("[options]\nlargeBlobs = false\n", 2, "extensions: largeBlobKey needs largeBlobs and rk (§12.3); the file leaves extensions out"),
    ("[options]\nalwaysUv = true\n", 2, "versions: alwaysUv leaves no U2F_V2, which verifies nobody (§7.2.4); the file leaves versions out"),
];

#[test]
fn malformed_file_is_refused_with_line_and_rule() {
    for (text, line, reason) in MALFORMED {
        let found = refusal(text);
        assert_eq!(found.0, Some(*line), "{found:?} for {text}");
        assert!(found.1.contains(reason), "{found:?}, not {reason}");
    }
}

#[test]
fn member_that_is_left_out_is_the_defaults() {
    let text = "algorithms = [\"ES384\", \"ES256\"]\nusb.product = \"mine\"\n[options]\n";
    let profile = Profile::parse(text, "rig.toml").expect("a profile");
    let mut expected = Profile::default();
    expected.ctap.algorithms = vec![Algorithm::Es384, Algorithm::Es256];
    expected.usb.product = "mine".to_owned();
    assert_eq!(profile, expected);

    let text = "[options]\nalwaysUv = \"absent\"\n[limits]\nmaxDiscoverableCredentials = 5\n";
    let profile = Profile::parse(text, "rig.toml").expect("a profile");
    expected = Profile::default();
    expected.ctap.always_uv = None;
    expected.ctap.max_discoverable_credentials = 5;
    assert_eq!(profile, expected);
}

#[test]
fn file_is_read_to_a_limit() {
    let comment = |length: usize| "#".repeat(length);
    let longest = file("longest.toml", comment(MAX_PROFILE_LEN));
    let path = longest.to_str().expect("UTF-8");
    assert_eq!(Profile::load(path).expect("a profile"), Profile::default());
    let too_long = file("too-long.toml", comment(MAX_PROFILE_LEN + 1));
    let path = too_long.to_str().expect("UTF-8");
    let why = Profile::load(path).expect_err("too long").to_string();
    assert_eq!(why, format!("{path}: a profile has 65536 bytes at most"));
}

#[test]
fn file_that_is_not_text_is_refused_with_its_line() {
    let path = file("latin-1.toml", b"# one\n[usb]\nmanufacturer = \"\xe4\"\n");
    let path = path.to_str().expect("UTF-8");
    let why = Profile::load(path).expect_err("not UTF-8").to_string();
    assert_eq!(
        why,
        format!("{path}:3: a profile is TOML, and this is not UTF-8")
    );
}

#[test]
fn directory_is_no_profile() {
    let why = Profile::load(env!("CARGO_TARGET_TMPDIR")).expect_err("a directory");
    assert!(matches!(why, ProfileError::Unreadable(..)), "{why}");
}
