//! getInfo of every built-in profile, word for word: what a change of a default changes shows here.

use super::info::{Info, infos};

/// What getInfo of each profile says, but for the AAGUID: versions, extensions, algorithms,
/// options ("no" in front of a false one), the members that are numbers, and all members.
const SAID: &[(&str, [&str; 6])] = &[
    (
        "default",
        [
            "FIDO_2_0 FIDO_2_1 FIDO_2_3 U2F_V2",
            "credBlob credProtect hmac-secret hmac-secret-mc largeBlobKey minPinLength \
             pinComplexityPolicy thirdPartyPayment",
            "-7 -8 -35 -47 -36 -257",
            "noalwaysUv authnrCfg noclientPin credMgmt credentialMgmtPreview largeBlobs \
             nomakeCredUvNotRqd perCredMgmtRO pinUvAuthToken noplat rk setMinPINLength up",
            "05=7609 07=64 08=64 0b=16384 0d=4 0e=256 0f=32 10=8 14=1000 1d=63",
            "01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10 14 16 18 1a 1b 1d 1f",
        ],
    ),
    (
        "fido-2.0",
        [
            "FIDO_2_0 U2F_V2",
            "hmac-secret",
            "-7 -8",
            "noclientPin noplat rk up",
            "05=1200 07=8 08=64 0e=256 14=25",
            "01 02 03 04 05 06 07 08 09 0a 0e 14",
        ],
    ),
    (
        "fido-2.1-pin",
        [
            "FIDO_2_0 FIDO_2_1",
            "credBlob credProtect hmac-secret hmac-secret-mc minPinLength",
            "-7 -8 -35 -47 -36 -257",
            "noalwaysUv authnrCfg noclientPin credMgmt credentialMgmtPreview \
             nomakeCredUvNotRqd pinUvAuthToken noplat rk setMinPINLength up",
            "05=7609 07=64 08=64 0d=4 0e=256 0f=32 10=8 14=1000",
            "01 02 03 04 05 06 07 08 09 0a 0c 0d 0e 0f 10 14",
        ],
    ),
    (
        "no-prf",
        [
            "FIDO_2_0 U2F_V2",
            "",
            "-7 -8",
            "noclientPin noplat rk up",
            "05=1200 07=8 08=64 0e=256 14=25",
            "01 03 04 05 06 07 08 09 0a 0e 14",
        ],
    ),
    (
        "uv-not-required",
        [
            "FIDO_2_0 FIDO_2_1 U2F_V2",
            "credBlob credProtect hmac-secret hmac-secret-mc largeBlobKey minPinLength",
            "-7 -8 -35 -47 -36 -257",
            "noalwaysUv authnrCfg noclientPin credMgmt credentialMgmtPreview largeBlobs \
             makeCredUvNotRqd pinUvAuthToken noplat rk setMinPINLength up",
            "05=7609 07=64 08=64 0b=16384 0d=4 0e=256 0f=32 10=8 14=1000",
            "01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10 14",
        ],
    ),
    (
        "tiny",
        [
            "FIDO_2_0 FIDO_2_1 U2F_V2",
            "credBlob credProtect hmac-secret hmac-secret-mc minPinLength",
            "-7 -8 -35 -47 -36 -257",
            "noalwaysUv authnrCfg noclientPin credMgmt credentialMgmtPreview \
             nomakeCredUvNotRqd pinUvAuthToken noplat rk setMinPINLength up",
            "05=1024 07=2 08=64 0d=4 0e=256 0f=32 10=1 14=3",
            "01 02 03 04 05 06 07 08 09 0a 0c 0d 0e 0f 10 14",
        ],
    ),
    (
        "passkey-provider",
        [
            "FIDO_2_0 FIDO_2_1",
            "credProtect hmac-secret hmac-secret-mc largeBlobKey",
            "-7",
            "noclientPin credMgmt credentialMgmtPreview largeBlobs nomakeCredUvNotRqd \
             pinUvAuthToken noplat rk up",
            "05=7609 07=64 08=64 0b=16384 0d=4 0e=256 14=1000",
            "01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 14",
        ],
    ),
    (
        "full",
        [
            "FIDO_2_0 FIDO_2_1 FIDO_2_3 U2F_V2",
            "credBlob credProtect hmac-secret hmac-secret-mc largeBlobKey minPinLength \
             pinComplexityPolicy thirdPartyPayment",
            "-7 -8 -35 -36 -47 -257 -48 -49",
            "noalwaysUv authnrCfg bioEnroll noclientPin credMgmt credentialMgmtPreview noep \
             largeBlobs nomakeCredUvNotRqd perCredMgmtRO pinUvAuthToken noplat rk \
             setMinPINLength up userVerificationMgmtPreview uv uvAcfg uvBioEnroll",
            "05=7609 07=64 08=64 0b=16384 0d=4 0e=256 0f=32 10=8 11=3 12=2 14=1000 17=0 \
             1d=63",
            "01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10 11 12 14 16 17 18 1a 1b 1d 1f",
        ],
    ),
    (
        "bio",
        [
            "FIDO_2_0 FIDO_2_1 FIDO_2_3 U2F_V2",
            "credBlob credProtect hmac-secret hmac-secret-mc largeBlobKey minPinLength \
             pinComplexityPolicy thirdPartyPayment",
            "-7 -8 -35 -47 -36 -257",
            "noalwaysUv authnrCfg bioEnroll noclientPin credMgmt credentialMgmtPreview \
             largeBlobs nomakeCredUvNotRqd perCredMgmtRO pinUvAuthToken noplat rk \
             setMinPINLength up userVerificationMgmtPreview uv uvAcfg uvBioEnroll",
            "05=7609 07=64 08=64 0b=16384 0d=4 0e=256 0f=32 10=8 11=3 12=2 14=1000 17=0 \
             1d=63",
            "01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10 11 12 14 16 17 18 1a 1b 1d 1f",
        ],
    ),
    (
        "enterprise",
        [
            "FIDO_2_0 FIDO_2_1 FIDO_2_3 U2F_V2",
            "credBlob credProtect hmac-secret hmac-secret-mc largeBlobKey minPinLength \
             pinComplexityPolicy thirdPartyPayment",
            "-7 -8 -35 -47 -36 -257",
            "noalwaysUv authnrCfg noclientPin credMgmt credentialMgmtPreview noep \
             largeBlobs nomakeCredUvNotRqd perCredMgmtRO pinUvAuthToken noplat rk \
             setMinPINLength up",
            "05=7609 07=64 08=64 0b=16384 0d=4 0e=256 0f=32 10=8 14=1000 1d=63",
            "01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10 14 16 18 1a 1b 1d 1f",
        ],
    ),
    (
        "pqc",
        [
            "FIDO_2_0 FIDO_2_1 FIDO_2_3 U2F_V2",
            "credBlob credProtect hmac-secret hmac-secret-mc largeBlobKey minPinLength \
             pinComplexityPolicy thirdPartyPayment",
            "-49 -48 -7",
            "noalwaysUv authnrCfg noclientPin credMgmt credentialMgmtPreview largeBlobs \
             nomakeCredUvNotRqd perCredMgmtRO pinUvAuthToken noplat rk setMinPINLength up",
            "05=7609 07=64 08=64 0b=16384 0d=4 0e=256 0f=32 10=8 14=1000 1d=63",
            "01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10 14 16 18 1a 1b 1d 1f",
        ],
    ),
];

#[test]
fn get_info_says_all_of_its_profile_and_nothing_else() {
    assert_eq!(infos().count(), SAID.len(), "no profile is left out");
    for ((name, info), (expected_name, expected)) in infos().zip(SAID) {
        assert_eq!(name, *expected_name);
        assert_eq!(said(&info), *expected, "{name}");
    }
}

fn said(info: &Info) -> [String; 6] {
    let joined = |texts: Vec<String>| texts.join(" ");
    let algorithms = info.algorithms.iter().map(|entry| {
        let number = entry[0].1.as_integer().expect("an integer");
        i128::from(number).to_string()
    });
    let options = info.options.iter();
    let options = options.map(|(name, on)| format!("{}{name}", if *on { "" } else { "no" }));
    let numbers = info.numbers.iter();
    let numbers = numbers.map(|(key, value)| format!("{key:02x}={value}"));
    let members = info.members.iter().map(|key| format!("{key:02x}"));
    [
        joined(info.versions.iter().cloned().collect()),
        joined(info.extensions.iter().cloned().collect()),
        joined(algorithms.collect()),
        joined(options.collect()),
        joined(numbers.collect()),
        joined(members.collect()),
    ]
}
