//! Why a front does not do what a client asked.

use std::fmt;

use crate::rig::{ErrorKind, RigError};

/// A refusal. Each front has its protocol's word for each kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FrontError {
    /// What was asked makes no sense, or names what is not there.
    Invalid(String),
    /// It makes sense, and this is not done here.
    Unsupported(String),
    /// It should have worked.
    Failed(String),
}

impl FrontError {
    pub(super) fn invalid(text: impl Into<String>) -> Self {
        Self::Invalid(text.into())
    }

    pub(super) fn failed(text: impl fmt::Display) -> Self {
        Self::Failed(text.to_string())
    }
}

impl From<RigError> for FrontError {
    fn from(why: RigError) -> Self {
        match why.kind {
            // What does not go into a key is an "invalid argument" to both protocols.
            ErrorKind::NotFound | ErrorKind::Invalid | ErrorKind::Conflict => {
                Self::Invalid(why.text)
            }
            ErrorKind::Forbidden | ErrorKind::Failed => Self::Failed(why.text),
        }
    }
}

impl fmt::Display for FrontError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(text) | Self::Unsupported(text) | Self::Failed(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for FrontError {}
