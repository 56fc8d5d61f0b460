//! The device nodes of keys, as Linux's hidraw makes them.
//!
//! A node is a key's where HID_UNIQ is the key's serial, over USB and UHID alike. Deliberately
//! absent: other systems, where nothing is plugged in by `exec`.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::place::ReadyKey;

/// How often the system is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Waits until every key has a node that can be opened, by this user or by the one that is named;
/// nobody else can where one is.
pub(super) async fn wait(
    mut keys: Vec<ReadyKey>,
    user: Option<&str>,
    limit: Duration,
) -> Result<Vec<ReadyKey>, String> {
    let end = Instant::now() + limit;
    for key in &mut keys {
        key.hidraw = Some(wait_for(key, end, limit).await?);
    }
    settle_udev(end).await;
    for key in &keys {
        if let Some(node) = &key.hidraw {
            system::give(node, user)?;
        }
    }
    Ok(keys)
}

async fn wait_for(key: &ReadyKey, end: Instant, limit: Duration) -> Result<String, String> {
    loop {
        let serial = key.serial.clone();
        let found = apart(move || {
            let node = system::node_of(&serial)?;
            Some((system::open(&node), node))
        });
        let why = match found.await.flatten() {
            Some((Ok(()), node)) => return Ok(node),
            Some((Err(why), node)) => format!("{node} cannot be opened: {why}"),
            None => "the system shows no hidraw device of it".to_owned(),
        };
        if Instant::now() >= end {
            return Err(format!(
                "after {} s the key {} is plugged in, but {why} (`roamkey doctor` looks for the \
                 cause)",
                limit.as_secs(),
                key.name
            ));
        }
        sleep(LOOK_INTERVAL).await;
    }
}

/// Waits until none of the keys has a node.
pub(super) async fn wait_gone(keys: &[ReadyKey], limit: Duration) {
    let end = Instant::now() + limit;
    let had = keys.iter().filter(|key| key.hidraw.is_some());
    let serials: Vec<_> = had.map(|key| key.serial.clone()).collect();
    loop {
        let serials = serials.clone();
        let is_there = |serial: &String| system::node_of(serial).is_some();
        let any = apart(move || serials.iter().any(is_there)).await;
        if !any.unwrap_or(false) || Instant::now() >= end {
            return;
        }
        sleep(LOOK_INTERVAL).await;
    }
}

/// Does what asks the kernel of a key, on a thread of its own: the kernel asks the key, and its
/// task may wait for the very thread that asked.
async fn apart<T: Send + 'static>(ask: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(ask).await.ok()
}

/// Shows a node to a process that has a /dev of its own (`--private`).
#[cfg(target_os = "linux")]
pub(super) fn show(process: u32, node: &str) -> Result<(), String> {
    use std::os::unix::fs::MetadataExt as _;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    let place = format!("/proc/{process}/root{node}");
    let shown = || {
        let found = std::fs::metadata(node)?;
        let mode = Mode::from_raw_mode(found.mode() & 0o777);
        // The umask would take away some of it.
        mknodat(CWD, &place, FileType::CharacterDevice, mode, found.rdev())?;
        std::os::unix::fs::chown(&place, Some(found.uid()), Some(found.gid()))?;
        std::fs::set_permissions(&place, found.permissions())
    };
    shown().map_err(|why| format!("the command is not shown {node}: {why}"))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn show(_process: u32, _node: &str) -> Result<(), String> {
    Err("only Linux can".to_owned())
}

/// Lets udev have done what it does to new nodes: it would undo what is done to them before.
async fn settle_udev(end: Instant) {
    let left = end.saturating_duration_since(Instant::now());
    let seconds = format!("--timeout={}", left.as_secs().clamp(1, 10));
    let mut command = tokio::process::Command::new("udevadm");
    command.args(["settle", &seconds]);
    let quiet = std::process::Stdio::null;
    command.stdin(quiet()).stdout(quiet()).stderr(quiet());
    // Without udev nobody else touches the nodes.
    let _ = command.status().await;
}

#[cfg(target_os = "linux")]
mod system {
    use std::{
        fs, io,
        os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
        path::Path,
    };

    use super::super::user::User;

    const CLASS: &str = "/sys/class/hidraw";

    /// The node of the key with this serial.
    pub(super) fn node_of(serial: &str) -> Option<String> {
        node_in(Path::new(CLASS), serial)
    }

    pub(super) fn node_in(class: &Path, serial: &str) -> Option<String> {
        let line = format!("HID_UNIQ={serial}");
        let entries = fs::read_dir(class).ok()?.flatten();
        let mut found = entries.filter(|entry| {
            // It may go meanwhile.
            let facts = fs::read_to_string(entry.path().join("device/uevent"));
            facts.is_ok_and(|facts| facts.lines().any(|fact| fact == line))
        });
        let name = found.next()?.file_name().into_string().ok()?;
        Some(format!("/dev/{name}"))
    }

    /// Whether programs can open it. Nothing is written: the key takes it for no contact.
    pub(super) fn open(node: &str) -> io::Result<()> {
        let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
        let mut options = fs::OpenOptions::new();
        options.read(true).write(true).custom_flags(nonblocking);
        options.open(node).map(|_| ())
    }

    /// Makes a node that user's alone.
    pub(super) fn give(node: &str, user: Option<&str>) -> Result<(), String> {
        let Some(user) = user else {
            return Ok(());
        };
        let user = User::find(user)?;
        let failed = |why: io::Error| format!("{node} cannot be given to user {}: {why}", user.id);
        std::os::unix::fs::chown(node, Some(user.id), Some(user.group)).map_err(failed)?;
        fs::set_permissions(node, fs::Permissions::from_mode(0o600)).map_err(failed)
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    pub(super) fn node_of(_serial: &str) -> Option<String> {
        None
    }

    pub(super) fn open(_node: &str) -> std::io::Result<()> {
        Err(std::io::ErrorKind::Unsupported.into())
    }

    pub(super) fn give(_node: &str, _user: Option<&str>) -> Result<(), String> {
        Err("only Linux has hidraw nodes".to_owned())
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs;

    use super::system::node_in;

    #[test]
    fn node_is_the_one_with_the_keys_serial() {
        let class = std::env::temp_dir().join(format!("roamkey-hidraw-{}", std::process::id()));
        for (name, serial) in [("hidraw0", "AB"), ("hidraw1", "ABC"), ("hidraw2", "")] {
            let device = class.join(name).join("device");
            fs::create_dir_all(&device).unwrap();
            let text = format!("DRIVER=hid-generic\nHID_UNIQ={serial}\nMODALIAS=x\n");
            fs::write(device.join("uevent"), text).unwrap();
        }
        fs::create_dir_all(class.join("hidraw3")).unwrap();
        assert_eq!(node_in(&class, "ABC").as_deref(), Some("/dev/hidraw1"));
        assert_eq!(node_in(&class, "AB").as_deref(), Some("/dev/hidraw0"));
        assert_eq!(node_in(&class, "ABCD"), None);
        fs::remove_dir_all(&class).unwrap();
        assert_eq!(node_in(&class, "AB"), None);
    }
}
