//! A system that does not do its part: the disk is full, the vault is gone, nothing may be
//! written. The real binary on the real kernel; what a disk does wrong beside that is in
//! `crate::vault::storm`.

use std::{fs, path::Path, process::Command};

use super::{
    home::{Home, RUN, stop},
    process::{Process, attach, end, listen_of},
};
use crate::support::{
    ctap2::{GetAssertion, MakeCredential, status},
    ctaphid::{Channel, Platform},
};

const RP: &str = "example.com";
/// How often a key that met a failure is asked again, a second apart.
const PATIENCE: usize = 20;

/// A passkey for a new account; its id.
fn make(platform: &mut Platform, channel: Channel, user: u16) -> Result<Vec<u8>, u8> {
    let request = MakeCredential::discoverable(RP, &user.to_be_bytes());
    platform.make(channel, &request).map(|made| made.id)
}

/// Asks again until the key goes on.
fn make_at_last(platform: &mut Platform, channel: Channel, user: u16) -> Vec<u8> {
    for _ in 0..PATIENCE {
        match make(platform, channel, user) {
            Ok(id) => return id,
            Err(why) => assert_eq!(why, status::OTHER),
        }
        platform.idle(1_000);
    }
    panic!("the cause is gone, and the key does not go on");
}

fn assert_all_sign(platform: &mut Platform, channel: Channel, ids: &[Vec<u8>]) {
    for id in ids {
        let request = GetAssertion::new(RP, &[id]).silent();
        let signed = platform.get(channel, &request).expect("it was confirmed");
        assert_eq!(signed.id, *id);
    }
}

/// The binary behind a line of shell, which gets it as "$@".
fn behind(home: &Home, shell: &str, args: &[&str]) -> Command {
    let mut command = Command::new("bash");
    let binary = env!("CARGO_BIN_EXE_roamkey");
    command.args(["-c", shell, "bash", binary]).args(args);
    home.settle(&mut command);
    command
}

#[test]
fn full_disk_answers_errors_and_the_key_goes_on_when_there_is_space() {
    let home = Home::with_key();
    let length = fs::metadata(home.vault()).expect("the vault").len();
    // The file may not grow: to a program that is as if the disk were full.
    let shell = format!("trap '' XFSZ; ulimit -S -f {}; exec \"$@\"", length / 1024);
    let process = Process::spawn(behind(&home, &shell, &RUN));
    let mut platform = attach(listen_of(&process.event_named("ready")));
    let channel = platform.init();
    let mut ids = Vec::new();
    let failed = (0..2_000).find_map(|user| match make(&mut platform, channel, user) {
        Ok(id) => {
            ids.push(id);
            None
        }
        Err(why) => Some(why),
    });
    assert_eq!(failed, Some(status::OTHER), "it has to be full at last");
    assert!(!ids.is_empty(), "there was some space");
    // Opening the file again takes space, too, so the key may answer nothing but errors now.
    platform.idle(1_500);

    let limits = ["--pid", &process.id().to_string(), "--fsize=unlimited:"].map(str::to_owned);
    let raised = Command::new("prlimit").args(limits).status();
    assert!(raised.expect("prlimit, of util-linux").success());
    ids.push(make_at_last(&mut platform, channel, 5_000));
    assert_all_sign(&mut platform, channel, &ids);
    drop(platform);
    let ended = process.signal("-TERM");
    for part in [
        "limit on the size of files",
        "raise it",
        "the key answers an error",
    ] {
        assert!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
    }
    let list = home.json(&["passkey", "list"]);
    let listed = list["passkeys"].as_array().map(Vec::len);
    assert_eq!(listed, Some(ids.len()), "what was confirmed, and no more");
}

#[test]
fn vanished_directory_answers_errors_until_it_is_back() {
    let home = Home::with_key();
    let (process, mut platform) = home.serve();
    let channel = platform.init();
    let mut ids = vec![make(&mut platform, channel, 0).expect("a passkey")];
    let directory = home.vault().parent().expect("a directory").to_owned();
    let away = home.path("away");
    fs::rename(&directory, &away).expect("moved away");
    for user in 1..4 {
        assert_eq!(make(&mut platform, channel, user), Err(status::OTHER));
        platform.idle(300);
    }
    fs::rename(&away, &directory).expect("moved back");
    ids.push(make_at_last(&mut platform, channel, 9));
    assert_all_sign(&mut platform, channel, &ids);
    drop(platform);
    let ended = process.signal("-TERM");
    for part in ["is not where it was", "put the file back where it was"] {
        assert!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
    }
    // What was answered with an error may be there, what was confirmed has to be.
    let (process, mut platform) = home.serve();
    let channel = platform.init();
    assert_all_sign(&mut platform, channel, &ids);
    drop(platform);
    stop(process);
}

#[test]
fn another_file_in_its_place_is_not_written() {
    let home = Home::with_key();
    let other = Home::with_key();
    let (process, mut platform) = home.serve();
    let channel = platform.init();
    let kept = home.path("kept");
    fs::rename(home.vault(), &kept).expect("moved away");
    fs::copy(other.vault(), home.vault()).expect("a copy");
    let foreign = fs::read(home.vault()).expect("the other vault");
    for user in 0..2 {
        assert_eq!(make(&mut platform, channel, user), Err(status::OTHER));
        platform.idle(1_100);
    }
    assert_eq!(
        fs::read(home.vault()).expect("the other vault").len(),
        foreign.len()
    );
    fs::rename(&kept, home.vault()).expect("moved back");
    make_at_last(&mut platform, channel, 9);
    drop(platform);
    let ended = process.signal("-TERM");
    assert!(
        ended.stderr.contains("is another vault now"),
        "{}",
        ended.stderr
    );
    assert!(!home.json(&["key", "list"])["keys"].is_null());
}

/// A mount namespace in which the directory cannot be written, also for root.
fn read_only(home: &Home, directory: &Path, args: &[&str]) -> Command {
    let shell = format!(
        "exec unshare --map-root-user --mount -- bash -c 'mount --bind \"$0\" \"$0\" && mount -o \
         remount,bind,ro \"$0\" && exec \"$@\"' '{}' \"$@\"",
        directory.display()
    );
    behind(home, &shell, args)
}

#[test]
fn read_only_directory_is_told_with_what_to_do() {
    let home = Home::with_key();
    let directory = home.vault().parent().expect("a directory").to_owned();
    let ended = end(&mut read_only(&home, &directory, &["key", "list"]));
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    let part = "mount the file system so that it can be written";
    assert!(ended.stderr.contains(part), "{}", ended.stderr);
    // And nothing was made of it.
    assert_eq!(home.json(&["key", "list"])["keys"][0]["name"], "main");
}
