//! Metadata of a rig's keys, signed by the test authority behind their attestation.

use std::collections::BTreeMap;

use roamkey_ctap::{Device, KeyState};
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use utoipa::ToSchema;

use super::{Origin, Rig, RigError, open, slot::Slot};
use crate::{
    key::Seed,
    limits::MOST_NAMED,
    metadata::{Blob, MetadataStatus, Model, U2fCertificate},
    profile::Profile,
    vault::{KeyVault as _, Memory, StoredProfile},
};

/// Keys of a seeded rig have numbers that fit a bus id, so this one is free.
const SEED_OF_SIGNER: u32 = u32::MAX;

/// What metadata is wanted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NewMetadata {
    /// What is said to have come of every model, the oldest first; `NOT_FIDO_CERTIFIED`, where this
    /// is empty.
    #[schema(max_items = 100)]
    pub statuses: Vec<MetadataStatus>,
    /// The models, whether or not there are keys of them; those of all keys, where this is absent.
    #[schema(max_items = 100)]
    pub models: Option<Vec<MetadataModel>>,
}

/// A model: a profile, as for a new key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MetadataModel {
    /// A built-in profile, such as `enterprise`; or what to call the one in `profile_toml`.
    pub profile: String,
    /// A profile of one's own, in TOML.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile_toml: Option<String>,
}

/// What a relying party under test is to know of keys, and to trust.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AttestationMetadata {
    /// The root certificate of the keys' attestation and of the BLOB's signature, PEM.
    pub root: String,
    /// The BLOB, a JWT (FIDO Metadata Service 3.1).
    pub blob: String,
    /// The BLOB's number, which rises from second to second.
    pub no: u64,
    /// Until when the BLOB is good, such as 2036-11-24.
    pub next_update: String,
    /// What is in it.
    pub entries: Vec<MetadataEntry>,
}

/// An entry of a BLOB.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MetadataEntry {
    /// What the model is called.
    pub description: String,
    /// The AAGUID of a model that speaks CTAP2.
    pub aaguid: Option<String>,
    /// Of a key that speaks U2F, its attestation certificate's key identifier.
    pub key_identifier: Option<String>,
}

/// What metadata needs of a key.
struct Known {
    profile: roamkey_ctap::Profile,
    certificates: Vec<Vec<u8>>,
    u2f: Option<U2fCertificate>,
}

impl Known {
    fn of(state: &KeyState, profile: &roamkey_ctap::Profile) -> Self {
        let issued = state.issued_attestations(profile);
        let with = state.u2f_attestation(profile);
        let u2f = with.key_identifier().filter(|_| profile.u2f());
        Self {
            profile: profile.clone(),
            certificates: issued.map(|one| one.certificate().to_vec()).collect(),
            u2f: u2f.map(|key_identifier| U2fCertificate {
                certificate: with.certificate().to_vec(),
                key_identifier,
            }),
        }
    }
}

impl Rig {
    /// Metadata of its keys' models, or of others.
    ///
    /// Keys of one AAGUID are one model, whose statement is of the first of them.
    ///
    /// # Errors
    /// A profile cannot be, too many are named, the vault cannot be read, or the system has no
    /// randomness.
    pub async fn attestation_metadata(
        &self,
        new: &NewMetadata,
    ) -> Result<AttestationMetadata, RigError> {
        let named = new.models.as_ref().map_or(0, Vec::len);
        if named.max(new.statuses.len()) > MOST_NAMED {
            return Err(RigError::invalid(format!(
                "no more than {MOST_NAMED} models and {MOST_NAMED} statuses can be named"
            )));
        }
        let statuses = match new.statuses.as_slice() {
            [] => &[MetadataStatus::NotFidoCertified],
            some => some,
        };
        let models = self.models(new.models.as_deref()).await?;
        let authority = self.authority().await?;
        let mut seed = match &self.0.origin {
            Origin::Seed(bytes) => Seed::of_key(bytes, SEED_OF_SIGNER),
            Origin::Machine(_) => Seed::random().map_err(RigError::failed)?,
        };
        // What is new is dated today, with a seed as well: a BLOB that is over is of no use.
        let blob = Blob {
            models: &models,
            statuses,
            root: authority.certificate(),
            now: open::now(),
        };
        let entries = blob.entries();
        let (issuer, date) = (authority.clone(), self.date());
        // It would keep everything else waiting.
        let signer = spawn_blocking(move || issuer.metadata_signer(seed.rng(), date));
        let signer = signer.await.map_err(RigError::failed)?;
        let signed = signer.and_then(|signer| blob.sign(&entries, &signer));
        let signed = signed.ok_or_else(|| RigError::failed("the metadata cannot be signed"))?;
        let entries = entries.into_iter().map(|entry| MetadataEntry {
            description: entry.description,
            aaguid: entry.aaguid,
            key_identifier: entry.key_identifier,
        });
        Ok(AttestationMetadata {
            root: authority.certificate_pem(),
            blob: signed,
            no: blob.now,
            next_update: blob.next_update(),
            entries: entries.collect(),
        })
    }

    /// The models that are wanted, by their AAGUIDs, with what their keys attest with.
    async fn models(&self, named: Option<&[MetadataModel]>) -> Result<Vec<Model>, RigError> {
        let mut models = BTreeMap::new();
        for one in named.unwrap_or_default() {
            let stored = StoredProfile {
                name: one.profile.clone(),
                text: one.profile_toml.clone(),
            };
            let profile = Profile::stored(&stored)?;
            if !models.contains_key(&profile.ctap.aaguid) {
                let model = model(profile.usb.product, profile.ctap).await?;
                models.insert(model.profile.aaguid, model);
            }
        }
        for slot in self.slots() {
            let known = known(&slot).await?;
            let aaguid = known.profile.aaguid;
            if named.is_none() && !models.contains_key(&aaguid) {
                let product = slot.usb.fields().product.clone();
                models.insert(aaguid, model(product, known.profile).await?);
            }
            if let Some(model) = models.get_mut(&aaguid) {
                model.certificates.extend(known.certificates);
                model.u2f.extend(known.u2f);
            }
        }
        Ok(models.into_values().collect())
    }
}

async fn known(slot: &Slot) -> Result<Known, RigError> {
    let known = slot
        .handle
        .visit(|device, _| Known::of(device.state(), device.profile()));
    known.await.ok_or_else(|| slot.gone())
}

/// A model without keys. Its getInfo is that of a key that was just made.
async fn model(product: String, profile: roamkey_ctap::Profile) -> Result<Model, RigError> {
    // No key comes of it, so nothing of its randomness matters.
    let mut seed = Seed::from_bytes([0; 32]);
    let state = Memory::create(&mut seed, 0, &profile).load().await?;
    let info = Device::new(profile.clone(), state, seed.into_rng()).info();
    Ok(Model {
        product,
        profile,
        info,
        certificates: Vec::new(),
        u2f: Vec::new(),
    })
}
