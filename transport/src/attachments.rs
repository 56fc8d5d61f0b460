//! The hosts that attach a key, one after the other, whatever carries them.

use std::fmt;

use tokio::sync::mpsc;

use crate::Transport;

/// The hosts that attach a key, one after the other.
pub struct Attachments(Source);

enum Source {
    /// A server hands them over.
    Handed(mpsc::Receiver<Box<dyn Transport>>),
    /// There is one; None once it was taken.
    Once(Option<Box<dyn Transport>>),
}

impl Attachments {
    /// One host and no other: a key that is plugged into this machine and no server.
    #[must_use]
    pub fn once(transport: Box<dyn Transport>) -> Self {
        Self(Source::Once(Some(transport)))
    }

    pub(crate) fn handed(receiver: mpsc::Receiver<Box<dyn Transport>>) -> Self {
        Self(Source::Handed(receiver))
    }

    /// The next host; None once the key is off the server, or was unplugged. Cancel-safe. Only
    /// when the transport before it was dropped is there a next.
    pub async fn next(&mut self) -> Option<Box<dyn Transport>> {
        match &mut self.0 {
            Source::Handed(receiver) => receiver.recv().await,
            Source::Once(transport) => transport.take(),
        }
    }
}

impl fmt::Debug for Attachments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Attachments")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Peer, memory};

    #[tokio::test]
    async fn one_transport_comes_once() {
        let (transport, _host) = memory::pair();
        let mut attachments = Attachments::once(Box::new(transport));
        let first = attachments.next().await.unwrap();
        assert_eq!(first.peer(), Peer::Memory);
        assert!(attachments.next().await.is_none());
        assert!(attachments.next().await.is_none());
    }
}
