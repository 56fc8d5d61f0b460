//! Starts, loads, kills and checks, round after round.

use std::{
    any::Any,
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{Arc, mpsc::Sender, mpsc::channel},
    thread,
    time::{Duration, Instant},
};

use rand_chacha::{ChaCha20Rng, rand_core::Rng as _};

use super::{
    checker, fingers, loader,
    model::Fate,
    process::{Home, Roamkey},
    session::{Line, Session, Tracked},
    tap::{Aim, Gone, Moment, Trigger, is_heard},
};
use crate::support::seed::TestSeed;

/// Keys of the vault, each with a client of its own.
const KEYS: usize = 3;
/// A load lasts this long at most where a trigger kills. In milliseconds.
const LONGEST_AIMED_MS: u64 = 250;
/// And this long where the time does.
const LONGEST_TIMED_MS: u64 = 60;
/// A client that rests for longer than this lets the vault do what waits for a quiet moment.
const REST_MS: u64 = 550;
/// Rounds between two lines about how far it is.
const PROGRESS: u64 = 50;

/// How a load ends.
#[derive(Clone, Copy, Debug)]
enum Plan {
    /// After this time.
    Timed(Duration),
    /// At a moment of a key's traffic.
    Aimed(Aim),
    /// The clients are told to stop first, and the process is idle for a while.
    Rested(Duration),
}

/// What was done.
#[derive(Default)]
struct Figures {
    kills: u64,
    in_startup: u64,
    by_plan: BTreeMap<&'static str, u64>,
    /// Requests without an answer at a kill, by kind.
    in_flight: BTreeMap<&'static str, u64>,
    longest_start: Duration,
}

/// A vault and its keys, over all kills.
pub(super) struct Campaign {
    home: Home,
    keys: Vec<Tracked>,
    rng: ChaCha20Rng,
    figures: Figures,
    /// Of the latest round.
    plan: Option<Plan>,
    /// How long the last start took.
    start: Duration,
    began: Instant,
}

impl Campaign {
    pub(super) fn new(seed: TestSeed) -> Self {
        let key = |index| Tracked::new(index, seed.rng("load", index));
        let home = Home::new();
        Roamkey::make_keys(&home, KEYS, fingers::PROFILE);
        Self {
            home,
            keys: (0..KEYS).map(key).collect(),
            rng: seed.rng("kills", 0),
            figures: Figures::default(),
            plan: None,
            start: Duration::from_millis(50),
            began: Instant::now(),
        }
    }

    /// Kills so many times, and checks after each; the last time, too.
    pub(super) fn run(mut self, kills: u64) {
        while self.figures.kills < kills {
            if self.pick(6) == 0 {
                self.kill_in_startup();
            } else {
                let plan = self.plan();
                self.round(Some(plan));
            }
            if kills > 2 * PROGRESS && self.figures.kills.is_multiple_of(PROGRESS) {
                let seconds = self.began.elapsed().as_secs();
                println!("{} of {kills} kills, {seconds} s", self.figures.kills);
            }
        }
        self.round(None);
        self.report();
    }

    fn pick(&mut self, count: u64) -> u64 {
        self.rng.next_u64() % count
    }

    fn plan(&mut self) -> Plan {
        let delay = Duration::from_micros(self.pick(3_000));
        let aim = Aim {
            key: usize::try_from(self.pick(KEYS as u64)).expect("a key"),
            moment: Moment::Sent,
            passes: u32::try_from(self.pick(25)).expect("a small number"),
            delay: if self.pick(2) == 0 {
                Duration::ZERO
            } else {
                delay
            },
        };
        match self.pick(20) {
            0..=8 => Plan::Timed(Duration::from_micros(self.pick(LONGEST_TIMED_MS * 1000))),
            9..=13 => Plan::Aimed(aim),
            14..=18 => Plan::Aimed(Aim {
                moment: Moment::Answered,
                ..aim
            }),
            _ if self.pick(3) > 0 => Plan::Timed(Duration::from_millis(LONGEST_TIMED_MS)),
            _ => Plan::Rested(Duration::from_millis(REST_MS + self.pick(30))),
        }
    }

    /// A start that comes to no end, or just to its end.
    fn kill_in_startup(&mut self) {
        let whole = u64::try_from(self.start.as_micros()).expect("a start that ends");
        let time = Duration::from_micros(self.pick(whole + whole / 5));
        let process = Roamkey::spawn(&self.home, KEYS);
        thread::sleep(time);
        process.kill();
        check_said(&process);
        self.figures.kills += 1;
        self.figures.in_startup += 1;
    }

    /// Starts, checks what is there, loads and kills. Without a plan it ends with the check.
    fn round(&mut self, plan: Option<Plan>) {
        self.plan = plan;
        let began = Instant::now();
        let process = Arc::new(Roamkey::spawn(&self.home, KEYS));
        let address = process.ready();
        self.start = began.elapsed();
        self.figures.longest_start = self.figures.longest_start.max(self.start);
        let (trigger, heard) = Trigger::new(Arc::clone(&process));
        let line = Line { address, trigger };
        let (checked, all_checked) = channel();
        let failures: Vec<_> = thread::scope(|scope| {
            let clients: Vec<_> = self
                .keys
                .iter_mut()
                .map(|key| {
                    let (line, checked) = (line.clone(), checked.clone());
                    scope.spawn(move || client(key, line, checked, plan))
                })
                .collect();
            drop(checked);
            let all_well = all_checked.iter().count() == KEYS;
            if let Some(plan) = plan.filter(|_| all_well) {
                match plan {
                    Plan::Timed(time) | Plan::Rested(time) => thread::sleep(time),
                    Plan::Aimed(aim) => {
                        line.trigger.arm(aim);
                        is_heard(&heard, Duration::from_millis(LONGEST_AIMED_MS));
                    }
                }
            }
            process.kill();
            let ends = clients.into_iter().map(|client| client.join());
            ends.filter_map(|end| end.unwrap_or_else(Some)).collect()
        });
        for payload in failures {
            // A client whose process was killed has nothing to report.
            if !payload.is::<Gone>() {
                resume_unwind(payload);
            }
        }
        check_said(&process);
        if let Some(plan) = plan {
            self.count(plan);
        }
    }

    fn count(&mut self, plan: Plan) {
        self.figures.kills += 1;
        let name = match plan {
            Plan::Timed(_) => "at some time",
            Plan::Aimed(aim) if aim.moment == Moment::Sent => "behind a request",
            Plan::Aimed(_) => "behind an answer",
            Plan::Rested(_) => "at rest",
        };
        *self.figures.by_plan.entry(name).or_default() += 1;
        for key in &self.keys {
            if let Some(request) = &key.model.pending {
                *self.figures.in_flight.entry(request.label()).or_default() += 1;
            }
        }
    }

    fn report(&self) {
        let figures = &self.figures;
        let sum = |counts: &BTreeMap<&'static str, u64>| counts.values().sum::<u64>();
        println!(
            "{} kills in {:.1} s: {} while starting, {:?}; the longest start took {} ms",
            figures.kills,
            self.began.elapsed().as_secs_f32(),
            figures.in_startup,
            figures.by_plan,
            figures.longest_start.as_millis()
        );
        let mut answers: BTreeMap<&str, u64> = BTreeMap::new();
        let mut fates: BTreeMap<(&str, Fate), u64> = BTreeMap::new();
        for key in &self.keys {
            for (label, count) in &key.answers {
                *answers.entry(*label).or_default() += count;
            }
            for (fate, count) in &key.fates {
                *fates.entry(*fate).or_default() += count;
            }
        }
        let checks: u64 = self.keys.iter().map(|key| key.checks).sum();
        println!("{} answers under load: {answers:?}", sum(&answers));
        let mut starts: BTreeMap<u64, u64> = BTreeMap::new();
        for (left, count) in self.keys.iter().flat_map(|key| &key.starts) {
            *starts.entry(*left).or_default() += count;
        }
        println!("{checks} answers to checks; starts by the PIN attempts left: {starts:?}");
        let of = |wanted: Fate| {
            let found = fates.iter().filter(|((_, fate), _)| *fate == wanted);
            found.map(|(_, count)| *count).sum::<u64>()
        };
        println!(
            "{} requests in flight at a kill: {:?}; of those that change what is stored, {} were \
             stored, {} were not, {} cannot be told: {fates:?}",
            sum(&figures.in_flight),
            figures.in_flight,
            of(Fate::Stored),
            of(Fate::Lost),
            of(Fate::Untold)
        );
    }
}

impl Drop for Campaign {
    /// What led to a failure.
    fn drop(&mut self) {
        if !thread::panicking() {
            return;
        }
        println!("after {} kills, {:?}", self.figures.kills, self.plan);
        for key in &self.keys {
            println!("key 1-{}:", key.index + 1);
            for line in &key.trail {
                println!("    {line}");
            }
        }
        println!("roamkey's stderr: {}", self.home.said());
    }
}

/// One key's client of one round: why it failed, or [`Gone`], or nothing where it came to its end.
fn client(
    key: &mut Tracked,
    line: Line,
    checked: Sender<()>,
    plan: Option<Plan>,
) -> Option<Box<dyn Any + Send>> {
    let trigger = Arc::clone(&line.trigger);
    let worked = catch_unwind(AssertUnwindSafe(|| {
        let mut session = Session::attach(key, line);
        checker::check(&mut session);
        let _ = checked.send(()); // the round may be over: another client has failed
        drop(checked);
        match plan {
            Some(Plan::Timed(_) | Plan::Aimed(_)) => loader::load(&mut session),
            Some(Plan::Rested(_)) => session.wait_for_end(),
            None => {}
        }
    }));
    let payload = worked.err()?;
    assert!(
        !payload.is::<Gone>() || trigger.process().is_killed(),
        "the connection ended, and nobody has killed the process"
    );
    Some(payload)
}

/// Nothing of what it does is worth a warning.
fn check_said(process: &Roamkey) {
    let said = process.said();
    assert!(said.is_empty(), "roamkey says: {said}");
}
