//! Each scenario is a function of a [`Place`](crate::support::rig::Place), run at several.

mod attach;
mod bad_cbor;
mod channels;
mod config;
mod counters;
mod cred_protect;
mod ctaphid;
mod enumeration;
mod extensions;
mod get_assertion;
mod idle;
mod large_blob_key;
mod large_blobs;
mod make_credential;
mod management;
mod pin;
mod pin_retries;
mod random;
mod reset;
mod secrets;
mod token;
mod touch;
mod u2f;
mod vault;
mod verification;
