//! `roamkey key plug`, `unplug`, `replug`, `power-cycle` and `touch`: what only running keys have.

use serde_json::json;

use crate::{
    cli::{
        Failure,
        common::word,
        desk::{RunningArgs, called},
        output::shown,
        table::facts,
    },
    rig::{OtherSites, TouchPolicy, TouchRule, VerifyRule},
};

#[derive(Debug, clap::Args)]
pub(super) struct Which {
    /// Its name, or its bus id.
    key: String,
    #[command(flatten)]
    running: RunningArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct Touch {
    #[command(flatten)]
    which: Which,
    /// What happens when a touch is needed: auto (it is given), deny, never (nobody answers), ask,
    /// or delay.
    #[arg(long, value_name = "RULE", value_parser = word::<TouchRule>)]
    policy: Option<TouchRule>,
    /// Give it after so long.
    #[arg(long, value_name = "N")]
    delay_ms: Option<u64>,
    /// What a finger is that is approved: pass (one that the key knows), fail, or ask.
    #[arg(long, value_name = "RULE", value_parser = word::<VerifyRule>)]
    verify: Option<VerifyRule>,
    /// This is for requests of this site alone, such as example.com; may be repeated.
    #[arg(long, value_name = "ID")]
    site: Vec<String>,
    /// This is for any site.
    #[arg(long, conflicts_with = "site")]
    any_site: bool,
    /// What happens to requests of other sites: deny or ask.
    #[arg(long, value_name = "RULE", value_parser = word::<OtherSites>)]
    others: Option<OtherSites>,
    /// Answers to the next requests, such as "approve, deny, wait 3 s then approve, ignore,
    /// approve verified=false".
    #[arg(long, value_name = "STEPS")]
    script: Option<String>,
}

/// Does something to a key, and says what came of it.
pub(super) fn act(which: &Which, action: &str, came_of_it: &str) -> Result<(), Failure> {
    let key = which.running.open()?.act(&which.key, action)?;
    let text = format!("The key {} {came_of_it}.", called(&key));
    which.running.say(&text, &json!({"key": key}))
}

/// Changes what is said, and shows all of it.
pub(super) fn touch(args: Touch) -> Result<(), Failure> {
    let Which { key, running } = args.which;
    let process = running.open()?;
    let before = process.touch_policy(&key)?;
    let rule = args.policy.or(args.delay_ms.map(|_| TouchRule::Delay));
    let sites = match args.site.is_empty() && !args.any_site {
        true => before.sites.clone(),
        false => args.site,
    };
    let wanted = TouchPolicy {
        touch: rule.unwrap_or(before.touch),
        delay_ms: match rule {
            Some(_) => args.delay_ms,
            None => before.delay_ms,
        },
        verify: args.verify.unwrap_or(before.verify),
        sites,
        others: args.others.unwrap_or(before.others),
        script: args.script.unwrap_or_else(|| before.script.clone()),
    };
    let policy = match wanted == before {
        true => before,
        false => process.set_touch_policy(&key, &wanted)?,
    };
    running.say(&text_of(&policy), &json!({"touch": policy}))
}

fn text_of(policy: &TouchPolicy) -> String {
    let rule = match policy.touch {
        TouchRule::Auto => "auto: given at once".to_owned(),
        TouchRule::Deny => "deny: refused at once".to_owned(),
        TouchRule::Never => "never: nobody answers".to_owned(),
        TouchRule::Ask => "ask: somebody is asked (`roamkey touch`)".to_owned(),
        TouchRule::Delay => {
            format!("delay: given after {} ms", policy.delay_ms.unwrap_or(0))
        }
    };
    let verify = match policy.verify {
        VerifyRule::Pass => "pass: one that the key knows",
        VerifyRule::Fail => "fail: one that the key does not know",
        VerifyRule::Ask => "ask: somebody is asked",
    };
    let mut told = vec![("touch", rule), ("finger", verify.to_owned())];
    if policy.sites.is_empty() {
        told.push(("sites", "any".to_owned()));
    } else {
        let sites: Vec<_> = policy.sites.iter().map(|site| shown(site)).collect();
        told.push(("sites", sites.join(", ")));
        told.push((
            "others",
            match policy.others {
                OtherSites::Deny => "deny: refused",
                OtherSites::Ask => "ask: somebody is asked",
            }
            .to_owned(),
        ));
    }
    let script = match policy.script.as_str() {
        "" => "(none)".to_owned(),
        script => script.to_owned(),
    };
    told.push(("script", script));
    facts(&told)
}
