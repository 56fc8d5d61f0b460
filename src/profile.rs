//! What a key is, as a whole: the authenticator's side and the USB side.
//!
//! Profiles are TOML: twelve are built in, and a rig brings its own. `fixtures/profiles/default.toml`
//! says every member and what it means; what a file leaves out is as it is there.
//!
//! Deliberately absent: the rules that a profile keeps, which are `roamkey_ctap`'s, and serial
//! numbers, which are each key's own.

mod file;
#[cfg(test)]
mod tests;
mod value;

use std::{
    fmt,
    fs::File,
    io::{self, Read},
};

use roamkey_transport::usb::{Identity, IdentityError, IdentityFields};

use crate::vault::StoredProfile;

pub use crate::limits::MAX_PROFILE_LEN;

/// Names and texts of the built-in profiles.
const BUILT_IN: [(&str, &str); 12] = [
    ("default", include_str!("../fixtures/profiles/default.toml")),
    (
        "u2f-only",
        include_str!("../fixtures/profiles/u2f-only.toml"),
    ),
    (
        "fido-2.0",
        include_str!("../fixtures/profiles/fido-2.0.toml"),
    ),
    (
        "fido-2.1-pin",
        include_str!("../fixtures/profiles/fido-2.1-pin.toml"),
    ),
    ("no-prf", include_str!("../fixtures/profiles/no-prf.toml")),
    (
        "uv-not-required",
        include_str!("../fixtures/profiles/uv-not-required.toml"),
    ),
    ("tiny", include_str!("../fixtures/profiles/tiny.toml")),
    (
        "passkey-provider",
        include_str!("../fixtures/profiles/passkey-provider.toml"),
    ),
    ("full", include_str!("../fixtures/profiles/full.toml")),
    ("bio", include_str!("../fixtures/profiles/bio.toml")),
    (
        "enterprise",
        include_str!("../fixtures/profiles/enterprise.toml"),
    ),
    ("pqc", include_str!("../fixtures/profiles/pqc.toml")),
];

/// A kind of key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// Versions, options, limits.
    pub ctap: roamkey_ctap::Profile,
    /// USB ids and strings; the serial in it is replaced by the key's.
    pub usb: IdentityFields,
}

impl Profile {
    /// The built-in profiles, the default first.
    pub fn names() -> impl Iterator<Item = &'static str> {
        BUILT_IN.into_iter().map(|(name, _)| name)
    }

    /// A built-in profile.
    pub fn named(name: &str) -> Option<Self> {
        let (name, text) = built_in(name)?;
        Self::parse(text, name).ok()
    }

    /// A built-in profile by its name, or one from a file by its path. `./NAME` is the file where
    /// both exist.
    ///
    /// # Errors
    /// There is neither, the file cannot be read, or what it says is refused.
    pub fn load(name_or_path: &str) -> Result<Self, ProfileError> {
        if let Some((name, text)) = built_in(name_or_path) {
            return Self::parse(text, name);
        }
        Self::parse(&read_file(name_or_path)?, name_or_path)
    }

    /// What a stored key keeps of the profile that [`Self::load`] finds: the text of a file, and
    /// of a built-in one the name.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn to_store(name_or_path: &str) -> Result<(Self, StoredProfile), ProfileError> {
        let text = match built_in(name_or_path) {
            Some(_) => None,
            None => Some(read_file(name_or_path)?),
        };
        let profile = match &text {
            Some(text) => Self::parse(text, name_or_path)?,
            None => Self::load(name_or_path)?,
        };
        let name = name_or_path.to_owned();
        Ok((profile, StoredProfile { name, text }))
    }

    /// The profile of a stored key.
    ///
    /// # Errors
    /// This version knows no such profile, or refuses what it says.
    pub fn stored(stored: &StoredProfile) -> Result<Self, ProfileError> {
        match &stored.text {
            Some(text) => Self::parse(text, &stored.name),
            None => match built_in(&stored.name) {
                Some((name, text)) => Self::parse(text, name),
                None => Err(ProfileError::Unknown(stored.name.clone())),
            },
        }
    }

    /// What [`Self::stored`] finds, with members that differ: by the names and in the shape of a
    /// profile's file.
    ///
    /// # Errors
    /// There is no such profile, or what comes out is refused.
    pub fn with_overrides(
        stored: &StoredProfile,
        overrides: &serde_json::Map<String, serde_json::Value>,
    ) -> Result<(Self, StoredProfile), ProfileError> {
        let refused = |reason: String| ProfileError::Refused {
            origin: format!("overrides of {}", stored.name),
            line: None,
            reason,
        };
        Self::stored(stored)?;
        let built_in = || built_in(&stored.name).map(|(_, text)| text);
        let text = stored.text.as_deref().or_else(built_in);
        let table = text.unwrap_or_default().parse::<toml::Table>();
        let mut table = table.map_err(|why| refused(why.to_string()))?;
        let changes = toml::Table::try_from(overrides);
        merge(&mut table, changes.map_err(|why| refused(why.to_string()))?);
        let text = table.to_string();
        let name = format!("{}, changed", stored.name);
        let profile = Self::parse(&text, &name)?;
        let text = Some(text);
        Ok((profile, StoredProfile { name, text }))
    }

    /// Reads TOML. `origin` is what errors call it: a file's path.
    ///
    /// # Errors
    /// The text is not TOML, has members that no profile has, values of another type, or says
    /// something that contradicts itself or breaks a mandatory rule.
    pub fn parse(text: &str, origin: &str) -> Result<Self, ProfileError> {
        let refused = |line, reason| ProfileError::Refused {
            origin: origin.to_owned(),
            line,
            reason,
        };
        if text.len() > MAX_PROFILE_LEN {
            let reason = format!("a profile has {MAX_PROFILE_LEN} bytes at most");
            return Err(refused(None, reason));
        }
        file::read(text).map_err(|mistake| {
            let line = mistake.at.map(|at| line_at(text.as_bytes(), at));
            refused(line, mistake.text)
        })
    }

    /// The USB identity of the key with this serial.
    ///
    /// # Errors
    /// A string or an interval does not fit into a descriptor.
    pub fn usb_identity(&self, serial: &str) -> Result<Identity, IdentityError> {
        Identity::new(IdentityFields {
            serial: serial.to_owned(),
            ..self.usb.clone()
        })
    }
}

/// Members of `changes` take the place of those of `table`, one by one within tables.
fn merge(table: &mut toml::Table, changes: toml::Table) {
    for (name, change) in changes {
        match (table.get_mut(&name), change) {
            (Some(toml::Value::Table(inner)), toml::Value::Table(changes)) => {
                merge(inner, changes);
            }
            (_, change) => {
                table.insert(name, change);
            }
        }
    }
}

/// The text of a profile's file; a byte more than it may have tells that there are too many.
fn read_file(path: &str) -> Result<String, ProfileError> {
    let unreadable = |why| ProfileError::Unreadable(path.to_owned(), why);
    let file = match File::open(path) {
        Ok(file) => file,
        Err(why) if why.kind() == io::ErrorKind::NotFound => {
            return Err(ProfileError::Unknown(path.to_owned()));
        }
        Err(why) => return Err(unreadable(why)),
    };
    let mut bytes = Vec::new();
    let limit = MAX_PROFILE_LEN as u64 + 1;
    file.take(limit)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    String::from_utf8(bytes).map_err(|why| {
        let valid = why.utf8_error().valid_up_to();
        ProfileError::Refused {
            origin: path.to_owned(),
            line: Some(line_at(why.as_bytes(), valid)),
            reason: "a profile is TOML, and this is not UTF-8".to_owned(),
        }
    })
}

fn built_in(name: &str) -> Option<(&'static str, &'static str)> {
    BUILT_IN.into_iter().find(|(known, _)| *known == name)
}

/// The line of a byte; the first one is 1.
fn line_at(bytes: &[u8], at: usize) -> usize {
    let before = bytes.iter().take(at);
    1 + before.filter(|byte| **byte == b'\n').count()
}

/// Why there is no profile.
#[derive(Debug)]
pub enum ProfileError {
    /// No built-in profile is called this, and no file either.
    Unknown(String),
    /// The file is there and cannot be read.
    Unreadable(String, io::Error),
    /// What it says cannot be.
    Refused {
        /// The file, or the built-in profile's name.
        origin: String,
        /// Where it says so; `None` where no line does.
        line: Option<usize>,
        /// The member and the rule that it breaks.
        reason: String,
    },
}

impl fmt::Display for ProfileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => {
                let names: Vec<_> = Profile::names().collect();
                let names = names.join(", ");
                write!(
                    f,
                    "no profile and no file is called {name:?}: the profiles are {names}, and the \
                     path of a TOML file works too"
                )
            }
            Self::Unreadable(path, why) => write!(f, "{path} cannot be read: {why}"),
            Self::Refused {
                origin,
                line: Some(line),
                reason,
            } => write!(f, "{origin}:{line}: {reason}"),
            Self::Refused {
                origin,
                line: None,
                reason,
            } => write!(f, "{origin}: {reason}"),
        }
    }
}

impl std::error::Error for ProfileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreadable(_, why) => Some(why),
            Self::Unknown(_) | Self::Refused { .. } => None,
        }
    }
}
