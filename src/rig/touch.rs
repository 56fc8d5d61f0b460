//! Touches: how they are decided, which wait, and answers to them.

use std::time::Duration;

use roamkey_ctap::{Decision, Gesture};
use tokio::time::{Instant, timeout_at};

use super::{
    OtherSites, Rig, RigError, TouchAnswer, TouchPolicy, TouchRule, TouchView, VerifyRule,
    slot::Slot,
};
use crate::{
    journal::{gesture_name, operation_name},
    limits::MOST_SITES,
    presence::{MOST_STEPS, Others, Policy, RequestId, Step, Touch, Verify, Waiting, parse_script},
};

/// The longest delay of a policy. No host waits longer for a touch.
const LONGEST_DELAY_MS: u64 = 600_000;

/// A policy as a key keeps it.
pub(super) fn policy_of(view: &TouchPolicy) -> Result<Policy, RigError> {
    let touch = match (view.touch, view.delay_ms) {
        (TouchRule::Delay, Some(ms)) if ms <= LONGEST_DELAY_MS => {
            Touch::Delay(Duration::from_millis(ms))
        }
        (TouchRule::Delay, _) => {
            return Err(RigError::invalid(format!(
                "delay needs delay_ms, {LONGEST_DELAY_MS} at most"
            )));
        }
        (_, Some(_)) => return Err(RigError::invalid("delay_ms goes with touch delay alone")),
        (TouchRule::Auto, None) => Touch::Auto,
        (TouchRule::Deny, None) => Touch::Deny,
        (TouchRule::Never, None) => Touch::Never,
        (TouchRule::Ask, None) => Touch::Ask,
    };
    if view.sites.len() > MOST_SITES {
        return Err(RigError::invalid(format!(
            "a policy names {MOST_SITES} sites at most"
        )));
    }
    let script = parse_script(&view.script).map_err(RigError::invalid)?;
    Ok(Policy {
        touch,
        verify: match view.verify {
            VerifyRule::Pass => Verify::Pass,
            VerifyRule::Fail => Verify::Fail,
            VerifyRule::Ask => Verify::Ask,
        },
        sites: view.sites.clone(),
        others: match view.others {
            OtherSites::Deny => Others::Deny,
            OtherSites::Ask => Others::Ask,
        },
        script: script.into(),
    })
}

/// A policy as others see it.
pub(super) fn view_of(policy: &Policy) -> TouchPolicy {
    let (touch, delay_ms) = match policy.touch {
        Touch::Auto => (TouchRule::Auto, None),
        Touch::Ask => (TouchRule::Ask, None),
        Touch::Deny => (TouchRule::Deny, None),
        Touch::Never => (TouchRule::Never, None),
        Touch::Delay(wait) => {
            let ms = u64::try_from(wait.as_millis()).unwrap_or(LONGEST_DELAY_MS);
            (TouchRule::Delay, Some(ms))
        }
    };
    let script: Vec<_> = policy.script.iter().map(Step::to_string).collect();
    TouchPolicy {
        touch,
        delay_ms,
        verify: match policy.verify {
            Verify::Pass => VerifyRule::Pass,
            Verify::Fail => VerifyRule::Fail,
            Verify::Ask => VerifyRule::Ask,
        },
        sites: policy.sites.clone(),
        others: match policy.others {
            Others::Deny => OtherSites::Deny,
            Others::Ask => OtherSites::Ask,
        },
        script: script.join(", "),
    }
}

fn view_of_waiting(waiting: &Waiting) -> TouchView {
    let prompt = &waiting.prompt;
    let hash = prompt.rp_id_hash;
    let waited = waiting.since.elapsed().as_millis();
    TouchView {
        id: waiting.id.0,
        key: waiting.key.clone(),
        operation: operation_name(prompt.operation).to_owned(),
        gesture: gesture_name(prompt.gesture).to_owned(),
        rp: prompt.rp_id.clone(),
        rp_id_hash: hash.map(|hash| base16ct::lower::encode_string(&hash.0)),
        account: prompt.account.clone(),
        waited_ms: u64::try_from(waited).unwrap_or(u64::MAX),
    }
}

impl Rig {
    /// How a key's touches are decided; the script is what is left of it.
    ///
    /// # Errors
    /// There is no such key.
    pub fn touch_policy(&self, key: &str) -> Result<TouchPolicy, RigError> {
        let slot = self.slot(key)?;
        Ok(view_of(&self.0.broker.policy(&slot.bus_id())))
    }

    /// Decides a key's touches so from the next one on.
    ///
    /// # Errors
    /// There is no such key, or the policy cannot be.
    pub fn set_touch_policy(&self, key: &str, policy: &TouchPolicy) -> Result<(), RigError> {
        let slot = self.slot(key)?;
        let policy = policy_of(policy)?;
        let steps = policy.script.len().min(MOST_STEPS);
        self.0.broker.set_policy(&slot.bus_id(), policy);
        self.note(
            &slot,
            format!("touch policy, with {steps} steps of a script"),
        );
        Ok(())
    }

    /// The touches that somebody has to give, the oldest first; those of one key, where one is
    /// named.
    ///
    /// # Errors
    /// There is no such key.
    pub fn touches(&self, key: Option<&str>) -> Result<Vec<TouchView>, RigError> {
        let slot = key.map(|key| self.slot(key)).transpose()?;
        Ok(self.touches_of(slot.as_deref()))
    }

    fn touches_of(&self, slot: Option<&Slot>) -> Vec<TouchView> {
        let waiting = self.0.broker.waiting().into_iter();
        let wanted = waiting.filter(|waiting| slot.is_none_or(|slot| slot.bus_id() == waiting.key));
        wanted.map(|waiting| view_of_waiting(&waiting)).collect()
    }

    /// The same, after waiting up to `wait` for the first.
    ///
    /// # Errors
    /// There is no such key.
    pub async fn wait_for_touch(
        &self,
        key: Option<&str>,
        wait: Duration,
    ) -> Result<Vec<TouchView>, RigError> {
        let slot = key.map(|key| self.slot(key)).transpose()?;
        let end = Instant::now() + wait;
        let mut follower = self.journal().follow();
        loop {
            let touches = self.touches_of(slot.as_deref());
            if !touches.is_empty() {
                return Ok(touches);
            }
            match timeout_at(end, follower.next()).await {
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return Ok(touches),
            }
        }
    }

    /// Answers a touch.
    ///
    /// # Errors
    /// It is no longer needed, or never was; or it verifies nobody and is answered as if it did.
    pub fn answer_touch(&self, id: u64, answer: TouchAnswer) -> Result<(), RigError> {
        let broker = &self.0.broker;
        if answer == TouchAnswer::NotVerified {
            let waiting = broker.waiting();
            let mut asked = waiting.iter().filter(|waiting| waiting.id.0 == id);
            if asked.any(|waiting| waiting.prompt.gesture != Gesture::Finger) {
                return Err(RigError::invalid(format!(
                    "touch {id} verifies nobody: it is approved or denied"
                )));
            }
        }
        let decision = match answer {
            TouchAnswer::Approve => Decision::Approved,
            TouchAnswer::NotVerified => Decision::Unverified,
            TouchAnswer::Deny => Decision::Denied,
        };
        match broker.decide(RequestId(id), decision) {
            true => Ok(()),
            false => Err(RigError::not_found(format!(
                "no touch {id} is waited for: it was answered or withdrawn, or never asked for"
            ))),
        }
    }
}
