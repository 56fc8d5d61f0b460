//! The keyring slot against a real keyring: these tests run themselves again in a session that
//! `scripts/keyring-session` makes, or in one that has no keyring.

use std::{
    env,
    process::{Command, Output},
};

use super::*;

/// What the script sets in the session that it makes.
const IN_SESSION: &str = "ROAMKEY_KEYRING_SESSION";
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/keyring-session");

/// Runs this test again through `command`, which gets the test's program and arguments.
fn again(mut command: Command, test: &str) -> Output {
    let name = format!("{}::{test}", module_path!());
    let name = name.split_once("::").expect("a crate's name").1;
    command
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .output()
        .expect("a program that starts")
}

fn check(output: &Output) {
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && stdout.contains("1 passed"),
        "{}\n{stdout}\n{stderr}",
        output.status
    );
}

fn program() -> PathBuf {
    env::current_exe().expect("the test's program")
}

#[test]
fn keyring_of_a_session_opens_until_it_is_forgotten() {
    if env::var_os(IN_SESSION).is_none() {
        let mut command = Command::new(SCRIPT);
        command.arg(program());
        let name = "keyring_of_a_session_opens_until_it_is_forgotten";
        return check(&again(command, name));
    }
    let keyring = || Unlock::Keyring;
    let slot = stored(&create(1, &keyring()).expect("a slot"));
    let other = create(2, &keyring()).expect("a slot");
    assert_eq!(
        error(&slot, &vault(1), &keyring()),
        None,
        "outside a runtime"
    );
    let runtimes = [
        tokio::runtime::Builder::new_current_thread().build(),
        tokio::runtime::Builder::new_multi_thread().build(),
    ];
    for runtime in runtimes {
        let opened = runtime
            .expect("a runtime")
            .block_on(async { error(&slot, &vault(1), &keyring()) });
        assert_eq!(opened, None, "inside a runtime");
    }

    // Somebody changes what is kept.
    let account = keyring_account(&slot);
    let wrong = Some(UnlockError::Keyring(KeyringError::Wrong {
        account: account.clone(),
    }));
    for key in [[9; 32].as_slice(), &[9; 31], &[]] {
        keyring::store(&account, key).expect("stored");
        assert_eq!(error(&slot, &vault(1), &keyring()), wrong);
    }
    assert_eq!(error(&other, &vault(1), &keyring()), None);

    slot.forget(&vault(1)).expect("removed");
    let missing = Some(UnlockError::Keyring(KeyringError::Missing { account }));
    assert_eq!(error(&slot, &vault(1), &keyring()), missing);
    slot.forget(&vault(1)).expect("nothing left to remove");
    assert_eq!(error(&other, &vault(1), &keyring()), None);

    lock();
    for error in [
        error(&other, &vault(1), &keyring()),
        create(3, &keyring()).err(),
        other.forget(&vault(1)).err(),
    ] {
        let Some(UnlockError::Keyring(KeyringError::Locked(_))) = error else {
            panic!("{error:?}");
        };
    }
}

#[test]
fn keyring_without_a_session_says_that_there_is_none() {
    const NOWHERE: &str = "unix:path=/nowhere/bus";
    if env::var("DBUS_SESSION_BUS_ADDRESS").is_ok_and(|bus| bus == NOWHERE) {
        let error = create(1, &Unlock::Keyring).err();
        let Some(UnlockError::Keyring(KeyringError::Unavailable(_))) = error else {
            panic!("{error:?}");
        };
        return;
    }
    let mut command = Command::new(program());
    command.env("DBUS_SESSION_BUS_ADDRESS", NOWHERE);
    let name = "keyring_without_a_session_says_that_there_is_none";
    check(&again(command, name));
}

fn keyring_account(slot: &Slot) -> String {
    let Method::Keyring { account, .. } = &slot.method else {
        panic!("{:?}", slot.method);
    };
    account.clone()
}

/// Locks the keyring; nobody is there to unlock it again.
fn lock() {
    let status = Command::new("dbus-send")
        .args([
            "--session",
            "--print-reply",
            "--dest=org.freedesktop.secrets",
            "/org/freedesktop/secrets",
            "org.freedesktop.Secret.Service.Lock",
            "array:objpath:/org/freedesktop/secrets/aliases/default",
        ])
        .status()
        .expect("dbus-send of the package dbus");
    assert!(status.success());
}
