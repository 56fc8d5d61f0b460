//! What is left in a running process's memory of secrets that it no longer needs: nothing.
//!
//! Its memory is searched from outside, in all that it may write to: heaps, stacks, buffers. What a
//! key does need is found there, so that a search that finds nothing else says something.
//! Deliberately absent: tokens, whose generator (rand_chacha 0.10) leaves the block that it computed
//! last on the stack of the thread that drew it, until that thread computes another.

use std::{fs, os::unix::fs::FileExt as _};

use super::process::{Process, attach, command, listen_of};
use crate::support::{
    ctap2::{GetAssertion, MakeCredential, sha256, status},
    ctaphid::{Channel, Platform},
    pin::{Protocol, Shared, Token, padded, permission},
};

const RUN: &str = "run --ephemeral --touch auto --listen 127.0.0.1:0 --format json";
const RP: &str = "residue.example";
const SALTS: [u8; 64] = *b"the salts of a site, which a key is not to remember when it ends";
const FIRST: &str = "correct horse 7291";
const SECOND: &str = "battery staple 4408";
const WRONG: &str = "wrong horse 5530";
const PAGE: usize = 4096;

/// Something to search for.
struct Needle(String, Vec<u8>);

/// All of a process's memory that it may write to.
struct Memory(Vec<Vec<u8>>);

impl Memory {
    fn of(process: u32) -> Self {
        let maps = fs::read_to_string(format!("/proc/{process}/maps")).expect("a process");
        let memory = fs::File::open(format!("/proc/{process}/mem")).expect("its memory");
        let writable = maps.lines().filter(|line| line.contains(" rw"));
        let regions = writable.map(|line| {
            let range = line
                .split(' ')
                .next()
                .and_then(|range| range.split_once('-'));
            let (begin, end) = range.expect("a range");
            let [begin, end] = [begin, end].map(|at| u64::from_str_radix(at, 16).expect("hex"));
            let mut bytes = vec![0; usize::try_from(end - begin).expect("a length")];
            memory.read_exact_at(&mut bytes, begin).map(|()| bytes)
        });
        // What cannot be read, such as vvar, holds nothing of ours.
        Self(regions.flatten().collect())
    }

    fn has(&self, needle: &[u8]) -> bool {
        let (first, rest) = needle.split_first().expect("a needle");
        self.0.iter().any(|region| {
            let pages = (0..region.len()).step_by(PAGE);
            let used = pages.filter(|at| region[*at..(*at + PAGE).min(region.len())] != [0; PAGE]);
            used.into_iter().any(|at| {
                let page = at..(at + PAGE).min(region.len());
                let mut starts = page.filter(|start| region[*start] == *first);
                starts.any(|start| region[start + 1..].starts_with(rest))
            })
        })
    }

    /// The names of those that are in it.
    fn found<'n>(&self, needles: &'n [Needle]) -> Vec<&'n str> {
        let found = needles.iter().filter(|needle| self.has(&needle.1));
        found.map(|needle| needle.0.as_str()).collect()
    }
}

/// What a PIN leaves where it is not wiped; `kept` is the PIN that is set.
fn of_pin(pin: &str, kept: bool) -> Vec<Needle> {
    let named = |what: &str, bytes: &[u8]| Needle(format!("{what} of {pin:?}"), bytes.to_vec());
    let hash = sha256(pin.as_bytes());
    let mut needles = vec![
        named("the text", pin.as_bytes()),
        // With the zeros behind it it is no word of a message.
        named("the padded text", &padded(pin)),
        named("the rest of the hash", &hash[16..]),
    ];
    if !kept {
        needles.push(named("the hash", &hash[..16]));
    }
    needles
}

fn of_shared(what: &str, shared: &Shared) -> [Needle; 2] {
    let [hmac, aes] = shared.keys().map(|key| key.to_vec());
    [
        Needle(format!("{what}, HMAC key"), hmac),
        Needle(format!("{what}, AES key"), aes),
    ]
}

/// A whole life of a PIN, and what of it is not to be found later.
fn use_pin(platform: &mut Platform, channel: Channel, protocol: Protocol) -> Vec<Needle> {
    let mut needles = Vec::new();
    let mut token_of = |platform: &mut Platform, pin| {
        let shared = platform.agree(channel, protocol);
        needles.extend(of_shared("the shared secret of a token", &shared));
        let members = shared.token(pin, permission::MC | permission::GA, Some(RP));
        let value = platform.client_pin(channel, members)?;
        let token = crate::support::pin::opened(&shared, &value);
        Ok::<Token, u8>(token)
    };
    let token = token_of(platform, SECOND).expect("the right PIN");
    assert_eq!(token_of(platform, WRONG).err(), Some(status::PIN_INVALID));
    let make = MakeCredential::discoverable(RP, b"alice").extension("hmac-secret", true);
    let made = platform
        .make(channel, &make.with(&token))
        .expect("a credential");
    let token = token_of(platform, SECOND).expect("the right PIN");
    let shared = platform.agree(channel, protocol);
    needles.extend(of_shared("the shared secret of salts", &shared));
    let get = GetAssertion::new(RP, &[&made.id]).extension("hmac-secret", shared.salts(&SALTS));
    let got = platform
        .get(channel, &get.with(&token))
        .expect("an assertion");
    let outputs = shared.open(got.auth_data.extension("hmac-secret"));
    assert_eq!(outputs.len(), 64);
    needles.push(Needle(
        "an output of hmac-secret".into(),
        outputs[..32].to_vec(),
    ));
    needles.push(Needle(
        "another output of hmac-secret".into(),
        outputs[32..].to_vec(),
    ));
    needles
}

#[test]
fn nothing_of_pins_shared_secrets_and_outputs_is_left_in_memory() {
    let mut command = command(&RUN.split(' ').collect::<Vec<_>>());
    // So that this test may look, where it is not root; what roamkey does is the same.
    command.env("ROAMKEY_CORE_DUMPS", "1");
    let process = Process::spawn(command);
    let address = listen_of(&process.event_named("ready"));
    let mut needles = vec![Needle("the salts".into(), SALTS[..32].to_vec())];
    let mut platform = attach(address);
    let channel = platform.init();
    platform
        .set_pin(channel, Protocol::Two, FIRST)
        .expect("a PIN");
    let change = (FIRST, SECOND);
    platform
        .change_pin(channel, Protocol::Two, change)
        .expect("another");
    needles.extend(use_pin(&mut platform, channel, Protocol::Two));
    needles.extend(use_pin(&mut platform, channel, Protocol::One));
    // Its power ends tokens, and its next session has other buffers.
    drop(platform);
    process.event_named("detach");
    let mut platform = attach(address);
    let channel = platform.init();
    platform.info(channel).expect("an answer");

    for (pin, kept) in [(FIRST, false), (SECOND, true), (WRONG, false)] {
        needles.extend(of_pin(pin, kept));
    }
    let memory = Memory::of(process.id());
    let kept = [
        Needle("the site of a passkey".into(), RP.as_bytes().to_vec()),
        Needle(
            "the hash of the PIN".into(),
            sha256(SECOND.as_bytes())[..16].to_vec(),
        ),
    ];
    assert_eq!(
        memory.found(&kept).len(),
        kept.len(),
        "the search finds what is there"
    );
    let none: [&str; 0] = [];
    assert_eq!(memory.found(&needles), none, "of {} secrets", needles.len());
}
