//! What a process that crashes or is looked into gives away: nothing.

use std::{fs, os::unix::process::ExitStatusExt as _, process::Command};

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use super::{
    home::{Home, text_of},
    process::{Process, end},
};

const RUN: &str = "run --ephemeral --touch auto --listen 127.0.0.1:0 --format json";
/// As much as the user may; what is forbidden for good stays so.
const SH: &str = "ulimit -S -c $(ulimit -H -c); exec \"$@\"";

/// `roamkey run` in an empty directory, under the highest limit that its user has.
fn start(home: &Home, allowed: bool) -> Process {
    let mut command = Command::new("sh");
    command.args(["-c", SH, "sh", env!("CARGO_BIN_EXE_roamkey")]);
    command.args(RUN.split(' ')).current_dir(home.path(""));
    home.settle(&mut command);
    command.env_remove("RUST_LOG");
    match allowed {
        true => command.env("ROAMKEY_CORE_DUMPS", "1"),
        false => command.env_remove("ROAMKEY_CORE_DUMPS"),
    };
    let process = Process::spawn(command);
    process.event_named("ready");
    process
}

/// Soft and hard.
fn limits(process: u32) -> Vec<String> {
    let limits = fs::read_to_string(format!("/proc/{process}/limits")).expect("a process");
    let mut lines = limits.lines();
    let line = lines.find_map(|line| line.strip_prefix("Max core file size"));
    let words = line.expect("a limit").split_ascii_whitespace();
    words.take(2).map(str::to_owned).collect()
}

/// Whether the system can write one, of a process that nothing protects.
fn dumps_are_written(home: &Home) -> bool {
    let mut command = Command::new("sh");
    command.args(["-c", SH, "sh", "sh", "-c", "kill -ABRT $$"]);
    command.current_dir(home.path(""));
    end(&mut command).status.core_dumped()
}

#[test]
fn crash_writes_no_dump_whatever_the_limit_is() {
    let home = Home::empty();
    if !dumps_are_written(&home) {
        println!("this machine writes no core dumps, so there is none to be kept from it");
        return;
    }
    // It is the prohibition that keeps it from being written, and no other thing of this machine's.
    let ended = start(&home, true).signal("-ABRT");
    assert!(ended.status.core_dumped(), "it is allowed in words");
    assert!(ended.stderr.contains("ROAMKEY_CORE_DUMPS=1"));

    let process = start(&home, false);
    assert_eq!(limits(process.id()), ["0", "0"]);
    assert!(!process.signal("-ABRT").status.core_dumped());

    // Nor where somebody raises the limit again, which root may.
    let process = start(&home, false);
    let unlimited = Rlimit {
        current: None,
        maximum: None,
    };
    let id = i32::try_from(process.id()).ok().and_then(Pid::from_raw);
    if prlimit(id, Resource::Core, unlimited).is_ok() {
        assert_eq!(limits(process.id()), ["unlimited", "unlimited"]);
        assert!(!process.signal("-ABRT").status.core_dumped());
    }
}

#[test]
fn memory_is_not_for_other_processes_of_the_user() {
    if rustix::process::geteuid().is_root() {
        println!("root reads all memory; the guest asks as another user");
        return;
    }
    let home = Home::empty();
    let process = start(&home, false);
    let memory = fs::File::open(format!("/proc/{}/mem", process.id()));
    assert!(memory.is_err());
}

#[test]
fn command_of_exec_has_the_limit_that_its_user_chose() {
    let home = Home::empty();
    let chosen = "ulimit -S -c 1; \"$0\" exec --backend browser -- sh -c 'ulimit -S -c; ulimit -H -c'; \
                  ulimit -H -c";
    let mut command = Command::new("sh");
    command.args(["-c", chosen, env!("CARGO_BIN_EXE_roamkey")]);
    home.settle(&mut command);
    let ended = end(&mut command);
    let lines: Vec<_> = ended.stdout.lines().collect();
    let [soft, hard, before] = lines.as_slice() else {
        panic!("three limits: {} {}", ended.stdout, ended.stderr);
    };
    assert_eq!(*soft, "1");
    assert_eq!(hard, before);
}

#[test]
fn command_of_exec_may_leave_a_dump() {
    let home = Home::empty();
    if !dumps_are_written(&home) {
        println!("this machine writes no core dumps");
        return;
    }
    let directory = home.path("dumped");
    fs::create_dir(&directory).expect("a directory");
    let script = format!("cd {}; kill -ABRT $$", text_of(&directory));
    let mut command = Command::new("sh");
    command.args(["-c", SH, "sh", env!("CARGO_BIN_EXE_roamkey")]);
    command.args(["exec", "--backend", "browser", "--", "sh", "-c", &script]);
    home.settle(&mut command);
    assert_eq!(end(&mut command).status.code(), Some(134));
    let names = fs::read_dir(&directory).expect("a directory");
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").expect("a pattern");
    // Elsewhere it goes where the pattern says.
    if pattern.starts_with("core") {
        assert_eq!(names.count(), 1, "the command's own dump");
    }
}
