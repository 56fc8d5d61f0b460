//! AuthenticatorStatus (FIDO Metadata Service 3.1 §3.1.4).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a relying party is told has come of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum MetadataStatus {
    /// It is not certified.
    NotFidoCertified,
    /// It has passed functional certification.
    FidoCertified,
    /// Its users are taken for verified when they are not.
    UserVerificationBypass,
    /// Its attestation key is known to others.
    AttestationKeyCompromise,
    /// Its users' keys can be had from afar.
    UserKeyRemoteCompromise,
    /// Its users' keys can be had by who has it in hand.
    UserKeyPhysicalCompromise,
    /// There is a newer version of it.
    UpdateAvailable,
    /// It is no longer to be registered with anybody.
    Retired,
    /// It is not to be accepted.
    Revoked,
    /// Its maker says that it would pass.
    SelfAssertionSubmitted,
    /// Certified at level 1.
    #[serde(rename = "FIDO_CERTIFIED_L1")]
    FidoCertifiedL1,
    /// Certified at level 1+.
    #[serde(rename = "FIDO_CERTIFIED_L1plus")]
    FidoCertifiedL1plus,
    /// Certified at level 2.
    #[serde(rename = "FIDO_CERTIFIED_L2")]
    FidoCertifiedL2,
    /// Certified at level 2+.
    #[serde(rename = "FIDO_CERTIFIED_L2plus")]
    FidoCertifiedL2plus,
    /// Certified at level 3.
    #[serde(rename = "FIDO_CERTIFIED_L3")]
    FidoCertifiedL3,
    /// Certified at level 3+.
    #[serde(rename = "FIDO_CERTIFIED_L3plus")]
    FidoCertifiedL3plus,
    /// Certified at level 1 of FIPS 140.
    #[serde(rename = "FIPS140_CERTIFIED_L1")]
    Fips140CertifiedL1,
    /// Certified at level 2 of FIPS 140.
    #[serde(rename = "FIPS140_CERTIFIED_L2")]
    Fips140CertifiedL2,
    /// Certified at level 3 of FIPS 140.
    #[serde(rename = "FIPS140_CERTIFIED_L3")]
    Fips140CertifiedL3,
    /// Certified at level 4 of FIPS 140.
    #[serde(rename = "FIPS140_CERTIFIED_L4")]
    Fips140CertifiedL4,
}
