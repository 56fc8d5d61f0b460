//! `roamkey key remove` and `wipe`: what is lost is listed before anything is done.

use serde_json::{Value, json};

use crate::{
    cli::{
        Failure,
        confirm::Confirm,
        desk::{Desk, DeskArgs, called},
        passkey::account,
        table::{Fit, Table, count},
    },
    rig::LossView,
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Its name, or its bus id.
    name: String,
    #[command(flatten)]
    confirm: Confirm,
    #[command(flatten)]
    desk: DeskArgs,
}

/// Everything that is lost, for a person.
fn list(loss: &LossView, what: &str) -> String {
    let mut lines = vec![format!(
        "{what} the key {} loses for good:",
        called(&loss.key)
    )];
    match loss.passkeys.len() {
        0 => lines.push("- no passkey: it has none".to_owned()),
        many => {
            lines.push(format!("- {}:", count(many, "passkey")));
            let mut table = Table::new(&[("SITE", Fit::Cut), ("ACCOUNT", Fit::Cut)]);
            for passkey in &loss.passkeys {
                table.row([passkey.rp_id.clone(), account(passkey)]);
            }
            lines.push(table.to_string());
        }
    }
    lines.push(match loss.pin {
        true => "- its PIN".to_owned(),
        false => "- no PIN: none is set".to_owned(),
    });
    lines.push(
        "- every registration as a second factor (a credential that is not discoverable, or U2F): \
         the sites keep those, not the key, so they cannot be counted or listed"
            .to_owned(),
    );
    lines.join("\n")
}

fn summary(loss: &LossView) -> String {
    let passkeys = match loss.passkeys.len() {
        0 => "no passkeys".to_owned(),
        many => count(many, "passkey"),
    };
    match loss.pin {
        true => format!("{passkeys} and its PIN"),
        false => passkeys,
    }
}

fn document(loss: &LossView) -> Value {
    json!({"key": loss.key, "lost": {"passkeys": loss.passkeys, "pin": loss.pin}})
}

/// The key's bus id, and what it would lose: a name may go to another key while somebody is asked.
fn find(args: &Args) -> Result<(Desk, LossView), Failure> {
    let desk = args.desk.open()?;
    let loss = desk.loss(&args.name)?;
    Ok((desk, loss))
}

pub(super) fn remove(args: &Args) -> Result<(), Failure> {
    let (desk, loss) = find(args)?;
    let name = called(&loss.key);
    let question = format!("Remove the key {name}?");
    args.confirm.ask(&list(&loss, "Removing"), &question)?;
    let loss = desk.remove_key(&loss.key.bus_id)?;
    drop(desk);
    let text = format!("Removed the key {name} with {}.", summary(&loss));
    args.desk.say(&text, &document(&loss))
}

pub(super) fn wipe(args: &Args) -> Result<(), Failure> {
    let (desk, loss) = find(args)?;
    let name = called(&loss.key);
    let lost = format!(
        "{}\nIt keeps its name, its serial number, its attestation certificate and its signature \
         counter.",
        list(&loss, "Wiping")
    );
    args.confirm.ask(&lost, &format!("Wipe the key {name}?"))?;
    let loss = desk.wipe_key(&loss.key.bus_id)?;
    drop(desk);
    let text = format!("Wiped the key {name}: it lost {}.", summary(&loss));
    args.desk.say(&text, &document(&loss))
}
