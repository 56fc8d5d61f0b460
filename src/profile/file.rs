//! The file format of profiles: which members there are, and which line is to blame.
//!
//! Members have the names that the standards give them. A member that a file leaves out is as in
//! the default profile, so that a rig writes down what it is about and nothing else; a member
//! that no profile has is refused, so that a slip of the pen does not pass for the default.

use std::collections::BTreeSet;

use roamkey_ctap::{Algorithm, Extension, Violation};
use roamkey_transport::usb::{Identity, IdentityError, IdentityFields};
use toml::de::{DeTable, DeValue};

use super::{
    Profile,
    value::{Given, Slot, Value},
};

/// What is wrong with a text, and at which byte.
#[derive(Debug)]
pub(super) struct Mistake {
    pub(super) at: Option<usize>,
    pub(super) text: String,
}

/// A profile while it is put together, beginning with the default one.
#[derive(Default)]
struct Draft {
    ctap: roamkey_ctap::Profile,
    usb: IdentityFields,
    /// Option rk, which the state machine knows as a number of credentials.
    rk: Given<bool>,
    max_discoverable_credentials: Given<u32>,
    extensions: Given<BTreeSet<Extension>>,
    algorithms: Given<Vec<Algorithm>>,
    per_cred_mgmt_ro: Given<bool>,
    long_touch_for_reset: Given<Option<bool>>,
    pin_complexity_policy: Given<Option<bool>>,
}

impl Draft {
    /// What the file leaves out and the default profile has only since CTAP 2.3. It goes with
    /// FIDO_2_3 alone, and RS256 with rk: a file that was written before them still says the same.
    fn fill_in(&mut self) {
        let ctap = &mut self.ctap;
        let ctap2_3 = ctap.ctap2_3();
        match self.extensions.0.take() {
            Some(given) => ctap.extensions = given,
            None if ctap2_3 => {}
            None => ctap.extensions.retain(|extension| {
                ![Extension::PinComplexityPolicy, Extension::ThirdPartyPayment].contains(extension)
            }),
        }
        let rk = ctap.rk();
        match self.algorithms.0.take() {
            Some(given) => ctap.algorithms = given,
            None => ctap
                .algorithms
                .retain(|algorithm| rk || *algorithm != Algorithm::Rs256),
        }
        let fits = ctap2_3 && ctap.cred_mgmt;
        ctap.per_cred_mgmt_ro = self.per_cred_mgmt_ro.0.unwrap_or(fits);
        let policy = |given: Option<Option<bool>>, fits: bool| match given {
            Some(given) => given,
            None => (ctap2_3 && fits).then_some(false),
        };
        ctap.long_touch_for_reset = policy(self.long_touch_for_reset.0, ctap.authnr_cfg);
        ctap.pin_complexity_policy = policy(self.pin_complexity_policy.0, ctap.set_min_pin_length);
    }

    /// The profile, if it holds together.
    fn finish(mut self) -> Result<Profile, Violation> {
        let broken = |member, rule| Err(Violation { member, rule });
        match (self.rk.0, self.max_discoverable_credentials.0) {
            (Some(false), Some(1..)) => {
                return broken("rk", "without rk maxDiscoverableCredentials is 0 (§6.4)");
            }
            (Some(true), Some(0)) => {
                return broken(
                    "rk",
                    "rk needs maxDiscoverableCredentials of 1 at least (§6.4)",
                );
            }
            (Some(false), _) => self.ctap.max_discoverable_credentials = 0,
            (_, Some(count)) => self.ctap.max_discoverable_credentials = count,
            (Some(true) | None, None) => {}
        }
        self.fill_in();
        self.ctap.check()?;
        let usb = match Identity::new(self.usb) {
            Ok(identity) => identity.fields().clone(),
            Err(IdentityError::TooLong { field }) => {
                return broken(
                    field,
                    "a USB string has 126 UTF-16 units at most (USB 2.0 §9.6.7)",
                );
            }
            Err(IdentityError::ControlCharacter { field }) => {
                return broken(field, "a USB string has no control characters");
            }
            Err(IdentityError::SerialCharacter) => {
                return broken("serial", "a USB serial is printable ASCII without commas");
            }
            Err(IdentityError::ZeroInterval) => {
                return broken("interval_ms", "bInterval is 1 at least (USB 2.0 §9.6.6)");
            }
        };
        Ok(Profile {
            ctap: self.ctap,
            usb,
        })
    }
}

/// A member of the file.
#[derive(Clone, Copy)]
pub(super) struct Member {
    /// The table that it stands in; empty for none.
    pub(super) table: &'static str,
    /// Its name there.
    pub(super) name: &'static str,
    /// Its name in a [`Violation`].
    field: &'static str,
    slot: fn(&mut Draft) -> &mut dyn Slot,
}

const fn member(
    table: &'static str,
    name: &'static str,
    field: &'static str,
    slot: fn(&mut Draft) -> &mut dyn Slot,
) -> Member {
    Member {
        table,
        name,
        field,
        slot,
    }
}

/// Every member.
#[rustfmt::skip] // one a line, but for the longest name
pub(super) const MEMBERS: [Member; 45] = [
    member("", "versions", "versions", |d| &mut d.ctap.versions),
    member("", "extensions", "extensions", |d| &mut d.extensions),
    member("", "algorithms", "algorithms", |d| &mut d.algorithms),
    member("", "pinUvAuthProtocols", "pin_protocols", |d| &mut d.ctap.pin_protocols),
    member("", "aaguid", "aaguid", |d| &mut d.ctap.aaguid),
    member("", "firmwareVersion", "firmware_version", |d| &mut d.ctap.firmware_version),
    member("", "exportable", "exportable", |d| &mut d.ctap.exportable),
    member("", "storesAll", "stores_all", |d| &mut d.ctap.stores_all),
    member("", "attestation", "attestation", |d| &mut d.ctap.attestation),
    member("", "enterpriseRpIds", "enterprise_rp_ids", |d| &mut d.ctap.enterprise_rp_ids),
    member("options", "rk", "rk", |d| &mut d.rk),
    member("options", "clientPin", "client_pin", |d| &mut d.ctap.client_pin),
    member("options", "pinUvAuthToken", "pin_uv_auth_token", |d| &mut d.ctap.pin_uv_auth_token),
    member("options", "credMgmt", "cred_mgmt", |d| &mut d.ctap.cred_mgmt),
    member("options", "largeBlobs", "large_blobs", |d| &mut d.ctap.large_blobs),
    member("options", "authnrCfg", "authnr_cfg", |d| &mut d.ctap.authnr_cfg),
    member("options", "setMinPINLength", "set_min_pin_length", |d| &mut d.ctap.set_min_pin_length),
    member("options", "alwaysUv", "always_uv", |d| &mut d.ctap.always_uv),
    member("options", "makeCredUvNotRqd", "make_cred_uv_not_rqd", |d| &mut d.ctap.make_cred_uv_not_rqd),
    member("options", "noMcGaPermissionsWithClientPin", "no_mc_ga_permissions_with_client_pin",
        |d| &mut d.ctap.no_mc_ga_permissions_with_client_pin),
    member("options", "uv", "built_in_uv", |d| &mut d.ctap.built_in_uv),
    member("options", "bioEnroll", "bio_enroll", |d| &mut d.ctap.bio_enroll),
    member("options", "perCredMgmtRO", "per_cred_mgmt_ro", |d| &mut d.per_cred_mgmt_ro),
    member("options", "ep", "enterprise_attestation", |d| &mut d.ctap.enterprise_attestation),
    member("policy", "longTouchForReset", "long_touch_for_reset", |d| &mut d.long_touch_for_reset),
    member("policy", "pinComplexityPolicy", "pin_complexity_policy", |d| &mut d.pin_complexity_policy),
    member("limits", "maxPINLength", "max_pin_length", |d| &mut d.ctap.max_pin_length),
    member("limits", "maxFingerprints", "max_fingerprints", |d| &mut d.ctap.max_fingerprints),
    member("limits", "enrolledFingerprints", "enrolled_fingerprints", |d| &mut d.ctap.enrolled_fingerprints),
    member("limits", "maxMsgSize", "max_msg_size", |d| &mut d.ctap.max_msg_size),
    member("limits", "maxCredentialCountInList", "max_credential_count_in_list",
        |d| &mut d.ctap.max_credential_count_in_list),
    member("limits", "maxCredentialIdLength", "max_credential_id_length",
        |d| &mut d.ctap.max_credential_id_length),
    member("limits", "maxDiscoverableCredentials", "max_discoverable_credentials",
        |d| &mut d.max_discoverable_credentials),
    member("limits", "minPINLength", "min_pin_length", |d| &mut d.ctap.min_pin_length),
    member("limits", "maxRPIDsForSetMinPINLength", "max_rp_ids_for_set_min_pin_length",
        |d| &mut d.ctap.max_rp_ids_for_set_min_pin_length),
    member("limits", "maxCredBlobLength", "max_cred_blob_length", |d| &mut d.ctap.max_cred_blob_length),
    member("limits", "maxSerializedLargeBlobArray", "max_serialized_large_blob_array",
        |d| &mut d.ctap.max_serialized_large_blob_array),
    member("flags", "BE", "backup_eligible", |d| &mut d.ctap.backup_eligible),
    member("flags", "BS", "backup_state", |d| &mut d.ctap.backup_state),
    member("usb", "idVendor", "vendor_id", |d| &mut d.usb.vendor_id),
    member("usb", "idProduct", "product_id", |d| &mut d.usb.product_id),
    member("usb", "bcdDevice", "device_bcd", |d| &mut d.usb.device_bcd),
    member("usb", "manufacturer", "manufacturer", |d| &mut d.usb.manufacturer),
    member("usb", "product", "product", |d| &mut d.usb.product),
    member("usb", "bInterval", "interval_ms", |d| &mut d.usb.interval_ms),
];

/// A member that the text has.
#[derive(Clone, Copy)]
pub(super) struct Written<'a> {
    pub(super) member: Member,
    at: usize,
    value: &'a Value<'a>,
}

/// Reads a profile.
pub(super) fn read(text: &str) -> Result<Profile, Mistake> {
    let table = parse(text)?;
    let written = written(&table)?;
    let profile = draft(&written)?.finish();
    profile.map_err(|violation| blame(&written, violation))
}

pub(super) fn parse(text: &str) -> Result<DeTable<'_>, Mistake> {
    let table = DeTable::parse(text).map_err(|why| Mistake {
        at: why.span().map(|span| span.start),
        text: format!("this is not TOML: {}", why.message()),
    })?;
    Ok(table.into_inner())
}

/// Every member of the text, in the order of the lines.
pub(super) fn written<'a>(table: &'a DeTable<'a>) -> Result<Vec<Written<'a>>, Mistake> {
    let mut found = Vec::new();
    for (key, value) in table {
        let at = key.span().start;
        let name: &str = key.get_ref();
        if !MEMBERS
            .iter()
            .any(|member| !name.is_empty() && member.table == name)
        {
            found.push(known("", name, at, value)?);
            continue;
        }
        let DeValue::Table(table) = value.get_ref() else {
            return Err(Mistake {
                at: Some(at),
                text: format!("{name}: this is the name of a table, [{name}]"),
            });
        };
        for (key, value) in table {
            found.push(known(name, key.get_ref(), key.span().start, value)?);
        }
    }
    found.sort_by_key(|written| written.at);
    Ok(found)
}

fn known<'a>(
    table: &str,
    name: &str,
    at: usize,
    value: &'a Value<'a>,
) -> Result<Written<'a>, Mistake> {
    let here = MEMBERS.iter().filter(|member| member.table == table);
    if let Some(member) = here.clone().find(|member| member.name == name) {
        return Ok(Written {
            member: *member,
            at,
            value,
        });
    }
    let place = |table: &str| match table {
        "" => "before the first table".to_owned(),
        table => format!("in [{table}]"),
    };
    let elsewhere = MEMBERS.iter().find(|member| member.name == name);
    let advice = match elsewhere {
        Some(member) => format!("its place is {}", place(member.table)),
        None => {
            let names: Vec<_> = here.map(|member| member.name).collect();
            format!("known are {}", names.join(", "))
        }
    };
    Err(Mistake {
        at: Some(at),
        text: format!("{name:?} is no member {}; {advice}", place(table)),
    })
}

fn draft<'a>(written: impl IntoIterator<Item = &'a Written<'a>>) -> Result<Draft, Mistake> {
    let mut draft = Draft::default();
    for Written { member, value, .. } in written {
        let slot = (member.slot)(&mut draft);
        slot.fill(value).map_err(|mistake| Mistake {
            text: format!("{}: {}", member.name, mistake.text),
            ..mistake
        })?;
    }
    Ok(draft)
}

/// Finds the line that breaks a rule. It is the member's own if leaving that out keeps the rule;
/// else the one without which the profile holds together, or keeps this rule at least: a file may
/// break a rule by what it does not say.
fn blame(written: &[Written<'_>], violation: Violation) -> Mistake {
    let innocence = |suspect: &&Written<'_>| {
        let others = written.iter().filter(|written| written.at != suspect.at);
        let without = draft(others).map(|draft| draft.finish().err());
        let own = suspect.member.field == violation.member;
        let rank = match without {
            Ok(Some(same)) if same == violation => 2,
            Err(_) => 2,
            Ok(Some(_)) if !own => 1,
            Ok(_) => 0,
        };
        (rank, !own, suspect.member.field != "versions")
    };
    let culprit = written.iter().min_by_key(innocence);
    let named = |member: &Member| member.field == violation.member;
    let name = MEMBERS.iter().find(|member| named(member));
    let name = name.map_or(violation.member, |member| member.name);
    let left_out = if written.iter().any(|written| named(&written.member)) {
        String::new()
    } else {
        format!("; the file leaves {name} out, so it is as in the default profile")
    };
    Mistake {
        at: culprit.map(|written| written.at),
        text: format!("{name}: {}{left_out}", violation.rule),
    }
}
