//! Each scenario is a function of a [`Place`](crate::support::rig::Place), run at several.

mod attach;
mod bad_cbor;
mod channels;
mod counters;
mod ctaphid;
mod enumeration;
mod get_assertion;
mod idle;
mod make_credential;
mod random;
mod reset;
mod touch;
mod u2f;
mod vault;
