//! What else gives the command its keys, beside the system: servers that run in this process on
//! its rig, and say in the environment where they listen.
//!
//! There is none yet. One that comes is started, named and ended here.

use super::{super::Failure, args::Args, place::Settled};

/// The servers that run.
pub(super) struct Fronts {}

impl Fronts {
    /// Starts what the arguments ask for.
    pub(super) async fn start(_args: &Args, _settled: &Settled) -> Result<Self, Failure> {
        Ok(Self {})
    }

    /// What the command is told of them.
    pub(super) fn env(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// Whether the command could reach a key by one of them.
    pub(super) fn is_empty(&self) -> bool {
        true
    }

    /// Ends them.
    pub(super) async fn stop(self) {}
}
