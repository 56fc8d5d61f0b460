//! Which faults are armed, and which operation meets which.

use std::fmt;

use super::Fault;
use crate::{command::Command, credential::RpIdHash, limits::MAX_RULES};

/// Names an armed fault of one key, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FaultId(pub u64);

/// A fault and the operations that meet it.
///
/// An operation is a message to the key: each getNextAssertion is one, and so are the silent
/// assertions with which browsers look for a credential before they ask for a touch. A U2F poll
/// that is told to ask again leaves the faults of what is signed to the one that is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultRule {
    /// What goes wrong.
    pub fault: Fault,
    /// How many more operations meet it; `None` for all until it is disarmed.
    pub remaining: Option<u32>,
    /// The operations that do; `None` for every one that it applies to.
    pub command: Option<Command>,
    /// Only those for this site.
    pub rp_id: Option<String>,
}

/// Why a fault is not armed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultRefusal {
    /// The key holds as many as it can.
    TooMany,
    /// The command's answer cannot show the fault.
    Inapplicable(Fault, Command),
    /// No operation would meet it: `remaining` is 0.
    Never,
}

impl fmt::Display for FaultRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany => {
                write!(f, "{MAX_RULES} faults are armed, and a key holds no more")
            }
            Self::Inapplicable(fault, command) => {
                write!(f, "an answer to {command} cannot show {fault}")
            }
            Self::Never => f.write_str("a fault for 0 operations is never met"),
        }
    }
}

impl std::error::Error for FaultRefusal {}

/// The armed faults of a key, the oldest first.
#[derive(Default)]
pub(crate) struct Plan {
    last_id: u64,
    rules: Vec<(FaultId, FaultRule)>,
}

impl Plan {
    pub(crate) fn arm(&mut self, rule: FaultRule) -> Result<FaultId, FaultRefusal> {
        if self.rules.len() >= MAX_RULES {
            return Err(FaultRefusal::TooMany);
        }
        if rule.remaining == Some(0) {
            return Err(FaultRefusal::Never);
        }
        if let Some(command) = rule
            .command
            .filter(|command| !rule.fault.applies_to(*command))
        {
            return Err(FaultRefusal::Inapplicable(rule.fault, command));
        }
        self.last_id += 1;
        let id = FaultId(self.last_id);
        self.rules.push((id, rule));
        Ok(id)
    }

    pub(crate) fn disarm(&mut self, id: FaultId) -> bool {
        let before = self.rules.len();
        self.rules.retain(|(armed, _)| *armed != id);
        self.rules.len() != before
    }

    pub(crate) fn rules(&self) -> &[(FaultId, FaultRule)] {
        &self.rules
    }

    /// The site of a rule whose hash this is, for operations that name their site by its hash.
    pub(crate) fn rp_id_of(&self, hash: &RpIdHash) -> Option<&str> {
        let sites = self.rules.iter();
        let mut sites = sites.filter_map(|(_, rule)| rule.rp_id.as_deref());
        sites.find(|rp_id| RpIdHash::of(rp_id) == *hash)
    }

    /// What an operation meets. Each rule counts it, and is gone with the last that it is for.
    ///
    /// `command` is `None` for what happens below commands; `applies` says whether the operation
    /// could show a fault at all, so that it leaves the others to those that can.
    pub(crate) fn meet(
        &mut self,
        command: Option<Command>,
        rp_id: Option<&str>,
        applies: impl Fn(Fault) -> bool,
    ) -> Vec<(FaultId, Fault)> {
        let mut met = Vec::new();
        self.rules.retain_mut(|(id, rule)| {
            if !rule.is_met(command, rp_id) || !applies(rule.fault) {
                return true;
            }
            met.push((*id, rule.fault));
            if let Some(remaining) = &mut rule.remaining {
                *remaining = remaining.saturating_sub(1);
            }
            rule.remaining != Some(0)
        });
        met
    }
}

impl FaultRule {
    fn is_met(&self, command: Option<Command>, rp_id: Option<&str>) -> bool {
        let by_command = match (self.command, command) {
            (Some(wanted), command) => command == Some(wanted),
            (None, Some(command)) => {
                self.fault.info().commands.is_empty() || self.fault.applies_to(command)
            }
            (None, None) => true,
        };
        by_command && self.rp_id.as_deref().is_none_or(|site| rp_id == Some(site))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(fault: Fault) -> FaultRule {
        FaultRule {
            fault,
            remaining: None,
            command: None,
            rp_id: None,
        }
    }

    fn meet(plan: &mut Plan, command: Command, rp_id: Option<&str>) -> Vec<Fault> {
        let met = plan.meet(Some(command), rp_id, |_| true);
        met.into_iter().map(|(_, fault)| fault).collect()
    }

    #[test]
    fn rule_for_two_operations_is_gone_after_two() {
        let mut plan = Plan::default();
        let id = plan.arm(FaultRule {
            remaining: Some(2),
            ..rule(Fault::BadSignature)
        });
        assert_eq!(id, Ok(FaultId(1)));
        assert_eq!(meet(&mut plan, Command::GetInfo, None), []);
        assert_eq!(plan.rules()[0].1.remaining, Some(2));
        for left in [Some(1), None] {
            let met = meet(&mut plan, Command::GetAssertion, None);
            assert_eq!(met, [Fault::BadSignature]);
            let remaining = plan.rules().first().and_then(|(_, rule)| rule.remaining);
            assert_eq!(remaining, left);
        }
        assert_eq!(meet(&mut plan, Command::GetAssertion, None), []);
        assert!(!plan.disarm(FaultId(1)), "it is gone");
    }

    #[test]
    fn rule_without_end_lasts_until_it_is_disarmed() {
        let mut plan = Plan::default();
        let id = plan.arm(rule(Fault::Status(1))).expect("room");
        for command in Command::ALL {
            assert_eq!(meet(&mut plan, *command, None), [Fault::Status(1)]);
        }
        assert!(plan.disarm(id));
        assert_eq!(meet(&mut plan, Command::GetInfo, None), []);
    }

    #[test]
    fn rule_is_met_by_its_command_and_site_alone() {
        let mut plan = Plan::default();
        for (command, rp_id) in [
            (Some(Command::GetAssertion), None),
            (None, Some("example.com")),
            (Some(Command::MakeCredential), Some("example.com")),
        ] {
            let rp_id = rp_id.map(str::to_owned);
            let fault = Fault::FlipUserPresent;
            let armed = plan.arm(FaultRule {
                command,
                rp_id,
                ..rule(fault)
            });
            armed.expect("room");
        }
        let mut ids = |command, rp_id| {
            let met = plan.meet(Some(command), rp_id, |_| true);
            met.iter().map(|(id, _)| id.0).collect::<Vec<_>>()
        };
        assert_eq!(ids(Command::GetAssertion, None), [1]);
        assert_eq!(ids(Command::GetAssertion, Some("example.com")), [1, 2]);
        assert_eq!(ids(Command::GetAssertion, Some("example.org")), [1]);
        assert_eq!(ids(Command::MakeCredential, Some("example.com")), [2, 3]);
        assert_eq!(ids(Command::MakeCredential, None), []);
    }

    #[test]
    fn what_an_operation_cannot_show_is_left_for_the_next() {
        let mut plan = Plan::default();
        for fault in [Fault::Status(1), Fault::DropReport] {
            let once = FaultRule {
                remaining: Some(1),
                ..rule(fault)
            };
            plan.arm(once).expect("room");
        }
        let met = plan.meet(Some(Command::GetInfo), None, |fault| {
            fault != Fault::DropReport
        });
        assert_eq!(met, [(FaultId(1), Fault::Status(1))]);
        assert_eq!(plan.rules().len(), 1);
    }

    #[test]
    fn below_commands_a_rule_for_a_command_is_not_met() {
        let mut plan = Plan::default();
        plan.arm(rule(Fault::UnplugAfterInit)).expect("room");
        let command = Some(Command::GetInfo);
        plan.arm(FaultRule {
            command,
            ..rule(Fault::DropReport)
        })
        .expect("room");
        let met = plan.meet(None, None, |_| true);
        assert_eq!(met, [(FaultId(1), Fault::UnplugAfterInit)]);
    }

    #[test]
    fn rule_that_cannot_be_met_is_refused() {
        let mut plan = Plan::default();
        let command = Some(Command::GetInfo);
        let refused = plan.arm(FaultRule {
            command,
            ..rule(Fault::BadSignature)
        });
        let refusal = FaultRefusal::Inapplicable(Fault::BadSignature, Command::GetInfo);
        assert_eq!(refused, Err(refusal));
        assert_eq!(
            refusal.to_string(),
            "an answer to get-info cannot show bad-signature"
        );
        let refused = plan.arm(FaultRule {
            remaining: Some(0),
            ..rule(Fault::BadSignature)
        });
        assert_eq!(refused, Err(FaultRefusal::Never));
    }

    #[test]
    fn full_plan_refuses_until_there_is_room() {
        let mut plan = Plan::default();
        for _ in 0..MAX_RULES {
            plan.arm(rule(Fault::DropReport)).expect("room");
        }
        assert_eq!(
            plan.arm(rule(Fault::DropReport)),
            Err(FaultRefusal::TooMany)
        );
        assert!(plan.disarm(FaultId(7)));
        assert_eq!(plan.arm(rule(Fault::DropReport)), Ok(FaultId(65)));
    }

    #[test]
    fn site_is_found_by_its_hash() {
        let mut plan = Plan::default();
        plan.arm(rule(Fault::DropReport)).expect("room");
        plan.arm(FaultRule {
            rp_id: Some("example.com".to_owned()),
            ..rule(Fault::DropReport)
        })
        .expect("room");
        let of = |rp_id| plan.rp_id_of(&RpIdHash::of(rp_id));
        assert_eq!(of("example.com"), Some("example.com"));
        assert_eq!(of("example.org"), None);
    }
}
