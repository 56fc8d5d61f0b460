//! What commands of the domain carry, by its names and with its defaults.

use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::message::CdpError;
use crate::{
    front::{Configuration, Credential, Protocol, Transport, credential::Alphabet},
    rig::PasskeyEdit,
};

type Members = Map<String, Value>;

fn wrong(name: &str, wanted: &str) -> CdpError {
    CdpError::invalid(format!("Invalid parameters: {name}: {wanted} expected"))
}

pub(super) fn text<'a>(members: &'a Members, name: &str) -> Result<Option<&'a str>, CdpError> {
    match members.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(wrong(name, "string value")),
    }
}

pub(super) fn flag(members: &Members, name: &str) -> Result<Option<bool>, CdpError> {
    match members.get(name) {
        None => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(*flag)),
        Some(_) => Err(wrong(name, "bool value")),
    }
}

fn bytes(members: &Members, name: &str) -> Result<Option<Vec<u8>>, CdpError> {
    let text = text(members, name)?;
    // What it is may be secret: the error does not show it.
    let decoded = text.map(|text| Alphabet::Standard.decode(text).ok_or(name));
    decoded.transpose().map_err(|name| wrong(name, "base64"))
}

pub(super) fn needed<T>(found: Option<T>, name: &str) -> Result<T, CdpError> {
    found.ok_or_else(|| wrong(name, "mandatory member"))
}

pub(super) fn object<'a>(members: &'a Members, name: &str) -> Result<&'a Members, CdpError> {
    let found = members.get(name).and_then(Value::as_object);
    found.ok_or_else(|| wrong(name, "object"))
}

pub(super) fn credential_id(members: &Members) -> Result<Vec<u8>, CdpError> {
    needed(bytes(members, "credentialId")?, "credentialId")
}

/// VirtualAuthenticatorOptions.
pub(super) fn configuration(options: &Members) -> Result<(Configuration, Transport), CdpError> {
    let protocol = needed(text(options, "protocol")?, "protocol")?;
    let version = text(options, "ctap2Version")?.unwrap_or("ctap2_0");
    let protocol = match (protocol, version) {
        ("u2f", _) => Protocol::U2f,
        ("ctap2", "ctap2_0") => Protocol::Ctap2,
        ("ctap2", "ctap2_1") => Protocol::Ctap2_1,
        ("ctap2", _) => return Err(CdpError::invalid("The Ctap2 version is invalid")),
        (_, _) => return Err(CdpError::invalid("The protocol is not valid")),
    };
    let transport = needed(text(options, "transport")?, "transport")?;
    let transport = Transport::named(transport);
    let transport = transport.ok_or_else(|| CdpError::invalid("The transport is not valid"))?;
    let given = |name: &str, usual: bool| Ok::<_, CdpError>(flag(options, name)?.unwrap_or(usual));
    let mut configuration = Configuration::new(protocol);
    configuration.resident_keys = given("hasResidentKey", false)?;
    configuration.user_verification = given("hasUserVerification", false)?;
    configuration.verified = given("isUserVerified", false)?;
    configuration.waiting = !given("automaticPresenceSimulation", true)?;
    configuration.backup_eligible = given("defaultBackupEligibility", false)?;
    configuration.backup_state = given("defaultBackupState", false)?;
    configuration.prf = given("hasPrf", false)? || given("hasHmacSecret", false)?;
    configuration.large_blob = given("hasLargeBlob", false)?;
    configuration.cred_blob = given("hasCredBlob", false)?;
    configuration.min_pin_length = given("hasMinPinLength", false)?;
    if configuration.large_blob && !configuration.resident_keys {
        let why = "Large blob support requires a resident key";
        return Err(CdpError::invalid(why));
    }
    Ok((configuration, transport))
}

/// What setResponseOverrideBits makes wrong, as faults.
pub(super) const OVERRIDES: [(&str, &str); 3] = [
    ("isBogusSignature", "bad-signature"),
    ("isBadUV", "clear-uv"),
    ("isBadUP", "clear-up"),
];

/// VirtualAuthenticatorOptions of a key on USB.
pub(super) fn options(configuration: &Configuration) -> Value {
    let (protocol, version) = match configuration.protocol {
        Protocol::U2f => ("u2f", "ctap2_0"),
        Protocol::Ctap2 => ("ctap2", "ctap2_0"),
        Protocol::Ctap2_1 => ("ctap2", "ctap2_1"),
    };
    json!({
        "protocol": protocol,
        "ctap2Version": version,
        "transport": "usb",
        "hasResidentKey": configuration.resident_keys,
        "hasUserVerification": configuration.user_verification,
        "isUserVerified": configuration.verified,
        "automaticPresenceSimulation": !configuration.waiting,
    })
}

/// Credential.
pub(super) fn credential(members: &Members) -> Result<Credential, CdpError> {
    let resident = flag(members, "isResidentCredential")?;
    let resident = needed(resident, "isResidentCredential")?;
    let user_handle = bytes(members, "userHandle")?;
    if resident && user_handle.is_none() {
        let why = "The User Handle is required for Resident Credentials";
        return Err(CdpError::invalid(why));
    }
    let large_blob = bytes(members, "largeBlob")?;
    if large_blob.is_some() && !resident {
        let why = "Large blob requires resident key support";
        return Err(CdpError::invalid(why));
    }
    let rp_id = text(members, "rpId")?;
    let rp_id =
        rp_id.ok_or_else(|| CdpError::invalid("The Relying Party ID is a required parameter."))?;
    let sign_count = members.get("signCount").and_then(Value::as_u64);
    let sign_count = sign_count.and_then(|count| u32::try_from(count).ok());
    let named = |name: &str| Ok::<_, CdpError>(text(members, name)?.map(str::to_owned));
    Ok(Credential {
        id: credential_id(members)?,
        resident,
        rp_id: Some(rp_id.to_owned()),
        private_key: Zeroizing::new(needed(bytes(members, "privateKey")?, "privateKey")?),
        user_handle,
        sign_count: needed(sign_count, "signCount")?,
        large_blob,
        backup_eligible: flag(members, "backupEligibility")?,
        backup_state: flag(members, "backupState")?,
        user_name: named("userName")?,
        user_display_name: named("userDisplayName")?,
    })
}

/// Credential, as it is told.
pub(super) fn show(credential: &Credential) -> Value {
    credential.show(Alphabet::Standard)
}

/// What setCredentialProperties changes.
pub(super) fn properties(members: &Members) -> Result<PasskeyEdit, CdpError> {
    Ok(PasskeyEdit {
        backup_eligible: flag(members, "backupEligibility")?,
        backup_state: flag(members, "backupState")?,
        ..PasskeyEdit::default()
    })
}
