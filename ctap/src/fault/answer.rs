//! What the faults of one command's answer make of its parts.
//!
//! Deliberately absent: where in an answer a part stands (`wire`, `u2f`).

use std::{borrow::Cow, collections::VecDeque};

use super::Fault;
use crate::{
    attestation::Flaw,
    credential::{CredentialId, RpIdHash, User},
    limits::MAX_COUNTS,
};

/// The answer faults that the running command met.
#[derive(Default)]
pub(crate) struct AnswerFaults(Vec<Fault>);

impl AnswerFaults {
    pub(crate) fn new(met: Vec<Fault>) -> Self {
        Self(met)
    }

    pub(crate) fn has(&self, fault: Fault) -> bool {
        self.0.contains(&fault)
    }

    /// The status that is given instead of running the command.
    pub(crate) fn status(&self) -> Option<u8> {
        self.0.iter().find_map(|fault| {
            let is_status = matches!(fault, Fault::Status(_));
            fault.number().filter(|_| is_status)?.try_into().ok()
        })
    }

    /// What is wrong with the attestation certificate.
    pub(crate) fn flaw(&self) -> Option<Flaw> {
        [
            (Fault::AttestationExpired, Flaw::Expired),
            (Fault::AttestationWrongAaguid, Flaw::WrongAaguid),
            (Fault::AttestationBrokenChain, Flaw::BrokenChain),
        ]
        .into_iter()
        .find_map(|(fault, flaw)| self.has(fault).then_some(flaw))
    }

    /// A signature as it is sent.
    ///
    /// The last bit is a part of s in every form that signatures have here: DER stays well formed.
    pub(crate) fn signature(&self, mut signature: Vec<u8>) -> Vec<u8> {
        if self.has(Fault::BadSignature)
            && let Some(last) = signature.last_mut()
        {
            *last ^= 1;
        }
        signature
    }

    pub(crate) fn rp_id_hash(&self, mut hash: RpIdHash, user_verified: bool) -> RpIdHash {
        if self.has(Fault::BadRpIdHash) || user_verified && self.has(Fault::SpoilVerified) {
            hash.0 = hash.0.map(|byte| !byte);
        }
        hash
    }

    /// An account as an assertion tells it: the other handle is as long as the true one.
    pub(crate) fn user<'a>(&self, user: &'a User) -> Cow<'a, User> {
        if !self.has(Fault::WrongUserHandle) {
            return Cow::Borrowed(user);
        }
        let mut user = user.clone();
        if let Some(first) = user.id.first_mut() {
            *first = !*first;
        }
        Cow::Owned(user)
    }

    /// A counter as it is sent, after `previous` was.
    fn count(&self, previous: u32, count: u32) -> u32 {
        if self.has(Fault::CounterLowered) {
            previous.saturating_sub(1)
        } else if self.has(Fault::CounterRepeated) {
            previous
        } else {
            count
        }
    }
}

/// The last counter that each credential gave out, the newest last.
#[derive(Default)]
pub(crate) struct Counts(VecDeque<(CredentialId, u32)>);

impl Counts {
    /// The counter to send for a credential whose true one is `count`.
    pub(crate) fn next(&mut self, faults: &AnswerFaults, id: &CredentialId, count: u32) -> u32 {
        let known = self.0.iter().find(|(known, _)| known == id);
        let previous = known.map(|(_, count)| *count).unwrap_or_default();
        let count = faults.count(previous, count);
        self.remember(id, count);
        count
    }

    pub(crate) fn remember(&mut self, id: &CredentialId, count: u32) {
        self.0.retain(|(known, _)| known != id);
        if self.0.len() >= MAX_COUNTS {
            self.0.pop_front();
        }
        self.0.push_back((*id, count));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u32) -> CredentialId {
        let mut bytes = [0; 64];
        bytes[..4].copy_from_slice(&n.to_be_bytes());
        CredentialId::from_slice(&bytes).expect("64 bytes")
    }

    #[test]
    fn counter_fault_sends_what_was_sent_or_less() {
        let none = AnswerFaults::default();
        let repeated = AnswerFaults::new(vec![Fault::CounterRepeated]);
        let lowered = AnswerFaults::new(vec![Fault::CounterLowered]);
        let mut counts = Counts::default();
        assert_eq!(counts.next(&repeated, &id(1), 9), 0, "nothing is known");
        assert_eq!(counts.next(&none, &id(1), 10), 10);
        assert_eq!(counts.next(&repeated, &id(1), 11), 10);
        assert_eq!(counts.next(&repeated, &id(1), 12), 10);
        assert_eq!(counts.next(&lowered, &id(1), 13), 9);
        assert_eq!(counts.next(&none, &id(1), 14), 14);
        assert_eq!(counts.next(&lowered, &id(2), 15), 0, "another credential");
    }

    #[test]
    fn memory_of_counters_keeps_the_newest() {
        let repeated = AnswerFaults::new(vec![Fault::CounterRepeated]);
        let mut counts = Counts::default();
        for n in 0..1_000 {
            counts.remember(&id(n), n);
            assert!(counts.0.len() <= MAX_COUNTS);
        }
        assert_eq!(counts.next(&repeated, &id(999), 5_000), 999);
        assert_eq!(counts.next(&repeated, &id(744), 5_000), 744);
        assert_eq!(counts.next(&repeated, &id(743), 5_000), 0, "forgotten");
    }
}
