//! What fuzz targets need to reach and nobody else: built with `--cfg fuzzing` alone, which
//! cargo-fuzz sets. No part of this crate's interface.

use crate::{
    command::Command,
    hid::{ChannelId, MessageKind},
    status::Status,
    time::Instant,
    trace::{Touched, Trace, Tracer},
    u2f,
    wire::{self, Request},
};

/// Whether bytes are exactly one item of CTAP2 canonical CBOR.
pub fn is_canonical(bytes: &[u8]) -> bool {
    wire::check_strictly(bytes).is_ok()
}

/// What a message is to those who read it.
#[derive(Debug)]
pub struct Seen {
    /// To the parser: a status or status word, or the site where the request names one.
    pub parsed: Result<Option<String>, u16>,
    /// To rules about operations.
    pub peeked: (Command, Option<String>),
    /// To traces, the last of which takes the message for its own answer as well.
    pub traces: Vec<Trace>,
}

/// Reads a CTAPHID_CBOR payload.
pub fn see_ctap2(payload: &[u8]) -> Seen {
    let site = |request| match request {
        Request::MakeCredential(request) => Some(request.rp.id),
        Request::GetAssertion(request) => Some(request.rp_id),
        Request::ClientPin(request) => request.rp_id,
        Request::GetInfo
        | Request::Reset
        | Request::GetNextAssertion
        | Request::BioEnrollment(_)
        | Request::CredentialManagement(_)
        | Request::Selection
        | Request::LargeBlobs(_)
        | Request::Config(_) => None,
    };
    let parsed = Request::parse(payload).map(site);
    let peeked = wire::peek(payload);
    Seen {
        parsed: parsed.map_err(|status: Status| status.code().into()),
        peeked: (peeked.command, peeked.rp_id),
        traces: traced(MessageKind::Cbor, payload),
    }
}

/// Reads a CTAPHID_MSG payload.
pub fn see_apdu(apdu: &[u8]) -> Seen {
    let peeked = wire::peek_apdu(apdu);
    Seen {
        parsed: u2f::Request::parse(apdu)
            .map(|_| None)
            .map_err(u2f::StatusWord::code),
        peeked: (peeked.command, peeked.rp_id),
        traces: traced(MessageKind::Msg, apdu),
    }
}

fn traced(kind: MessageKind, message: &[u8]) -> Vec<Trace> {
    let now = Instant::default();
    let mut tracer = Tracer::default();
    tracer.switch(true);
    tracer.started(now, 1, ChannelId::BROADCAST, kind, message);
    tracer.answered(now, Touched::NotAsked, message);
    std::iter::from_fn(|| tracer.poll()).collect()
}
