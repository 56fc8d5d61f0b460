//! `roamkey run`: keys that hosts attach, until Ctrl-C.

mod args;
mod place;

use std::{io::IsTerminal, time::Duration};

use roamkey_transport::usbip::Server;
use tokio::time::timeout;
use tracing::{info, warn};

pub(super) use args::{Args, ProfileArg, TouchArg, address, profile};
use args::{BackendArg, SeedArg};

use super::{
    Failure, descriptors,
    output::{KeyLine, Output, Ready},
    prompt,
    stored::{self, Served},
};
use crate::{
    control::{self, Control, ControlError},
    presence::{Broker, Policy, Touch, Verify},
    rig::{KeyView, NewKey, Origin, Rig, Setup},
};

/// How long keys may take to end once the server is closed.
const END_LIMIT: Duration = Duration::from_secs(2);

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let touch = touch(args.touch)?;
    place::check(&args)?;
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
    // Each host that has a key is a connection.
    descriptors::raise_to_most();
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
        Some(TouchArg::Never) => Ok(Touch::Never),
        None if std::io::stdin().is_terminal() => Ok(Touch::Ask),
        None => Err(Failure::Usage(
            "stdin is no terminal, so nobody can be asked for touches here: say --touch auto to \
             approve them all (with --rp ID for some sites only), --touch deny to refuse them, or \
             --touch ask to answer them with `roamkey touch` or on stdin"
                .into(),
        )),
    }
}

async fn serve(args: Args, touch: Touch, stored: Option<&Served>) -> Result<(), Failure> {
    // Before anything is promised: a signal from here on ends cleanly.
    let ended = end_signal()?;
    let (server, backend) = place::take(&args)?;
    let listen = backend.listen();
    let verify = Verify::from(args.verify);
    let broker = Broker::new(Policy {
        verify,
        ..Policy::new(touch, args.rp.iter().map(String::as_str))
    });
    let notices = broker.notices();
    let output = Output::start(args.format, notices);
    let rig = Rig::start(Setup {
        backend,
        broker: broker.clone(),
        vault: stored.map(|stored| (stored.vault.clone(), stored.path.clone())),
        serve: stored.map(|stored| stored.numbers.clone()),
        origin: match &args.seed {
            Some(SeedArg(seed)) => Origin::Seed(seed.clone()),
            None => Origin::Machine(args.listen_or_default().to_string()),
        },
    });
    let rig = rig.await.map_err(|why| Failure::Failed(why.to_string()))?;
    if stored.is_none() {
        add_ephemeral(&args, &rig).await?;
    }
    let control = start_control(&args, &rig).await?;
    let keys = rig
        .keys()
        .await
        .map_err(|why| Failure::Failed(why.to_string()))?;
    output.ready(&Ready {
        listen,
        attach: args.attach || args.backend == BackendArg::Uhid,
        touch,
        keys: keys.iter().map(line).collect(),
        note: stored.map(|stored| stored.note.clone()),
        control: control.as_ref().map(Control::places).unwrap_or_default(),
    });
    if touch == Touch::Ask || verify == Verify::Ask {
        prompt::start(broker);
    }
    let result = tokio::select! {
        result = until_it_fails(server) => result,
        () = ended => Ok(()),
    };
    // The server is dropped by now, which ends the sessions.
    if let Some(control) = control {
        control.stop().await;
    }
    if timeout(END_LIMIT, rig.stop()).await.is_err() {
        warn!("some keys did not end in time");
    }
    info!("ended");
    output.finish();
    result
}

/// Takes commands. Where nobody asked for that, a system that has no place for the socket keeps the
/// keys from nobody.
async fn start_control(args: &Args, rig: &Rig) -> Result<Option<Control>, Failure> {
    let options = control::Options {
        tcp: args.control,
        ..control::Options::default()
    };
    match Control::start(rig.clone(), options).await {
        Ok(control) => Ok(Some(control)),
        // Somebody else's directory in its place is no accident.
        Err(why) if args.control.is_none() && !matches!(why, ControlError::NotOurs(_)) => {
            warn!("no commands are taken: {why}");
            Ok(None)
        }
        Err(why) => Err(Failure::Failed(why.to_string())),
    }
}

/// Serves USB/IP, where somebody listens.
async fn until_it_fails(server: Option<Server>) -> Result<(), Failure> {
    let Some(server) = server else {
        return std::future::pending().await;
    };
    match server.run().await {
        Ok(never) => match never {},
        Err(why) => Err(Failure::failed("the server stopped", why)),
    }
}

/// Makes keys that live in memory alone.
async fn add_ephemeral(args: &Args, rig: &Rig) -> Result<(), Failure> {
    let stored = args.profile.as_ref().map(|profile| profile.stored.clone());
    for _ in 0..args.keys.unwrap_or(1) {
        let new = NewKey {
            profile: stored.as_ref().map(|stored| stored.name.clone()),
            profile_toml: stored.as_ref().and_then(|stored| stored.text.clone()),
            ..NewKey::default()
        };
        let added = rig.add_key(new).await;
        added.map_err(|why| Failure::Failed(why.to_string()))?;
    }
    Ok(())
}

fn line(key: &KeyView) -> KeyLine {
    KeyLine {
        busid: key.bus_id.clone(),
        serial: key.serial.clone(),
        name: key.name.clone(),
    }
}

/// Ctrl-C, or what the system sends to end a program.
#[cfg(unix)]
pub(super) fn end_signal() -> Result<impl Future<Output = ()>, Failure> {
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
pub(super) fn end_signal() -> Result<impl Future<Output = ()>, Failure> {
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
