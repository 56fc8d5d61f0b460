//! `roamkey vault status`: where the vault is and what is in it, or as much of that as can be
//! told while it stays locked.
//!
//! The document: `path`, `size` in bytes, `vault_id`, `schema`, `unlocks` (as in `vault unlock
//! list`), `unlocked`; where that is true `commits`, `keys` and `passkeys`, and where it is false
//! `problem` (a sentence for a person). What cannot be told is null.

use serde_json::json;

use super::{slot_json, slot_table};
use crate::{
    cli::{Failure, common::Common, table::facts},
    vault::{LockedVault, OpenVault, VaultError, unlock::Slot},
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    common: Common,
}

/// What only the unlocked vault tells.
struct Contents {
    commits: u64,
    keys: usize,
    passkeys: usize,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let path = args.common.vault.path()?;
    let locked = LockedVault::open(&path)?;
    let (vault, schema, size) = (locked.vault(), locked.schema(), locked.length());
    let slots: Vec<Slot> = locked.slots().to_vec();
    let opened = args.common.vault.unlock(locked);
    let contents = opened.and_then(|open| Ok(contents(open)?));
    let mut told = vec![
        ("vault", path.display().to_string()),
        ("size", format!("{size} bytes")),
        ("id", vault.to_string()),
        ("schema", schema.to_string()),
    ];
    let mut document = json!({
        "path": path, "size": size, "vault_id": vault.to_string(), "schema": schema,
        "unlocks": slots.iter().map(slot_json).collect::<Vec<_>>(),
        "unlocked": contents.is_ok(), "problem": null,
        "commits": null, "keys": null, "passkeys": null,
    });
    let more = match contents {
        Ok(contents) => {
            told.extend([
                ("commits", contents.commits.to_string()),
                ("keys", contents.keys.to_string()),
                ("passkeys", contents.passkeys.to_string()),
            ]);
            json!({
                "commits": contents.commits, "keys": contents.keys, "passkeys": contents.passkeys,
            })
        }
        Err(why) => {
            let (Failure::Usage(why) | Failure::Failed(why)) = why;
            told.push(("contents", format!("cannot be told: {why}")));
            json!({"problem": why})
        }
    };
    if let (Some(document), Some(more)) = (document.as_object_mut(), more.as_object()) {
        document.extend(more.clone());
    }
    let text = format!(
        "{}\n\nIt is unlocked by any of these:\n{}",
        facts(&told),
        slot_table(&slots)
    );
    args.common.say(&text, &document)
}

fn contents(open: OpenVault) -> Result<Contents, VaultError> {
    let states = open.key_states();
    let commits = open.commits();
    open.close();
    let states = states?;
    Ok(Contents {
        commits,
        keys: states.len(),
        passkeys: states.iter().map(|(_, state)| state.passkey_count()).sum(),
    })
}
