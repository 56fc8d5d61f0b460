//! What is decided without a person.

use roamkey_ctap::{Prompt, RpIdHash};

/// What happens when a touch is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch {
    /// Approve at once.
    Auto,
    /// Ask a person.
    Ask,
    /// Refuse at once.
    Deny,
}

/// A policy's word on a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    Approve,
    /// No, and why.
    Deny(&'static str),
    /// A person decides.
    Ask,
}

/// How touches are decided.
#[derive(Clone, Debug)]
pub struct Policy {
    touch: Touch,
    /// Sites that may ask; empty for any.
    sites: Vec<RpIdHash>,
}

impl Policy {
    /// `rp_ids` are the sites that may ask for a touch; none means any.
    pub fn new<'a>(touch: Touch, rp_ids: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            touch,
            sites: rp_ids.into_iter().map(RpIdHash::of).collect(),
        }
    }

    /// Approves everything.
    pub fn auto() -> Self {
        Self::new(Touch::Auto, [])
    }

    /// The policy's word on a request. One that concerns no site (a choice of key, a reset) is
    /// not held back by the list of sites.
    pub fn judge(&self, prompt: &Prompt) -> Verdict {
        let foreign = |site| !self.sites.is_empty() && !self.sites.contains(&site);
        if prompt.rp_id_hash.is_some_and(foreign) {
            return Verdict::Deny("the site is not one of those named with --rp");
        }
        match self.touch {
            Touch::Auto => Verdict::Approve,
            Touch::Ask => Verdict::Ask,
            Touch::Deny => Verdict::Deny("--touch deny"),
        }
    }
}
