//! A process that keys run in, asked through its control plane.

use std::time::Duration;

use hyper::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::{
    Done,
    client::{Ask, Client, Trouble},
    here::runtime,
    place::Address,
    sse::Reader,
};
use crate::{
    cli::Failure,
    journal::Entry,
    rig::{
        ArmedFault, Expectation, Held, KeyView, NewFault, ServerView, TouchAnswer, TouchPolicy,
        TouchView,
    },
};

/// The control plane holds a question for touches no longer than this.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// An answer that was waited for needs a moment, too.
const WAIT_MARGIN: Duration = Duration::from_secs(10);

/// A process that keys run in.
pub(in crate::cli) struct Running {
    pub(super) runtime: Runtime,
    pub(super) client: Client,
}

/// What a watcher is told.
pub(in crate::cli) enum Watched {
    /// Something happened.
    Entry(Box<Entry>),
    /// So many entries are not told.
    Missed(u64),
    /// The connection broke, or another process listens there now.
    Again,
}

impl Running {
    pub(super) fn at(address: Address) -> Done<Self> {
        Ok(Self {
            runtime: runtime()?,
            client: Client(address),
        })
    }

    /// Every one of this user's.
    pub(in crate::cli) fn every() -> Done<Vec<Self>> {
        let sockets = crate::control::sockets().into_iter();
        sockets
            .map(|(_, path)| Self::at(Address::Socket(path)))
            .collect()
    }

    /// How it is named in `--control`.
    pub(in crate::cli) fn name(&self) -> String {
        self.client.0.to_string()
    }

    pub(super) fn ask<T: serde::de::DeserializeOwned>(&self, ask: Ask) -> Done<T> {
        let answer = self.runtime.block_on(self.client.ask(ask));
        answer.map_err(Into::into)
    }

    pub(super) fn list<T: serde::de::DeserializeOwned>(
        &self,
        ask: Ask,
        member: &str,
    ) -> Done<Vec<T>> {
        let answer = self.runtime.block_on(self.client.list(ask, member));
        answer.map_err(Into::into)
    }

    /// What there is.
    pub(in crate::cli) fn server(&self) -> Done<ServerView> {
        self.ask(Ask::get(["server"]))
    }

    /// Every key.
    pub(in crate::cli) fn keys(&self) -> Done<Vec<KeyView>> {
        self.list(Ask::get(["keys"]), "keys")
    }

    /// One key.
    pub(in crate::cli) fn key(&self, key: &str) -> Done<KeyView> {
        self.ask(Ask::get(["keys", key]))
    }

    /// What is done to a key under this name: `plug`, `unplug`, `replug`, `power-cycle`, `detach`.
    pub(in crate::cli) fn act(&self, key: &str, action: &str) -> Done<KeyView> {
        self.ask(Ask::post(["keys", key, action]))
    }

    /// Lets the process attach a key to this machine; `Err` inside where it may not.
    pub(in crate::cli) fn attach(&self, key: &str) -> Done<Result<KeyView, String>> {
        let asked = self.client.ask(Ask::post(["keys", key, "attach"]));
        match self.runtime.block_on(asked) {
            Ok(view) => Ok(Ok(view)),
            Err(Trouble::Refused(StatusCode::FORBIDDEN, why)) => Ok(Err(why)),
            Err(why) => Err(why.into()),
        }
    }

    /// How a key's touches are decided.
    pub(in crate::cli) fn touch_policy(&self, key: &str) -> Done<TouchPolicy> {
        self.ask(Ask::get(["keys", key, "touch-policy"]))
    }

    /// Decides a key's touches so; what that comes to.
    pub(in crate::cli) fn set_touch_policy(
        &self,
        key: &str,
        policy: &TouchPolicy,
    ) -> Done<TouchPolicy> {
        self.ask::<Value>(Ask::put(["keys", key, "touch-policy"]).body(policy))?;
        self.touch_policy(key)
    }

    /// The touches that somebody has to give, after waiting up to `wait` for the first.
    pub(in crate::cli) fn wait_for_touch(
        &self,
        key: Option<&str>,
        wait: Duration,
    ) -> Done<Vec<TouchView>> {
        let mut left = wait;
        loop {
            let now = left.min(LONGEST_WAIT);
            let ask = Ask::get(["touches"]).with("key", key);
            let ask = ask.with("wait_ms", (!now.is_zero()).then_some(now.as_millis()));
            let touches: Vec<TouchView> = self.list(ask.within(now + WAIT_MARGIN), "touches")?;
            left = left.saturating_sub(now);
            if !touches.is_empty() || left.is_zero() {
                return Ok(touches);
            }
        }
    }

    /// Answers a touch.
    pub(in crate::cli) fn answer_touch(&self, id: u64, answer: TouchAnswer) -> Done<()> {
        #[derive(Serialize)]
        struct Answer {
            answer: TouchAnswer,
        }
        self.ask(Ask::post(["touches", &id.to_string()]).body(&Answer { answer }))
    }

    /// Arms a fault of a key.
    pub(in crate::cli) fn arm_fault(&self, key: &str, new: &NewFault) -> Done<ArmedFault> {
        self.ask(Ask::post(["keys", key, "faults"]).body(new))
    }

    /// The armed faults of a key.
    pub(in crate::cli) fn faults(&self, key: &str) -> Done<Vec<ArmedFault>> {
        self.list(Ask::get(["keys", key, "faults"]), "faults")
    }

    /// Disarms a fault of a key.
    pub(in crate::cli) fn disarm_fault(&self, key: &str, id: u64) -> Done<()> {
        self.ask(Ask::delete(["keys", key, "faults", &id.to_string()]))
    }

    /// Disarms every fault of a key.
    pub(in crate::cli) fn disarm_all_faults(&self, key: &str) -> Done<()> {
        self.ask(Ask::delete(["keys", key, "faults"]))
    }

    /// Whether what should have happened did.
    pub(in crate::cli) fn expect(&self, expectation: &Expectation) -> Done<Held> {
        self.ask(Ask::post(["expect"]).body(expectation))
    }

    /// Tells what happens after an event, until the process ends. Where the connection breaks, it
    /// is made again and goes on behind what was told.
    pub(in crate::cli) fn watch(
        &self,
        key: Option<&str>,
        after: Option<u64>,
        mut tell: impl FnMut(Watched) -> Done<()>,
    ) -> Done<()> {
        let server = self.server()?;
        let mut reader = Reader::new(after.unwrap_or(server.last_event));
        self.runtime.block_on(async {
            let mut process = server.process;
            loop {
                match self.read(key, &mut reader, &mut tell).await {
                    // The process has ended, and this with it.
                    Err(Trouble::NobodyThere(_)) => return Ok(()),
                    Err(Trouble::Failed(_)) | Ok(()) => {}
                    Err(why @ (Trouble::Refused(..) | Trouble::Stop(_))) => return Err(why.into()),
                }
                let server: ServerView = match self.client.ask(Ask::get(["server"])).await {
                    Ok(server) => server,
                    Err(Trouble::NobodyThere(_)) => return Ok(()),
                    Err(why) => return Err(why.into()),
                };
                if server.process != process {
                    // Its events are numbered from 1 again.
                    process = server.process;
                    reader = Reader::new(0);
                }
                tell(Watched::Again)?;
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        })
    }

    async fn read(
        &self,
        key: Option<&str>,
        reader: &mut Reader,
        tell: &mut impl FnMut(Watched) -> Done<()>,
    ) -> Result<(), Trouble> {
        use http_body_util::BodyExt as _;

        let ask = Ask::get(["events"]).with("after", Some(reader.last()));
        let mut body = self.client.stream(ask.with("key", key)).await?;
        reader.begin();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|why| self.client.unreadable(why))?;
            let Some(bytes) = frame.data_ref() else {
                continue;
            };
            for watched in reader
                .push(bytes)
                .map_err(|why| self.client.unreadable(why))?
            {
                tell(watched).map_err(Trouble::Stop)?;
            }
        }
        Ok(())
    }

    /// The connection itself, for the URBs of a key, and what the kernel calls the device.
    #[cfg(target_os = "linux")]
    pub(in crate::cli) fn take_usbip(
        &self,
        key: &str,
    ) -> Done<(
        std::os::unix::net::UnixStream,
        roamkey_transport::usbip::Attached,
    )> {
        use roamkey_transport::usbip::{Attached, urb::DevId};

        let taken = self.runtime.block_on(async {
            let answer = self
                .client
                .upgrade(Ask::post(["keys", key, "usbip"]), "usbip")
                .await?;
            let number = |name: &str| {
                let value = answer.headers().get(name)?.to_str().ok()?;
                value.parse::<u32>().ok()
            };
            let attached = number("roamkey-devid").zip(number("roamkey-speed"));
            let attached = attached.ok_or_else(|| self.client.unreadable("it names no device"))?;
            let stream = self.client.socket_of(answer).await?;
            Ok::<_, Trouble>((stream, attached))
        });
        let (stream, (devid, speed)) = taken.map_err(Failure::from)?;
        let devid = DevId(devid);
        Ok((stream, Attached { devid, speed }))
    }
}

/// A body with one member.
pub(super) fn named(name: &str) -> Value {
    json!({"name": name})
}
