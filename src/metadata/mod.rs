//! What relying parties may know of keys before they see one, in the form that the FIDO Alliance
//! publishes for certified ones: metadata statements (FIDO Metadata Statement 3.1) in a BLOB (FIDO
//! Metadata Service 3.1), signed by a test authority.
//!
//! A statement is computed from a profile, as getInfo is. Deliberately absent: reading a BLOB, which
//! is the relying party's, and everything that describes a real product, such as icons.

mod blob;
mod info;
mod statement;
mod status;
#[cfg(test)]
mod tests;

use roamkey_ctap::Profile;

pub(crate) use blob::Blob;
pub use status::MetadataStatus;

/// What there is to say of keys that share an AAGUID.
pub(crate) struct Model {
    /// The product's name.
    pub(crate) product: String,
    pub(crate) profile: Profile,
    /// What authenticatorGetInfo answers of a key as good as new, CBOR.
    pub(crate) info: Vec<u8>,
    /// The attestation certificates that keys of it have from their authority, DER.
    pub(crate) certificates: Vec<Vec<u8>>,
    /// What keys of it attest U2F registrations with.
    pub(crate) u2f: Vec<U2fCertificate>,
}

/// A certificate of U2F registrations. They name no model, so metadata knows them by this.
#[derive(Clone)]
pub(crate) struct U2fCertificate {
    /// DER.
    pub(crate) certificate: Vec<u8>,
    /// Its key's (RFC 5280 §4.2.1.2, method 1).
    pub(crate) key_identifier: Vec<u8>,
}
