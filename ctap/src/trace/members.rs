//! Which members of CTAP2 messages a trace shows, and how (CTAP 2.1 §6).
//!
//! What is not named here is not shown. Of what is secret, or opens a secret to whoever has the
//! other half, the length alone is shown: tokens, PINs on their way, salts, blobs, signatures.

use crate::command::Command;

/// Where a member is found in its map.
#[derive(Clone, Copy)]
pub(super) enum Key {
    Int(i64),
    Text(&'static str),
}

/// How a value is shown; one of another type is not.
#[derive(Clone, Copy)]
pub(super) enum Show {
    Text,
    Number,
    Flag,
    /// Bytes that are short and no secret.
    Hex,
    /// The beginning of bytes that are no secret.
    HexStart,
    /// The length of bytes.
    Length,
    Texts,
    /// Algorithms in COSE's numbers.
    Algorithms,
    /// A list of descriptors: how many, and the ids' beginnings under another name.
    Descriptors(&'static str),
    /// The names in a map.
    Names,
    /// A number that has a name.
    Named(&'static [(u64, &'static str)]),
    /// The names of the bits that are set.
    Bits(&'static [(u64, &'static str)]),
    /// The members of a map, each under its own name.
    Map(&'static [Member]),
    /// Authenticator data (WebAuthn §6.1).
    AuthData,
}

/// A member of a message.
#[derive(Clone, Copy)]
pub(super) struct Member {
    pub(super) key: Key,
    /// As the standard writes it.
    pub(super) name: &'static str,
    pub(super) show: Show,
}

const fn int(key: i64, name: &'static str, show: Show) -> Member {
    let key = Key::Int(key);
    Member { key, name, show }
}

const fn text(key: &'static str, name: &'static str, show: Show) -> Member {
    let key = Key::Text(key);
    Member { key, name, show }
}

/// A map whose members have names of their own.
const fn map(key: i64, members: &'static [Member]) -> Member {
    int(key, "", Show::Map(members))
}

const RP: &[Member] = &[
    text("id", "rp.id", Show::Text),
    text("name", "rp.name", Show::Text),
];
const USER: &[Member] = &[
    text("id", "user.id", Show::Hex),
    text("name", "user.name", Show::Text),
    text("displayName", "user.displayName", Show::Text),
];
const OPTIONS: &[Member] = &[
    text("rk", "options.rk", Show::Flag),
    text("up", "options.up", Show::Flag),
    text("uv", "options.uv", Show::Flag),
];
const CREDENTIAL: &[Member] = &[text("id", "credential.id", Show::HexStart)];

const MAKE_CREDENTIAL: &[Member] = &[
    int(0x01, "clientDataHash", Show::HexStart),
    map(0x02, RP),
    map(0x03, USER),
    int(0x04, "pubKeyCredParams", Show::Algorithms),
    int(0x05, "excludeList", Show::Descriptors("excludeList.id")),
    int(0x06, "extensions", Show::Names),
    map(0x07, OPTIONS),
    int(0x08, "pinUvAuthParam", Show::Length),
    int(0x09, "pinUvAuthProtocol", Show::Number),
    int(0x0a, "enterpriseAttestation", Show::Number),
    int(0x0b, "attestationFormatsPreference", Show::Texts),
];
const MAKE_CREDENTIAL_RESPONSE: &[Member] = &[
    int(0x01, "fmt", Show::Text),
    int(0x02, "authData", Show::AuthData),
    int(0x05, "largeBlobKey", Show::Length),
];
const GET_ASSERTION: &[Member] = &[
    int(0x01, "rpId", Show::Text),
    int(0x02, "clientDataHash", Show::HexStart),
    int(0x03, "allowList", Show::Descriptors("allowList.id")),
    int(0x04, "extensions", Show::Names),
    map(0x05, OPTIONS),
    int(0x06, "pinUvAuthParam", Show::Length),
    int(0x07, "pinUvAuthProtocol", Show::Number),
];
const GET_ASSERTION_RESPONSE: &[Member] = &[
    map(0x01, CREDENTIAL),
    int(0x02, "authData", Show::AuthData),
    int(0x03, "signature", Show::Length),
    map(0x04, USER),
    int(0x05, "numberOfCredentials", Show::Number),
    int(0x07, "largeBlobKey", Show::Length),
];
const CLIENT_PIN: &[Member] = &[
    int(
        0x02,
        "subCommand",
        Show::Named(&[
            (0x01, "getPINRetries"),
            (0x02, "getKeyAgreement"),
            (0x03, "setPIN"),
            (0x04, "changePIN"),
            (0x05, "getPinToken"),
            (0x06, "getPinUvAuthTokenUsingUvWithPermissions"),
            (0x07, "getUVRetries"),
            (0x09, "getPinUvAuthTokenUsingPinWithPermissions"),
        ]),
    ),
    int(0x01, "pinUvAuthProtocol", Show::Number),
    int(0x04, "pinUvAuthParam", Show::Length),
    int(0x05, "newPinEnc", Show::Length),
    int(0x06, "pinHashEnc", Show::Length),
    int(
        0x09,
        "permissions",
        Show::Bits(&[
            (0x01, "mc"),
            (0x02, "ga"),
            (0x04, "cm"),
            (0x08, "be"),
            (0x10, "lbw"),
            (0x20, "acfg"),
            (0x40, "pcmr"),
        ]),
    ),
    int(0x0a, "rpId", Show::Text),
];
const CLIENT_PIN_RESPONSE: &[Member] = &[
    int(0x02, "pinUvAuthToken", Show::Length),
    int(0x03, "pinRetries", Show::Number),
    int(0x04, "powerCycleState", Show::Flag),
    int(0x05, "uvRetries", Show::Number),
];
const BIO_ENROLLMENT: &[Member] = &[
    int(0x01, "modality", Show::Number),
    int(
        0x02,
        "subCommand",
        Show::Named(&[
            (0x01, "enrollBegin"),
            (0x02, "enrollCaptureNextSample"),
            (0x03, "cancelCurrentEnrollment"),
            (0x04, "enumerateEnrollments"),
            (0x05, "setFriendlyName"),
            (0x06, "removeEnrollment"),
            (0x07, "getFingerprintSensorInfo"),
        ]),
    ),
    map(
        0x03,
        &[
            int(0x01, "templateId", Show::Hex),
            int(0x02, "templateFriendlyName", Show::Text),
            int(0x03, "timeoutMilliseconds", Show::Number),
        ],
    ),
    int(0x04, "pinUvAuthProtocol", Show::Number),
    int(0x05, "pinUvAuthParam", Show::Length),
    int(0x06, "getModality", Show::Flag),
];
const BIO_ENROLLMENT_RESPONSE: &[Member] = &[
    int(0x01, "modality", Show::Number),
    int(0x02, "fingerprintKind", Show::Number),
    int(0x03, "maxCaptureSamplesRequiredForEnroll", Show::Number),
    int(0x04, "templateId", Show::Hex),
    int(
        0x05,
        "lastEnrollSampleStatus",
        Show::Named(&[
            (0x00, "CTAP2_ENROLL_FEEDBACK_FP_GOOD"),
            (0x07, "CTAP2_ENROLL_FEEDBACK_FP_POOR_QUALITY"),
            (0x0d, "CTAP2_ENROLL_FEEDBACK_NO_USER_ACTIVITY"),
        ]),
    ),
    int(0x06, "remainingSamples", Show::Number),
    int(0x08, "maxTemplateFriendlyName", Show::Number),
];
const CREDENTIAL_MANAGEMENT: &[Member] = &[
    int(
        0x01,
        "subCommand",
        Show::Named(&[
            (0x01, "getCredsMetadata"),
            (0x02, "enumerateRPsBegin"),
            (0x03, "enumerateRPsGetNextRP"),
            (0x04, "enumerateCredentialsBegin"),
            (0x05, "enumerateCredentialsGetNextCredential"),
            (0x06, "deleteCredential"),
            (0x07, "updateUserInformation"),
        ]),
    ),
    map(
        0x02,
        &[
            int(0x01, "rpIDHash", Show::HexStart),
            map(0x02, CREDENTIAL),
            map(0x03, USER),
        ],
    ),
    int(0x03, "pinUvAuthProtocol", Show::Number),
    int(0x04, "pinUvAuthParam", Show::Length),
];
const CREDENTIAL_MANAGEMENT_RESPONSE: &[Member] = &[
    int(0x01, "existingResidentCredentialsCount", Show::Number),
    int(
        0x02,
        "maxPossibleRemainingResidentCredentialsCount",
        Show::Number,
    ),
    map(0x03, RP),
    int(0x04, "rpIDHash", Show::HexStart),
    int(0x05, "totalRPs", Show::Number),
    map(0x06, USER),
    map(0x07, CREDENTIAL),
    int(0x09, "totalCredentials", Show::Number),
    int(0x0a, "credProtect", Show::Number),
    int(0x0b, "largeBlobKey", Show::Length),
];
const LARGE_BLOBS: &[Member] = &[
    int(0x01, "get", Show::Number),
    int(0x02, "set", Show::Length),
    int(0x03, "offset", Show::Number),
    int(0x04, "length", Show::Number),
    int(0x05, "pinUvAuthParam", Show::Length),
    int(0x06, "pinUvAuthProtocol", Show::Number),
];
const LARGE_BLOBS_RESPONSE: &[Member] = &[int(0x01, "config", Show::Length)];
const CONFIG: &[Member] = &[
    int(
        0x01,
        "subCommand",
        Show::Named(&[
            (0x01, "enableEnterpriseAttestation"),
            (0x02, "toggleAlwaysUv"),
            (0x03, "setMinPINLength"),
            (0xff, "vendorPrototype"),
        ]),
    ),
    map(
        0x02,
        &[
            int(0x01, "newMinPINLength", Show::Number),
            int(0x02, "minPinLengthRPIDs", Show::Texts),
            int(0x03, "forceChangePin", Show::Flag),
        ],
    ),
    int(0x03, "pinUvAuthProtocol", Show::Number),
    int(0x04, "pinUvAuthParam", Show::Length),
];

/// The members of a command's request, and of its response.
pub(super) const fn of(command: Command) -> (&'static [Member], &'static [Member]) {
    match command {
        Command::MakeCredential => (MAKE_CREDENTIAL, MAKE_CREDENTIAL_RESPONSE),
        Command::GetAssertion => (GET_ASSERTION, GET_ASSERTION_RESPONSE),
        Command::GetNextAssertion => (&[], GET_ASSERTION_RESPONSE),
        // What a key is its profile says; every client asks for it, again and again.
        Command::GetInfo => (&[], &[]),
        Command::ClientPin => (CLIENT_PIN, CLIENT_PIN_RESPONSE),
        Command::BioEnrollment => (BIO_ENROLLMENT, BIO_ENROLLMENT_RESPONSE),
        Command::CredentialManagement => (CREDENTIAL_MANAGEMENT, CREDENTIAL_MANAGEMENT_RESPONSE),
        Command::LargeBlobs => (LARGE_BLOBS, LARGE_BLOBS_RESPONSE),
        Command::Config => (CONFIG, &[]),
        Command::Reset
        | Command::Selection
        | Command::U2fRegister
        | Command::U2fAuthenticate
        | Command::U2fVersion
        | Command::Unknown => (&[], &[]),
    }
}
