//! The router called as a service, and a control plane over real connections.

mod limits;
mod places;
mod requests;

use std::{
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
};

use tokio::sync::watch;

use super::*;
use crate::{
    presence::Policy,
    rig::{Backend, NewKey, Setup},
};

/// A rig with a key, `1-1`.
async fn rig() -> Rig {
    let rig = Rig::start(Setup::new(Backend::memory(), Policy::auto())).await;
    let rig = rig.expect("nothing is in the way");
    rig.add_key(NewKey::default()).await.expect("a key");
    rig
}

/// A directory that is gone with this.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("roamkey-control-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).expect("a new directory");
        Self(path)
    }

    fn options(&self, limits: Limits) -> Options {
        Options {
            directory: Some(self.0.join("run")),
            limits,
            ..Options::default()
        }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0); // what stays is in the way of nobody
    }
}

/// What a router answers from, and what keeps it from its end.
async fn app(limits: Limits) -> (App, watch::Sender<bool>) {
    let (end, ended) = watch::channel(false);
    (App::new(rig().await, None, limits, ended), end)
}
