//! README's table of limits says what the program does.

use std::{collections::BTreeSet, fmt::Display};

use roamkey::limits::{self, Control, Front};
use roamkey_transport::limits as transport;

const README: &str = include_str!("../../README.md");

/// Rows as README has them: what, how much, and what says so.
#[derive(Default)]
struct Rows(Vec<[String; 3]>);

impl Rows {
    fn row(&mut self, what: &str, bound: impl Display, constant: &str) {
        let bound = bound.to_string();
        self.0
            .push([what.to_owned(), bound, format!("`{constant}`")]);
    }

    fn usbip(&mut self) {
        let limits = roamkey_transport::usbip::Limits::default();
        self.row(
            "connections of an address at their request",
            limits.requests_per_address,
            "usbip::Limits::requests_per_address",
        );
        self.row(
            "connections at their request",
            limits.requests,
            "usbip::Limits::requests",
        );
        self.row(
            "time for a request",
            Seconds(limits.request),
            "usbip::Limits::request",
        );
        self.row(
            "keys that an address has",
            limits.sessions_per_address,
            "usbip::Limits::sessions_per_address",
        );
        self.row(
            "wait for a host that is just going",
            Seconds(transport::RELEASE_LIMIT),
            "transport::limits::RELEASE_LIMIT",
        );
        self.row(
            "transfers that wait for a report",
            transport::PARKED_LIMIT,
            "transport::limits::PARKED_LIMIT",
        );
        self.row(
            "data of an OUT transfer",
            Bytes(transport::TRANSFER_LIMIT as usize),
            "transport::limits::TRANSFER_LIMIT",
        );
        self.row(
            "answers of a session that are not sent yet",
            Bytes(transport::OUTPUT_LIMIT),
            "transport::limits::OUTPUT_LIMIT",
        );
        self.row(
            "time in which a host reads no answer",
            Seconds(transport::STUCK_LIMIT),
            "transport::limits::STUCK_LIMIT",
        );
        let vanished = transport::KEEPALIVE_TIME
            + transport::KEEPALIVE_INTERVAL * transport::KEEPALIVE_RETRIES;
        self.row(
            "time in which a host that vanished is found",
            Seconds(vanished),
            "transport::limits::KEEPALIVE_TIME",
        );
    }

    fn keys(&mut self) {
        let profile = roamkey::profile::Profile::default().ctap;
        self.row(
            "messages that no program reads",
            roamkey_ctap::limits::MAX_QUEUED,
            "ctap::limits::MAX_QUEUED",
        );
        self.row(
            "passkeys of a key",
            profile.room(),
            "max_discoverable_credentials",
        );
        self.row(
            "large blobs of a key",
            Bytes(profile.max_serialized_large_blob_array.into()),
            "max_serialized_large_blob_array",
        );
        self.row(
            "credentials that a request names",
            profile.max_credential_count_in_list,
            "max_credential_count_in_list",
        );
        self.row(
            "a CTAP2 request",
            Bytes(profile.max_msg_size.into()),
            "max_msg_size",
        );
        self.row(
            "faults that a key has armed",
            roamkey_ctap::limits::MAX_RULES,
            "ctap::limits::MAX_RULES",
        );
    }

    fn process(&mut self) {
        self.row(
            "keys of a process, and of a vault",
            limits::MOST_KEYS,
            "limits::MOST_KEYS",
        );
        self.row(
            "snapshots of a vault",
            limits::MOST_SNAPSHOTS,
            "limits::MOST_SNAPSHOTS",
        );
        self.row(
            "a profile's file",
            Bytes(limits::MAX_PROFILE_LEN),
            "limits::MAX_PROFILE_LEN",
        );
        self.row(
            "steps of a script of touches",
            limits::MOST_STEPS,
            "limits::MOST_STEPS",
        );
        self.row(
            "sites of a touch policy",
            limits::MOST_SITES,
            "limits::MOST_SITES",
        );
        self.row(
            "events that are kept",
            limits::JOURNAL_KEPT,
            "limits::JOURNAL_KEPT",
        );
        self.row(
            "a name in an event",
            Bytes(limits::JOURNAL_NAME_LEN),
            "limits::JOURNAL_NAME_LEN",
        );
        self.row(
            "events in a report of `exec`",
            limits::REPORT_EVENTS,
            "limits::REPORT_EVENTS",
        );
        self.row(
            "a line of stdin",
            Bytes(limits::ANSWER_LINE_LEN),
            "limits::ANSWER_LINE_LEN",
        );
    }

    fn control(&mut self) {
        let control = Control::default();
        self.row(
            "connections to the control plane",
            control.connections,
            "limits::Control::connections",
        );
        self.row(
            "its requests that wait or follow events",
            control.waiting,
            "limits::Control::waiting",
        );
        self.row(
            "its changes on their way",
            control.working,
            "limits::Control::working",
        );
        self.row(
            "a body",
            Bytes(control.body_len),
            "limits::Control::body_len",
        );
        self.row(
            "the head of a request",
            Bytes(limits::HEAD_LEN),
            "limits::HEAD_LEN",
        );
        self.row(
            "time for a head, and for a body",
            Seconds(control.head),
            "limits::Control::head",
        );
        assert_eq!(control.head, control.body, "they share a row");
        self.row(
            "time in which a client reads no answer",
            Seconds(control.stuck),
            "limits::Control::stuck",
        );
    }

    fn fronts(&mut self) {
        let front = Front::default();
        self.row(
            "connections to a front",
            front.connections,
            "limits::Front::connections",
        );
        self.row("its WebSockets", front.sockets, "limits::Front::sockets");
        self.row(
            "keys of a session",
            limits::MOST_AUTHENTICATORS,
            "limits::MOST_AUTHENTICATORS",
        );
        self.row(
            "sessions with keys",
            front.sessions,
            "limits::Front::sessions",
        );
        self.row(
            "DevTools sessions of a client that use WebAuthn",
            front.domains,
            "limits::Front::domains",
        );
        self.row(
            "commands of such a session that wait",
            front.waiting,
            "limits::Front::waiting",
        );
        self.row(
            "WebDriver commands on their way",
            front.commands,
            "limits::Front::commands",
        );
        self.row(
            "a command",
            Bytes(front.body_len),
            "limits::Front::body_len",
        );
        self.row(
            "capabilities",
            Bytes(front.capabilities_len),
            "limits::Front::capabilities_len",
        );
        self.row(
            "a DevTools message",
            Bytes(front.message_len),
            "limits::Front::message_len",
        );
        self.row(
            "messages on their way to one side",
            Bytes(front.on_the_way_len),
            "limits::Front::on_the_way_len",
        );
        self.row(
            "a driver's answer to the front itself",
            Bytes(front.answer_len),
            "limits::Front::answer_len",
        );
        self.row(
            "time for that answer",
            Seconds(front.answer),
            "limits::Front::answer",
        );
        self.row(
            "time for a head",
            Seconds(front.head),
            "limits::Front::head",
        );
        self.row(
            "time in which nothing of a body comes",
            Seconds(front.pause),
            "limits::Front::pause",
        );
        self.row(
            "time in which a client or browser reads nothing",
            Seconds(front.stuck),
            "limits::Front::stuck",
        );
    }
}

struct Bytes(usize);

impl Display for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            length if length % (1 << 20) == 0 => write!(f, "{} MiB", length >> 20),
            length if length % (1 << 10) == 0 => write!(f, "{} KiB", length >> 10),
            length => write!(f, "{length} bytes"),
        }
    }
}

struct Seconds(std::time::Duration);

impl Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        assert_eq!(self.0.subsec_nanos(), 0, "whole seconds");
        write!(f, "{} s", self.0.as_secs())
    }
}

#[test]
fn readme_has_every_limit_as_it_is() {
    let mut rows = Rows::default();
    rows.usbip();
    rows.keys();
    rows.process();
    rows.control();
    rows.fronts();
    let wanted: BTreeSet<_> = rows.0.iter().cloned().collect();
    assert_eq!(wanted.len(), rows.0.len(), "each once");
    let (_, section) = README.split_once("\n## Limits\n").expect("the section");
    let (section, _) = section.split_once("\n## ").expect("another after it");
    let mut found = BTreeSet::new();
    for line in section.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [what, bound, beyond, constant] = cells.as_slice() else {
            panic!("four cells: {line}");
        };
        assert!(!beyond.is_empty(), "{line}");
        if *what != "what" && !what.starts_with("---") {
            found.insert([*what, *bound, *constant].map(str::to_owned));
        }
    }
    let missing: Vec<_> = wanted.difference(&found).collect();
    assert!(missing.is_empty(), "README lacks {missing:#?}");
    let unknown: Vec<_> = found.difference(&wanted).collect();
    assert!(unknown.is_empty(), "README alone has {unknown:#?}");
}
