//! CTAP2 status codes (CTAP 2.1 §8.2), spelled as the standard does.
//!
//! A status is an answer to the platform, not a Rust error of ours.

use std::fmt;

/// Declares the codes once: variant, value and the standard's name.
macro_rules! statuses {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $name:literal;)*) => {
        /// The first byte of every CTAP2 response.
        #[derive(Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Status {
            $($(#[$doc])* $variant = $code,)*
        }

        impl Status {
            /// The code as it goes on the wire.
            pub const fn code(self) -> u8 {
                self as u8
            }

            /// The status of a code; `None` for one that no key of ours answers.
            pub const fn from_code(code: u8) -> Option<Self> {
                match code {
                    $($code => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// The name in CTAP 2.1 §8.2, such as `CTAP2_ERR_NO_CREDENTIALS`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// The name of a code; `unknown status` of one that no key of ours gives.
            pub const fn name_of(code: u8) -> &'static str {
                match code {
                    $($code => $name,)*
                    _ => "unknown status",
                }
            }
        }
    };
}

statuses! {
    /// Success.
    Ok = 0x00, "CTAP2_OK";
    /// The command byte is unknown or not offered by this key.
    InvalidCommand = 0x01, "CTAP1_ERR_INVALID_COMMAND";
    /// A parameter has a value that no authenticator takes.
    InvalidParameter = 0x02, "CTAP1_ERR_INVALID_PARAMETER";
    /// A parameter has a length that the standard does not allow.
    InvalidLength = 0x03, "CTAP1_ERR_INVALID_LENGTH";
    /// A part of a whole that is not the next one.
    InvalidSeq = 0x04, "CTAP1_ERR_INVALID_SEQ";
    /// A member has another CBOR type than the standard says.
    CborUnexpectedType = 0x11, "CTAP2_ERR_CBOR_UNEXPECTED_TYPE";
    /// The message is not CTAP2 canonical CBOR.
    InvalidCbor = 0x12, "CTAP2_ERR_INVALID_CBOR";
    /// A mandatory member is missing.
    MissingParameter = 0x14, "CTAP2_ERR_MISSING_PARAMETER";
    /// More items than this key takes.
    LimitExceeded = 0x15, "CTAP2_ERR_LIMIT_EXCEEDED";
    /// No room for another finger.
    FpDatabaseFull = 0x17, "CTAP2_ERR_FP_DATABASE_FULL";
    /// No room for a large-blob array of this length.
    LargeBlobStorageFull = 0x18, "CTAP2_ERR_LARGE_BLOB_STORAGE_FULL";
    /// A credential of the exclude list is on this key.
    CredentialExcluded = 0x19, "CTAP2_ERR_CREDENTIAL_EXCLUDED";
    /// None of the algorithms asked for is offered.
    UnsupportedAlgorithm = 0x26, "CTAP2_ERR_UNSUPPORTED_ALGORITHM";
    /// The person, or a policy, said no.
    OperationDenied = 0x27, "CTAP2_ERR_OPERATION_DENIED";
    /// No room for another discoverable credential.
    KeyStoreFull = 0x28, "CTAP2_ERR_KEY_STORE_FULL";
    /// An option is not one for this command.
    UnsupportedOption = 0x2B, "CTAP2_ERR_UNSUPPORTED_OPTION";
    /// An option has a value that this key cannot honour.
    InvalidOption = 0x2C, "CTAP2_ERR_INVALID_OPTION";
    /// The platform cancelled the command.
    KeepaliveCancel = 0x2D, "CTAP2_ERR_KEEPALIVE_CANCEL";
    /// No credential of this key fits.
    NoCredentials = 0x2E, "CTAP2_ERR_NO_CREDENTIALS";
    /// Nobody touched the key in time.
    UserActionTimeout = 0x2F, "CTAP2_ERR_USER_ACTION_TIMEOUT";
    /// Not now: the state of the key does not allow the command.
    NotAllowed = 0x30, "CTAP2_ERR_NOT_ALLOWED";
    /// A wrong PIN.
    PinInvalid = 0x31, "CTAP2_ERR_PIN_INVALID";
    /// No attempts are left: only a reset helps.
    PinBlocked = 0x32, "CTAP2_ERR_PIN_BLOCKED";
    /// pinUvAuthParam does not authenticate the message, or its token does not allow it.
    PinAuthInvalid = 0x33, "CTAP2_ERR_PIN_AUTH_INVALID";
    /// Too many wrong PINs in a row: the key wants a power cycle.
    PinAuthBlocked = 0x34, "CTAP2_ERR_PIN_AUTH_BLOCKED";
    /// No PIN is set.
    PinNotSet = 0x35, "CTAP2_ERR_PIN_NOT_SET";
    /// The command needs a pinUvAuthToken.
    PuatRequired = 0x36, "CTAP2_ERR_PUAT_REQUIRED";
    /// The PIN is too short, too long, or not new.
    PinPolicyViolation = 0x37, "CTAP2_ERR_PIN_POLICY_VIOLATION";
    /// The request is longer than maxMsgSize.
    RequestTooLarge = 0x39, "CTAP2_ERR_REQUEST_TOO_LARGE";
    /// No attempts of built-in verification are left: the PIN brings them back.
    UvBlocked = 0x3C, "CTAP2_ERR_UV_BLOCKED";
    /// A hash does not fit what came with it.
    IntegrityFailure = 0x3D, "CTAP2_ERR_INTEGRITY_FAILURE";
    /// The subcommand is unknown or not offered by this key.
    InvalidSubcommand = 0x3E, "CTAP2_ERR_INVALID_SUBCOMMAND";
    /// A finger that the key does not know.
    UvInvalid = 0x3F, "CTAP2_ERR_UV_INVALID";
    /// A permission was asked for that this key does not give.
    UnauthorizedPermission = 0x40, "CTAP2_ERR_UNAUTHORIZED_PERMISSION";
    /// Something else went wrong, such as a storage that failed.
    Other = 0x7F, "CTAP1_ERR_OTHER";
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (0x{:02X})", self.name(), self.code())
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
