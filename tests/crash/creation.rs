//! The first start, which makes the vault, is killed: the next one must not need a person.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rand_chacha::rand_core::Rng as _;

use super::process::{Home, KEY_FILE, LOCK, Roamkey, UNFINISHED};
use crate::support::{
    carrier::request_import,
    ctap2::{GetAssertion, MakeCredential},
    ctaphid::{Channel, Platform},
    host::Linux,
    seed::TestSeed,
};

const KEYS: usize = 2;
/// A first start takes less, or what is waited for was there too shortly to be seen.
const LONGEST_START: Duration = Duration::from_millis(300);
const SITE: &str = "example.com";

/// When a first start is killed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    After(Duration),
    /// Once a file beside the vault is there, and so much later.
    Seen(&'static str, Duration),
}

/// Kills so many first starts, some vaults' several times.
pub(super) fn run(seed: TestSeed, kills: u64) {
    let mut rng = seed.rng("creation", 0);
    let mut pick = |count: u64| rng.next_u64() % count;
    let mut killed = 0;
    let (mut half_made, mut made) = (0, 0);
    while killed < kills {
        let home = Home::new();
        for _ in 0..=pick(3) {
            let later = match pick(2) {
                0 => Duration::ZERO,
                _ => Duration::from_micros(pick(4_000)),
            };
            let moment = match pick(6) {
                0 => Moment::Seen(LOCK, later),
                1 => Moment::Seen(UNFINISHED, later),
                2 => Moment::Seen(KEY_FILE, later),
                3 => Moment::Seen("", later),
                _ => Moment::After(Duration::from_micros(pick(40_000))),
            };
            kill_at(&home, moment);
            killed += 1;
        }
        if home.vault().exists() {
            made += 1;
        } else if home.beside_vault(KEY_FILE).exists() {
            half_made += 1;
        }
        check(&home);
    }
    println!(
        "{killed} kills of first starts; {made} vaults were made by then, and {half_made} had \
         their key file alone"
    );
}

fn kill_at(home: &Home, moment: Moment) {
    let process = Roamkey::spawn(home, KEYS);
    match moment {
        Moment::After(time) => thread::sleep(time),
        Moment::Seen(suffix, later) => {
            wait_for(&home.beside_vault(suffix));
            thread::sleep(later);
        }
    }
    process.kill();
}

/// Waits for a file without a pause: what comes next may take microseconds.
fn wait_for(path: &Path) {
    let end = Instant::now() + LONGEST_START;
    while !path.exists() && Instant::now() < end {
        std::hint::spin_loop();
    }
}

fn attach(process: &Roamkey, busid: &str) -> (Platform, Channel) {
    let address = process.ready();
    let link = request_import(address, busid).expect("a key that is free");
    let mut platform = Platform::open(Box::new(Linux::attach(link)));
    let channel = platform.init();
    (platform, channel)
}

/// A start as any other, and all keys are whole and last.
fn check(home: &Home) {
    let request = MakeCredential::discoverable(SITE, b"alice");
    let process = Roamkey::spawn(home, KEYS);
    let (mut platform, channel) = attach(&process, "1-1");
    let made = platform.make(channel, &request).expect("a credential");
    drop(platform);
    process.kill();
    assert_eq!(process.said(), "", "nothing to warn of");
    let process = Roamkey::spawn(home, KEYS);
    let (mut platform, channel) = attach(&process, "1-1");
    let request = GetAssertion::new(SITE, &[&made.id]);
    let asserted = platform.get(channel, &request).expect("an assertion");
    asserted.verify(SITE, &made.public_key);
    assert!(asserted.auth_data.counter > made.counter);
    process.kill();
}
