//! What scenarios stand on: carriers, host models, and a platform's side of the protocols.

pub(crate) mod auth_data;
pub(crate) mod bench;
pub(crate) mod bio;
pub(crate) mod bus;
pub(crate) mod carrier;
pub(crate) mod cbor;
pub(crate) mod cose;
pub(crate) mod ctap2;
pub(crate) mod ctaphid;
pub(crate) mod disk;
pub(crate) mod faulty;
pub(crate) mod host;
pub(crate) mod inline;
pub(crate) mod large_blobs;
pub(crate) mod manage;
pub(crate) mod pin;
pub(crate) mod rig;
pub(crate) mod seed;
pub(crate) mod sim;
pub(crate) mod u2f;
pub(crate) mod vault;
pub(crate) mod wire;
