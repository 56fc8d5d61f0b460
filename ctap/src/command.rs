//! What a key can be asked to do, by name: for traces and for rules about operations.

use std::fmt;

/// Declares the commands once: variant and name.
macro_rules! commands {
    ($($(#[$doc:meta])* $variant:ident = $name:literal;)*) => {
        /// A command of CTAP2 (CTAP 2.1 §6) or U2F (U2F raw messages §4 to §6).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Command {
            $($(#[$doc])* $variant,)*
        }

        impl Command {
            /// Every command.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Its name without a prefix, in lower case with hyphens.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

commands! {
    /// authenticatorMakeCredential.
    MakeCredential = "make-credential";
    /// authenticatorGetAssertion.
    GetAssertion = "get-assertion";
    /// authenticatorGetNextAssertion.
    GetNextAssertion = "get-next-assertion";
    /// authenticatorGetInfo.
    GetInfo = "get-info";
    /// authenticatorClientPIN.
    ClientPin = "client-pin";
    /// authenticatorReset.
    Reset = "reset";
    /// authenticatorBioEnrollment, or its preview.
    BioEnrollment = "bio-enrollment";
    /// authenticatorCredentialManagement, or its preview.
    CredentialManagement = "credential-management";
    /// authenticatorSelection.
    Selection = "selection";
    /// authenticatorLargeBlobs.
    LargeBlobs = "large-blobs";
    /// authenticatorConfig.
    Config = "config";
    /// U2F_REGISTER.
    U2fRegister = "u2f-register";
    /// U2F_AUTHENTICATE.
    U2fAuthenticate = "u2f-authenticate";
    /// U2F_VERSION.
    U2fVersion = "u2f-version";
    /// A command that this key does not know.
    Unknown = "unknown";
}

impl Command {
    /// The command of a CTAP2 message by its first byte (CTAP 2.1 §6).
    pub(crate) const fn of_ctap2(byte: u8) -> Self {
        match byte {
            0x01 => Self::MakeCredential,
            0x02 => Self::GetAssertion,
            0x04 => Self::GetInfo,
            0x06 => Self::ClientPin,
            0x07 => Self::Reset,
            0x08 => Self::GetNextAssertion,
            0x09 | 0x40 => Self::BioEnrollment,
            0x0a | 0x41 => Self::CredentialManagement,
            0x0b => Self::Selection,
            0x0c => Self::LargeBlobs,
            0x0d => Self::Config,
            _ => Self::Unknown,
        }
    }

    /// Whether it is U2F's, whose answers end with a status word.
    pub const fn is_u2f(self) -> bool {
        matches!(
            self,
            Self::U2fRegister | Self::U2fAuthenticate | Self::U2fVersion
        )
    }

    /// The command of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|command| command.name() == name)
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
