//! What the fuzz targets of `roamkey-transport` do with their bytes: a module for each target.
//!
//! A finding is a panic. Deliberately absent: sockets and time, which the crate's server adds.

#![forbid(unsafe_code)]

pub mod control_pipe;
pub mod op;
pub mod session;
pub mod urb;

mod peer;
