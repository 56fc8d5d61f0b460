//! Which way the command gets its keys: the best that works here, and why none better did.

use std::time::Duration;

use roamkey_transport::usbip::Exports;
use serde::Serialize;

use super::{
    super::{Failure, run::ProfileArg},
    args::{Args, BackendArg, PlaceArg},
    nodes,
};
use crate::{
    front::Browser,
    presence::{Broker, Policy},
    rig::{Backend, KeyView, NewKey, Origin, Rig, RigError, Setup, TouchPolicy, TouchRule},
};

/// How long keys may take to end.
const END_LIMIT: Duration = Duration::from_secs(2);

/// How the command gets its keys; the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// USB devices of this machine.
    Usbip,
    /// HID devices of this machine.
    Uhid,
    /// No devices: whatever the fronts make of it.
    Browser,
}

impl Place {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Usbip => "usbip",
            Self::Uhid => "uhid",
            Self::Browser => "browser",
        }
    }

    fn backend(self) -> Backend {
        match self {
            Self::Usbip => Backend::UsbIp {
                exports: Exports::new(),
                listen: None,
                attach: true,
            },
            Self::Uhid => Backend::Uhid,
            Self::Browser => Backend::memory(),
        }
    }

    /// Whether the system shows its keys as devices.
    fn has_devices(self) -> bool {
        match self {
            Self::Usbip | Self::Uhid => true,
            Self::Browser => false,
        }
    }
}

impl From<PlaceArg> for Place {
    fn from(arg: PlaceArg) -> Self {
        match arg {
            PlaceArg::Usbip => Self::Usbip,
            PlaceArg::Uhid => Self::Uhid,
            PlaceArg::Browser => Self::Browser,
        }
    }
}

/// A place that was wanted and does not work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Missed {
    pub(super) backend: &'static str,
    pub(super) why: String,
}

/// A key that the command has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct ReadyKey {
    pub(super) name: String,
    pub(super) bus_id: String,
    pub(super) serial: String,
    pub(super) profile: String,
    /// Its device node, where it is a device.
    pub(super) hidraw: Option<String>,
    /// Whether it is for later.
    pub(super) spare: bool,
}

/// Keys that can be used.
pub(super) struct Settled {
    pub(super) place: Place,
    pub(super) missed: Vec<Missed>,
    pub(super) rig: Rig,
    pub(super) keys: Vec<ReadyKey>,
    /// The browser's own authenticators, where there are no others.
    pub(super) browser: Browser,
}

/// Makes the keys in the best place that works.
pub(super) async fn settle(args: &Args) -> Result<Settled, Failure> {
    let mut missed = Vec::new();
    for place in candidates(args.backend) {
        let required = args.require_backend.map(Place::from);
        if let Some(required) = required
            && missed
                .iter()
                .any(|missed: &Missed| missed.backend == required.name())
        {
            break;
        }
        match plug(args, *place).await {
            Ok((rig, keys)) => {
                let settled = Settled {
                    place: *place,
                    missed,
                    rig,
                    keys,
                    browser: Browser::default(),
                };
                return match required {
                    Some(required) if required != *place => Err(settled.refuse(required).await),
                    Some(_) | None => Ok(settled),
                };
            }
            Err(why) => missed.push(Missed {
                backend: place.name(),
                why: one_line(&why.text),
            }),
        }
    }
    Err(Failure::Failed(format!(
        "the command was not run: {}",
        reasons(&missed)
    )))
}

impl Settled {
    /// Nobody is to believe that something was tested which was not.
    async fn refuse(self, required: Place) -> Failure {
        let (found, wanted) = (self.place.name(), required.name());
        let why = match self.missed.is_empty() {
            true => format!("say --backend {wanted}"),
            false => reasons(&self.missed),
        };
        self.end().await;
        Failure::Failed(format!(
            "the command was not run: --require-backend {wanted}, and {found} would be used ({why})"
        ))
    }

    /// Takes the keys away, and waits until the system has noticed.
    pub(super) async fn end(self) {
        if tokio::time::timeout(END_LIMIT, self.rig.stop())
            .await
            .is_err()
        {
            tracing::warn!("some keys did not end in time");
        }
        nodes::wait_gone(&self.keys, END_LIMIT).await;
    }
}

/// `no usbip: …; no uhid: …`
pub(super) fn reasons(missed: &[Missed]) -> String {
    let each = missed.iter();
    let each = each.map(|missed| format!("no {}: {}", missed.backend, missed.why));
    each.collect::<Vec<_>>().join("; ")
}

fn candidates(wanted: BackendArg) -> &'static [Place] {
    match wanted {
        BackendArg::Auto => &[Place::Usbip, Place::Uhid, Place::Browser],
        BackendArg::Usbip => &[Place::Usbip],
        BackendArg::Uhid => &[Place::Uhid],
        BackendArg::Browser => &[Place::Browser],
    }
}

/// Makes the keys there, and waits until the system has them.
async fn plug(args: &Args, place: Place) -> Result<(Rig, Vec<ReadyKey>), RigError> {
    let policy = Policy::new(args.touch(), args.rp.iter().map(String::as_str));
    let rig = Rig::start(Setup {
        broker: Broker::new(policy),
        origin: origin()?,
        ..Setup::new(place.backend(), Policy::auto())
    });
    let rig = rig.await?;
    let found = match place.has_devices() {
        true => add_keys(args, &rig).await,
        false => Ok(Vec::new()),
    };
    let found = match found {
        // Whether keys can come here is known before a front promises one.
        Ok(keys) if keys.is_empty() && place.has_devices() => probe(args, &rig).await,
        other => other,
    };
    let found = match found {
        Ok(keys) if place.has_devices() => {
            let user = args.user.as_deref();
            let nodes = nodes::wait(keys, user, args.ready_limit()).await;
            nodes.map_err(RigError::failed)
        }
        other => other,
    };
    match found {
        Ok(keys) => Ok((rig, keys)),
        Err(why) => {
            // What is half there must not be in the way of the next place.
            let _ = tokio::time::timeout(END_LIMIT, rig.stop()).await;
            Err(why)
        }
    }
}

/// Makes a key to see whether that works, and takes it away again.
async fn probe(args: &Args, rig: &Rig) -> Result<Vec<ReadyKey>, RigError> {
    let name = "probe".to_owned();
    let never = TouchPolicy::of(TouchRule::Never);
    let view = rig
        .add_key(new_key(None, name.clone(), Some(never)))
        .await?;
    let keys = vec![ready(view, name.clone(), true)];
    let found = nodes::wait(keys, args.user.as_deref(), args.ready_limit()).await;
    let found = found.map_err(RigError::failed)?;
    rig.remove_key(&name).await?;
    nodes::wait_gone(&found, END_LIMIT).await;
    Ok(Vec::new())
}

/// Serials are this run's own, so that its devices are told from every other's.
fn origin() -> Result<Origin, RigError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(RigError::failed)?;
    let random = base16ct::lower::encode_string(&bytes);
    Ok(Origin::Machine(format!("exec {random}")))
}

async fn add_keys(args: &Args, rig: &Rig) -> Result<Vec<ReadyKey>, RigError> {
    let mut keys: Vec<ReadyKey> = Vec::new();
    // A bystander would answer for the keys that fronts make.
    let default: &[_] = match args.fronts.is_wanted() {
        true => &[],
        false => &[None],
    };
    let given: Vec<_> = args.keys.iter().map(Some).collect();
    let profiles: &[Option<&ProfileArg>] = match given.is_empty() {
        true => default,
        false => &given,
    };
    for profile in profiles {
        let name = free_name(&keys, &profile.map_or("default".to_owned(), called));
        let view = rig.add_key(new_key(*profile, name.clone(), None)).await?;
        keys.push(ready(view, name, false));
    }
    let first = profiles.first().copied().flatten();
    for number in 1..=args.spare {
        let name = free_name(&keys, &format!("spare-{number}"));
        let never = TouchPolicy {
            sites: args.rp.clone(),
            ..TouchPolicy::of(TouchRule::Never)
        };
        let view = rig
            .add_key(new_key(first, name.clone(), Some(never)))
            .await?;
        keys.push(ready(view, name, true));
    }
    Ok(keys)
}

/// A profile's name: of a file, without its directory and what it ends in.
fn called(profile: &ProfileArg) -> String {
    let stem = std::path::Path::new(&profile.name).file_stem();
    match (&profile.stored.text, stem.and_then(|stem| stem.to_str())) {
        (Some(_), Some(stem)) => stem.to_owned(),
        (Some(_), None) | (None, _) => profile.name.clone(),
    }
}

/// `bio`, `bio-2`, `bio-3`.
fn free_name(keys: &[ReadyKey], wanted: &str) -> String {
    let is_free = |name: &String| keys.iter().all(|key| key.name != *name);
    let numbered = (2_u32..).map(|number| format!("{wanted}-{number}"));
    let mut names = std::iter::once(wanted.to_owned()).chain(numbered);
    names.find(is_free).unwrap_or_else(|| wanted.to_owned())
}

fn new_key(profile: Option<&ProfileArg>, name: String, touch: Option<TouchPolicy>) -> NewKey {
    let stored = profile.map(|profile| &profile.stored);
    NewKey {
        name: Some(name),
        profile: stored.map(|stored| stored.name.clone()),
        profile_toml: stored.and_then(|stored| stored.text.clone()),
        touch,
        ..NewKey::default()
    }
}

pub(super) fn ready(view: KeyView, name: String, spare: bool) -> ReadyKey {
    ReadyKey {
        name,
        bus_id: view.bus_id,
        serial: view.serial,
        profile: view.profile,
        hidraw: None,
        spare,
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
