//! One client: its messages go to the browser and the browser's come back, but for commands of
//! the domain, which a worker of their session does. None waits for another's.

use std::collections::BTreeMap;

use futures_util::{
    SinkExt as _, StreamExt as _,
    stream::{SplitSink, SplitStream},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
    task::JoinSet,
};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};
use tracing::debug;

use super::{
    link::Link,
    message::{self, CdpError, Command, SessionId},
    own, worker,
};
use crate::front::Keys;

/// Messages on their way to one side.
const ON_THE_WAY: usize = 64;
/// Commands of a session that wait for the one before.
const WAITING: usize = 64;

/// Sessions of one client that have used the domain: nothing says that a session is one of the
/// browser's, and each has a task.
const SESSIONS: usize = 256;

/// The workers of a connection, by the session they work for.
type Workers = BTreeMap<SessionId, mpsc::Sender<Command>>;

/// Until either side is gone; then the keys of the client's sessions go.
pub(super) async fn run<C, B>(client: WebSocketStream<C>, browser: WebSocketStream<B>, keys: Keys)
where
    C: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    B: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (to_client, for_client) = mpsc::channel(ON_THE_WAY);
    let (to_browser, for_browser) = mpsc::channel(ON_THE_WAY);
    let (client_sink, client) = client.split();
    let (browser_sink, browser) = browser.split();
    let link = Link::new(to_client.clone(), to_browser.clone());
    let (detached, over) = mpsc::channel(ON_THE_WAY);
    let mut workers = JoinSet::new();
    tokio::select! {
        () = write(client_sink, for_client) => {}
        () = write(browser_sink, for_browser) => {}
        () = read_browser(browser, &to_client, &link, detached) => {}
        () = read_client(client, &to_browser, &link, over, keys, &mut workers) => {}
    }
    debug!("a DevTools client is gone");
    // Their channels are closed: they take their keys and end.
    while workers.join_next().await.is_some() {}
}

async fn write<S>(
    mut sink: SplitSink<WebSocketStream<S>, Message>,
    mut messages: mpsc::Receiver<Message>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(message) = messages.recv().await {
        if sink.send(message).await.is_err() {
            return;
        }
    }
}

async fn read_browser<S>(
    mut browser: SplitStream<WebSocketStream<S>>,
    to_client: &mpsc::Sender<Message>,
    link: &Link,
    detached: mpsc::Sender<SessionId>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(Ok(message)) = browser.next().await {
        if let Message::Text(text) = &message {
            if link.take(text) {
                continue;
            }
            if let Some(session) = message::detached(text)
                && detached.send(session).await.is_err()
            {
                return;
            }
        }
        if is_content(&message) && to_client.send(message).await.is_err() {
            return;
        }
    }
}

/// What passes; pings and closes are each connection's own.
fn is_content(message: &Message) -> bool {
    message.is_text() || message.is_binary()
}

async fn read_client<S>(
    mut client: SplitStream<WebSocketStream<S>>,
    to_browser: &mpsc::Sender<Message>,
    link: &Link,
    mut over: mpsc::Receiver<SessionId>,
    keys: Keys,
    tasks: &mut JoinSet<()>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut workers = Workers::new();
    loop {
        let message = tokio::select! {
            message = client.next() => message,
            Some(session) = over.recv() => {
                workers.remove(&session);
                continue;
            }
            Some(_) = tasks.join_next() => continue,
        };
        let Some(Ok(message)) = message else {
            return;
        };
        // Only texts are JSON.
        let text = message.is_text().then(|| message.to_text());
        let command = text.and_then(|text| Command::parse(text.ok()?));
        if let Some(command) = command {
            if workers.len() >= SESSIONS && !workers.contains_key(&command.session) {
                let why = CdpError::failed(format!("{SESSIONS} sessions have WebAuthn already"));
                let answer = message::answer(command.id, &command.session, Err(why));
                link.tell(answer).await;
                continue;
            }
            let worker = workers
                .entry(command.session.clone())
                .or_insert_with_key(|session| start(session, &keys, link, tasks));
            hand_over(worker, command, link).await;
        } else if is_content(&message) && to_browser.send(message).await.is_err() {
            return;
        }
    }
}

/// A worker for a session.
fn start(
    session: &SessionId,
    keys: &Keys,
    link: &Link,
    tasks: &mut JoinSet<()>,
) -> mpsc::Sender<Command> {
    let (commands, received) = mpsc::channel(WAITING);
    let (session, link) = (session.clone(), link.clone());
    match keys {
        Keys::Real(authenticators) => {
            tasks.spawn(worker::run(received, session, authenticators.clone(), link));
        }
        Keys::Browsers(browser) => {
            tasks.spawn(own::run(received, session, browser.clone(), link));
        }
    }
    commands
}

async fn hand_over(worker: &mpsc::Sender<Command>, command: Command, link: &Link) {
    if let Err(
        mpsc::error::TrySendError::Full(command) | mpsc::error::TrySendError::Closed(command),
    ) = worker.try_send(command)
    {
        let why = CdpError::failed(format!("{WAITING} commands wait already"));
        link.tell(message::answer(command.id, &command.session, Err(why)))
            .await;
    }
}
