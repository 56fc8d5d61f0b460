use std::{
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use roamkey_ctap::ChangeSet;
use roamkey_transport::memory::{self, MemoryHost};

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
