//! `roamkey webdriver` and `roamkey cdp`: a front without a command, until Ctrl-C.
//!
//! It is `exec` but for that: the same places, the same report, the same last line.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::Parser;
use serde_json::json;

use super::{
    super::{
        Failure, Format,
        run::{ProfileArg, TouchArg, address, profile},
    },
    FAILED, Session,
    args::{Args, BackendArg, LONGEST_READY, PlaceArg},
    command::{Ended, Signals},
    fronts::FrontArgs,
    report::ReportFile,
    say,
};
use crate::front::Upstream;

/// The port of Selenium's servers.
const WEBDRIVER: &str = "127.0.0.1:4444";
/// Beside the port of browsers.
const CDP: &str = "127.0.0.1:9223";

#[derive(Debug, Parser)]
pub(in crate::cli) struct WebDriver {
    /// The driver behind it: chromedriver, geckodriver, or what speaks for one.
    #[arg(long, value_name = "DRIVER", default_value = "http://127.0.0.1:9515")]
    upstream: Upstream,
    /// Where tests connect; port 0 lets the system choose.
    #[arg(long, value_name = "ADDR:PORT", value_parser = address, default_value = WEBDRIVER)]
    listen: SocketAddr,
    #[command(flatten)]
    rest: Rest,
}

#[derive(Debug, Parser)]
pub(in crate::cli) struct Cdp {
    /// The browser behind it, started with --remote-debugging-port=9222.
    #[arg(long, value_name = "BROWSER", default_value = "http://127.0.0.1:9222")]
    upstream: Upstream,
    /// Where tests connect; port 0 lets the system choose.
    #[arg(long, value_name = "ADDR:PORT", value_parser = address, default_value = CDP)]
    listen: SocketAddr,
    #[command(flatten)]
    rest: Rest,
}

#[derive(Debug, clap::Args)]
struct Rest {
    /// What virtual authenticators become.
    #[arg(long, value_enum, default_value_t = BackendArg::Auto)]
    backend: BackendArg,
    /// Do not begin with any other backend than this.
    #[arg(long, value_enum, value_name = "BACKEND")]
    require_backend: Option<PlaceArg>,
    /// What keys of CTAP2 are made after: a built-in profile or a TOML file [default: what the
    /// test asks for, and no more].
    #[arg(long, value_name = "PROFILE|FILE", value_parser = profile)]
    key: Option<ProfileArg>,
    /// Refuse touches for any site but this one, such as example.com; may be repeated.
    #[arg(long, value_name = "ID")]
    rp: Vec<String>,
    /// Write what happened to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// How many seconds the system may take to find a key.
    #[arg(long, value_name = "SECONDS", default_value_t = 20,
        value_parser = clap::value_parser!(u64).range(1..=LONGEST_READY))]
    timeout_ready: u64,
    /// Listen where other machines reach it: whoever does drives the browser.
    #[arg(long)]
    for_anyone: bool,
    /// How stdout speaks.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

impl Rest {
    fn into_args(self, mut fronts: FrontArgs) -> (Args, Format) {
        fronts.front_key = self.key;
        fronts.front_for_anyone = self.for_anyone;
        let args = Args {
            backend: self.backend,
            require_backend: self.require_backend,
            keys: Vec::new(),
            spare: 0,
            touch: TouchArg::Auto,
            rp: self.rp,
            report: self.report,
            private: false,
            user: None,
            fronts,
            timeout_ready: self.timeout_ready,
            command: Vec::new(),
        };
        (args, self.format)
    }
}

pub(in crate::cli) fn webdriver(args: WebDriver) -> ExitCode {
    let (args, format) = args.rest.into_args(FrontArgs {
        webdriver: Some(args.upstream),
        webdriver_listen: Some(args.listen),
        ..FrontArgs::default()
    });
    run(&args, format)
}

pub(in crate::cli) fn cdp(args: Cdp) -> ExitCode {
    let (args, format) = args.rest.into_args(FrontArgs {
        cdp: Some(args.upstream),
        cdp_listen: Some(args.listen),
        ..FrontArgs::default()
    });
    run(&args, format)
}

fn run(args: &Args, format: Format) -> ExitCode {
    let status = begin(args, format).unwrap_or_else(|why| {
        let (Failure::Usage(text) | Failure::Failed(text)) = why;
        say(&text);
        FAILED
    });
    ExitCode::from(status)
}

fn begin(args: &Args, format: Format) -> Result<u8, Failure> {
    let report = ReportFile::wanted(args.report.as_deref())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|why| Failure::failed("the runtime does not start", why))?;
    let result = runtime.block_on(serve(args, format, report));
    runtime.shutdown_background();
    result
}

async fn serve(args: &Args, format: Format, report: Option<ReportFile>) -> Result<u8, Failure> {
    // Before anything is there: a signal from here on takes it away again.
    let mut signals = Signals::listen()?;
    let session = tokio::select! {
        session = Session::begin(args, report) => session?,
        _ = signals.next() => return Ok(0),
    };
    session.tell_ready(format);
    signals.next().await;
    let ended = Ended {
        status: 0,
        signal: None,
    };
    session.finish(Ok(ended)).await
}

impl Session<'_> {
    /// Says where the front is.
    fn tell_ready(&self, format: Format) {
        let fronts = self.fronts.env();
        let address = |name| {
            let mut named = fronts.iter().filter(|(known, _)| *known == name);
            named.next().map(|(_, address)| address.as_str())
        };
        let (webdriver, cdp) = (address("WEBDRIVER_URL"), address("CDP_URL"));
        let backend = self.settled.place.name();
        let text = match format {
            Format::Json => json!({
                "event": "ready",
                "backend": backend,
                "why_not": self.settled.missed,
                "webdriver": webdriver,
                "cdp": cdp,
                "control": self.control.places(),
            })
            .to_string(),
            Format::Text => {
                let mut text = String::new();
                let wanted = &self.args.fronts;
                for (name, at, upstream) in [
                    ("WebDriver", webdriver, &wanted.webdriver),
                    ("DevTools", cdp, &wanted.cdp),
                ] {
                    if let (Some(at), Some(upstream)) = (at, upstream) {
                        text.push_str(&format!("{name} on {at}, before {upstream}\n"));
                    }
                }
                text.push_str(&format!("Backend: {backend}"));
                for missed in &self.settled.missed {
                    text.push_str(&format!("\n  no {}: {}", missed.backend, missed.why));
                }
                if let Some(socket) = self.control.places().socket {
                    text.push_str(&format!("\nControl: {}", socket.display()));
                }
                text.push_str("\nCtrl-C ends.");
                text
            }
        };
        // Nothing is left to do where stdout is gone.
        let _ = std::io::Write::write_fmt(&mut std::io::stdout(), format_args!("{text}\n"));
    }
}
