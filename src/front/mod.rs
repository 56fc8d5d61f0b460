//! Fronts: programs that speak a browser's automation protocol and, of WebAuthn's virtual
//! authenticators alone, answer themselves, with keys of a [`Rig`](crate::rig::Rig).
//!
//! A test asks for a virtual authenticator as it always did (WebAuthn §11, the DevTools domain
//! `WebAuthn`), and gets a key that the browser's machine sees as a device. What no USB key can
//! be, such as a platform authenticator, is left to the browser, and said. [`Authenticators`] is
//! what both fronts share; [`webdriver`] and [`cdp`] are their protocols.
//!
//! Deliberately absent: starting a browser or its driver, and choosing between browsers.

mod authenticators;
mod browser;
pub mod cdp;
mod configuration;
mod credential;
mod error;
mod guard;
mod notes;
mod upstream;
pub mod webdriver;

pub use authenticators::{Authenticators, Machine, Waited};
pub use browser::Browser;
pub(crate) use browser::unsupported;
pub use error::FrontError;
pub use notes::{Note, Notes};
pub use upstream::Upstream;

/// What virtual authenticators are.
#[derive(Clone)]
pub enum Keys {
    /// Real keys, as far as they can be.
    Real(Authenticators),
    /// The browser's own, where no real key can be.
    Browsers(Browser),
}

use configuration::{Configuration, Protocol, Refusal, Transport};
use credential::Credential;
