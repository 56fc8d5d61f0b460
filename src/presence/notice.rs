//! What a person is shown and a rig logs of touches and attachments.

use roamkey_ctap::{Decision, Prompt, Withdrawn};
use roamkey_transport::{Ended, Peer};

use super::RequestId;
use crate::journal::{Event, TouchState, prompt_event};

/// Something to show a person or to log for a rig.
#[derive(Clone, Debug)]
pub enum Notice {
    /// A host has the key.
    Attached {
        /// Which key.
        key: String,
        /// Who.
        peer: Peer,
    },
    /// The host is gone.
    Detached {
        /// Which key.
        key: String,
        /// Who.
        peer: Peer,
        /// Why.
        ended: Ended,
    },
    /// A touch is needed and a person has to give it.
    Asked {
        /// To answer with.
        id: RequestId,
        /// Which key.
        key: String,
        /// What for.
        prompt: Prompt,
    },
    /// A touch was given or refused.
    Answered {
        /// What was asked.
        id: RequestId,
        /// Which key.
        key: String,
        /// What for.
        prompt: Prompt,
        /// The answer.
        decision: Decision,
        /// Why a policy refused, in words.
        refusal: Option<&'static str>,
    },
    /// A touch is no longer needed.
    Withdrawn {
        /// What was asked.
        id: RequestId,
        /// Which key.
        key: String,
        /// What for.
        prompt: Prompt,
        /// Why.
        reason: Withdrawn,
    },
    /// The key was asked to show itself.
    Wink {
        /// Which key.
        key: String,
    },
}

impl Notice {
    /// Which key it is about.
    pub fn key(&self) -> &str {
        match self {
            Self::Attached { key, .. }
            | Self::Detached { key, .. }
            | Self::Asked { key, .. }
            | Self::Answered { key, .. }
            | Self::Withdrawn { key, .. }
            | Self::Wink { key } => key,
        }
    }

    /// The same as an entry of the journal.
    pub fn to_event(&self) -> Event {
        match self {
            Self::Attached { peer, .. } => Event::Attach {
                peer: peer.to_string(),
            },
            Self::Detached { peer, ended, .. } => Event::Detach {
                peer: peer.to_string(),
                reason: ended.to_string(),
            },
            Self::Asked { id, prompt, .. } => prompt_event(id.0, prompt, TouchState::Asked, None),
            Self::Answered {
                id,
                prompt,
                decision,
                refusal,
                ..
            } => {
                let state = match decision {
                    Decision::Approved => TouchState::Approved,
                    Decision::Unverified => TouchState::NotVerified,
                    Decision::Denied => TouchState::Denied,
                };
                prompt_event(id.0, prompt, state, *refusal)
            }
            Self::Withdrawn {
                id, prompt, reason, ..
            } => {
                let reason = match reason {
                    Withdrawn::Cancelled => "cancelled",
                    Withdrawn::TimedOut => "timed-out",
                    Withdrawn::HostGone => "host-gone",
                };
                prompt_event(id.0, prompt, TouchState::Withdrawn, Some(reason))
            }
            Self::Wink { .. } => Event::Wink,
        }
    }
}
