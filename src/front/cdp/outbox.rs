//! Messages on their way to one side of a connection: bounded by their number and their bytes, as
//! one may be as long as a trace of a browser.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_tungstenite::tungstenite::Message;

/// What takes messages out: each with its room, which is free once that is dropped.
pub(super) type Inbox = mpsc::Receiver<(Message, OwnedSemaphorePermit)>;

/// Where messages go in. Clones are handles to the same.
#[derive(Clone)]
pub(super) struct Outbox {
    sender: mpsc::Sender<(Message, OwnedSemaphorePermit)>,
    room: Arc<Semaphore>,
    bytes: usize,
}

/// For so many messages, of so many bytes together. A longer one goes alone.
pub(super) fn outbox(messages: usize, bytes: usize) -> (Outbox, Inbox) {
    let (sender, inbox) = mpsc::channel(messages);
    let room = Arc::new(Semaphore::new(bytes));
    (
        Outbox {
            sender,
            room,
            bytes,
        },
        inbox,
    )
}

impl Outbox {
    /// Waits for room. False where nobody takes messages any more.
    pub(super) async fn send(&self, message: Message) -> bool {
        let length = u32::try_from(message.len().min(self.bytes)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).acquire_many_owned(length);
        let room = tokio::select! {
            room = room => room,
            () = self.sender.closed() => return false,
        };
        match room {
            Ok(room) => self.sender.send((message, room)).await.is_ok(),
            // Not reached: nobody closes it.
            Err(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const MOMENT: Duration = Duration::from_secs(3600);

    #[tokio::test(start_paused = true)]
    async fn bytes_on_the_way_are_bounded_and_room_comes_with_what_has_left() {
        let (out, mut taken) = outbox(64, 10);
        assert!(out.send(Message::text("12345")).await);
        assert!(out.send(Message::text("12345")).await, "at the bound");
        let one_more = timeout(MOMENT, out.send(Message::text("1")));
        assert!(one_more.await.is_err());
        drop(taken.recv().await);
        assert!(out.send(Message::text("1")).await);
        // What is longer than all the room goes alone.
        drop((taken.recv().await, taken.recv().await));
        assert!(out.send(Message::text("12345678901")).await);
        assert!(timeout(MOMENT, out.send(Message::text("1"))).await.is_err());
        drop(taken);
        assert!(!out.send(Message::text("1")).await);
    }

    #[tokio::test(start_paused = true)]
    async fn messages_on_the_way_are_bounded() {
        let (out, _taken) = outbox(2, 10);
        for _ in 0..2 {
            assert!(out.send(Message::text("")).await);
        }
        assert!(timeout(MOMENT, out.send(Message::text(""))).await.is_err());
    }
}
