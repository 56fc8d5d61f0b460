//! USB/IP's port on this machine: whether it is free, and who has it.

use super::{
    report::{Check, Road, State},
    system::System,
};

const PORT: u16 = 3240;
/// Another one is looked for up to here.
const LAST_PORT: u16 = 3259;
const ROAD: &str = "USB/IP to others";

/// Looks at the port, and whether keys can be served. `holder` is who has the port if it is taken.
pub(super) fn check(system: &System, holder: Option<Holder>) -> (Check, Road) {
    let name = format!("127.0.0.1:{PORT}");
    if system.is_port_free(PORT) {
        let road = Road::open(ROAD, "roamkey run", format!("on {name}"));
        return (Check::ok(name, "free"), road);
    }
    let found = match &holder {
        Some(Holder::Program { name, id }) => format!("{name} has it (process {id})"),
        Some(Holder::Service(name)) => format!("the service {name} has it"),
        Some(Holder::User(user)) => format!("a program of user {user} has it"),
        None if system.is_port_free(0) => "another program has it".to_owned(),
        None => "nothing can listen on 127.0.0.1 here".to_owned(),
    };
    let other = (PORT + 1..=LAST_PORT).find(|port| system.is_port_free(*port));
    let Some(other) = other.or_else(|| system.is_port_free(0).then_some(0)) else {
        let road = Road::closed(ROAD, "roamkey run", found.clone());
        let check = Check::new(name, State::Failed, found)
            .advice("Nothing: this machine has no loopback network. Bring it up first:")
            .command("sudo ip link set lo up");
        return (check, road);
    };
    let how = format!("roamkey run --listen 127.0.0.1:{other}");
    let road = Road::open(ROAD, how.clone(), format!("on 127.0.0.1:{other}"));
    let advice = match holder {
        Some(Holder::Program { name, .. }) if name == "roamkey" => {
            "It serves its keys already. Another one beside it:"
        }
        Some(Holder::Program { .. } | Holder::Service(_) | Holder::User(_)) | None => {
            "Take another port; what `run` prints for usbip changes with it:"
        }
    };
    let check = Check::new(name, State::Warning, found);
    (check.advice(advice).command(how), road)
}

/// Who has a port.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Holder {
    #[cfg_attr(
        not(target_os = "linux"),
        expect(dead_code, reason = "only /proc tells")
    )]
    Program { name: String, id: String },
    #[cfg_attr(
        not(any(windows, test)),
        expect(dead_code, reason = "Windows has them")
    )]
    Service(&'static str),
    /// Whose program it is, where more may not be seen.
    #[cfg_attr(
        not(target_os = "linux"),
        expect(dead_code, reason = "only /proc tells")
    )]
    User(String),
}

#[cfg(target_os = "linux")]
pub(super) use proc::holder;

/// proc(5): listening sockets, and the programs that have them open.
#[cfg(target_os = "linux")]
mod proc {
    use super::{Holder, PORT, System};

    /// TCP_LISTEN.
    const LISTENING: &str = "0A";

    pub(in super::super) fn holder(system: &System) -> Option<Holder> {
        let files = ["/proc/net/tcp", "/proc/net/tcp6"];
        let text: String = files.iter().filter_map(|file| system.read(file)).collect();
        let (user, inode) = text.lines().find_map(listener)?;
        let socket = format!("socket:[{inode}]");
        let is_process = |name: &String| name.bytes().all(|byte| byte.is_ascii_digit());
        let processes = system.names_in("/proc").into_iter().filter(is_process);
        let has_it = |id: &String| {
            let directory = format!("/proc/{id}/fd");
            let mut files = system.names_in(&directory).into_iter();
            files.any(|file| system.link(&format!("{directory}/{file}")).as_ref() == Some(&socket))
        };
        let all: Vec<_> = processes.collect();
        let found = all.iter().find(|id| has_it(id));
        match found.or_else(|| all.iter().find(|id| is_roamkey_of(system, id, &user))) {
            Some(id) => {
                let name = system.read(&format!("/proc/{id}/comm")).unwrap_or_default();
                let name = name.trim().to_owned();
                let id = id.clone();
                Some(Holder::Program { name, id })
            }
            None => Some(Holder::User(user)),
        }
    }

    /// Whether it is a roamkey of the listener's user, which shows its files to root alone
    /// (`core_dump`).
    fn is_roamkey_of(system: &System, id: &str, user: &str) -> bool {
        let status = system.read(&format!("/proc/{id}/status"));
        let status = status.unwrap_or_default();
        let value = |name: &str| {
            let mut lines = status.lines();
            lines.find_map(|line| line.strip_prefix(name)?.split_ascii_whitespace().next())
        };
        value("Name:") == Some("roamkey")
            && value("Uid:") == Some(user)
            && system.names_in(&format!("/proc/{id}/fd")).is_empty()
    }

    /// The user and the inode of a line that listens on the port. Its address does not matter:
    /// the port is known to be taken.
    fn listener(line: &str) -> Option<(String, String)> {
        let mut fields = line.split_ascii_whitespace();
        let (_, port) = fields.nth(1)?.rsplit_once(':')?;
        let listens = fields.nth(1)? == LISTENING;
        // After tx_queue:rx_queue, tr:tm->when and retrnsmt; then after timeout.
        let (user, inode) = (fields.nth(3)?, fields.nth(1)?);
        let ours = u16::from_str_radix(port, 16).ok()? == PORT;
        (ours && listens).then(|| (user.to_owned(), inode.to_owned()))
    }
}
