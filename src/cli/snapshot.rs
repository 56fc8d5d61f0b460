//! `roamkey vault snapshot`, `snapshots` and `rollback`.
//!
//! The documents: of `snapshot` the snapshot as `snapshot`, or its name as `removed`; of
//! `snapshots` all as `snapshots`; each has `name`, `created` in seconds since 1970, `commit` and
//! `keys` (how many). Of `rollback` the name as `snapshot`, and as `lost` a list of keys, each with
//! `name`, `removed` (the key itself is gone), `passkeys` (`rp_id` and `account`), `reset`, `pin`
//! and `damaged`.

use serde_json::json;

use super::{
    Failure,
    confirm::Confirm,
    desk::DeskArgs,
    output::shown,
    table::{count, date},
};
use crate::rig::SnapshotLoss;

/// A person's list of passkeys has this many at most.
const LISTED: usize = 50;

#[derive(Debug, clap::Args)]
pub(super) struct SnapshotArgs {
    /// What the snapshot is called.
    name: String,
    /// Remove the snapshot of this name instead.
    #[arg(long)]
    remove: bool,
    #[command(flatten)]
    desk: DeskArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct RollbackArgs {
    /// The snapshot.
    name: String,
    #[command(flatten)]
    confirm: Confirm,
    #[command(flatten)]
    desk: DeskArgs,
}

pub(super) fn snapshot(args: &SnapshotArgs) -> Result<(), Failure> {
    let name = &args.name;
    let desk = args.desk.open()?;
    if args.remove {
        desk.remove_snapshot(name)?;
        drop(desk);
        let text = format!("The snapshot {} is removed.", shown(name));
        return args.desk.say(&text, &json!({"removed": name}));
    }
    let made = desk.snapshot(name)?;
    drop(desk);
    let text = format!(
        "The snapshot {} has {} as of now. It is in the vault's file: a lost disk loses it too, \
         which `roamkey vault backup` is for.",
        shown(name),
        count(made.keys, "key")
    );
    args.desk.say(&text, &json!({"snapshot": made}))
}

pub(super) fn list(args: &DeskArgs) -> Result<(), Failure> {
    let snapshots = args.open()?.snapshots()?;
    let lines: Vec<_> = snapshots
        .iter()
        .map(|snapshot| {
            let (day, keys) = (date(snapshot.created), count(snapshot.keys, "key"));
            format!("{day}  {keys}  {}", shown(&snapshot.name))
        })
        .collect();
    let text = match lines.is_empty() {
        true => "There are no snapshots: `roamkey vault snapshot NAME` makes one.".to_owned(),
        false => lines.join("\n"),
    };
    args.say(&text, &json!({"snapshots": snapshots}))
}

pub(super) fn rollback(args: &RollbackArgs) -> Result<(), Failure> {
    let name = &args.name;
    let desk = args.desk.open()?;
    let lost = desk.rollback_loss(name)?;
    let question = format!("Go back to {}?", shown(name));
    args.confirm.ask(&loss_text(&lost), &question)?;
    let lost = desk.rollback(name)?;
    drop(desk);
    let text = format!(
        "The keys are as they were in {}, but for signature counters and PIN tries, which do not \
         go back.",
        shown(name)
    );
    args.desk
        .say(&text, &json!({"snapshot": name, "lost": lost}))
}

fn loss_text(lost: &[SnapshotLoss]) -> String {
    if lost.is_empty() {
        return "Nothing was made since that would be lost.".to_owned();
    }
    let mut lines = vec!["This is lost:".to_owned()];
    for key in lost {
        let name = shown(&key.name);
        let passkeys = count(key.passkeys.len(), "passkey");
        match (key.removed, key.passkeys.is_empty()) {
            (true, true) => lines.push(format!("  key {name}, which was made since")),
            (true, false) => {
                lines.push(format!(
                    "  key {name}, which was made since, with {passkeys}:"
                ));
            }
            (false, true) => {}
            (false, false) => lines.push(format!("  key {name}: {passkeys} made since:")),
        }
        for passkey in key.passkeys.iter().take(LISTED) {
            let account = passkey
                .account
                .as_deref()
                .map_or_else(|| "an account without a name".to_owned(), shown);
            lines.push(format!("    {} as {account}", shown(&passkey.rp_id)));
        }
        if let Some(more) = key
            .passkeys
            .len()
            .checked_sub(LISTED)
            .filter(|more| *more > 0)
        {
            lines.push(format!("    and {more} more"));
        }
        if key.reset {
            lines.push(format!(
                "  key {name}: every registration that was made since it was reset"
            ));
        }
        if key.pin {
            lines.push(format!("  key {name}: its PIN is again what it was"));
        }
        if key.damaged {
            lines.push(format!(
                "  key {name} is damaged: what of it cannot be read is not listed here"
            ));
        }
    }
    lines.join("\n")
}
