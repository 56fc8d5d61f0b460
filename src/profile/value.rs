//! Values of a profile's members: from TOML to what the state machine takes.

use std::collections::BTreeSet;

use roamkey_ctap::{Algorithm, AttestationType, Extension, PinProtocol, Version};
use toml::{Spanned, de::DeValue};

use super::file::Mistake;

/// A value with its place in the text.
pub(super) type Value<'a> = Spanned<DeValue<'a>>;

/// What a member can hold.
pub(super) trait FromToml: Sized {
    /// The value, or where and why it is none.
    fn read(value: &Value<'_>) -> Result<Self, Mistake>;
}

/// Where the value of a member goes.
pub(super) trait Slot {
    fn fill(&mut self, value: &Value<'_>) -> Result<(), Mistake>;
}

impl<T: FromToml> Slot for T {
    fn fill(&mut self, value: &Value<'_>) -> Result<(), Mistake> {
        *self = T::read(value)?;
        Ok(())
    }
}

/// A value that is there only when the text has it.
#[derive(Default)]
pub(super) struct Given<T>(pub(super) Option<T>);

impl<T: FromToml> FromToml for Given<T> {
    fn read(value: &Value<'_>) -> Result<Self, Mistake> {
        T::read(value).map(|value| Self(Some(value)))
    }
}

/// What was made of a value, or the words for what it should be.
fn wanted<T>(value: &Value<'_>, wanted: &str, made: Option<T>) -> Result<T, Mistake> {
    made.ok_or_else(|| {
        let found = match value.get_ref() {
            DeValue::String(text) => format!("{text:?}"),
            DeValue::Integer(number) => number.to_string(),
            DeValue::Boolean(value) => value.to_string(),
            other @ (DeValue::Float(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_)) => format!("this {}", other.type_str()),
        };
        Mistake {
            at: Some(value.span().start),
            text: format!("{wanted} is wanted, not {found}"),
        }
    })
}

fn integer<T: TryFrom<i64>>(value: &Value<'_>) -> Option<T> {
    let number = value.get_ref().as_integer()?;
    let number = i64::from_str_radix(number.as_str(), number.radix()).ok()?;
    number.try_into().ok()
}

/// The one of `all` that is spelled like this.
fn spelled<T: Copy>(
    value: &Value<'_>,
    all: impl IntoIterator<Item = T>,
    spelling: impl Fn(T) -> &'static str,
) -> Result<T, Mistake> {
    let all: Vec<T> = all.into_iter().collect();
    let text = value.get_ref().as_str();
    let found = all.iter().find(|one| text == Some(spelling(**one)));
    let names: Vec<String> = all
        .iter()
        .map(|one| format!("{:?}", spelling(*one)))
        .collect();
    wanted(
        value,
        &format!("one of {}", names.join(", ")),
        found.copied(),
    )
}

impl FromToml for bool {
    fn read(value: &Value<'_>) -> Result<Self, Mistake> {
        wanted(value, "true or false", value.get_ref().as_bool())
    }
}

/// An option that getInfo may not have at all.
impl FromToml for Option<bool> {
    fn read(value: &Value<'_>) -> Result<Self, Mistake> {
        let made = match value.get_ref().as_str() {
            Some(text) => (text == "absent").then_some(None),
            None => value.get_ref().as_bool().map(Some),
        };
        wanted(value, "true, false or \"absent\"", made)
    }
}

impl FromToml for u8 {
    fn read(value: &Value<'_>) -> Result<Self, Mistake> {
        wanted(value, "a whole number from 0 to 255", integer(value))
    }
}

impl FromToml for u16 {
    fn read(value: &Value<'_>) -> Result<Self, Mistake> {
        wanted(value, "a whole number from 0 to 65535", integer(value))
    }
}

impl FromToml for u32 {
    fn read(value: &Value<'_>) -> Result<Self, Mistake> {
        wanted(value, "a whole number from 0 to 4294967295", integer(value))
    }
}

impl FromToml for String {
    fn read(value: &Value<'_>) -> Result<Self, Mistake> {
        let text = value.get_ref().as_str();
        wanted(value, "a string", text.map(ToOwned::to_owned))
    }
}

impl FromToml for Version {
    fn read(value: &Value<'_>) -> Result<Self, Mistake> {
        spelled(value, Self::ALL, Self::as_str)
    }
}

impl FromToml for Extension {
    fn read(value: &Value<'_>) -> Result<Self, Mistake> {
        spelled(value, Self::ALL, Self::as_str)
    }
}

impl FromToml for AttestationType {
    fn read(value: &Value<'_>) -> Result<Self, Mistake> {
        spelled(value, Self::ALL, Self::as_str)
    }
}

/// By its name in the IANA registry of COSE algorithms.
impl FromToml for Algorithm {
    fn read(value: &Value<'_>) -> Result<Self, Mistake> {
        spelled(value, Self::ALL, Self::name)
    }
}

impl FromToml for PinProtocol {
    fn read(value: &Value<'_>) -> Result<Self, Mistake> {
        let made = integer(value).and_then(Self::from_number);
        wanted(value, "1 or 2", made)
    }
}

/// An AAGUID as RFC 9562 writes it.
impl FromToml for [u8; 16] {
    fn read(value: &Value<'_>) -> Result<Self, Mistake> {
        let made = value.get_ref().as_str().and_then(|text| {
            let groups: Vec<&str> = text.split('-').collect();
            let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
            let digits = (lengths == [8, 4, 4, 4, 12]).then(|| groups.concat())?;
            let bytes = base16ct::mixed::decode_vec(digits).ok()?;
            bytes.try_into().ok()
        });
        let like = "a UUID like \"33c78076-c6cc-406c-95a6-44d084208762\"";
        wanted(value, like, made)
    }
}

/// A firmware version.
impl FromToml for [u8; 3] {
    fn read(value: &Value<'_>) -> Result<Self, Mistake> {
        let made = value.get_ref().as_str().and_then(|text| {
            let numbers: Result<Vec<u8>, _> = text.split('.').map(str::parse).collect();
            numbers.ok()?.try_into().ok()
        });
        let like = "a version like \"1.2.3\", of numbers from 0 to 255,";
        wanted(value, like, made)
    }
}

impl<T: FromToml + PartialEq> FromToml for Vec<T> {
    fn read(value: &Value<'_>) -> Result<Self, Mistake> {
        let mut items = Self::new();
        for value in wanted(value, "a list", value.get_ref().as_array())? {
            let item = T::read(value)?;
            if items.contains(&item) {
                return wanted(value, "each item once", None);
            }
            items.push(item);
        }
        Ok(items)
    }
}

impl<T: FromToml + Ord> FromToml for BTreeSet<T> {
    fn read(value: &Value<'_>) -> Result<Self, Mistake> {
        Ok(Vec::read(value)?.into_iter().collect())
    }
}
