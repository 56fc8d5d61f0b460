//! Faults of a key: armed, listed, disarmed.

use roamkey_ctap::{Command, Fault, FaultId, FaultInfo, FaultLayer, FaultRule, Parameter, Status};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Rig, RigError};

/// A fault that a key can be made to have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FaultView {
    /// Its name, such as `bad-signature`.
    pub name: String,
    /// `answer`: in what the answer says; `wire`: in the reports that carry it.
    pub layer: String,
    /// What its parameter is: `status`, `milliseconds`, or absent for none.
    pub parameter: Option<String>,
    /// The commands that can meet it.
    pub commands: Vec<String>,
    /// What the key does.
    pub does: String,
    /// What a client should make of it.
    pub expect: String,
}

/// A fault to be armed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewFault {
    /// Its name, such as `bad-signature`.
    pub fault: String,
    /// Its parameter, where it has one: a status by its number or its name in CTAP, or
    /// milliseconds.
    #[serde(default)]
    pub parameter: Option<String>,
    /// How many operations meet it; one, where this and `always` are absent.
    #[serde(default)]
    #[schema(minimum = 1)]
    pub next: Option<u32>,
    /// Every operation meets it until it is disarmed.
    #[serde(default)]
    pub always: bool,
    /// Only operations with this command, such as `get-assertion`.
    #[serde(default)]
    pub operation: Option<String>,
    /// Only operations for this site.
    #[serde(default)]
    pub rp: Option<String>,
}

/// An armed fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ArmedFault {
    /// To disarm it with.
    pub id: u64,
    /// Its name and parameter.
    pub fault: String,
    /// How many more operations meet it; every one, where this is absent.
    pub remaining: Option<u32>,
    /// Only operations with this command.
    pub operation: Option<String>,
    /// Only operations for this site.
    pub rp: Option<String>,
}

fn view_of_info(info: &FaultInfo) -> FaultView {
    FaultView {
        name: info.name.to_owned(),
        layer: match info.layer {
            FaultLayer::Answer => "answer",
            FaultLayer::Wire => "wire",
        }
        .to_owned(),
        parameter: match info.parameter {
            Parameter::Nothing => None,
            Parameter::Status => Some("status".to_owned()),
            Parameter::Milliseconds => Some("milliseconds".to_owned()),
        },
        commands: info.commands.iter().map(|c| c.name().to_owned()).collect(),
        does: info.does.to_owned(),
        expect: info.expect.to_owned(),
    }
}

fn view_of_rule((id, rule): &(FaultId, FaultRule)) -> ArmedFault {
    ArmedFault {
        id: id.0,
        fault: rule.fault.to_string(),
        remaining: rule.remaining,
        operation: rule.command.map(|command| command.name().to_owned()),
        rp: rule.rp_id.clone(),
    }
}

/// A number, decimal or hexadecimal with 0x, or the name of a status.
fn parameter_of(text: &str) -> Result<u32, RigError> {
    let number = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    };
    let named = || {
        let mut codes = 0..=u8::MAX;
        let called = codes.find(|code| {
            let name = Status::name_of(*code);
            let short = name.split_once("_ERR_").map_or(name, |(_, short)| short);
            name.eq_ignore_ascii_case(text) || short.eq_ignore_ascii_case(text)
        });
        called.map(u32::from)
    };
    number.or_else(named).ok_or_else(|| {
        RigError::invalid(format!(
            "{text:?} is neither a number (27, 0x2E) nor the name of a status (NO_CREDENTIALS)"
        ))
    })
}

fn rule_of(new: &NewFault) -> Result<FaultRule, RigError> {
    let parameter = new.parameter.as_deref().map(parameter_of).transpose()?;
    let fault = Fault::from_name(&new.fault, parameter)
        .map_err(|why| RigError::invalid(format!("fault {:?}: {why}", new.fault)))?;
    let command = match &new.operation {
        None => None,
        Some(name) => Some(Command::from_name(name).ok_or_else(|| {
            let names: Vec<_> = Command::ALL.iter().map(|command| command.name()).collect();
            let names = names.join(", ");
            RigError::invalid(format!("no operation is called {name:?}: there is {names}"))
        })?),
    };
    if let Some(command) = command
        && !fault.applies_to(command)
    {
        return Err(RigError::invalid(format!(
            "no {command} can meet the fault {}",
            new.fault
        )));
    }
    let remaining = match (new.next, new.always) {
        (Some(_), true) => return Err(RigError::invalid("next and always exclude each other")),
        (Some(0), false) => return Err(RigError::invalid("next is 1 at least")),
        (next, false) => Some(next.unwrap_or(1)),
        (None, true) => None,
    };
    Ok(FaultRule {
        fault,
        remaining,
        command,
        rp_id: new.rp.clone(),
    })
}

impl Rig {
    /// Every fault that there is.
    pub fn fault_catalog() -> Vec<FaultView> {
        Fault::all().iter().map(view_of_info).collect()
    }

    /// Arms a fault of a key.
    ///
    /// # Errors
    /// There is no such key or fault, or the key has too many.
    pub async fn arm_fault(&self, key: &str, new: &NewFault) -> Result<ArmedFault, RigError> {
        let slot = self.slot(key)?;
        let rule = rule_of(new)?;
        let armed = rule.clone();
        let armed = slot
            .handle
            .visit(move |device, _| device.handle_fault(armed));
        let id = armed.await.ok_or_else(|| slot.gone())?;
        let id = id.map_err(RigError::conflict)?;
        self.note(&slot, format!("fault {} armed", rule.fault));
        Ok(view_of_rule(&(id, rule)))
    }

    /// The armed faults of a key, the oldest first.
    ///
    /// # Errors
    /// There is no such key.
    pub async fn faults(&self, key: &str) -> Result<Vec<ArmedFault>, RigError> {
        let slot = self.slot(key)?;
        let faults = slot.handle.visit(|device, _| device.faults().to_vec());
        let faults = faults.await.ok_or_else(|| slot.gone())?;
        Ok(faults.iter().map(view_of_rule).collect())
    }

    /// Disarms a fault of a key.
    ///
    /// # Errors
    /// There is no such key, or no such fault is armed, or no more.
    pub async fn disarm_fault(&self, key: &str, id: u64) -> Result<(), RigError> {
        let slot = self.slot(key)?;
        let over = slot
            .handle
            .visit(move |device, _| device.handle_fault_over(FaultId(id)));
        match over.await.ok_or_else(|| slot.gone())? {
            true => Ok(()),
            false => Err(RigError::not_found(format!(
                "no fault {id} is armed: it was met or disarmed, or never armed"
            ))),
        }
    }

    /// Disarms every fault of a key.
    ///
    /// # Errors
    /// There is no such key.
    pub async fn disarm_all_faults(&self, key: &str) -> Result<(), RigError> {
        let slot = self.slot(key)?;
        let over = slot.handle.visit(|device, _| {
            let ids: Vec<_> = device.faults().iter().map(|(id, _)| *id).collect();
            for id in ids {
                device.handle_fault_over(id);
            }
        });
        over.await.ok_or_else(|| slot.gone())
    }
}
