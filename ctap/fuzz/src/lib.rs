//! What the fuzz targets of `roamkey-ctap` do with their bytes: a module for each target, and what
//! several need.
//!
//! A finding is a panic. Deliberately absent: a vault's file and a transport, whose crates have
//! targets of their own.

#![forbid(unsafe_code)]

pub mod reports;
pub mod requests;
pub mod sequences;
pub mod strict_cbor;

mod bytes;
mod hid;
mod key;
mod model;
mod pin;
mod rig;
