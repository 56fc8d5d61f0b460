//! Keys in a vault that this process has open: a rig without a place to plug them in.

use std::path::PathBuf;

use tokio::runtime::{Builder, Runtime};

use super::Done;
use crate::{
    cli::Failure,
    presence::{Policy, Touch},
    rig::{Backend, Rig, RigError, Setup},
    vault::{OpenVault, VaultThread},
};

/// The keys of an open vault. Dropping it closes the vault.
pub(in crate::cli) struct Here(Option<Parts>);

struct Parts {
    rig: Rig,
    runtime: Runtime,
    thread: VaultThread,
}

impl Here {
    pub(super) fn start(open: OpenVault, path: PathBuf) -> Done<Self> {
        let runtime = runtime()?;
        let (vault, thread) = open.serve()?;
        // No host sees the keys, so nobody is ever asked.
        let mut setup = Setup::new(Backend::Nowhere, Policy::new(Touch::Deny, []));
        setup.vault = Some((vault, path));
        match runtime.block_on(Rig::start(setup)) {
            Ok(rig) => Ok(Self(Some(Parts {
                rig,
                runtime,
                thread,
            }))),
            Err(why) => {
                drop(runtime);
                thread.join();
                Err(why.into())
            }
        }
    }

    /// Does something with the keys.
    pub(super) fn ask<T>(&self, work: impl AsyncFnOnce(&Rig) -> Result<T, RigError>) -> Done<T> {
        let parts = self.0.as_ref();
        // Not reached: only drop takes them.
        let parts = parts.ok_or_else(|| Failure::Failed("the vault is closed".to_owned()))?;
        let done = parts.runtime.block_on(work(&parts.rig));
        done.map_err(Into::into)
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        if let Some(parts) = self.0.take() {
            parts.runtime.block_on(parts.rig.stop());
            // What is left of tasks has handles of the vault, which is closed with the last.
            drop(parts.rig);
            drop(parts.runtime);
            parts.thread.join();
        }
    }
}

/// For one command.
pub(super) fn runtime() -> Done<Runtime> {
    let built = Builder::new_current_thread().enable_all().build();
    built.map_err(|why| Failure::failed("the runtime does not start", why))
}
