//! `roamkey run`: keys on a USB/IP server until Ctrl-C.

use std::{
    io::IsTerminal,
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use clap::{Parser, ValueEnum};
use ipnet::IpNet;
use roamkey_transport::{
    usb::Identity,
    usbip::{AllowList, BindError, BusId, Exports, Server},
};
use tokio::{task::JoinSet, time::timeout};
use tracing::{info, warn};

use super::{
    Failure, Format,
    access::VaultArgs,
    output::{KeyLine, Output},
    prompt,
    serial::{Origin, serial},
    stored::{self, Served},
};
use crate::{
    key::{Key, Seed},
    presence::{Broker, Policy, Touch},
    profile::Profile,
    vault::Memory,
};

/// How long keys may take to end once the server is closed.
const END_LIMIT: Duration = Duration::from_secs(2);
/// With a seed everything is reproducible, the certificate's date too: 2025-01-01.
const SEEDED_DATE: u64 = 1_735_689_600;
/// Bus ids 1-1 to 1-10000.
const MOST_KEYS: i64 = 10_000;

#[derive(Debug, Parser)]
pub(super) struct Args {
    /// Where to listen; port 0 lets the system choose.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:3240", value_parser = address)]
    listen: SocketAddr,
    /// Who may attach beside this machine, such as 192.168.7.0/24; needed for a listen address
    /// that others can reach.
    #[arg(long, value_name = "CIDR", value_parser = block)]
    allow_from: Vec<IpNet>,
    /// How many keys to export, as bus ids 1-1 to 1-N; those that the vault lacks are made
    /// [default: all that it has, or a first one].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=MOST_KEYS))]
    keys: Option<u32>,
    /// Export this key of the vault, by its name or bus id; may be repeated.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["keys", "ephemeral"])]
    key: Vec<String>,
    /// What a key is that is made now: default, u2f-only, fido-2.0, fido-2.1-pin, no-prf,
    /// uv-not-required, tiny, passkey-provider, or a TOML file, in which what is left out is as in
    /// default.
    #[arg(long, value_name = "NAME|FILE", value_parser = profile)]
    profile: Option<ProfileArg>,
    /// What to do when a touch is needed [default: ask, when stdin is a terminal].
    #[arg(long, value_enum)]
    touch: Option<TouchArg>,
    /// Refuse touches for any site but this one, such as example.com; may be repeated.
    #[arg(long, value_name = "ID")]
    rp: Vec<String>,
    /// With --touch auto and a vault: let any site sign in unasked.
    #[arg(long, conflicts_with_all = ["rp", "ephemeral"])]
    any_site: bool,
    /// Keep no vault: forget everything at exit.
    #[arg(long, conflicts_with_all = ["vault", "unlock"])]
    ephemeral: bool,
    #[command(flatten)]
    vault: VaultArgs,
    /// Make keys and ids that come out the same at every start: for tests, never for accounts.
    #[arg(long, value_name = "HEX", requires = "ephemeral", value_parser = seed)]
    seed: Option<SeedArg>,
    /// How stdout speaks.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum TouchArg {
    /// Approve at once: whoever can attach the key can sign in with it.
    Auto,
    /// Ask on this terminal.
    Ask,
    /// Refuse at once.
    Deny,
}

/// The bytes of `--seed`, which are not for logs.
#[derive(Clone)]
struct SeedArg(Vec<u8>);

impl std::fmt::Debug for SeedArg {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SeedArg")
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "an address and a port are wanted, like 127.0.0.1:3240 or [::1]:3240".into())
}

fn block(text: &str) -> Result<IpNet, String> {
    let host = text.parse::<std::net::IpAddr>().map(IpNet::from);
    text.parse().or(host).map_err(|_| {
        "an address or a block of addresses is wanted, like 192.168.7.20 or 192.168.7.0/24".into()
    })
}

/// A profile that was found to be good, by its name or path.
#[derive(Clone, Debug)]
struct ProfileArg {
    name: String,
    profile: Profile,
}

fn profile(text: &str) -> Result<ProfileArg, String> {
    let profile = Profile::load(text).map_err(|why| why.to_string())?;
    let name = text.to_owned();
    Ok(ProfileArg { name, profile })
}

fn seed(text: &str) -> Result<SeedArg, String> {
    match base16ct::mixed::decode_vec(text) {
        Ok(bytes) if (1..=32).contains(&bytes.len()) => Ok(SeedArg(bytes)),
        Ok(_) | Err(_) => Err("2 to 64 hexadecimal digits are wanted, an even number".into()),
    }
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let touch = touch(args.touch)?;
    if args.seed.is_some() {
        warn!("--seed: anyone who knows the seed has these keys; use them for tests only");
    }
    if touch == Touch::Auto && !args.ephemeral && args.rp.is_empty() && !args.any_site {
        return Err(Failure::Usage(
            "--touch auto on stored keys lets any site sign in with them unasked: name the sites \
             that may with --rp ID, or say --any-site if you mean all of them (--ephemeral keys \
             need neither)"
                .into(),
        ));
    }
    let stored = match args.ephemeral {
        true => None,
        false => Some(stored::open(&stored::Wanted {
            vault: &args.vault,
            count: args.keys,
            names: &args.key,
            profile: args.profile.as_ref().map(|profile| profile.name.as_str()),
        })?),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|why| Failure::failed("the runtime does not start", why))?;
    let result = runtime.block_on(serve(args, touch, stored.as_ref()));
    // A thread that waits for stdin or stdout must not hold up the exit.
    runtime.shutdown_background();
    if let Some(stored) = stored {
        stored.close();
    }
    result
}

fn touch(wanted: Option<TouchArg>) -> Result<Touch, Failure> {
    match wanted {
        Some(TouchArg::Auto) => Ok(Touch::Auto),
        Some(TouchArg::Ask) => Ok(Touch::Ask),
        Some(TouchArg::Deny) => Ok(Touch::Deny),
        None if std::io::stdin().is_terminal() => Ok(Touch::Ask),
        None => Err(Failure::Usage(
            "stdin is no terminal, so nobody can be asked for touches: say --touch auto to approve \
             them all (with --rp ID for some sites only), --touch deny to refuse them, or --touch \
             ask to read answers from stdin all the same"
                .into(),
        )),
    }
}

async fn serve(args: Args, touch: Touch, stored: Option<&Served>) -> Result<(), Failure> {
    // Before anything is promised: a signal from here on ends cleanly.
    let ended = end_signal()?;
    let allow = AllowList::new(args.allow_from.iter().copied());
    let server = Server::bind(args.listen, allow).map_err(bind_failure)?;
    let listen = server
        .local_addr()
        .map_err(|why| Failure::failed("the listening address is unknown", why))?;

    let broker = Broker::new(Policy::new(touch, args.rp.iter().map(String::as_str)));
    let notices = broker.notices();
    let mut tasks = JoinSet::new();
    let keys = match stored {
        Some(stored) => stored.keys(&broker).await?,
        None => ephemeral_keys(&args, &broker).await?,
    };
    let keys = export(keys, &server.exports(), &mut tasks)?;
    let output = Output::start(args.format, touch, notices);
    output.ready(listen, keys, stored.map(|stored| stored.note.as_str()));
    if touch == Touch::Ask {
        prompt::start(broker.clone());
    }
    let result = tokio::select! {
        result = server.run() => match result {
            Ok(never) => match never {},
            Err(why) => Err(Failure::failed("the server stopped", why)),
        },
        () = ended => Ok(()),
    };
    // The server is dropped by now, which ends the sessions.
    let all_ended = timeout(END_LIMIT, async {
        while tasks.join_next().await.is_some() {}
    });
    if all_ended.await.is_err() {
        warn!("some keys did not end in time");
    }
    info!("ended");
    drop(broker);
    output.finish();
    result
}

/// A key that is ready to be put on the server.
pub(super) struct Ready {
    pub(super) key: Key,
    pub(super) usb: Identity,
    pub(super) busid: String,
    pub(super) serial: String,
    /// What its owner calls it.
    pub(super) name: Option<String>,
}

/// Puts the keys on the server; each runs in a task of its own.
fn export(
    keys: Vec<Ready>,
    exports: &Exports,
    tasks: &mut JoinSet<()>,
) -> Result<Vec<KeyLine>, Failure> {
    let mut lines = Vec::new();
    for ready in keys {
        let name = ready.busid;
        let failed = |why: &dyn std::fmt::Display| Failure::failed(format!("key {name}"), why);
        let busid: BusId = name.parse().map_err(|why| failed(&why))?;
        let hosts = exports.add(busid, ready.usb).map_err(|why| failed(&why))?;
        tasks.spawn(ready.key.run(hosts));
        lines.push(KeyLine {
            busid: name,
            serial: ready.serial,
            name: ready.name,
        });
    }
    Ok(lines)
}

/// Makes keys that live in memory alone.
async fn ephemeral_keys(args: &Args, broker: &Broker) -> Result<Vec<Ready>, Failure> {
    let default = Profile::default();
    let given = args.profile.as_ref();
    let profile = given.map_or(&default, |given| &given.profile);
    let origin = match &args.seed {
        Some(SeedArg(seed)) => Origin::Seed(seed),
        None => Origin::Machine(args.listen),
    };
    let created = match &args.seed {
        Some(_) => SEEDED_DATE,
        None => SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(SEEDED_DATE, |since| since.as_secs()),
    };
    let mut keys = Vec::new();
    for index in 1..=args.keys.unwrap_or(1) {
        let name = format!("1-{index}");
        let failed = |why: &dyn std::fmt::Display| Failure::failed(format!("key {name}"), why);
        let mut seed = match &args.seed {
            Some(SeedArg(seed)) => Seed::of_key(seed, index),
            None => Seed::random().map_err(|why| failed(&why))?,
        };
        let vault = Memory::create(&mut seed, created);
        let key = Key::open(profile, seed, Box::new(vault), broker.seat(&name))
            .await
            .map_err(|why| failed(&why))?;
        let serial = serial(&origin, index);
        keys.push(Ready {
            key,
            usb: profile.usb_identity(&serial).map_err(|why| failed(&why))?,
            busid: name,
            serial,
            name: None,
        });
    }
    Ok(keys)
}

fn bind_failure(error: BindError) -> Failure {
    match error {
        BindError::AddressInUse(address) => {
            let other =
                SocketAddr::new(address.ip(), address.port().checked_add(1).unwrap_or(3240));
            Failure::Failed(format!(
                "{address} is taken. The usual cause on Windows is the usbipd-win service, on \
                 Linux usbipd or another roamkey. Choose another port: roamkey run --listen {other}"
            ))
        }
        BindError::AllowListNeeded(address) => Failure::Usage(format!(
            "{address} can be reached by other machines, and USB/IP has no password: whoever \
             connects can sign in as you. Say who may attach, like --allow-from 192.168.7.0/24, or \
             listen on 127.0.0.1:{} for this machine alone",
            address.port()
        )),
        BindError::Io(address, why) => Failure::failed(format!("cannot listen on {address}"), why),
    }
}

/// Ctrl-C, or what the system sends to end a program.
#[cfg(unix)]
fn end_signal() -> Result<impl Future<Output = ()>, Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| signal(kind).map_err(|why| Failure::failed("cannot wait for signals", why));
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Ctrl-C, or what the system sends to end a program.
#[cfg(windows)]
fn end_signal() -> Result<impl Future<Output = ()>, Failure> {
    use tokio::signal::windows::{ctrl_break, ctrl_c, ctrl_close, ctrl_shutdown};
    let failed = |why| Failure::failed("cannot wait for signals", why);
    let mut interrupt = ctrl_c().map_err(failed)?;
    let mut stop = ctrl_break().map_err(failed)?;
    let mut close = ctrl_close().map_err(failed)?;
    let mut shutdown = ctrl_shutdown().map_err(failed)?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = stop.recv() => {}
            _ = close.recv() => {}
            _ = shutdown.recv() => {}
        }
    })
}
