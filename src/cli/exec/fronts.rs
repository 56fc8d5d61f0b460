//! What else gives the command its keys, beside the system: fronts that run in this process on its
//! rig, and say in the environment where they listen.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use clap::Args as ClapArgs;
use tokio::{net::TcpListener, task::JoinHandle};

use super::{
    super::{
        Failure,
        run::{ProfileArg, address, profile},
    },
    args::Args,
    nodes,
    place::{Place, ReadyKey, Settled, ready},
};
use crate::{
    front::{
        Authenticators, Keys, Machine, Notes, Upstream, Waited, cdp::Cdp, webdriver::WebDriver,
    },
    rig::{KeyView, NewKey, Rig},
};

/// How long a device may take to go.
const GONE_LIMIT: Duration = Duration::from_secs(5);

/// Which fronts are wanted.
#[derive(Clone, Debug, Default, ClapArgs)]
pub(in crate::cli) struct FrontArgs {
    /// Be the WebDriver of this driver, such as http://127.0.0.1:9515 of chromedriver: its virtual
    /// authenticators are keys. WEBDRIVER_URL tells the command where.
    #[arg(long, value_name = "DRIVER")]
    pub(super) webdriver: Option<Upstream>,
    /// Where the WebDriver front listens; port 0 lets the system choose.
    #[arg(long, value_name = "ADDR:PORT", value_parser = address, default_value = "127.0.0.1:0")]
    pub(super) webdriver_listen: Option<SocketAddr>,
    /// Be the DevTools of this browser, such as http://127.0.0.1:9222: its virtual authenticators
    /// are keys. CDP_URL tells the command where.
    #[arg(long, value_name = "BROWSER")]
    pub(super) cdp: Option<Upstream>,
    /// Where the DevTools front listens; port 0 lets the system choose.
    #[arg(long, value_name = "ADDR:PORT", value_parser = address, default_value = "127.0.0.1:0")]
    pub(super) cdp_listen: Option<SocketAddr>,
    /// What a front's keys of CTAP2 are made after: a built-in profile or a TOML file [default:
    /// what the test asks for, and no more].
    #[arg(long, value_name = "PROFILE|FILE", value_parser = profile)]
    pub(super) front_key: Option<ProfileArg>,
    /// Let a front listen where other machines reach it: whoever does drives the browser.
    #[arg(long)]
    pub(super) front_for_anyone: bool,
}

impl FrontArgs {
    pub(super) fn is_wanted(&self) -> bool {
        self.webdriver.is_some() || self.cdp.is_some()
    }
}

/// Keys that a front made, as they came.
type Made = Arc<Mutex<Vec<ReadyKey>>>;

/// The servers that run.
#[derive(Default)]
pub(super) struct Fronts {
    servers: Vec<JoinHandle<()>>,
    env: Vec<(&'static str, String)>,
    made: Made,
    notes: Notes,
    /// The process whose /dev gets the nodes of keys that come.
    inside: Arc<OnceLock<u32>>,
}

impl Fronts {
    /// Starts what the arguments ask for.
    pub(super) async fn start(args: &Args, settled: &Settled) -> Result<Self, Failure> {
        let mut fronts = Self::default();
        if !args.fronts.is_wanted() {
            return Ok(fronts);
        }
        let keys = match settled.place {
            Place::Browser => Keys::Browsers(settled.browser.clone()),
            Place::Usbip | Place::Uhid => Keys::Real(fronts.authenticators(args, &settled.rig)),
        };
        let wanted = &args.fronts;
        if let Some(upstream) = &wanted.webdriver {
            let listener = listen("--webdriver-listen", wanted.webdriver_listen, wanted).await?;
            fronts.tell("WEBDRIVER_URL", &listener)?;
            let front = WebDriver::new(upstream.clone(), keys.clone());
            fronts.run("WebDriver", front.serve(listener));
        }
        if let Some(upstream) = &wanted.cdp {
            let listener = listen("--cdp-listen", wanted.cdp_listen, wanted).await?;
            fronts.tell("CDP_URL", &listener)?;
            let front = Cdp::new(upstream.clone(), keys);
            fronts.run("DevTools", front.serve(listener));
        }
        let mut told = fronts.notes.listen();
        fronts.servers.push(tokio::spawn(async move {
            while let Some(note) = told.recv().await {
                super::say(&note.text);
            }
        }));
        Ok(fronts)
    }

    fn authenticators(&mut self, args: &Args, rig: &Rig) -> Authenticators {
        let base = args.fronts.front_key.as_ref().map(|profile| NewKey {
            profile: Some(profile.stored.name.clone()),
            profile_toml: profile.stored.text.clone(),
            ..NewKey::default()
        });
        let machine = Waiter {
            made: Arc::clone(&self.made),
            inside: Arc::clone(&self.inside),
            user: args.user.clone(),
            private: args.private,
            limit: args.ready_limit(),
        };
        let sites = args.rp.clone();
        let authenticators = Authenticators::new(rig.clone(), Arc::new(machine), base, sites);
        self.notes = authenticators.notes().clone();
        authenticators
    }

    fn tell(&mut self, name: &'static str, listener: &TcpListener) -> Result<(), Failure> {
        let at = listener.local_addr();
        let at = at.map_err(|why| Failure::failed("a front has no address", why))?;
        self.env.push((name, format!("http://{at}")));
        Ok(())
    }

    fn run(
        &mut self,
        name: &'static str,
        serve: impl Future<Output = std::io::Result<()>> + Send + 'static,
    ) {
        self.servers.push(tokio::spawn(async move {
            if let Err(why) = serve.await {
                super::say(&format!("the {name} front ended: {why}"));
            }
        }));
    }

    /// What the command is told of them.
    pub(super) fn env(&self) -> Vec<(&'static str, String)> {
        self.env.clone()
    }

    /// Whether the command could reach a key by one of them.
    pub(super) fn is_empty(&self) -> bool {
        self.servers.is_empty()
    }

    /// The keys that they made.
    pub(super) fn made(&self) -> Vec<ReadyKey> {
        lock(&self.made).clone()
    }

    /// What there was to tell.
    pub(super) fn notes(&self) -> Vec<String> {
        let told = self.notes.told();
        told.into_iter().map(|note| note.text).collect()
    }

    /// The command runs, as this process.
    pub(super) fn runs_as(&self, process: u32) {
        // It starts once.
        let _ = self.inside.set(process);
    }

    /// Ends them.
    pub(super) async fn stop(self) {
        for server in self.servers {
            server.abort();
        }
    }
}

async fn listen(
    option: &str,
    at: Option<SocketAddr>,
    wanted: &FrontArgs,
) -> Result<TcpListener, Failure> {
    let at = at.unwrap_or((Ipv4Addr::LOCALHOST, 0).into());
    if !at.ip().is_loopback() && !wanted.front_for_anyone {
        return Err(Failure::Usage(format!(
            "{option} {at} can be reached by other machines, and who reaches it drives the \
             browser: say --front-for-anyone if you mean that"
        )));
    }
    let listener = TcpListener::bind(at).await;
    listener.map_err(|why| Failure::failed(format!("{option} {at}"), why))
}

/// Waits for the devices of a front's keys.
#[derive(Clone)]
struct Waiter {
    made: Made,
    inside: Arc<OnceLock<u32>>,
    user: Option<String>,
    private: bool,
    limit: Duration,
}

impl Machine for Waiter {
    fn arrived(&self, key: KeyView) -> Waited<Result<(), String>> {
        let waiter = self.clone();
        Box::pin(async move { waiter.wait(key).await })
    }

    fn gone(&self, key: KeyView) -> Waited<()> {
        let made = lock(&self.made);
        let key = made.iter().find(|made| made.bus_id == key.bus_id);
        let key: Vec<_> = key.cloned().into_iter().collect();
        Box::pin(async move { nodes::wait_gone(&key, GONE_LIMIT).await })
    }
}

impl Waiter {
    async fn wait(&self, key: KeyView) -> Result<(), String> {
        let name = key.name.clone().unwrap_or_else(|| key.bus_id.clone());
        let keys = vec![ready(key, name, false)];
        let keys = nodes::wait(keys, self.user.as_deref(), self.limit).await?;
        for key in keys {
            if let (true, Some(process), Some(node)) =
                (self.private, self.inside.get(), &key.hidraw)
            {
                nodes::show(*process, node)?;
            }
            lock(&self.made).push(key);
        }
        Ok(())
    }
}

/// No code between lock and unlock can panic, so a poisoned list is still whole.
fn lock(made: &Mutex<Vec<ReadyKey>>) -> MutexGuard<'_, Vec<ReadyKey>> {
    made.lock().unwrap_or_else(PoisonError::into_inner)
}
