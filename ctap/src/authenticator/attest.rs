//! What a registration proves of the key: attestation statements (WebAuthn §6.5.4, §8.2, §8.7;
//! CTAP 2.1 §7.1 of enterprises, CTAP 2.2 §6.1.2 of the platform's preference).
//!
//! Deliberately absent: certificates, which are `attestation`'s.

use super::{Authenticator, Checked};
use crate::{
    attestation::Attestation,
    credential::{Algorithm, CredRandom, CredentialId, RpIdHash},
    crypto::{PrivateKey, Secret},
    fault::Fault,
    profile::AttestationType,
    status::Status,
    wire::{
        Attested, AuthData,
        make_credential::{Request, Response, Statement, prefers_none},
    },
};

/// enterpriseAttestation: the key decides by its own list of sites (§7.1.1).
const VENDOR_FACILITATED: u64 = 1;
/// enterpriseAttestation: the platform has decided (§7.1.2).
const PLATFORM_FACILITATED: u64 = 2;

/// What a registration is to prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Nothing,
    Itself,
    Model,
    Enterprise,
}

impl From<AttestationType> for Wanted {
    fn from(attestation: AttestationType) -> Self {
        match attestation {
            AttestationType::None => Self::Nothing,
            AttestationType::SelfAttestation => Self::Itself,
            AttestationType::Batch => Self::Model,
        }
    }
}

impl Authenticator {
    /// Option ep: whether enterprise attestation is enabled.
    pub(super) fn enterprise_attestation(&self) -> bool {
        self.state.enterprise_attestation_enabled(&self.profile)
    }

    /// §6.1.2 step 9.
    pub(super) fn check_enterprise(&self, wanted: Option<u64>) -> Result<(), Status> {
        match wanted {
            None => Ok(()),
            Some(_) if !self.enterprise_attestation() => Err(Status::InvalidParameter),
            Some(VENDOR_FACILITATED | PLATFORM_FACILITATED) => Ok(()),
            Some(_) => Err(Status::InvalidOption),
        }
    }

    /// A platform that puts "none" first gets none, whatever else it asks for: it would throw away
    /// what it got.
    fn attestation_wanted(&self, request: &Request) -> Wanted {
        if prefers_none(&request.attestation_formats_preference) {
            return Wanted::Nothing;
        }
        let listed = || {
            let mut listed = self.profile.enterprise_rp_ids.iter();
            listed.any(|id| *id == request.rp.id)
        };
        let enterprise = match request.enterprise_attestation {
            Some(PLATFORM_FACILITATED) => true,
            Some(_) => listed(),
            None => false,
        };
        // It may have been switched off while a person was asked.
        if enterprise && self.enterprise_attestation() {
            return Wanted::Enterprise;
        }
        self.profile.attestation.into()
    }

    /// The response to a registration, with its statement.
    pub(super) fn attest(
        &mut self,
        checked: &Checked<Request>,
        new: &NewCredential,
    ) -> Result<Vec<u8>, Status> {
        let request = &checked.request;
        let blob_stored = new.cred_blob.is_some();
        let extensions = self.make_outputs(
            &request.extensions,
            &request.rp.id,
            blob_stored,
            &new.cred_random,
            checked.uv,
        )?;
        self.faults.registered(&new.id, new.sign_count);
        let auth_data = self.emit_auth_data(AuthData {
            rp_id_hash: &RpIdHash::of(&request.rp.id),
            flags: self.flags(true, checked.uv),
            sign_count: new.sign_count,
            attested: Some(Attested {
                aaguid: &self.profile.aaguid,
                id: &new.id,
                algorithm: new.algorithm,
                public_key: &new.private_key.public_key(),
            }),
            extensions: &extensions,
        });
        let wanted = self.attestation_wanted(request);
        let statement = self.statement(wanted, new, &[&auth_data, &request.client_data_hash])?;
        // What a fault put in its place is none, and epAtt is not to be a second thing wrong.
        let replaced = [Fault::AttestationMissing, Fault::AttestationSelf];
        let replaced = replaced.into_iter().any(|fault| self.faults.met.has(fault));
        Ok(Response {
            auth_data,
            statement,
            enterprise: wanted == Wanted::Enterprise && !replaced,
            large_blob_key: new.large_blob_key.clone(),
        }
        .emit())
    }

    fn statement(
        &mut self,
        wanted: Wanted,
        new: &NewCredential,
        signed: &[&[u8]],
    ) -> Result<Statement, Status> {
        if self.faults.met.has(Fault::AttestationMissing) {
            return Ok(Statement::None);
        }
        let wanted = if self.faults.met.has(Fault::AttestationSelf) {
            Wanted::Itself
        } else {
            wanted
        };
        let by = |attestation: Option<&Attestation>| {
            // A key without it was not certified before it was served.
            let attestation = attestation.ok_or(Status::Other)?;
            let signature = attestation.sign(signed).ok_or(Status::Other)?;
            let x5c = vec![attestation.certificate().to_vec()];
            Ok((Algorithm::Es256, signature, x5c))
        };
        let (algorithm, signature, x5c) = match (self.flawed_attestation()?, wanted) {
            (Some(flawed), _) => {
                let signature = flawed.leaf.sign(signed).ok_or(Status::Other)?;
                (Algorithm::Es256, signature, flawed.x5c())
            }
            (None, Wanted::Nothing) => return Ok(Statement::None),
            (None, Wanted::Itself) => {
                let signature = new.private_key.sign(signed).ok_or(Status::Other)?;
                (new.algorithm, signature, Vec::new())
            }
            (None, Wanted::Model) => by(self.state.batch_attestation.as_ref())?,
            (None, Wanted::Enterprise) => by(self.state.enterprise_attestation.as_ref())?,
        };
        Ok(Statement::Packed {
            algorithm: algorithm.cose(),
            signature: self.faults.met.signature(signature),
            x5c,
        })
    }
}

/// A credential as its registration describes it.
pub(super) struct NewCredential {
    pub(super) id: CredentialId,
    pub(super) algorithm: Algorithm,
    pub(super) private_key: PrivateKey,
    pub(super) cred_random: CredRandom,
    pub(super) cred_blob: Option<Vec<u8>>,
    pub(super) large_blob_key: Option<Secret>,
    pub(super) sign_count: u32,
}
