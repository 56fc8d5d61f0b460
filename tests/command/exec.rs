//! `roamkey exec`: what the command is told, how it ends, what is said of it.
//!
//! This machine may have neither vhci nor uhid; what needs them is in tests/guest.

use std::{
    fs,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    home::{Home, text_of},
    process::{Ended, Process, end},
};

const BROWSER: [&str; 3] = ["exec", "--backend", "browser"];
/// The line of a run in which nothing can go wrong.
const LINE: &str = "roamkey: browser: no device was there\n";

fn exec(home: &Home, args: &[&str]) -> Ended {
    home.run(&[&BROWSER, args].concat())
}

fn sh(home: &Home, script: &str) -> Ended {
    exec(home, &["--", "sh", "-c", script])
}

fn report(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("a report")).expect("JSON")
}

/// Waits until this holds.
fn until(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Whether a process is there and no corpse.
fn is_alive(process: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/stat", process.trim()));
    status.is_ok_and(|status| !status.contains(") Z "))
}

fn ps(process: &str) -> bool {
    match cfg!(target_os = "linux") {
        true => is_alive(process),
        false => {
            let mut command = Command::new("kill");
            end(command.args(["-0", process.trim()])).status.success()
        }
    }
}

#[test]
fn status_is_the_commands_and_own_failures_are_125() {
    let home = Home::empty();
    let plain = home.file("plain", "no program");
    let cases: [(&[&str], i32, &str); 9] = [
        (&["--", "sh", "-c", "exit 0"], 0, LINE),
        (&["sh", "-c", "exit 7"], 7, LINE),
        (&["--", "sh", "-c", "kill -9 $$"], 137, LINE),
        (&["--", "sh", "-c", "kill -TERM $$"], 143, LINE),
        (&["--", "roamkey-no-such-program"], 127, "No such file"),
        (&["--", &plain], 126, "Permission denied"),
        (&["--no-such-option", "--", "true"], 125, "--no-such-option"),
        (
            &["--key", "no-such-profile", "--", "true"],
            125,
            "no-such-profile",
        ),
        (
            &["--report", "/nowhere/at/all", "--", "true"],
            125,
            "/nowhere/at/all",
        ),
    ];
    for (args, status, said) in cases {
        let ended = exec(&home, args);
        assert_eq!(
            ended.status.code(),
            Some(status),
            "{args:?}: {}",
            ended.stderr
        );
        assert!(ended.stderr.contains(said), "{args:?}: {}", ended.stderr);
        assert_eq!(ended.stdout, "", "{args:?}");
    }
    assert_eq!(home.run(&["exec"]).status.code(), Some(125), "no command");
    assert_eq!(home.run(&["exec", "--help"]).status.code(), Some(0));
}

#[test]
fn command_is_told_where_its_keys_are_and_may_ask_there() {
    let home = Home::empty();
    let roamkey = env!("CARGO_BIN_EXE_roamkey");
    let ended = sh(&home, "env; echo; cat");
    assert_eq!(ended.status.code(), Some(0));
    let told = |name: &str| {
        let mut lines = ended.stdout.lines();
        let found = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        found
            .unwrap_or_else(|| panic!("no {name}: {}", ended.stdout))
            .to_owned()
    };
    assert_eq!(told("ROAMKEY_BACKEND"), "browser");
    assert_eq!(told("ROAMKEY_KEYS"), "[]");
    assert_eq!(told("ROAMKEY_TOKEN").len(), 64);
    let url = told("ROAMKEY_URL");
    assert!(
        url.starts_with("http://127.0.0.1:") && url.ends_with("/v1"),
        "{url}"
    );
    assert!(told("ROAMKEY_CONTROL").ends_with(".sock"));

    for control in ["", "ROAMKEY_CONTROL=${ROAMKEY_URL%/v1} "] {
        let ended = sh(&home, &format!("{control}{roamkey} key list --format json"));
        assert_eq!(ended.stderr, LINE, "{control}");
        let listed: Value = serde_json::from_str(&ended.stdout).expect("a document");
        assert_eq!(listed["keys"], Value::Array(Vec::new()));
    }
    // Where no device can be, a key that nobody could see would only mislead.
    let ended = sh(&home, &format!("{roamkey} key add mine --ephemeral"));
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stdout);
    assert!(
        ended.stderr.contains("no test has a session"),
        "{}",
        ended.stderr
    );
}

#[test]
fn backend_that_is_required_is_there_or_nothing_is_run() {
    let home = Home::empty();
    let mark = text_of(&home.path("mark"));
    let cases = [
        ["--backend=browser", "--require-backend=usbip"],
        ["--backend=browser", "--require-backend=uhid"],
        ["--backend=uhid", "--require-backend=browser"],
    ];
    for args in cases {
        let args = [&["exec"], &args[..], &["--", "touch", &mark]].concat();
        let ended = home.run(&args);
        assert_eq!(ended.status.code(), Some(125), "{args:?}: {}", ended.stderr);
        assert!(
            ended.stderr.contains("the command was not run"),
            "{}",
            ended.stderr
        );
        assert!(!Path::new(&mark).exists(), "{args:?}");
    }
    let ended = exec(&home, &["--require-backend", "browser", "touch", &mark]);
    assert_eq!(ended.stderr, LINE);
    assert!(Path::new(&mark).exists());
}

#[test]
fn report_says_that_nobody_contacted_a_key_and_is_there_when_the_command_fails() {
    let home = Home::empty();
    let path = home.path("report.json");
    let file = text_of(&path);
    // While the command runs there is one without an end.
    let ended = exec(
        &home,
        &[
            "--report",
            &file,
            "--",
            "sh",
            "-c",
            "cat \"$0\"; exit 3",
            &file,
        ],
    );
    assert_eq!(ended.status.code(), Some(3));
    let before: Value = serde_json::from_str(&ended.stdout).expect("a report");
    assert_eq!(before["status"], Value::Null);
    let report = report(&path);
    assert_eq!(report["status"], 3);
    assert_eq!(report["signal"], Value::Null);
    assert_eq!(report["backend"], "browser");
    assert_eq!(report["contacted"], false);
    assert_eq!(report["operations"], 0);
    assert_eq!(report["command"], "sh");
    assert_eq!(report["text"], LINE.trim());
    assert_eq!(report["version"], env!("CARGO_PKG_VERSION"));
    assert!(report["started_ms"].as_u64() <= report["ended_ms"].as_u64());
    let names = fs::read_dir(home.path("")).expect("a directory").flatten();
    let drafts = names.filter(|entry| entry.path().extension().is_some_and(|end| end == "new"));
    assert_eq!(drafts.count(), 0, "no draft is left");
}

#[test]
fn signal_reaches_what_the_command_started_and_its_status_is_kept() {
    // A shell starts what is in the background deaf to Ctrl-C.
    let (background, alone) = ("sleep 600 & echo $!; wait", "echo $$; exec sleep 600");
    let cases = [
        ("-TERM", background, 143),
        ("-INT", alone, 130),
        ("-HUP", background, 129),
    ];
    for (signal, script, status) in cases {
        let home = Home::empty();
        let path = home.path("report.json");
        let args = ["--report", &text_of(&path), "--", "sh", "-c", script];
        let process = Process::spawn(home.command(&[&BROWSER[..], &args].concat()));
        let sleeper = process.line();
        assert!(ps(&sleeper));
        let ended = process.signal(signal);
        until("the sleeper has the signal, too", || !ps(&sleeper));
        assert_eq!(
            ended.status.code(),
            Some(status),
            "{signal}: {}",
            ended.stderr
        );
        assert_eq!(ended.stderr, LINE);
        assert_eq!(report(&path)["status"], status);
    }
}

#[test]
fn command_that_catches_the_signal_ends_as_it_wants() {
    let home = Home::empty();
    let script = "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done";
    let args = [&BROWSER[..], &["--", "sh", "-c", script]].concat();
    let process = Process::spawn(home.command(&args));
    process.line();
    assert_eq!(process.signal("-TERM").status.code(), Some(9));
}

/// The sockets, tokens and notes of processes.
#[cfg(target_os = "linux")]
fn left(home: &Home) -> usize {
    let entries = fs::read_dir(home.path("state/roamkey/run"));
    entries.map_or(0, |entries| entries.flatten().count())
}

#[cfg(target_os = "linux")]
#[test]
fn killed_exec_takes_its_command_along_and_the_next_one_clears_up() {
    let home = Home::empty();
    let script = "sleep 600 & echo $! $$; wait";
    let args = [&BROWSER[..], &["--", "sh", "-c", script]].concat();
    let process = Process::spawn(home.command(&args));
    let line = process.line();
    let (sleeper, shell) = line.split_once(' ').expect("two numbers");
    assert!(ps(sleeper) && ps(shell));
    assert_eq!(left(&home), 3, "its socket, token and note");
    let ended = process.signal("-KILL");
    assert_eq!(ended.status.code(), None);
    until("the command is gone", || !ps(shell));
    until("what it started is gone", || !ps(sleeper));
    assert_eq!(left(&home), 3, "nobody could remove them");
    assert_eq!(sh(&home, "true").stderr, LINE);
    assert_eq!(left(&home), 0);
}

#[cfg(target_os = "linux")]
#[test]
fn command_has_no_descriptor_of_ours() {
    let home = Home::empty();
    let list = "ls -l /proc/self/fd | sed -n 's/.* -> //p' | grep -E 'socket:|anon_inode|run/'";
    let ended = sh(&home, list);
    assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(1), ""));
}

#[cfg(target_os = "linux")]
#[test]
fn private_command_has_a_dev_without_keys_and_without_ways_to_them() {
    let home = Home::empty();
    let script = "echo x >/dev/null && head -c 1 /dev/urandom >/dev/null && ls /dev";
    let ended = exec(&home, &["--private", "--", "sh", "-c", script]);
    if !rustix::process::geteuid().is_root() {
        assert_eq!(ended.status.code(), Some(125));
        assert!(
            ended.stderr.contains("--private needs root"),
            "{}",
            ended.stderr
        );
        return;
    }
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    let names: Vec<_> = ended.stdout.lines().collect();
    for name in [
        "null", "zero", "full", "random", "urandom", "tty", "ptmx", "fd", "stdout",
    ] {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
    let leads = |name: &&&str| name.starts_with("hidraw") || **name == "uhid" || **name == "bus";
    assert_eq!(names.iter().find(leads), None);
    // Nobody else's is changed.
    assert!(Path::new("/dev/null").exists());
    assert!(!Path::new("/dev/stdout").is_dir());
}

#[cfg(target_os = "linux")]
#[test]
fn command_runs_as_the_user_that_is_named() {
    let home = Home::empty();
    let script = "id -u; id -G; echo $HOME $ROAMKEY_CONTROL";
    let ended = exec(&home, &["--user", "4711", "--", "sh", "-c", script]);
    if !rustix::process::geteuid().is_root() {
        assert_eq!(ended.status.code(), Some(125));
        assert!(
            ended.stderr.contains("--user needs root"),
            "{}",
            ended.stderr
        );
        return;
    }
    let mut lines = ended.stdout.lines();
    assert_eq!((lines.next(), lines.next()), (Some("4711"), Some("4711")));
    let last = lines.next().expect("a line");
    assert!(last.starts_with("/ http://127.0.0.1:"), "{last}");
    let ended = exec(&home, &["--user", "roamkey-nobody", "--", "true"]);
    assert_eq!(ended.status.code(), Some(125));
    assert!(ended.stderr.contains("no user called"), "{}", ended.stderr);
}

#[test]
fn detach_all_ends_what_runs_and_takes_no_key_beside() {
    let home = Home::empty();
    let none = home.json(&["detach", "--all"]);
    assert_eq!(none["keys"], Value::Array(Vec::new()));
    let run = "run --ephemeral --touch auto --listen 127.0.0.1:0 --format json";
    let run: Vec<_> = run.split(' ').collect();
    let process = Process::spawn(home.command(&run));
    let address = super::process::listen_of(&process.event_named("ready"));
    let platform = super::process::attach(address);
    process.event_named("attach");
    let done = home.json(&["detach", "--all"]);
    assert_eq!(done["keys"][0]["bus_id"], "1-1");
    assert_eq!(done["keys"][0]["host"], Value::Null);
    process.event_named("detach");
    drop(platform);
    let stale = home.json(&["detach", "--all", "--stale"]);
    assert_eq!(stale["ports"], 0);
    for args in [
        &["detach"][..],
        &["detach", "1-1", "--all"],
        &["detach", "--stale"],
    ] {
        assert_eq!(home.run(args).status.code(), Some(2), "{args:?}");
    }
}
