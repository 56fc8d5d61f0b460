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
    outbox::{Inbox, Outbox, outbox},
    own, worker,
};
use crate::{front::Keys, limits::Front};

/// Sessions that were detached, and messages, on their way to where they are taken one by one.
const ON_THE_WAY: usize = 64;

/// The workers of a connection, by the session they work for.
type Workers = BTreeMap<SessionId, mpsc::Sender<Command>>;

/// Until either side is gone; then the keys of the client's sessions go.
pub(super) async fn run<C, B>(
    client: WebSocketStream<C>,
    browser: WebSocketStream<B>,
    keys: Keys,
    limits: &Front,
) where
    C: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    B: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (to_client, for_client) = outbox(ON_THE_WAY, limits.on_the_way_len);
    let (to_browser, for_browser) = outbox(ON_THE_WAY, limits.on_the_way_len);
    let (client_sink, client) = client.split();
    let (browser_sink, browser) = browser.split();
    let link = Link::new(to_client.clone(), to_browser.clone());
    let (detached, over) = mpsc::channel(ON_THE_WAY);
    let mut workers = JoinSet::new();
    tokio::select! {
        () = write(client_sink, for_client) => {}
        () = write(browser_sink, for_browser) => {}
        () = read_browser(browser, &to_client, &link, detached) => {}
        () = read_client(client, &to_browser, over, &mut workers, Desk { link: &link, keys, limits }) => {}
    }
    debug!("a DevTools client is gone");
    // Their channels are closed: they take their keys and end.
    while workers.join_next().await.is_some() {}
}

async fn write<S>(mut sink: SplitSink<WebSocketStream<S>, Message>, mut messages: Inbox)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    while let Some((message, _room)) = messages.recv().await {
        if sink.send(message).await.is_err() {
            return;
        }
    }
}

async fn read_browser<S>(
    mut browser: SplitStream<WebSocketStream<S>>,
    to_client: &Outbox,
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
        if is_content(&message) && !to_client.send(message).await {
            return;
        }
    }
}

/// What passes; pings and closes are each connection's own.
fn is_content(message: &Message) -> bool {
    message.is_text() || message.is_binary()
}

/// What the commands of a client's sessions are done with.
struct Desk<'a> {
    link: &'a Link,
    keys: Keys,
    limits: &'a Front,
}

async fn read_client<S>(
    mut client: SplitStream<WebSocketStream<S>>,
    to_browser: &Outbox,
    mut over: mpsc::Receiver<SessionId>,
    tasks: &mut JoinSet<()>,
    desk: Desk<'_>,
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
            let most = desk.limits.domains;
            if workers.len() >= most && !workers.contains_key(&command.session) {
                let why = CdpError::failed(format!("{most} sessions have WebAuthn already"));
                let answer = message::answer(command.id, &command.session, Err(why));
                desk.link.tell(answer).await;
                continue;
            }
            let worker = workers
                .entry(command.session.clone())
                .or_insert_with_key(|session| desk.start(session, tasks));
            desk.hand_over(worker, command).await;
        } else if is_content(&message) && !to_browser.send(message).await {
            return;
        }
    }
}

impl Desk<'_> {
    /// A worker for a session.
    fn start(&self, session: &SessionId, tasks: &mut JoinSet<()>) -> mpsc::Sender<Command> {
        let (commands, received) = mpsc::channel(self.limits.waiting);
        let (session, link) = (session.clone(), self.link.clone());
        match &self.keys {
            Keys::Real(authenticators) => {
                tasks.spawn(worker::run(received, session, authenticators.clone(), link));
            }
            Keys::Browsers(browser) => {
                tasks.spawn(own::run(received, session, browser.clone(), link));
            }
        }
        commands
    }

    async fn hand_over(&self, worker: &mpsc::Sender<Command>, command: Command) {
        if let Err(
            mpsc::error::TrySendError::Full(command) | mpsc::error::TrySendError::Closed(command),
        ) = worker.try_send(command)
        {
            let why = format!("{} commands wait already", self.limits.waiting);
            let why = CdpError::failed(why);
            let answer = message::answer(command.id, &command.session, Err(why));
            self.link.tell(answer).await;
        }
    }
}
