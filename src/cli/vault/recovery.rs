//! `roamkey vault recovery-code`: prints a new recovery code, once, in place of the former one.
//!
//! The document: `recovery_code`, `unlock` (as in `vault unlock list`), and as `replaced` the ids
//! of those that it takes the place of.

use serde_json::json;

use super::slot_json;
use crate::{
    cli::{Failure, access::now, common::Common, confirm::Confirm},
    vault::unlock::{Kind, RecoveryCode, Unlock},
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    confirm: Confirm,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let mut open = args.common.open()?;
    let former: Vec<_> = open
        .slots()?
        .iter()
        .filter(|slot| slot.kind() == Kind::RecoveryCode)
        .map(|slot| slot.id)
        .collect();
    if !former.is_empty() {
        args.confirm.ask(
            "The vault has a recovery code. It will no longer unlock the vault, but still opens \
             old copies of the vault's file.",
            "Replace it?",
        )?;
    }
    let code = RecoveryCode::random().map_err(|why| Failure::Failed(why.to_string()))?;
    let slot = open.add_unlock(&Unlock::RecoveryCode(code.clone()), now())?;
    let text = format!(
        "Recovery code of the vault {}:\n\n    {code}\n\nWrite it down now, on paper, and keep it \
         where what happens to this computer does not reach: it is shown this once, and nobody can \
         show it again. Whoever reads it and has the vault's file opens the vault: every command \
         takes --recovery-code and asks for it.{}",
        open.vault(),
        match former.is_empty() {
            true => "",
            false => " The former code opens the vault no more.",
        }
    );
    let document = json!({
        "recovery_code": code.to_string(), "unlock": slot_json(&slot), "replaced": former,
    });
    // The former one goes only once the new one was seen.
    if let Err(why) = args.common.say(&text, &document) {
        open.remove_unlock(slot.id)?;
        open.close();
        return Err(why);
    }
    for id in former {
        open.remove_unlock(id)?;
    }
    open.close();
    Ok(())
}
