//! The connection under a host model: replies cut out of the byte stream.

use super::{
    carrier::{Link, Received},
    wire::{Body, HEADER_LEN, Head, Reply},
};

/// What a host controller gets, a reply at a time.
pub(crate) struct Bus {
    link: Box<dyn Link>,
    pub(crate) devid: u32,
    input: Vec<u8>,
    closed: bool,
}

impl Bus {
    pub(crate) fn new(link: Box<dyn Link>) -> Self {
        let devid = link.devid();
        Self {
            link,
            devid,
            input: Vec::new(),
            closed: false,
        }
    }

    /// Sends bytes as one segment, where the carrier knows of segments.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.link.send(bytes);
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.link.now_ms()
    }

    /// Whether the server ended the connection.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// The next reply within `wait_ms`. `is_in` says whether a seqnum is one of an IN transfer,
    /// since only the host knows whether a payload follows.
    pub(crate) fn reply(&mut self, wait_ms: u64, is_in: impl Fn(u32) -> bool) -> Option<Reply> {
        let deadline = self.now_ms().saturating_add(wait_ms);
        loop {
            if let Some(reply) = self.take_reply(&is_in) {
                return Some(reply);
            }
            let wait_ms = deadline.saturating_sub(self.now_ms());
            match self.link.recv(&mut self.input, wait_ms) {
                Received::Some => {}
                Received::Nothing => return None,
                Received::Closed => {
                    self.closed = true;
                    assert!(self.input.is_empty(), "the connection ended in a reply");
                    return None;
                }
            }
        }
    }

    fn take_reply(&mut self, is_in: impl Fn(u32) -> bool) -> Option<Reply> {
        let head = Head::parse(self.input.get(..HEADER_LEN)?);
        let length = if head.is_submit && is_in(head.seqnum) {
            usize::try_from(head.actual_length).expect("a length")
        } else {
            0
        };
        let data = self.input.get(HEADER_LEN..HEADER_LEN + length)?.to_vec();
        self.input.drain(..HEADER_LEN + length);
        let body = if head.is_submit {
            Body::Submit {
                actual_length: head.actual_length,
                data,
            }
        } else {
            Body::Unlink
        };
        Some(Reply {
            seqnum: head.seqnum,
            status: head.status,
            body,
        })
    }
}
