//! Where faults strike in the answers of the authenticator.
//!
//! Deliberately absent: which operation meets which (`fault`), and the bytes (`wire`).

use super::{Authenticator, Client, Stateful};
use crate::{
    attestation::FlawedAttestation,
    credential::{CredentialId, RpIdHash},
    fault::{AnswerFaults, Counts, Fault},
    hid::MessageKind,
    status::Status,
    time::Instant,
    u2f::StatusWord,
    wire::{AuthData, Flags, Flipped, damage},
};

/// What faults want, and what they need to know.
#[derive(Default)]
pub(super) struct Faults {
    /// Those of the running command. The next message brings its own.
    pub(super) met: AnswerFaults,
    counts: Counts,
}

impl Faults {
    /// The counter to send where the true one is `count`.
    pub(super) fn next_count(&mut self, id: &CredentialId, count: u32) -> u32 {
        self.counts.next(&self.met, id, count)
    }

    /// A registration sends a counter as well.
    pub(super) fn registered(&mut self, id: &CredentialId, count: u32) {
        self.counts.remember(id, count);
    }
}

impl Authenticator {
    /// A whole message that meets faults; otherwise as [`Self::handle_message`].
    pub(crate) fn handle_faulty_message(
        &mut self,
        now: Instant,
        client: Client,
        (kind, payload): (MessageKind, Vec<u8>),
        met: AnswerFaults,
    ) {
        let status = met.status();
        self.faults.met = met;
        if let Some(status) = status {
            self.response = Some(match kind {
                MessageKind::Cbor => vec![status],
                MessageKind::Msg => StatusWord::Unknown.emit(),
            });
            return;
        }
        self.handle_message(now, client, kind, payload);
    }

    /// Authenticator data as they are sent and signed.
    pub(super) fn emit_auth_data(&self, data: AuthData<'_>) -> Vec<u8> {
        let met = &self.faults.met;
        AuthData {
            rp_id_hash: &met.rp_id_hash(*data.rp_id_hash, data.flags.user_verified),
            flags: Flags {
                flipped: Flipped {
                    user_present: met.has(Fault::FlipUserPresent)
                        || met.has(Fault::ClearUserPresent) && data.flags.user_present,
                    user_verified: met.has(Fault::FlipUserVerified)
                        || met.has(Fault::ClearUserVerified) && data.flags.user_verified,
                    attested: met.has(Fault::FlipAttested),
                    extensions: met.has(Fault::FlipExtensions),
                },
                ..data.flags
            },
            ..data
        }
        .emit()
    }

    /// The attestation that is to be used instead of the right one.
    pub(super) fn flawed_attestation(&mut self) -> Result<Option<FlawedAttestation>, Status> {
        let Some(flaw) = self.faults.met.flaw() else {
            return Ok(None);
        };
        let made = FlawedAttestation::create(&mut self.rng, flaw, &self.profile.aaguid);
        made.map(Some).ok_or(Status::Other)
    }

    /// A response as it leaves; with it the faults of its command are over.
    pub(super) fn damaged(&mut self, mut response: Vec<u8>) -> Vec<u8> {
        let met = std::mem::take(&mut self.faults.met);
        if met.has(Fault::CborOversized) {
            response = damage::oversized(response);
        }
        if met.has(Fault::CborNonCanonical) {
            response = damage::non_canonical(response);
        }
        // Last: what is cut off can no longer be read here either.
        if met.has(Fault::CborTruncated) {
            response = damage::truncated(response);
        }
        response
    }

    /// The site whose assertions a client enumerates.
    pub(crate) fn enumerated_site(&self, client: Client) -> Option<RpIdHash> {
        match &self.stateful {
            Some((whose, Stateful::Assertions(enumeration))) if *whose == client => {
                Some(enumeration.rp_id_hash())
            }
            Some(_) | None => None,
        }
    }
}
