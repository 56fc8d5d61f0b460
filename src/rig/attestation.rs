//! The test authority behind the attestation certificates of a rig's keys.
//!
//! A vault has one, which all its keys share; keys in memory share one that ends with the process,
//! or grows from the rig's seed.

use roamkey_ctap::{AttestationAuthority, AttestationType};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Origin, Rig, RigError, open};
use crate::{
    key::Seed,
    profile::Profile,
    vault::{KeyVault, VaultError},
};

/// Keys of a seeded rig are numbered from 1, so this number is free.
const SEED_OF_AUTHORITY: u32 = 0;

/// What a relying party under test is to trust.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AttestationRoot {
    /// The root certificate, PEM.
    pub pem: String,
}

impl Rig {
    /// The root of the certificates that its keys attest with.
    ///
    /// # Errors
    /// The vault cannot be read, or the system has no randomness.
    pub async fn attestation_root(&self) -> Result<AttestationRoot, RigError> {
        let authority = self.authority().await?;
        let pem = authority.certificate_pem();
        Ok(AttestationRoot { pem })
    }

    pub(super) async fn authority(&self) -> Result<AttestationAuthority, RigError> {
        if let Some((vault, _)) = &self.0.vault {
            return Ok(vault.work(|store| store.attestation_authority()).await?);
        }
        let made = self.0.authority.get_or_try_init(async || {
            let mut seed = match &self.0.origin {
                Origin::Seed(bytes) => Seed::of_key(bytes, SEED_OF_AUTHORITY),
                Origin::Machine(_) => Seed::random().map_err(RigError::failed)?,
            };
            let created = self.date();
            Ok::<_, RigError>(AttestationAuthority::create(seed.rng(), created))
        });
        Ok(made.await?.clone())
    }

    /// What new certificates are dated, in seconds since 1970.
    pub(super) fn date(&self) -> u64 {
        match &self.0.origin {
            Origin::Seed(_) => open::SEEDED_DATE,
            Origin::Machine(_) => open::now(),
        }
    }

    /// Gives a key the certificates that its profile wants, before it is served.
    pub(super) async fn certify(
        &self,
        vault: &mut dyn KeyVault,
        seed: &mut Seed,
        profile: &Profile,
        serial: &str,
    ) -> Result<(), RigError> {
        let ctap = &profile.ctap;
        let wanted =
            ctap.attestation == AttestationType::Batch || ctap.enterprise_attestation.is_some();
        if !wanted {
            return Ok(());
        }
        let authority = self.authority().await?;
        let failed = |why: VaultError| RigError::failed(format!("its certificates: {why}"));
        let state = vault.load().await.map_err(failed)?;
        let set = state.certify(seed.rng(), &authority, ctap, serial, self.date());
        if set.is_empty() {
            return Ok(());
        }
        vault.commit(set).await.map_err(failed)
    }
}
