//! Failures on purpose: what a key does wrong because a test wants to see how a client bears it.
//!
//! A [`FaultRule`] says what goes wrong and in which operations; the rules of a key are its
//! [`Plan`]. Nothing here runs in a key without rules. Deliberately absent: who may arm a fault.

mod answer;
mod catalog;
mod plan;
#[cfg(test)]
mod tests;
mod wire;

pub(crate) use answer::{AnswerFaults, Counts};
pub use catalog::{FaultInfo, FaultLayer, NoSuchFault, Parameter};
pub(crate) use plan::Plan;
pub use plan::{FaultId, FaultRefusal, FaultRule};
pub(crate) use wire::WireFilter;

/// A named failure. What each does, and what a client should make of it, says its [`FaultInfo`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The answer is this status alone; the command does not run.
    Status(u8),
    /// A bit of the signature is another.
    BadSignature,
    /// Flag UP is the other way round; the signature is good.
    FlipUserPresent,
    /// Flag UV is the other way round; the signature is good.
    FlipUserVerified,
    /// Flag UP is not set, whoever touched; the signature is good.
    ClearUserPresent,
    /// Flag UV is not set, whoever was verified; the signature is good.
    ClearUserVerified,
    /// Flag AT is the other way round; the signature is good.
    FlipAttested,
    /// Flag ED is the other way round; the signature is good.
    FlipExtensions,
    /// Another RP id hash; the signature is good.
    BadRpIdHash,
    /// Another RP id hash where flag UV is set; the signature is good.
    SpoilVerified,
    /// The counter of the assertion before.
    CounterRepeated,
    /// A lower counter than that of the assertion before.
    CounterLowered,
    /// No attestation statement at all (format none) though one was wanted.
    AttestationMissing,
    /// Packed self attestation, where the profile has another.
    AttestationSelf,
    /// Packed attestation with a certificate that has expired.
    AttestationExpired,
    /// Packed attestation whose certificate names another AAGUID.
    AttestationWrongAaguid,
    /// Packed attestation with a chain whose certificates do not sign each other.
    AttestationBrokenChain,
    /// The CBOR of the answer ends early.
    CborTruncated,
    /// The answer is longer than a key's maxMsgSize and any it should give.
    CborOversized,
    /// The CBOR of the answer is not canonical.
    CborNonCanonical,
    /// The assertion's user handle is another.
    WrongUserHandle,
    /// The assertion does not say which credential signed.
    MissingCredential,
    /// A report of the answer is lost.
    DropReport,
    /// The answer's reports come this many milliseconds later.
    DelayReport(u32),
    /// A report of the answer comes twice.
    DuplicateReport,
    /// A byte of a report of the answer is another.
    CorruptReport,
    /// Two reports of the answer change places.
    ReorderReports,
    /// A continuation packet of the answer has the wrong sequence number.
    WrongSequence,
    /// The answer comes on another channel.
    WrongChannel,
    /// The key is silent while it works.
    NoKeepalives,
    /// The key says for ever that it works, and answers never.
    EndlessKeepalives,
    /// Each report of the answer comes this many milliseconds after the one before.
    SlowTrickle(u32),
    /// The key is unplugged after its answer to CTAPHID_INIT.
    UnplugAfterInit,
    /// The key is unplugged between two packets of the request.
    UnplugBetweenPackets,
    /// The key is unplugged while it waits for a touch.
    UnplugDuringTouch,
    /// The key is unplugged when its answer is ready and before it is sent.
    UnplugBeforeAnswer,
}

impl Fault {
    /// Whether a message that it applies to can show it: only an answer that signs shows what is
    /// wrong with it, and only a registration that attests what is wrong with that.
    pub(crate) fn shows(self, signs: bool, attests: bool) -> bool {
        let below_messages = self.info().commands.is_empty();
        let of_what_is_signed =
            self.info().layer == FaultLayer::Answer && !matches!(self, Self::Status(_));
        let of_attestation = matches!(
            self,
            Self::BadSignature
                | Self::AttestationMissing
                | Self::AttestationSelf
                | Self::AttestationExpired
                | Self::AttestationWrongAaguid
                | Self::AttestationBrokenChain
        );
        !below_messages && (signs || !of_what_is_signed) && (attests || !of_attestation)
    }
}
