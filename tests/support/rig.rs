//! A rig: keys on a carrier, a host model's way to them, and whoever answers touches.
//!
//! A scenario is a function of a [`Place`]; [`scenarios!`] runs it at all four of them.

use std::time::Duration;

use roamkey::{
    key::Seed,
    presence::{Broker, Notice, Policy, RequestId, Touch},
    profile::Profile,
    vault::KeyVault,
};
use roamkey_ctap::{Decision, Prompt, Withdrawn};
use tokio::sync::mpsc;

use super::{
    carrier::{Link, SingleBytes, Sockets, World, request_import},
    ctaphid::Platform,
    host::{Host, Linux, PATIENCE_MS, Windows},
    seed::TestSeed,
    vault::TestVault,
};

/// Which host, over which carrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) windows: bool,
    pub(crate) virtual_time: bool,
}

/// What a rig is made of.
#[derive(Clone)]
pub(crate) struct Options {
    pub(crate) touch: Touch,
    pub(crate) rp_ids: Vec<&'static str>,
    pub(crate) keys: usize,
    pub(crate) profile: Profile,
    pub(crate) seed: Option<TestSeed>,
    /// What hosts send goes out a byte at a time.
    pub(crate) single_bytes: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            touch: Touch::Auto,
            rp_ids: Vec::new(),
            keys: 1,
            profile: Profile::default(),
            seed: None,
            single_bytes: false,
        }
    }
}

impl Options {
    /// Touches wait for the test.
    pub(crate) fn held() -> Self {
        Self {
            touch: Touch::Ask,
            ..Self::default()
        }
    }
}

impl Place {
    /// One key that approves every touch.
    pub(crate) fn rig(self) -> Rig {
        self.rig_with(Options::default())
    }

    /// One key whose touches wait for the test.
    pub(crate) fn held_rig(self) -> Rig {
        self.rig_with(Options::held())
    }

    pub(crate) fn rig_with(self, options: Options) -> Rig {
        let seed = options.seed.unwrap_or_else(TestSeed::new);
        let vaults = (0..options.keys)
            .map(|n| TestVault::create(&mut seed.rng("vault", n), &options.profile.ctap));
        let mut rig = Rig {
            place: self,
            seed,
            vaults: vaults.collect(),
            starts: 0,
            now_ms: 0,
            running: None,
            options,
        };
        rig.start();
        rig
    }
}

enum Strip {
    Sockets(Sockets),
    Virtual(World),
}

struct Running {
    broker: Broker,
    notices: mpsc::Receiver<Notice>,
    strip: Strip,
}

/// Keys to attach.
pub(crate) struct Rig {
    pub(crate) place: Place,
    pub(crate) seed: TestSeed,
    /// Each key's.
    pub(crate) vaults: Vec<TestVault>,
    starts: usize,
    now_ms: u64,
    running: Option<Running>,
    options: Options,
}

/// A touch that waits for the test.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) id: RequestId,
    pub(crate) key: String,
    pub(crate) prompt: Prompt,
}

impl Rig {
    fn start(&mut self) {
        let Options {
            touch,
            rp_ids,
            profile,
            keys,
            ..
        } = &self.options;
        let broker = Broker::new(Policy::new(*touch, rp_ids.iter().copied()));
        // Virtual time is not tokio's, and sockets have none to lose.
        broker.set_long_touch(Duration::ZERO);
        let notices = broker.notices();
        let purpose = format!("key, start {}", self.starts);
        self.starts += 1;
        let vaults = self.vaults.iter().cloned();
        let vaults = vaults.map(|vault| Box::new(vault) as Box<dyn KeyVault>);
        let vaults = vaults.collect();
        let strip = if self.place.virtual_time {
            let rngs = (0..*keys).map(|n| self.seed.rng(&purpose, n)).collect();
            let world = World::new(profile, rngs, vaults, &broker, self.now_ms);
            Strip::Virtual(world)
        } else {
            let seeds = (0..*keys).map(|n| Seed::from_bytes(self.seed.bytes(&purpose, n)));
            let seeds = seeds.collect();
            Strip::Sockets(Sockets::start(profile, seeds, vaults, &broker))
        };
        self.running = Some(Running {
            broker,
            notices,
            strip,
        });
    }

    /// Ends the process, as it were, and starts it again with what the vaults hold.
    pub(crate) fn restart(&mut self) {
        if let Strip::Virtual(world) = &self.running().strip {
            self.now_ms = world.now_ms();
        }
        self.running = None;
        self.start();
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("a rig runs")
    }

    /// The keys, in virtual time.
    pub(crate) fn world(&self) -> &World {
        match &self.running().strip {
            Strip::Virtual(world) => world,
            Strip::Sockets(_) => panic!("a scenario for virtual time"),
        }
    }

    /// The server, over sockets.
    pub(crate) fn sockets(&self) -> &Sockets {
        match &self.running().strip {
            Strip::Sockets(sockets) => sockets,
            Strip::Virtual(_) => panic!("a scenario for sockets"),
        }
    }

    /// Imports key `index`; the error is the status of the refusal.
    pub(crate) fn import(&self, index: usize) -> Result<Box<dyn Link>, u32> {
        match &self.running().strip {
            Strip::Sockets(sockets) => request_import(sockets.address, &format!("1-{}", index + 1)),
            Strip::Virtual(world) => world.import(index),
        }
    }

    /// Attaches key `index` to a host, where no program has opened it yet.
    pub(crate) fn host(&self, index: usize) -> Box<dyn Host> {
        let mut link = self.import(index).expect("a key that is free");
        if self.options.single_bytes {
            link = Box::new(SingleBytes(link));
        }
        if self.place.windows {
            Box::new(Windows::attach(link))
        } else {
            Box::new(Linux::attach(link))
        }
    }

    /// Attaches key `index` and opens it.
    pub(crate) fn attach_nth(&self, index: usize) -> Platform {
        Platform::open(self.host(index))
    }

    /// Attaches the first key and opens it.
    pub(crate) fn attach(&self) -> Platform {
        self.attach_nth(0)
    }

    /// Waits for a notice that `pick` wants, and drops those before it.
    pub(crate) fn wait_notice<T>(
        &mut self,
        platform: &mut Platform,
        mut pick: impl FnMut(Notice) -> Option<T>,
    ) -> T {
        let running = self.running.as_mut().expect("a rig runs");
        let end = platform.host.now_ms() + PATIENCE_MS;
        loop {
            while let Ok(notice) = running.notices.try_recv() {
                if let Some(picked) = pick(notice) {
                    return picked;
                }
            }
            assert!(platform.host.now_ms() < end, "the notice never came");
            platform.idle(5);
        }
    }

    /// Waits until a touch is asked for.
    pub(crate) fn wait_asked(&mut self, platform: &mut Platform) -> Asked {
        self.wait_notice(platform, |notice| match notice {
            Notice::Asked { id, key, prompt } => Some(Asked { id, key, prompt }),
            _ => None,
        })
    }

    /// Waits until a touch is withdrawn.
    pub(crate) fn wait_withdrawn(&mut self, platform: &mut Platform, asked: &Asked) -> Withdrawn {
        let why = self.wait_notice(platform, |notice| match notice {
            Notice::Withdrawn { id, reason, .. } if id == asked.id => Some(reason),
            _ => None,
        });
        assert!(!self.running().broker.pending().contains(&asked.id));
        why
    }

    /// Answers a touch that waits.
    pub(crate) fn decide(&self, asked: &Asked, decision: Decision) {
        assert!(self.running().broker.decide(asked.id, decision), "it waits");
        if let Strip::Virtual(world) = &self.running().strip {
            world.settle();
        }
    }

    /// Waits for a touch and gives it.
    pub(crate) fn approve(&mut self, platform: &mut Platform) -> Asked {
        let asked = self.wait_asked(platform);
        self.decide(&asked, Decision::Approved);
        asked
    }

    /// How many touches wait now.
    pub(crate) fn pending(&self) -> usize {
        self.running().broker.pending().len()
    }

    /// Notices that came since somebody looked.
    pub(crate) fn take_notices(&mut self) -> Vec<Notice> {
        let running = self.running.as_mut().expect("a rig runs");
        std::iter::from_fn(|| running.notices.try_recv().ok()).collect()
    }

    /// Reads until `done`; for what a host cannot see, such as a vault that has been asked.
    pub(crate) fn wait_until(&self, platform: &mut Platform, done: impl Fn(&Self) -> bool) {
        let end = platform.host.now_ms() + PATIENCE_MS;
        while !done(self) {
            assert!(platform.host.now_ms() < end, "it never came to be");
            platform.idle(5);
        }
    }
}

/// Runs each scenario with both hosts over both carriers.
macro_rules! scenarios {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            use $crate::support::rig::Place;

            #[test]
            fn linux_socket() {
                super::$name(Place { windows: false, virtual_time: false });
            }
            #[test]
            fn linux_virtual() {
                super::$name(Place { windows: false, virtual_time: true });
            }
            #[test]
            fn windows_socket() {
                super::$name(Place { windows: true, virtual_time: false });
            }
            #[test]
            fn windows_virtual() {
                super::$name(Place { windows: true, virtual_time: true });
            }
        }
    )*};
}

/// Runs each scenario with both hosts in virtual time: for what depends on time.
macro_rules! virtual_scenarios {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            use $crate::support::rig::Place;

            #[test]
            fn linux_virtual() {
                super::$name(Place { windows: false, virtual_time: true });
            }
            #[test]
            fn windows_virtual() {
                super::$name(Place { windows: true, virtual_time: true });
            }
        }
    )*};
}

/// Runs each scenario with both hosts in virtual time, for each PIN protocol.
macro_rules! pin_scenarios {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            use $crate::support::{pin::Protocol, rig::Place};

            #[test]
            fn linux_one() {
                super::$name(Place { windows: false, virtual_time: true }, Protocol::One);
            }
            #[test]
            fn linux_two() {
                super::$name(Place { windows: false, virtual_time: true }, Protocol::Two);
            }
            #[test]
            fn windows_one() {
                super::$name(Place { windows: true, virtual_time: true }, Protocol::One);
            }
            #[test]
            fn windows_two() {
                super::$name(Place { windows: true, virtual_time: true }, Protocol::Two);
            }
        }
    )*};
}

/// Runs each scenario with both hosts over sockets: for what only a server does.
macro_rules! socket_scenarios {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            use $crate::support::rig::Place;

            #[test]
            fn linux_socket() {
                super::$name(Place { windows: false, virtual_time: false });
            }
            #[test]
            fn windows_socket() {
                super::$name(Place { windows: true, virtual_time: false });
            }
        }
    )*};
}

pub(crate) use {pin_scenarios, scenarios, socket_scenarios, virtual_scenarios};
