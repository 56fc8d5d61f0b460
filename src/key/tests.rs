use std::{
    future::ready,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use roamkey_ctap::ChangeSet;
use roamkey_transport::{
    Peer,
    memory::{self, MemoryHost},
};

use super::*;
use crate::{
    presence::{Broker, Policy},
    vault::Memory,
};

/// A vault whose commits fail, and whose first loads after that fail too.
struct Broken {
    memory: Memory,
    failures_left: Arc<AtomicU32>,
}

impl KeyVault for Broken {
    fn commit(&mut self, set: ChangeSet) -> Pending<Result<(), VaultError>> {
        if self.failures_left.load(Ordering::Relaxed) == 0 {
            return self.memory.commit(set);
        }
        Box::pin(ready(Err(VaultError::Refused(
            "the disk is full".to_owned(),
        ))))
    }

    fn load(&mut self) -> Pending<Result<KeyState, VaultError>> {
        let left = self.failures_left.load(Ordering::Relaxed);
        if left == 0 {
            return self.memory.load();
        }
        self.failures_left.store(left - 1, Ordering::Relaxed);
        Box::pin(ready(Err(VaultError::Refused(
            "the disk is gone".to_owned(),
        ))))
    }
}

/// An initialization packet with all of a short message, and the answer's data.
async fn call(host: &mut MemoryHost, channel: [u8; 4], command: u8, data: &[u8]) -> Vec<u8> {
    let mut report = [0; 64];
    report[..4].copy_from_slice(&channel);
    report[4] = command | 0x80;
    report[6] = u8::try_from(data.len()).unwrap();
    report[7..7 + data.len()].copy_from_slice(data);
    host.send_report(&report).await.unwrap();
    loop {
        let answer = host.recv_report().await.unwrap();
        if answer[4] != 0xbb {
            return answer[7..].to_vec();
        }
    }
}

/// authenticatorReset, which always commits; its status.
async fn reset(host: &mut MemoryHost, channel: [u8; 4]) -> u8 {
    call(host, channel, 0x10, &[0x07]).await[0]
}

#[tokio::test(start_paused = true)]
async fn key_goes_on_when_a_broken_vault_can_be_read_again() {
    let mut seed = Seed::from_bytes([3; 32]);
    let failures_left = Arc::new(AtomicU32::new(0));
    let vault = Broken {
        memory: Memory::create(&mut seed, 0, &Default::default()),
        failures_left: failures_left.clone(),
    };
    let seat = Broker::new(Policy::auto()).seat("1-1");
    let profile = Profile::default();
    let key = Key::open(&profile, seed, Box::new(vault), seat).await;
    let mut key = key.unwrap();
    let (transport, mut host) = memory::pair();
    tokio::spawn(async move { key.serve(Box::new(transport)).await });
    let granted = call(&mut host, [0xff; 4], 0x06, &[1; 8]).await;
    let channel = granted[8..12].try_into().unwrap();

    failures_left.store(3, Ordering::Relaxed);
    assert_eq!(reset(&mut host, channel).await, 0x7f);
    // Two more loads fail, a pause before each.
    sleep(RELOAD_PAUSE + RELOAD_PAUSE / 2).await;
    assert_eq!(reset(&mut host, channel).await, 0x7f);
    assert_eq!(failures_left.load(Ordering::Relaxed), 1);
    sleep(RELOAD_PAUSE).await;
    assert_eq!(reset(&mut host, channel).await, 0x7f);
    assert_eq!(failures_left.load(Ordering::Relaxed), 0);
    sleep(RELOAD_PAUSE).await;
    assert_eq!(reset(&mut host, channel).await, 0x00);
}

/// A key that approves by itself, plugged into a host in memory, with its channel.
async fn plugged(seed: u8) -> (MemoryHost, [u8; 4]) {
    let mut seed = Seed::from_bytes([seed; 32]);
    let vault = Memory::create(&mut seed, 0, &Default::default());
    let seat = Broker::new(Policy::auto()).seat("1-1");
    let key = Key::open(&Profile::default(), seed, Box::new(vault), seat).await;
    let mut key = key.unwrap();
    let (transport, mut host) = memory::pair();
    tokio::spawn(async move { key.serve(Box::new(transport)).await });
    let granted = call(&mut host, [0xff; 4], 0x06, &[1; 8]).await;
    (host, granted[8..12].try_into().unwrap())
}

/// Packets of a makeCredential with RS256 that is not discoverable.
fn rsa_registration(channel: [u8; 4]) -> Vec<[u8; 64]> {
    let mut message = b"\x01\xa4\x01\x58\x20".to_vec();
    message.extend([1; 32]);
    message.extend(b"\x02\xa1\x62id\x6bexample.com\x03\xa1\x62id\x41\x01");
    message.extend(b"\x04\x81\xa2\x63alg\x39\x01\x00\x64type\x6apublic-key");
    let (first, rest) = message.split_at(57);
    let mut head = [0; 64];
    head[..4].copy_from_slice(&channel);
    head[4] = 0x90;
    head[6] = u8::try_from(message.len()).unwrap();
    head[7..].copy_from_slice(first);
    let mut tail = [0; 64];
    tail[..4].copy_from_slice(&channel);
    tail[5..5 + rest.len()].copy_from_slice(rest);
    vec![head, tail]
}

/// Registers with RS256; the first report of the answer.
async fn register_rsa(host: &mut MemoryHost, channel: [u8; 4]) -> [u8; 64] {
    for report in rsa_registration(channel) {
        host.send_report(&report).await.unwrap();
    }
    loop {
        let report = host.recv_report().await.unwrap();
        if report[4] != 0xbb {
            return report;
        }
    }
}

#[tokio::test]
async fn another_key_answers_while_one_generates() {
    let ((mut busy, channel), (mut other, other_channel)) = (plugged(3).await, plugged(4).await);
    let making = tokio::spawn(async move { register_rsa(&mut busy, channel).await });
    let mut answers = 0;
    while !making.is_finished() {
        let echo = call(&mut other, other_channel, 0x01, &[9]).await;
        assert_eq!(echo[0], 9, "PING");
        answers += 1;
    }
    let made = making.await.unwrap();
    assert_eq!((made[4], made[7]), (0x90, 0x00), "a credential");
    // The first may come before the work begins.
    assert!(answers > 1, "the other key answered meanwhile");
}

#[tokio::test]
async fn keys_that_are_gone_leave_their_turn_to_others() {
    for _ in 0..3 {
        let (mut host, channel) = plugged(5).await;
        for report in rsa_registration(channel) {
            host.send_report(&report).await.unwrap();
        }
        let first = host.recv_report().await.unwrap();
        assert_eq!(first[4], 0xbb, "a keepalive");
    }
    let (mut host, channel) = plugged(6).await;
    let made = register_rsa(&mut host, channel).await;
    assert_eq!((made[4], made[7]), (0x90, 0x00), "a credential");
}

/// A host in memory that takes down in which order its key's reports are given and leave.
struct Noting {
    transport: memory::MemoryTransport,
    calls: Arc<Mutex<Vec<&'static str>>>,
}

impl Transport for Noting {
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<HostEvent, Ended>> {
        self.transport.poll_event(cx)
    }

    fn wants_report(&self) -> bool {
        self.transport.wants_report()
    }

    fn send_report(&mut self, report: &[u8; 64]) -> bool {
        let kind = match report[4] {
            0xbb => "keepalive",
            0x90 => "answer",
            _ => "other",
        };
        self.calls.lock().unwrap().push(kind);
        self.transport.send_report(report)
    }

    fn flush(&mut self) {
        self.calls.lock().unwrap().push("flush");
    }

    fn peer(&self) -> Peer {
        self.transport.peer()
    }
}

#[tokio::test]
async fn touch_is_announced_before_a_policy_answers_and_the_key_goes_on() {
    let mut seed = Seed::from_bytes([7; 32]);
    let vault = Memory::create(&mut seed, 0, &Default::default());
    let seat = Broker::new(Policy::auto()).seat("1-1");
    let key = Key::open(&Profile::default(), seed, Box::new(vault), seat).await;
    let mut key = key.unwrap();
    let (transport, mut host) = memory::pair();
    let calls = Arc::new(Mutex::new(Vec::new()));
    let noting = Noting {
        transport,
        calls: Arc::clone(&calls),
    };
    tokio::spawn(async move { key.serve(Box::new(noting)).await });
    let granted = call(&mut host, [0xff; 4], 0x06, &[1; 8]).await;
    let channel = granted[8..12].try_into().unwrap();
    calls.lock().unwrap().clear();
    // authenticatorSelection.
    assert_eq!(call(&mut host, channel, 0x10, &[0x0b]).await[0], 0);
    assert_eq!(*calls.lock().unwrap(), ["keepalive", "flush", "answer"]);
}
