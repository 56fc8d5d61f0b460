//! What commands of §11 carry: every member is known, of its type, and where it is mandatory
//! there; everything else is an "invalid argument".

use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::{
    front::{Configuration, Credential, FrontError, Protocol, Transport, credential::Alphabet},
    rig::PasskeyEdit,
};

type Members = Map<String, Value>;

pub(super) fn object(body: &[u8]) -> Result<Members, FrontError> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) | Err(_) => Err(FrontError::invalid(
            "the parameters have to be a JSON object",
        )),
    }
}

fn wrong(name: &str, wanted: &str) -> FrontError {
    FrontError::invalid(format!("{name} has to be {wanted}"))
}

/// Refuses members that are none of these.
fn only(members: &Members, known: &[&str]) -> Result<(), FrontError> {
    match members.keys().find(|name| !known.contains(&name.as_str())) {
        Some(other) => Err(FrontError::invalid(format!(
            "{other:?} is no member here: there is {}",
            known.join(", ")
        ))),
        None => Ok(()),
    }
}

fn text<'a>(members: &'a Members, name: &str) -> Result<Option<&'a str>, FrontError> {
    match members.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(wrong(name, "a string")),
    }
}

fn flag(members: &Members, name: &str) -> Result<Option<bool>, FrontError> {
    match members.get(name) {
        None => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(*flag)),
        Some(_) => Err(wrong(name, "a boolean")),
    }
}

fn number(members: &Members, name: &str) -> Result<Option<u32>, FrontError> {
    let number = |value: &Value| value.as_u64().and_then(|value| u32::try_from(value).ok());
    let found = members
        .get(name)
        .map(|value| number(value).ok_or_else(|| wrong(name, "a number of 32 bits")));
    found.transpose()
}

fn bytes(members: &Members, name: &str) -> Result<Option<Vec<u8>>, FrontError> {
    let text = text(members, name)?;
    let decoded = text.map(|text| {
        // What it is may be secret: the error does not show it.
        Alphabet::Url
            .decode(text)
            .ok_or_else(|| wrong(name, "bytes in base64url"))
    });
    decoded.transpose()
}

fn needed<T>(found: Option<T>, name: &str) -> Result<T, FrontError> {
    found.ok_or_else(|| FrontError::invalid(format!("{name} is missing")))
}

/// "Authenticator Configuration".
pub(super) fn configuration(members: &Members) -> Result<(Configuration, Transport), FrontError> {
    only(
        members,
        &[
            "protocol",
            "transport",
            "hasResidentKey",
            "hasUserVerification",
            "isUserConsenting",
            "isUserVerified",
            "extensions",
            "defaultBackupEligibility",
            "defaultBackupState",
        ],
    )?;
    let protocol = match needed(text(members, "protocol")?, "protocol")? {
        "ctap1/u2f" => Protocol::U2f,
        "ctap2" => Protocol::Ctap2,
        "ctap2_1" => Protocol::Ctap2_1,
        _ => return Err(wrong("protocol", "ctap1/u2f, ctap2 or ctap2_1")),
    };
    let transport = needed(text(members, "transport")?, "transport")?;
    let transport = Transport::named(transport)
        .ok_or_else(|| wrong("transport", "usb, nfc, ble, smart-card, hybrid or internal"))?;
    let mut configuration = Configuration::new(protocol);
    let given =
        |name: &str, usual: bool| Ok::<_, FrontError>(flag(members, name)?.unwrap_or(usual));
    configuration.resident_keys = given("hasResidentKey", false)?;
    configuration.user_verification = given("hasUserVerification", false)?;
    configuration.consenting = given("isUserConsenting", true)?;
    configuration.verified = given("isUserVerified", false)?;
    configuration.backup_eligible = given("defaultBackupEligibility", false)?;
    configuration.backup_state = given("defaultBackupState", false)?;
    let list = "a list of strings";
    let extensions = match members.get("extensions") {
        None => &[],
        Some(Value::Array(names)) => names.as_slice(),
        Some(_) => return Err(wrong("extensions", list)),
    };
    let names: Option<Vec<&str>> = extensions.iter().map(Value::as_str).collect();
    for name in names.ok_or_else(|| wrong("extensions", list))? {
        configuration.extend(name)?;
    }
    Ok((configuration, transport))
}

/// "Authenticator Configuration" of a key on USB.
pub(super) fn show_configuration(configuration: &Configuration) -> Value {
    json!({
        "protocol": match configuration.protocol {
            Protocol::U2f => "ctap1/u2f",
            Protocol::Ctap2 => "ctap2",
            Protocol::Ctap2_1 => "ctap2_1",
        },
        "transport": "usb",
        "hasResidentKey": configuration.resident_keys,
        "hasUserVerification": configuration.user_verification,
        "isUserConsenting": configuration.consenting && !configuration.waiting,
        "isUserVerified": configuration.verified,
    })
}

/// "Credential Parameters".
pub(super) fn credential(members: &Members) -> Result<Credential, FrontError> {
    only(
        members,
        &[
            "credentialId",
            "isResidentCredential",
            "rpId",
            "privateKey",
            "userHandle",
            "signCount",
            "largeBlob",
            "backupEligibility",
            "backupState",
            "userName",
            "userDisplayName",
        ],
    )?;
    let resident = needed(
        flag(members, "isResidentCredential")?,
        "isResidentCredential",
    )?;
    let user_handle = bytes(members, "userHandle")?;
    if resident && user_handle.is_none() {
        return Err(FrontError::invalid(
            "a resident credential has a userHandle",
        ));
    }
    let large_blob = bytes(members, "largeBlob")?;
    if large_blob.is_some() && !resident {
        return Err(FrontError::invalid(
            "a largeBlob belongs to a resident credential",
        ));
    }
    let named = |name: &str| Ok::<_, FrontError>(text(members, name)?.map(str::to_owned));
    Ok(Credential {
        id: needed(bytes(members, "credentialId")?, "credentialId")?,
        resident,
        rp_id: Some(needed(named("rpId")?, "rpId")?),
        private_key: Zeroizing::new(needed(bytes(members, "privateKey")?, "privateKey")?),
        user_handle,
        sign_count: needed(number(members, "signCount")?, "signCount")?,
        large_blob,
        backup_eligible: flag(members, "backupEligibility")?,
        backup_state: flag(members, "backupState")?,
        user_name: named("userName")?,
        user_display_name: named("userDisplayName")?,
    })
}

/// A credential as "Get Credentials" answers it (§11.6).
pub(super) fn show(credential: &Credential) -> Value {
    credential.show(Alphabet::Url)
}

/// "Set User Verified" (§11.9).
pub(super) fn user_verified(members: &Members) -> Result<bool, FrontError> {
    needed(flag(members, "isUserVerified")?, "isUserVerified")
}

/// "Set Credential Properties" (§11.10).
pub(super) fn properties(members: &Members) -> Result<PasskeyEdit, FrontError> {
    only(members, &["backupEligibility", "backupState", "signCount"])?;
    Ok(PasskeyEdit {
        backup_eligible: flag(members, "backupEligibility")?,
        backup_state: flag(members, "backupState")?,
        counter: number(members, "signCount")?,
        ..PasskeyEdit::default()
    })
}
