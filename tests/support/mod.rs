//! What scenarios stand on: carriers, host models, and a platform's side of the protocols.

pub(crate) mod bus;
pub(crate) mod carrier;
pub(crate) mod cbor;
pub(crate) mod ctap2;
pub(crate) mod ctaphid;
pub(crate) mod host;
pub(crate) mod rig;
pub(crate) mod seed;
pub(crate) mod u2f;
pub(crate) mod vault;
pub(crate) mod wire;
