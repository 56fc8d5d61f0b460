//! `roamkey key clone`: another key like one that is there.
//!
//! The document: the new key as `key`, with `bus_id`, `name`, `id` and `serial`.

use serde_json::json;

use super::{Failure, access::now, common::Common, output::shown};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The key that is there, by its name or bus id.
    name: String,
    /// What the clone is called.
    #[arg(long = "as", value_name = "NAME")]
    new: String,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let mut open = args.common.open()?;
    let (number, _) = open.store().find_key(&args.name)?;
    let clone = open.store_mut().clone_key(number, &args.new, now())?;
    let identity = open.store().identity(clone)?;
    open.close();
    let text = format!(
        "{clone} is called {}, and has the passkeys, secrets and PIN that {} has now. A site that \
         watches signature counters may notice that two keys sign for one account.",
        shown(&identity.name),
        shown(&args.name)
    );
    let document = json!({"key": super::backup::key_document(clone, &identity)});
    args.common.say(&text, &document)
}
