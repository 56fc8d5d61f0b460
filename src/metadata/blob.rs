//! The metadata BLOB (FIDO Metadata Service 3.1 §3.1): entries, and the JWT around them
//! (RFC 7519, RFC 7515).

use base64ct::{Base64, Base64UrlUnpadded, Encoding as _};
use roamkey_ctap::MetadataSigner;
use serde_json::{Value, json};

use super::{
    MetadataStatus, Model,
    statement::{self, LEGAL_HEADER},
};
use crate::calendar::date;

/// The next BLOB is promised for so many days later. One that a test keeps is good for long.
const DAYS_TO_NEXT: u64 = 3_650;
const DAY_S: u64 = 86_400;

/// What a BLOB is made of.
pub(crate) struct Blob<'a> {
    pub(crate) models: &'a [Model],
    /// What has come of the models, the oldest first.
    pub(crate) statuses: &'a [MetadataStatus],
    /// The test authority's certificate, DER.
    pub(crate) root: &'a [u8],
    /// Today, in seconds since 1970. It is the BLOB's number, too: relying parties ignore one that
    /// is not higher than the last.
    pub(crate) now: u64,
}

/// An entry, as it is named to people.
pub(crate) struct Entry {
    pub(crate) description: String,
    pub(crate) aaguid: Option<String>,
    pub(crate) key_identifier: Option<String>,
    value: Value,
}

impl Blob<'_> {
    /// One for each model that speaks CTAP2, and one for each certificate of U2F registrations.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        for model in self.models {
            let description = statement::description(model);
            if model.profile.ctap2() {
                let aaguid = statement::aaguid(&model.profile);
                let mut value = self.about(&model.certificates);
                put(&mut value, "aaguid", json!(aaguid));
                let statement = statement::fido2(model, self.root);
                put(&mut value, "metadataStatement", statement);
                entries.push(Entry {
                    description: description.clone(),
                    aaguid: Some(aaguid),
                    key_identifier: None,
                    value,
                });
            }
            for with in &model.u2f {
                let identifier = statement::identifier(with);
                let mut value = self.about(std::slice::from_ref(&with.certificate));
                let identifiers = json!([identifier]);
                put(
                    &mut value,
                    "attestationCertificateKeyIdentifiers",
                    identifiers,
                );
                let statement = statement::u2f(model, with, self.root);
                put(&mut value, "metadataStatement", statement);
                entries.push(Entry {
                    description: description.clone(),
                    aaguid: None,
                    key_identifier: Some(identifier),
                    value,
                });
            }
        }
        entries
    }

    /// What an entry says of its model's past.
    fn about(&self, certificates: &[Vec<u8>]) -> Value {
        let today = date(self.now);
        let mut reports = Vec::new();
        for status in self.statuses {
            let report = json!({"status": status, "effectiveDate": today});
            // §3.1.3: this one says whose key it is. Without a key of the model nobody's is known.
            if *status != MetadataStatus::AttestationKeyCompromise || certificates.is_empty() {
                reports.push(report);
                continue;
            }
            for certificate in certificates {
                let mut report = report.clone();
                let certificate = Base64::encode_string(certificate);
                put(&mut report, "certificate", certificate.into());
                reports.push(report);
            }
        }
        json!({"statusReports": reports, "timeOfLastStatusChange": today})
    }

    /// nextUpdate.
    pub(crate) fn next_update(&self) -> String {
        date(self.now.saturating_add(DAYS_TO_NEXT * DAY_S))
    }

    /// The JWT; `None` only where it cannot be signed.
    pub(crate) fn sign(&self, entries: &[Entry], signer: &MetadataSigner) -> Option<String> {
        let x5c = signer.certificates().map(Base64::encode_string);
        let header = json!({"alg": "RS256", "typ": "JWT", "x5c": x5c});
        let entries: Vec<_> = entries.iter().map(|entry| &entry.value).collect();
        let payload = json!({
            "legalHeader": LEGAL_HEADER,
            "no": self.now,
            "nextUpdate": self.next_update(),
            "entries": entries,
        });
        let encoded = |part: &Value| Base64UrlUnpadded::encode_string(part.to_string().as_bytes());
        let signed = format!("{}.{}", encoded(&header), encoded(&payload));
        let signature = signer.sign(signed.as_bytes())?;
        let signature = Base64UrlUnpadded::encode_string(&signature);
        Some(format!("{signed}.{signature}"))
    }
}

/// Puts a member into an object.
fn put(object: &mut Value, name: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(name.to_owned(), value);
    }
}
