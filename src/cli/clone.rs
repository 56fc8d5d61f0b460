//! `roamkey key clone`: another key like one that is there.
//!
//! The document: the new key as `key`, as in `key list`.

use serde_json::json;

use super::{
    Failure,
    desk::{DeskArgs, called},
    output::shown,
};
use crate::rig::Cloned;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The key that is there, by its name or bus id.
    name: String,
    /// What the clone is called.
    #[arg(long = "as", value_name = "NAME")]
    new: String,
    #[command(flatten)]
    desk: DeskArgs,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let name = args.new.clone();
    let key = args.desk.open()?.clone_key(&args.name, Cloned { name })?;
    let text = format!(
        "{} is called {}, and has the passkeys, secrets and PIN that {} has now. A site that \
         watches signature counters may notice that two keys sign for one account.",
        key.bus_id,
        called(&key),
        shown(&args.name)
    );
    args.desk.say(&text, &json!({"key": key}))
}
