//! Why a rig did not do what was asked of it.

use std::fmt;

use crate::{key::ChangeError, profile::ProfileError, vault::VaultError};

/// What kind of refusal it is, so that a program can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// There is no such thing.
    NotFound,
    /// What was asked is not understood, or cannot be.
    Invalid,
    /// It cannot be done as things are now.
    Conflict,
    /// It is not allowed.
    Forbidden,
    /// The system or the vault failed.
    Failed,
}

/// A refusal, in words for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RigError {
    /// What kind.
    pub kind: ErrorKind,
    /// What happened and what to do.
    pub text: String,
}

impl RigError {
    pub(crate) fn new(kind: ErrorKind, text: impl fmt::Display) -> Self {
        let text = text.to_string();
        Self { kind, text }
    }

    pub(crate) fn not_found(text: impl fmt::Display) -> Self {
        Self::new(ErrorKind::NotFound, text)
    }

    pub(crate) fn invalid(text: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Invalid, text)
    }

    pub(crate) fn conflict(text: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Conflict, text)
    }

    pub(crate) fn forbidden(text: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Forbidden, text)
    }

    pub(crate) fn failed(text: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Failed, text)
    }
}

impl fmt::Display for RigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for RigError {}

impl From<VaultError> for RigError {
    fn from(why: VaultError) -> Self {
        let kind = if matches!(why, VaultError::Unknown(_)) {
            ErrorKind::NotFound
        } else if matches!(why, VaultError::Refused(_)) {
            ErrorKind::Conflict
        } else {
            ErrorKind::Failed
        };
        Self::new(kind, why)
    }
}

impl From<ProfileError> for RigError {
    fn from(why: ProfileError) -> Self {
        Self::invalid(why)
    }
}

impl From<ChangeError> for RigError {
    fn from(why: ChangeError) -> Self {
        let kind = match &why {
            ChangeError::Refused(_) => ErrorKind::Conflict,
            ChangeError::NotStored => ErrorKind::Failed,
            ChangeError::Gone => ErrorKind::NotFound,
        };
        Self::new(kind, why)
    }
}
