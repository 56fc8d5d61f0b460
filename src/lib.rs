//! roamkey: a FIDO2 security key in software.
//!
//! This library is what the binary is made of, and what tests and Rust rigs use: a [`key::Key`]
//! drives a `roamkey_ctap::Device` over any [`roamkey_transport::Transport`], asks a
//! [`presence::Broker`] for touches and a [`vault::KeyVault`] for durability.
//!
//! ```
//! use roamkey::{key::{Key, Seed}, presence::{Broker, Policy}, profile::Profile, vault::Memory};
//! use roamkey_transport::memory;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
//! let broker = Broker::new(Policy::auto());
//! let profile = Profile::default();
//! let mut seed = Seed::from_bytes([1; 32]);
//! let vault = Memory::create(&mut seed, 1_735_689_600, &Default::default());
//! let mut key = Key::open(&profile, seed, Box::new(vault), broker.seat("1-1")).await?;
//!
//! let (transport, mut host) = memory::pair();
//! tokio::spawn(async move { key.serve(Box::new(transport)).await });
//! let mut init = [0; 64];
//! init[..7].copy_from_slice(&[0xff, 0xff, 0xff, 0xff, 0x86, 0, 8]);
//! host.send_report(&init).await?;
//! assert_eq!(host.recv_report().await?[4], 0x86);
//! # Ok::<(), Box<dyn std::error::Error>>(()) })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod calendar;
pub mod cli;
pub mod control;
pub mod front;
mod http;
pub mod journal;
pub mod key;
pub mod limits;
pub mod metadata;
pub mod presence;
pub mod profile;
pub mod rig;
mod serial;
pub mod vault;
