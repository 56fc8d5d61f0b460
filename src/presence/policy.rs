//! What is decided without a person.

use std::{collections::VecDeque, time::Duration};

use roamkey_ctap::{Decision, Gesture, Prompt, RpIdHash};

use super::script::{Answer, Step};

/// What happens when a touch is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch {
    /// Approve at once.
    Auto,
    /// Ask a person.
    Ask,
    /// Refuse at once.
    Deny,
    /// Answer never: the request ends when its host gives up or its time is over.
    Never,
    /// Approve after this time, as a person who needs a moment.
    Delay(Duration),
}

/// What a finger is when a policy approves a request for one; where a touch is asked for, anybody
/// gives it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verify {
    /// One that the key knows.
    #[default]
    Pass,
    /// One that it does not know.
    Fail,
    /// A person says which.
    Ask,
}

impl Verify {
    /// The decision; `None` where a person makes it.
    fn decision(self, gesture: Gesture) -> Option<Decision> {
        match (gesture, self) {
            (Gesture::Touch | Gesture::LongTouch, _) | (Gesture::Finger, Self::Pass) => {
                Some(Decision::Approved)
            }
            (Gesture::Finger, Self::Fail) => Some(Decision::Unverified),
            (Gesture::Finger, Self::Ask) => None,
        }
    }
}

/// A policy's word on a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    Approve,
    /// A finger that the key does not know.
    Unverified,
    /// No, and why.
    Deny(&'static str),
    /// A person decides.
    Ask,
    /// This, after some time, unless a person is faster.
    After(Duration, Decision),
}

impl Verdict {
    /// The same for a touch that must last so long: an approval comes once it has.
    pub(super) fn lasting(self, lasts: Duration) -> Self {
        match self {
            Self::Approve if !lasts.is_zero() => Self::After(lasts, Decision::Approved),
            Self::After(wait, Decision::Approved) => {
                Self::After(wait.saturating_add(lasts), Decision::Approved)
            }
            Self::Approve | Self::Unverified | Self::Deny(_) | Self::Ask | Self::After(..) => self,
        }
    }
}

/// What becomes of requests for sites that a policy does not name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Others {
    /// They are refused.
    #[default]
    Deny,
    /// A person decides.
    Ask,
}

/// How touches are decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What happens once the script is over.
    pub touch: Touch,
    /// What a finger is that it approves, where the script does not say.
    pub verify: Verify,
    /// RP ids of the sites that this is for; empty for any.
    pub sites: Vec<String>,
    /// What happens to requests for other sites.
    pub others: Others,
    /// Answers to the next requests, the first one first; requests for other sites use none up.
    pub script: VecDeque<Step>,
}

impl Policy {
    /// `rp_ids` are the sites that may ask for a touch; none means any.
    pub fn new<'a>(touch: Touch, rp_ids: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            touch,
            verify: Verify::default(),
            sites: rp_ids.into_iter().map(str::to_owned).collect(),
            others: Others::default(),
            script: VecDeque::new(),
        }
    }

    /// Approves everything.
    pub fn auto() -> Self {
        Self::new(Touch::Auto, [])
    }

    /// The policy's word on a request, which uses up a step of the script. A request that
    /// concerns no site (a choice of key, a reset) is not held back by the list of sites.
    pub fn judge(&mut self, prompt: &Prompt) -> Verdict {
        if prompt.rp_id_hash.is_some_and(|site| self.is_foreign(site)) {
            return match self.others {
                Others::Deny => Verdict::Deny(
                    "the site is not one of those that may ask (--rp, or the key's touch policy)",
                ),
                Others::Ask => Verdict::Ask,
            };
        }
        if let Some(step) = self.script.pop_front() {
            return step.verdict(self.verify, prompt.gesture);
        }
        let approve = |wait| approval(wait, self.verify.decision(prompt.gesture));
        match self.touch {
            Touch::Auto => approve(Duration::ZERO),
            Touch::Ask | Touch::Never => Verdict::Ask,
            Touch::Deny => Verdict::Deny("every touch is refused"),
            Touch::Delay(wait) => approve(wait),
        }
    }

    fn is_foreign(&self, site: RpIdHash) -> bool {
        let mut named = self.sites.iter();
        !self.sites.is_empty() && !named.any(|named| RpIdHash::of(named) == site)
    }
}

/// What comes of a touch that is approved after some time.
fn approval(wait: Duration, decision: Option<Decision>) -> Verdict {
    match (decision, wait) {
        (None, _) => Verdict::Ask,
        (Some(Decision::Approved), Duration::ZERO) => Verdict::Approve,
        (Some(Decision::Unverified), Duration::ZERO) => Verdict::Unverified,
        (Some(decision), wait) => Verdict::After(wait, decision),
    }
}

impl Step {
    /// `verify` is for a step that does not say.
    fn verdict(self, verify: Verify, gesture: Gesture) -> Verdict {
        match (self.answer, self.wait) {
            (Answer::Ignore, _) => Verdict::Ask,
            (Answer::Approve { verified }, wait) => {
                let verify = match verified {
                    Some(true) => Verify::Pass,
                    Some(false) => Verify::Fail,
                    None => verify,
                };
                approval(wait, verify.decision(gesture))
            }
            (Answer::Deny, Duration::ZERO) => Verdict::Deny("the script says so"),
            (Answer::Deny, wait) => Verdict::After(wait, Decision::Denied),
        }
    }
}
