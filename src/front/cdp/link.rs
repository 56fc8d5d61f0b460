//! What the workers of a connection's sessions share: the way to the client, and to the browser
//! with commands of the front's own.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::Value;
use tokio::{sync::oneshot, time::timeout};
use tokio_tungstenite::tungstenite::Message;

use super::{
    message::{self, CdpError, SessionId},
    outbox::Outbox,
};

/// Numbers of the front's own commands: above what clients count to.
const FIRST: i64 = 2_000_000_000;
/// A browser answers what the front asks at once.
const LIMIT: Duration = Duration::from_secs(30);

type Answer = oneshot::Sender<Result<Value, CdpError>>;

/// Clones are handles to the same.
#[derive(Clone)]
pub(super) struct Link {
    client: Outbox,
    browser: Outbox,
    asked: Arc<Mutex<(i64, BTreeMap<i64, Answer>)>>,
}

impl Link {
    pub(super) fn new(client: Outbox, browser: Outbox) -> Self {
        Self {
            client,
            browser,
            asked: Arc::new(Mutex::new((FIRST, BTreeMap::new()))),
        }
    }

    /// Tells the client something; one that is gone needs nothing.
    pub(super) async fn tell(&self, text: String) {
        self.client.send(Message::text(text)).await;
    }

    /// Asks the browser something.
    pub(super) async fn ask(
        &self,
        session: &SessionId,
        method: &str,
        params: Value,
    ) -> Result<Value, CdpError> {
        let (answer, answered) = oneshot::channel();
        let id = {
            let mut asked = self.lock();
            asked.0 += 1;
            let id = asked.0;
            asked.1.insert(id, answer);
            id
        };
        let command = message::command(id, method, session, params);
        let gone = || CdpError::failed("the browser is gone");
        let sent = self.browser.send(Message::text(command)).await;
        let result = match sent {
            true => timeout(LIMIT, answered).await,
            false => return Err(gone()),
        };
        self.lock().1.remove(&id);
        match result {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(gone()),
            Err(_) => Err(CdpError::failed(format!(
                "the browser has not answered {method}"
            ))),
        }
    }

    /// Whether a message of the browser is the answer to a command of the front's own, which it
    /// then goes to.
    pub(super) fn take(&self, text: &str) -> bool {
        if self.lock().1.is_empty() {
            return false;
        }
        let Some((id, result)) = message::own_answer(text) else {
            return false;
        };
        match self.lock().1.remove(&id) {
            Some(answer) => {
                // Who asked may have waited long enough.
                let _ = answer.send(result);
                true
            }
            None => false,
        }
    }

    /// No code between lock and unlock can panic, so a poisoned list is still whole.
    fn lock(&self) -> MutexGuard<'_, (i64, BTreeMap<i64, Answer>)> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
