//! The machine that figures are of, and how much a process uses of it.
//!
//! Read from /proc (proc(5)). Deliberately absent: memory and processor time on other systems,
//! which say so instead.

use std::{
    num::NonZeroUsize,
    thread::available_parallelism,
    time::{Duration, SystemTime},
};

use serde::Serialize;

use crate::calendar::date;

/// What figures mean nothing without.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Machine {
    pub(super) row: &'static str,
    pub(super) date: String,
    pub(super) cores: usize,
    pub(super) cpu: Option<String>,
    pub(super) kernel: String,
    pub(super) version: &'static str,
    pub(super) build: &'static str,
    pub(super) workers: usize,
}

/// As what this program was built: a debug build is many times slower.
pub(super) const BUILD: &str = match cfg!(debug_assertions) {
    true => "debug",
    false => "release",
};

impl Machine {
    pub(super) fn this(workers: usize) -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Self {
            row: "machine",
            date: date(since.map_or(0, |since| since.as_secs())),
            cores: cores(),
            cpu: cpu(),
            kernel: kernel(),
            version: env!("CARGO_PKG_VERSION"),
            build: BUILD,
            workers,
        }
    }

    /// The same in a line.
    pub(super) fn line(&self) -> String {
        let cpu = self.cpu.as_deref().unwrap_or("a processor without a name");
        format!(
            "{}, roamkey {} ({}), {} cores of {cpu}, {}",
            self.date, self.version, self.build, self.cores, self.kernel
        )
    }
}

pub(super) fn cores() -> usize {
    available_parallelism().map_or(1, NonZeroUsize::get)
}

#[cfg(target_os = "linux")]
fn cpu() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let (_, name) = line?.split_once(':')?;
    Some(name.trim().to_owned())
}

#[cfg(not(target_os = "linux"))]
fn cpu() -> Option<String> {
    std::env::var("PROCESSOR_IDENTIFIER").ok()
}

#[cfg(target_os = "linux")]
fn kernel() -> String {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease");
    format!("Linux {}", release.unwrap_or_default().trim())
}

#[cfg(not(target_os = "linux"))]
fn kernel() -> String {
    std::env::consts::OS.to_owned()
}

/// The memory that a process has now, in bytes; `None` where this system does not say. What every
/// user may read is a sum that the kernel keeps roughly, so it comes second.
#[cfg(target_os = "linux")]
pub(super) fn resident(process: u32) -> Option<u64> {
    let read = |file: &str, name: &str| {
        let text = std::fs::read_to_string(format!("/proc/{process}/{file}")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        kibibytes.checked_mul(1024)
    };
    read("smaps_rollup", "Rss:").or_else(|| read("status", "VmRSS:"))
}

/// The processor time that a process has used, its ended threads' too.
#[cfg(target_os = "linux")]
pub(super) fn processor_time(process: u32) -> Option<Duration> {
    /// USER_HZ: what the kernel shows is in hundredths of a second whatever its own clock is.
    const TICK: Duration = Duration::from_millis(10);
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name in parentheses may have any character in it.
    let (_, fields) = text.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11); // to utime, the 14th of all
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    TICK.checked_mul(user.checked_add(system)?)
}

/// Not measured here.
#[cfg(not(target_os = "linux"))]
pub(super) fn resident(_process: u32) -> Option<u64> {
    None
}

/// Not measured here.
#[cfg(not(target_os = "linux"))]
pub(super) fn processor_time(_process: u32) -> Option<Duration> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn own_process_has_memory_and_has_used_time() {
        let own = std::process::id();
        assert!(resident(own).unwrap() > 1 << 20);
        let before = processor_time(own).unwrap();
        let mut sum = 0_u64;
        while processor_time(own).unwrap() == before {
            sum = std::hint::black_box(sum + 1);
        }
        assert_eq!(resident(0), None);
        assert_eq!(processor_time(0), None);
    }
}
