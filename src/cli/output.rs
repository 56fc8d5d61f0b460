//! What stdout says of a running server: sentences for a person, or one JSON object a line.

use std::{
    io::{self, Write},
    net::{IpAddr, SocketAddr},
    sync::mpsc as thread_mpsc,
    thread,
    time::Duration,
};

use roamkey_ctap::{Decision, Gesture, Operation, Prompt, Withdrawn};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{Format, table::count};
use crate::{
    control::Places,
    presence::{LONG_TOUCH, Notice, Touch},
};

/// How long the last lines may take when nobody reads stdout.
const FINISH_LIMIT: Duration = Duration::from_secs(1);
/// A person's list of keys has this many at most.
const LISTED_KEYS: usize = 10;
const DEFAULT_PORT: u16 = 3240;

/// A key as the ready event shows it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct KeyLine {
    pub(super) busid: String,
    pub(super) serial: String,
    /// What its owner calls it, if it is stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
}

/// What is said once the keys can be used.
pub(super) struct Ready {
    /// Where USB/IP hosts connect, if anywhere.
    pub(super) listen: Option<SocketAddr>,
    /// Whether this machine has the keys by itself.
    pub(super) attach: bool,
    pub(super) touch: Touch,
    pub(super) keys: Vec<KeyLine>,
    /// What a person should know of the vault.
    pub(super) note: Option<String>,
    /// Where commands are taken.
    pub(super) control: Places,
}

/// Writes to stdout from a thread of its own, so that a reader who stalls stalls nothing else.
pub(super) struct Output {
    ready: thread_mpsc::Sender<String>,
    done: thread_mpsc::Receiver<()>,
    format: Format,
}

impl Output {
    /// Nothing is written before [`Self::ready`].
    pub(super) fn start(format: Format, mut notices: mpsc::Receiver<Notice>) -> Self {
        let (ready, first) = thread_mpsc::channel::<String>();
        let (finished, done) = thread_mpsc::channel();
        thread::spawn(move || {
            let mut lines = first.recv().ok();
            // A closed stdout ends the lines, not the server.
            while let Some(text) = lines.take() {
                if write(&text).is_err() {
                    return;
                }
                lines = notices.blocking_recv().map(|notice| match format {
                    Format::Text => text_of(&notice),
                    Format::Json => json_of(&notice),
                });
            }
            let _ = finished.send(());
        });
        Self {
            ready,
            done,
            format,
        }
    }

    /// The keys can be used.
    pub(super) fn ready(&self, ready: &Ready) {
        let text = match self.format {
            Format::Text => ready_text(ready),
            Format::Json => ready_json(ready).to_string(),
        };
        // The thread is gone only where stdout is.
        let _ = self.ready.send(text);
    }

    /// Waits for the last lines; the broker has no audience any more.
    pub(super) fn finish(self) {
        let _ = self.done.recv_timeout(FINISH_LIMIT);
    }
}

fn ready_json(ready: &Ready) -> Value {
    let mut event = json!({"event": "ready", "keys": ready.keys, "control": ready.control});
    if let Some(members) = event.as_object_mut() {
        if let Some(listen) = ready.listen {
            members.insert("listen".to_owned(), json!(listen));
        }
        if let Some(note) = &ready.note {
            members.insert("vault".to_owned(), json!(note));
        }
    }
    event
}

fn write(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")?;
    stdout.flush()
}

fn ready_text(ready: &Ready) -> String {
    let keys = &ready.keys;
    let count = count(keys.len(), "key");
    let mut lines = Vec::new();
    if let Some(note) = &ready.note {
        lines.extend([note.clone(), String::new()]);
    }
    lines.push(match ready.listen {
        Some(listen) => format!("{count} on {listen}:"),
        None => format!("{count}:"),
    });
    for key in keys.iter().take(LISTED_KEYS) {
        let name = key
            .name
            .as_deref()
            .map_or(String::new(), |name| format!("  {}", shown(name)));
        lines.push(format!("  {}  serial {}{name}", key.busid, key.serial));
    }
    if let Some(last) = keys.get(LISTED_KEYS..).and_then(<[_]>::last) {
        lines.push(format!("  … to {}", last.busid));
    }
    if ready.attach {
        lines.push("This machine has them.".to_owned());
    }
    if let Some(listen) = ready.listen {
        let busid = keys.first().map_or("1-1", |key| key.busid.as_str());
        lines.push(String::new());
        lines.extend(ways_to_attach(listen, busid));
    }
    lines.push(String::new());
    if let Some(socket) = &ready.control.socket {
        lines.push(format!("Control: {}", socket.display()));
    }
    if let (Some(tcp), Some(token)) = (&ready.control.tcp, &ready.control.token_file) {
        lines.push(format!(
            "Control: http://{tcp}, token in {}",
            token.display()
        ));
    }
    lines.push(format!("{} Ctrl-C ends.", touch_sentence(ready.touch)));
    lines.join("\n")
}

fn ways_to_attach(listen: SocketAddr, busid: &str) -> [String; 5] {
    let host = match listen.ip() {
        ip if ip.is_unspecified() => "ADDRESS-OF-THIS-MACHINE".to_owned(),
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => ip.to_string(),
    };
    let (linux_port, windows_port) = match listen.port() {
        DEFAULT_PORT => (String::new(), String::new()),
        port => (format!(" --tcp-port {port}"), format!(" -t {port}")),
    };
    [
        "Attach on Linux:".to_owned(),
        "  sudo modprobe vhci-hcd".to_owned(),
        format!("  sudo usbip{linux_port} attach -r {host} -b {busid}"),
        "Attach on Windows, with usbip-win2 installed:".to_owned(),
        format!("  usbip.exe{windows_port} attach -r {host} -b {busid}"),
    ]
}

fn touch_sentence(touch: Touch) -> String {
    match touch {
        Touch::Auto => "Touches are approved at once.".to_owned(),
        Touch::Ask => "Touches are asked for here.".to_owned(),
        Touch::Deny => "Touches are refused.".to_owned(),
        Touch::Never => "Touches are never answered.".to_owned(),
        Touch::Delay(wait) => format!("Touches are approved after {} ms.", wait.as_millis()),
    }
}

/// What would be done, for a person.
fn sentence(prompt: &Prompt) -> String {
    let site = match (&prompt.rp_id, &prompt.rp_id_hash) {
        (Some(rp_id), _) => shown(rp_id),
        (None, Some(hash)) => {
            let head: String = hash.0.iter().take(4).map(|b| format!("{b:02x}")).collect();
            format!("a site that U2F does not name (hash {head}…)")
        }
        (None, None) => String::new(),
    };
    let account = match &prompt.account {
        Some(account) => format!(" as {}", shown(account)),
        None => String::new(),
    };
    match prompt.operation {
        Operation::Register => format!("register with {site}{account}"),
        Operation::RegisterExcluded => {
            format!("tell {site} that this key is registered there already")
        }
        Operation::Authenticate => format!("sign in to {site}{account}"),
        Operation::Select if site.is_empty() => "use this key".to_owned(),
        Operation::Select => format!("use this key with {site}"),
        Operation::Reset => "ERASE every credential of this key".to_owned(),
        Operation::Verify if site.is_empty() => "be verified".to_owned(),
        Operation::Verify => format!("be verified for {site}"),
        Operation::Enroll => "enroll a finger".to_owned(),
    }
}

/// Text from a site, so that nothing in it moves the cursor or turns the reading order round.
pub(super) fn shown(text: &str) -> String {
    let misleads = |c: char| {
        c.is_control()
            || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
            || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    text.chars()
        .map(|c| if misleads(c) { '\u{fffd}' } else { c })
        .collect()
}

fn text_of(notice: &Notice) -> String {
    match notice {
        Notice::Attached { key, peer } => format!("{key}: attached by {peer}"),
        Notice::Detached { key, ended, .. } => format!("{key}: detached, {ended}"),
        Notice::Asked { id, key, prompt } => {
            let what = sentence(prompt);
            let id = id.0;
            match prompt.gesture {
                Gesture::Touch => format!("[{id}] Touch {key} to {what}? y or n"),
                Gesture::LongTouch => {
                    let seconds = LONG_TOUCH.as_secs();
                    format!("[{id}] Hold {key} for {seconds} s to {what}? y or n")
                }
                Gesture::Finger => {
                    format!("[{id}] Put a finger on {key} to {what}? y, n, or w for a wrong finger")
                }
            }
        }
        Notice::Answered {
            key,
            prompt,
            decision,
            refusal,
            ..
        } => {
            let what = sentence(prompt);
            match (decision, refusal) {
                (Decision::Approved, _) => format!("{key}: approved: {what}"),
                (Decision::Unverified, _) => format!("{key}: not verified: {what}"),
                (Decision::Denied, None) => format!("{key}: refused: {what}"),
                (Decision::Denied, Some(why)) => format!("{key}: refused ({why}): {what}"),
            }
        }
        Notice::Withdrawn {
            id, key, reason, ..
        } => {
            let why = match reason {
                Withdrawn::Cancelled => "the other side cancelled",
                Withdrawn::TimedOut => "nobody answered in time",
                Withdrawn::HostGone => "the program that asked is gone",
            };
            format!("[{}] Touch of {key} no longer needed: {why}", id.0)
        }
        Notice::Wink { key } => format!("{key}: ;-) this is the key that was asked to wink"),
    }
}

/// As the journal has it, without its number and time.
fn json_of(notice: &Notice) -> String {
    let mut value = serde_json::to_value(notice.to_event()).unwrap_or_default();
    if let Some(members) = value.as_object_mut() {
        members.insert("key".to_owned(), json!(notice.key()));
    }
    value.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_a_site_cannot_mislead() {
        assert_eq!(shown("a\u{1b}[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
        assert_eq!(shown("moc.\u{202e}evil"), "moc.\u{fffd}evil");
        assert_eq!(shown("Zoë 東京"), "Zoë 東京");
    }
}
