//! How others reach a key that runs: looking at it, changing it, plugging it in and out.
//!
//! A key is its task's alone. What others want of it goes there as a closure and is done between
//! two of its turns, so nothing is locked and nobody sees half a change.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use roamkey_ctap::{ChangeSet, Device, Instant, KeyState, Profile, Rng};
use roamkey_transport::Attachments;
use tokio::sync::{mpsc, oneshot};

use crate::limits::WISHES;

/// Looks at a key's state machine, or arms it for a test.
type Visit = Box<dyn FnOnce(&mut Device, Instant) + Send>;
/// Says what changes, or why nothing does. Asked again where a commit was in the way.
type Change = Box<dyn FnMut(&KeyState, &Profile, &mut Rng) -> Result<ChangeSet, String> + Send>;

/// Where a key is plugged in.
pub struct Port {
    /// The hosts that attach it there.
    pub hosts: Attachments,
    /// Takes it off the list there.
    pub pull: Box<dyn FnOnce() + Send>,
}

/// What is asked of a key's task.
pub(super) enum Wish {
    Plug(Port, oneshot::Sender<()>),
    Unplug(oneshot::Sender<bool>),
    PowerCycle(oneshot::Sender<()>),
    Visit(Visit),
    Change(Wanted),
    Reload(oneshot::Sender<bool>),
    Stop,
}

/// A change that waits for its turn.
pub(super) struct Wanted {
    pub(super) change: Change,
    pub(super) answer: oneshot::Sender<Result<(), ChangeError>>,
}

/// Why a key was not changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeError {
    /// It cannot be; the text is for a person.
    Refused(String),
    /// The vault did not take it.
    NotStored,
    /// The key is gone.
    Gone,
}

impl fmt::Display for ChangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) => f.write_str(why),
            Self::NotStored => f.write_str("the vault could not store the change"),
            Self::Gone => f.write_str("the key was removed meanwhile"),
        }
    }
}

impl std::error::Error for ChangeError {}

/// Reaches one running key. The key runs until it is stopped, or nobody can reach it and it is
/// plugged in nowhere.
#[derive(Clone)]
pub struct KeyHandle {
    wishes: mpsc::Sender<Wish>,
    shown: Arc<Shown>,
}

/// What of a key everybody may look at without asking its task.
#[derive(Default)]
pub(super) struct Shown {
    plugged: AtomicBool,
    host: Mutex<Option<String>>,
}

impl Shown {
    pub(super) fn set_plugged(&self, plugged: bool) {
        self.plugged.store(plugged, Ordering::Relaxed);
    }

    pub(super) fn set_host(&self, host: Option<String>) {
        *self.host.lock().unwrap_or_else(PoisonError::into_inner) = host;
    }
}

impl KeyHandle {
    pub(super) fn pair(shown: Arc<Shown>) -> (Self, mpsc::Receiver<Wish>) {
        let (wishes, received) = mpsc::channel(WISHES);
        (Self { wishes, shown }, received)
    }

    /// Whether hosts can see it.
    pub fn is_plugged(&self) -> bool {
        self.shown.plugged.load(Ordering::Relaxed)
    }

    /// Who has it attached.
    pub fn host(&self) -> Option<String> {
        let host = self.shown.host.lock();
        host.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Plugs it in, after unplugging it where it is. False if the key is gone.
    pub async fn plug(&self, port: Port) -> bool {
        self.ask(|answer| Wish::Plug(port, answer)).await.is_some()
    }

    /// Ends its host's session and takes it off the list. False if it was plugged in nowhere.
    pub async fn unplug(&self) -> bool {
        self.ask(Wish::Unplug).await.unwrap_or(false)
    }

    /// Power goes and comes, as far as the key is concerned; the host keeps the device. Channels,
    /// tokens and a running command are lost and the time in which a reset is allowed begins anew.
    pub async fn power_cycle(&self) -> bool {
        self.ask(Wish::PowerCycle).await.is_some()
    }

    /// Reads it again from its vault. False if that could not be done.
    pub async fn reload(&self) -> bool {
        self.ask(Wish::Reload).await.unwrap_or(false)
    }

    /// Does something with the state machine between two turns; `None` if the key is gone.
    pub async fn visit<T: Send + 'static>(
        &self,
        visit: impl FnOnce(&mut Device, Instant) -> T + Send + 'static,
    ) -> Option<T> {
        self.ask(|answer: oneshot::Sender<T>| {
            Wish::Visit(Box::new(move |device, now| {
                // Who asked may be gone.
                let _ = answer.send(visit(device, now));
            }))
        })
        .await
    }

    /// Changes what the key remembers; returns when that is durable. `change` is asked again
    /// where a command's own change was on its way.
    ///
    /// # Errors
    /// `change` refused, the vault did not take it, or the key is gone.
    pub async fn change(
        &self,
        change: impl FnMut(&KeyState, &Profile, &mut Rng) -> Result<ChangeSet, String> + Send + 'static,
    ) -> Result<(), ChangeError> {
        let change = Box::new(change);
        let answer = self.ask(|answer| Wish::Change(Wanted { change, answer }));
        answer.await.unwrap_or(Err(ChangeError::Gone))
    }

    /// Ends the key's task.
    pub async fn stop(&self) {
        // A key that is gone has stopped.
        let _ = self.wishes.send(Wish::Stop).await;
    }

    /// Waits until the key's task is gone.
    pub async fn gone(&self) {
        self.wishes.closed().await;
    }

    async fn ask<T>(&self, wish: impl FnOnce(oneshot::Sender<T>) -> Wish) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        self.wishes.send(wish(answer)).await.ok()?;
        answered.await.ok()
    }
}
