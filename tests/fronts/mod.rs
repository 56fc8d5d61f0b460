//! The fronts before a driver and a browser that are none, with real keys of a rig in memory:
//! what a test's client sends, what reaches the browser, and what is in the keys.
//!
//! Hosts open the keys in this process. Deliberately absent: a browser and a kernel.

mod browser;
mod cdp;
mod cdp_commands;
mod cdp_events;
mod chrome;
mod devtools;
mod driver;
mod host;
mod limits_cdp;
mod limits_webdriver;
mod place;
mod webdriver;
mod webdriver_credentials;
mod webdriver_passing;
