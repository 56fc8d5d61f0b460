//! What one session has: does its commands one after the other, and tells it what happens to its
//! keys. At its end they go.

use tokio::sync::mpsc;

use super::{
    domain::Domain,
    events,
    link::Link,
    message::{self, Command, SessionId},
};
use crate::{front::Authenticators, journal::Followed};

/// Works until nobody sends commands any more.
pub(super) async fn run(
    mut commands: mpsc::Receiver<Command>,
    session: SessionId,
    authenticators: Authenticators,
    link: Link,
) {
    let mut follower = authenticators.rig().journal().follow();
    let mut domain = Domain::new(session.clone(), authenticators, link.clone());
    loop {
        tokio::select! {
            // What happened before a command is told before it is answered.
            biased;
            followed = follower.next(), if domain.has_keys() => match followed {
                Some(followed) => tell(&mut domain, &followed, &link).await,
                None => break,
            },
            command = commands.recv() => {
                let Some(command) = command else { break };
                // A page may have its answer a moment before the journal has it.
                domain.settle().await;
                while domain.has_keys() && let Some(followed) = follower.try_next() {
                    tell(&mut domain, &followed, &link).await;
                }
                let (id, result) = (command.id, domain.run(command).await);
                link.tell(message::answer(id, &session, result)).await;
            }
        }
    }
    domain.end().await;
}

async fn tell(domain: &mut Domain, followed: &Followed, link: &Link) {
    match followed {
        Followed::Entry(entry) => {
            for event in events::of(domain, entry).await {
                link.tell(event).await;
            }
        }
        Followed::Missed(_) => {}
    }
}
