//! The faults by name: what each does, and what a client should make of it.
//!
//! Sections of WebAuthn are those of Level 2. Deliberately absent: doing it.

use std::fmt;

use super::Fault;
use crate::command::Command;

/// Where a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultLayer {
    /// In the answer's contents (CTAP2 or U2F).
    Answer,
    /// In the reports that carry it (CTAPHID).
    Wire,
}

/// What a fault's parameter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parameter {
    /// There is none.
    Nothing,
    /// A CTAP2 status code.
    Status,
    /// Milliseconds.
    Milliseconds,
}

/// A fault for people and rigs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultInfo {
    /// Its name, in lower case with hyphens.
    pub name: &'static str,
    /// Where it strikes.
    pub layer: FaultLayer,
    /// Its parameter.
    pub parameter: Parameter,
    /// The commands whose answers can show it; none where it strikes below commands.
    pub commands: &'static [Command],
    /// What the key does.
    pub does: &'static str,
    /// What a client should make of it.
    pub expect: &'static str,
}

/// Why a name and a parameter are no fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSuchFault {
    /// No fault has this name.
    Name,
    /// This one takes a number, and there is none.
    ParameterMissing(Parameter),
    /// This one takes none, and there is one.
    ParameterUnwanted,
    /// The number is not one that it takes.
    ParameterTooLarge(Parameter),
}

impl fmt::Display for NoSuchFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name => f.write_str("there is no fault of this name"),
            Self::ParameterMissing(parameter) => write!(f, "this fault takes {parameter}"),
            Self::ParameterUnwanted => f.write_str("this fault takes no number"),
            Self::ParameterTooLarge(parameter) => {
                write!(f, "the number is too large for {parameter}")
            }
        }
    }
}

impl std::error::Error for NoSuchFault {}

impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "nothing",
            Self::Status => "a status code of one byte",
            Self::Milliseconds => "a number of milliseconds",
        })
    }
}

impl Fault {
    /// Whether the answer to a command can show it.
    pub fn applies_to(self, command: Command) -> bool {
        self.info().commands.contains(&command)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.info().name)?;
        match self.number() {
            Some(code) if self.info().parameter == Parameter::Status => write!(f, " 0x{code:02X}"),
            Some(ms) => write!(f, " {ms} ms"),
            None => Ok(()),
        }
    }
}

/// Its parameter, of which there must be one.
fn required<T: TryFrom<u32>>(parameter: Option<u32>, kind: Parameter) -> Result<T, NoSuchFault> {
    let number = parameter.ok_or(NoSuchFault::ParameterMissing(kind))?;
    T::try_from(number).map_err(|_| NoSuchFault::ParameterTooLarge(kind))
}

/// Declares each fault once: variant and parameter, name, layer, commands, and the two texts.
macro_rules! catalog {
    ($($variant:ident $(($kind:ident))? = $name:literal, $layer:ident, $commands:expr,
        $does:literal, $expect:literal;)*) => {
        const CATALOG: &[FaultInfo] = &[$(catalog!(@info $name, $layer, $commands,
            $does, $expect $(, $kind)?),)*];

        impl Fault {
            /// What it is, for people and rigs.
            pub const fn info(self) -> &'static FaultInfo {
                match self {
                    $(Self::$variant { .. } => &catalog!(@info $name, $layer, $commands,
                        $does, $expect $(, $kind)?),)*
                }
            }

            /// Every fault.
            pub const fn all() -> &'static [FaultInfo] {
                CATALOG
            }

            /// The fault of a name, with its parameter where it has one.
            ///
            /// # Errors
            /// [`NoSuchFault`] says what does not fit.
            pub fn from_name(name: &str, parameter: Option<u32>) -> Result<Self, NoSuchFault> {
                match name {
                    $($name => catalog!(@make $variant, parameter $(, $kind)?),)*
                    _ => Err(NoSuchFault::Name),
                }
            }

            /// Its parameter.
            pub fn number(self) -> Option<u32> {
                match self {
                    $(catalog!(@pattern $variant, number $(, $kind)?) =>
                        catalog!(@number number $(, $kind)?),)*
                }
            }
        }
    };
    (@info $name:literal, $layer:ident, $commands:expr, $does:literal, $expect:literal) => {
        catalog!(@info $name, $layer, $commands, $does, $expect, Nothing)
    };
    (@info $name:literal, $layer:ident, $commands:expr, $does:literal, $expect:literal,
        $kind:ident) => {
        FaultInfo {
            name: $name,
            layer: FaultLayer::$layer,
            parameter: Parameter::$kind,
            commands: $commands,
            does: $does,
            expect: $expect,
        }
    };
    (@make $variant:ident, $parameter:ident) => {
        match $parameter {
            None => Ok(Self::$variant),
            Some(_) => Err(NoSuchFault::ParameterUnwanted),
        }
    };
    (@make $variant:ident, $parameter:ident, $kind:ident) => {
        required($parameter, Parameter::$kind).map(Self::$variant)
    };
    (@pattern $variant:ident, $number:ident) => {
        Self::$variant
    };
    (@pattern $variant:ident, $number:ident, $kind:ident) => {
        Self::$variant($number)
    };
    (@number $number:ident) => {
        None
    };
    (@number $number:ident, $kind:ident) => {
        Some(u32::from($number))
    };
}

/// Faults that strike below commands.
const NONE: &[Command] = &[];
const ALL: &[Command] = Command::ALL;
/// While these run, keepalives come (CTAP 2.1 §11.2.9.1.6).
const CTAP2: &[Command] = &[
    Command::MakeCredential,
    Command::GetAssertion,
    Command::GetNextAssertion,
    Command::GetInfo,
    Command::ClientPin,
    Command::Reset,
    Command::BioEnrollment,
    Command::CredentialManagement,
    Command::Selection,
    Command::LargeBlobs,
    Command::Config,
];
/// Those whose success carries CBOR, at least for some of their subcommands.
const CBOR: &[Command] = &[
    Command::MakeCredential,
    Command::GetAssertion,
    Command::GetNextAssertion,
    Command::GetInfo,
    Command::ClientPin,
    Command::BioEnrollment,
    Command::CredentialManagement,
    Command::LargeBlobs,
];
const SIGNED: &[Command] = &[
    Command::MakeCredential,
    Command::GetAssertion,
    Command::GetNextAssertion,
    Command::U2fRegister,
    Command::U2fAuthenticate,
];
const AUTH_DATA: &[Command] = &[
    Command::MakeCredential,
    Command::GetAssertion,
    Command::GetNextAssertion,
];
/// U2F tells of presence where it authenticates (U2F raw messages §5.4).
const USER_PRESENCE: &[Command] = &[
    Command::MakeCredential,
    Command::GetAssertion,
    Command::GetNextAssertion,
    Command::U2fAuthenticate,
];
const COUNTED: &[Command] = &[
    Command::GetAssertion,
    Command::GetNextAssertion,
    Command::U2fAuthenticate,
];
const ASSERTIONS: &[Command] = &[Command::GetAssertion, Command::GetNextAssertion];
const REGISTRATION: &[Command] = &[Command::MakeCredential];
const CERTIFIED: &[Command] = &[Command::MakeCredential, Command::U2fRegister];
/// Those that wait for a touch, at least with some subcommands; U2F is told to ask again.
const TOUCHED: &[Command] = &[
    Command::MakeCredential,
    Command::GetAssertion,
    Command::ClientPin,
    Command::Reset,
    Command::BioEnrollment,
    Command::Selection,
];

catalog! {
    Status(Status) = "status", Answer, ALL,
        "Answers with this status alone; the command does not run and nobody is asked for a touch. \
         U2F gets 0x6F00.",
        "Report the failure that the code stands for (CTAP 2.1 §8.2); take an unknown code for \
         an error.";
    BadSignature = "bad-signature", Answer, SIGNED,
        "Changes a bit of the signature, which stays well formed.",
        "Reject: the signature does not verify (WebAuthn §7.2 step 20; of an attestation §7.1 \
         step 19).";
    FlipUserPresent = "flip-up", Answer, USER_PRESENCE,
        "Sends and signs flag UP the other way round.",
        "Reject where UP is not set and a touch was wanted (WebAuthn §7.1 step 14, §7.2 step 16).";
    FlipUserVerified = "flip-uv", Answer, AUTH_DATA,
        "Sends and signs flag UV the other way round.",
        "Reject where verification was required and UV is not set (WebAuthn §7.1 step 15, §7.2 \
         step 17).";
    ClearUserPresent = "clear-up", Answer, USER_PRESENCE,
        "Sends and signs flag UP as not set.",
        "Reject where a touch was wanted (WebAuthn §7.1 step 14, §7.2 step 16).";
    ClearUserVerified = "clear-uv", Answer, AUTH_DATA,
        "Sends and signs flag UV as not set.",
        "Reject where verification was required (WebAuthn §7.1 step 15, §7.2 step 17).";
    FlipAttested = "flip-at", Answer, AUTH_DATA,
        "Sends and signs flag AT the other way round; the data that it tells of stay as they are.",
        "Reject: the authenticator data cannot be what the flags say (WebAuthn §6.1).";
    FlipExtensions = "flip-ed", Answer, AUTH_DATA,
        "Sends and signs flag ED the other way round; the data that it tells of stay as they are.",
        "Reject: the authenticator data cannot be what the flags say (WebAuthn §6.1).";
    BadRpIdHash = "bad-rp-id-hash", Answer, AUTH_DATA,
        "Sends and signs the hash of another RP id.",
        "Reject: rpIdHash is not that of this site (WebAuthn §7.1 step 13, §7.2 step 15).";
    SpoilVerified = "spoil-uv", Answer, AUTH_DATA,
        "Sends and signs the hash of another RP id where the person was verified, and leaves other \
         answers alone.",
        "Reject: rpIdHash is not that of this site (WebAuthn §7.1 step 13, §7.2 step 15).";
    CounterRepeated = "counter-repeated", Answer, COUNTED,
        "Sends and signs the counter of the credential's last assertion, or of its registration; \
         0 where the key has seen neither since it started.",
        "Treat it as a sign of a copied key, unless the counter is always 0 (WebAuthn §7.2 \
         step 21).";
    CounterLowered = "counter-lowered", Answer, COUNTED,
        "Sends and signs one less than the counter of the credential's last assertion, or of its \
         registration, but no less than 0.",
        "Treat it as a sign of a copied key, unless the counter is always 0 (WebAuthn §7.2 \
         step 21).";
    AttestationMissing = "attestation-missing", Answer, REGISTRATION,
        "Sends no attestation (format none) though one was wanted.",
        "Reject where the site requires attestation (WebAuthn §7.1 step 21), and accept elsewhere.";
    AttestationSelf = "attestation-self", Answer, REGISTRATION,
        "Sends packed self attestation, whatever the key's profile has.",
        "Reject where the site does not accept self attestation (WebAuthn §7.1 step 21).";
    AttestationExpired = "attestation-expired", Answer, CERTIFIED,
        "Sends an attestation that was signed well, with a certificate that ended in 2002.",
        "Reject where the site validates the certificate (WebAuthn §7.1 step 21, RFC 5280 §6.1.3).";
    AttestationWrongAaguid = "attestation-wrong-aaguid", Answer, REGISTRATION,
        "Sends packed attestation whose certificate names another AAGUID than the authenticator \
         data.",
        "Reject: id-fido-gen-ce-aaguid must match (WebAuthn §8.2, §8.2.1).";
    AttestationBrokenChain = "attestation-broken-chain", Answer, REGISTRATION,
        "Sends packed attestation with two certificates, of which the second names itself issuer \
         of the first and has not signed it.",
        "Reject: the chain leads to no trust anchor (WebAuthn §7.1 step 21, RFC 5280 §6.1.3).";
    CborTruncated = "cbor-truncated", Answer, CBOR,
        "Leaves out the last byte of the answer's CBOR behind status OK.",
        "Report a malformed answer; never take what came for all (CTAP 2.1 §8).";
    CborOversized = "cbor-oversized", Answer, CTAP2,
        "Pads the answer with an unknown member to the longest message that CTAPHID carries, \
         7609 bytes.",
        "Ignore the member, or report an answer that is too long; never write past a buffer \
         (CTAP 2.1 §8, §11.2.4).";
    CborNonCanonical = "cbor-non-canonical", Answer, CBOR,
        "Sends the members of the answer's map in reverse order; a map of one member has its \
         length in two bytes.",
        "Report a malformed answer, or read the same values as from canonical CBOR (CTAP 2.1 §8).";
    WrongUserHandle = "wrong-user-handle", Answer, ASSERTIONS,
        "Sends another user.id, where the assertion has one.",
        "Reject: the credential is not that user's (WebAuthn §7.2 step 6).";
    MissingCredential = "missing-credential", Answer, ASSERTIONS,
        "Leaves out member credential of the assertion.",
        "Take the credential of an allow list of one, as CTAP 2.0 has it, or report a malformed \
         answer (CTAP 2.1 §6.2).";
    DropReport = "drop-report", Wire, ALL,
        "Loses the last report of the answer.",
        "Time out and say so, then start over with INIT (CTAP 2.1 §11.2.5.2).";
    DelayReport(Milliseconds) = "delay-report", Wire, ALL,
        "Sends the answer this much later; keepalives go on meanwhile.",
        "Wait while keepalives come, and time out where none do (CTAP 2.1 §11.2.9.1.6).";
    DuplicateReport = "duplicate-report", Wire, ALL,
        "Sends the first report of the answer twice.",
        "Begin the message anew or fail; leave nothing of it to the next answer (CTAP 2.1 \
         §11.2.4).";
    CorruptReport = "corrupt-report", Wire, ALL,
        "Changes a bit of the payload of the answer's last report.",
        "Reject what does not decode or does not verify: CTAPHID has no checksum.";
    ReorderReports = "reorder-reports", Wire, ALL,
        "Swaps two neighbouring reports of the answer.",
        "Fail at the sequence number that is not the next (CTAP 2.1 §11.2.4).";
    WrongSequence = "wrong-sequence", Wire, ALL,
        "Gives a continuation packet of the answer the number after its own.",
        "Fail at the sequence number that is not the next (CTAP 2.1 §11.2.4).";
    WrongChannel = "wrong-channel", Wire, ALL,
        "Sends the answer on a channel that nobody was given.",
        "Ignore it as another client's, then time out and say so (CTAP 2.1 §11.2.3).";
    NoKeepalives = "no-keepalives", Wire, CTAP2,
        "Is silent while it works or waits for a touch; the answer comes as usual.",
        "Bear some silence, then time out and say so (CTAP 2.1 §11.2.9.1.6).";
    EndlessKeepalives = "endless-keepalives", Wire, CTAP2,
        "Says for ever that it is processing, and never answers.",
        "Have a limit of its own and send CANCEL at its end (CTAP 2.1 §11.2.9.1.5).";
    SlowTrickle(Milliseconds) = "slow-trickle", Wire, ALL,
        "Sends each report of the answer this much after the one before.",
        "Wait for each packet anew, or time out and say so (CTAP 2.1 §11.2.5.2).";
    UnplugAfterInit = "unplug-after-init", Wire, NONE,
        "Is pulled out once its answer to CTAPHID_INIT was taken.",
        "Notice that the key is gone, and go on with any other.";
    UnplugBetweenPackets = "unplug-between-packets", Wire, NONE,
        "Is pulled out after the first packet of a request of several.",
        "Notice that the key is gone while it writes, and go on with any other.";
    UnplugDuringTouch = "unplug-during-touch", Wire, TOUCHED,
        "Is pulled out while it waits for a touch.",
        "Take the request to touch back at once, and go on with any other key.";
    UnplugBeforeAnswer = "unplug-before-answer", Wire, ALL,
        "Is pulled out when its answer is ready and before any of it was sent.",
        "Report that the outcome is not known; a credential may have been made.";
}
