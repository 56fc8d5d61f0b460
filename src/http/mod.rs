//! HTTP/1.1 for whoever connects (RFC 9112), in a way that no client can hold against others:
//! connections, heads, pauses and unread answers are bounded ([`crate::limits`]).
//!
//! The control plane and the fronts are served by it. Deliberately absent: HTTP/2, TLS.

mod listen;
mod paced;
mod patient;
mod seats;

pub(crate) use listen::{Caller, Listener, Served, serve};
pub(crate) use paced::paced;
pub(crate) use patient::Patient;
pub(crate) use seats::Presence;
