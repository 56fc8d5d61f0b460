//! The port, the vault and other roamkeys.

use super::{Fake, SERVING, State, desktop, report};

const VAULT: &str = "/home/you/.local/share/roamkey/vault.redb";

/// A program that listens on 3240 with the socket 777.
fn listener(fake: Fake) -> Fake {
    fake.taken(3240).taken(3241).file(
        "/proc/net/tcp",
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
         \x20  0: 0100007F:0CA8 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 555 1 0\n\
         \x20  1: 00000000:0CA8 00000000:0000 0A 00000000:00000000 00:00000000 00000000   112        0 777 1 0\n",
    )
}

#[test]
fn taken_port_names_who_has_it_and_the_next_free_one() {
    let fake = listener(desktop())
        .link("/proc/900/fd/3", "socket:[555]")
        .link("/proc/901/fd/3", "socket:[777]")
        .file("/proc/901/comm", "usbipd\n");
    let report = report(&fake);
    let port = report.check("127.0.0.1:3240");
    assert_eq!(port.state, State::Warning);
    assert_eq!(port.found, "usbipd has it (process 901)");
    assert_eq!(port.typed(), "roamkey run --listen 127.0.0.1:3242");
    assert!(report.road(SERVING).open);
    assert_eq!(
        report.road(SERVING).how,
        "roamkey run --listen 127.0.0.1:3242"
    );
}

#[test]
fn program_that_may_not_be_looked_at_is_named_by_its_user() {
    let report = report(&listener(desktop()));
    assert_eq!(
        report.check("127.0.0.1:3240").found,
        "a program of user 112 has it"
    );
}

#[test]
fn roamkey_that_has_the_port_is_no_stranger() {
    let fake = listener(desktop())
        .link("/proc/901/fd/3", "socket:[777]")
        .file("/proc/901/comm", "roamkey\n");
    assert!(
        report(&fake)
            .check("127.0.0.1:3240")
            .told()
            .contains("already")
    );
}

#[test]
fn roamkey_that_hides_its_files_is_known_by_its_user_and_name() {
    let status =
        |user| format!("Name:\troamkey\nState:\tS\nUid:\t{user}\t{user}\t{user}\t{user}\n");
    let fake = |user| {
        listener(desktop())
            .file("/proc/901/comm", "roamkey\n")
            .file("/proc/901/status", &status(user))
    };
    let ours = report(&fake("112"));
    assert!(ours.check("127.0.0.1:3240").told().contains("already"));
    let theirs = report(&fake("113"));
    let found = "a program of user 112 has it";
    assert_eq!(theirs.check("127.0.0.1:3240").found, found);
    // One that shows its files has other ports.
    let open = fake("112").link("/proc/901/fd/3", "socket:[778]");
    assert_eq!(report(&open).check("127.0.0.1:3240").found, found);
}

#[test]
fn machine_without_any_road_says_so() {
    let report = report(&desktop().no_network());
    assert!(!report.road(SERVING).open);
    assert!(!report.is_any_road_open());
    assert_eq!(
        report.check("127.0.0.1:3240").typed(),
        "sudo ip link set lo up"
    );
}

#[test]
fn vault_of_another_user_or_open_to_others_is_told() {
    let none = report(&desktop());
    assert_eq!(none.check("vault").state, State::NotApplicable);
    let theirs = desktop().file(VAULT, "").refused(VAULT);
    let theirs = report(&theirs);
    assert_eq!(theirs.check("vault").state, State::Failed);
    assert_eq!(
        theirs.check("vault").typed(),
        format!("sudo chown \"$(id -u)\" {VAULT}")
    );
    let open = report(&desktop().file(VAULT, "").mode(VAULT, 0o644));
    assert_eq!(open.check("vault").state, State::Warning);
    assert!(open.check("vault").found.ends_with("mode 0644"));
    assert_eq!(open.check("vault").typed(), format!("chmod 600 {VAULT}"));
    let home = report(&desktop().refused("/home/you"));
    assert!(
        home.check("vault")
            .found
            .contains("may not write to /home/you")
    );
    assert!(home.check("vault").typed().ends_with(" /home/you"));
    let nowhere = report(&desktop().env("HOME", "/nonexistent").refused("/"));
    assert!(nowhere.check("vault").found.ends_with("may not write to /"));
    assert_eq!(
        nowhere.check("vault").command,
        None,
        "nobody is told to take /"
    );
}

#[test]
fn sockets_of_processes_that_are_gone_do_not_count() {
    let place = "/home/you/.local/state/roamkey/run";
    let fake = desktop()
        .directory("/proc/self")
        .directory("/proc/17")
        .file(&format!("{place}/17.sock"), "")
        .file(&format!("{place}/17.token"), "")
        .file(&format!("{place}/18.sock"), "")
        .env("XDG_RUNTIME_DIR", "/run/user/1000");
    let told = report(&fake);
    assert_eq!(told.check("running").found, "process 17");
    assert_eq!(
        told.check("runtime directory").found,
        place,
        "the other is not there"
    );
    let closed = report(&fake.refused(place));
    assert_eq!(closed.check("runtime directory").state, State::Failed);
}
