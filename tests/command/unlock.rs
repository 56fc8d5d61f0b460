//! `roamkey vault unlock` and `vault recovery-code`: ways in are added, used and removed.

use std::{fs, process::Command};

use serde_json::json;

use super::{
    home::{Home, assert_fits, text_of},
    process::{command, end},
};

const PASSPHRASE: &str = "five words are long enough";

#[test]
fn added_ways_open_the_vault_each_alone() {
    let home = Home::with_key();
    let right = home.file("right", PASSPHRASE);
    let wrong = home.file("wrong", "another passphrase");
    let said = home.done(&[
        "vault",
        "unlock",
        "add",
        "passphrase",
        "--new-passphrase-file",
        &right,
    ]);
    assert!(said.contains("saw that it opens the vault"), "{said}");
    let out = text_of(&home.path("second.key"));
    let added = home.json(&["vault", "unlock", "add", "keyfile", "--out", &out]);
    assert_eq!(added["unlock"]["id"], 3);
    assert_eq!(added["unlock"]["path"], json!(out));
    assert!(added["protects"].is_string() && added["does_not_protect"].is_string());

    let listed = home.json(&["vault", "unlock", "list"]);
    let kinds: Vec<_> = listed["unlocks"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|unlock| unlock["kind"].as_str().expect("a kind"))
        .collect();
    assert_eq!(kinds, ["keyfile", "passphrase", "keyfile"]);
    let text = home.done(&["vault", "unlock", "list"]);
    assert_eq!(text.lines().count(), 4, "{text}");
    assert_fits(&text, "");

    fs::remove_file(home.path("data/roamkey/vault.redb.key")).expect("removed");
    for way in [["--passphrase-file", &right], ["--key-file", &out]] {
        home.done(&[["key", "list"].as_slice(), &way].concat());
    }
    let said = home.fails(1, &["key", "list", "--passphrase-file", &wrong]);
    assert!(said.contains("does not open this vault"), "{said}");
    assert!(!said.contains("another passphrase"), "{said}");
    let said = home.fails(1, &["key", "list", "--keyring"]);
    assert!(said.contains("not unlocked by a keyring"), "{said}");
}

#[test]
fn add_that_does_not_fit_changes_nothing() {
    let home = Home::with_vault();
    let there = home.file("there", "something else");
    let short = home.file("short", "short");
    let cases: [(i32, &[&str], &str); 5] = [
        (1, &["keyfile", "--out", &there], "not overwritten"),
        (
            1,
            &["passphrase", "--new-passphrase-file", &short],
            "8 characters",
        ),
        (1, &["keyring"], "keyring: there is none"),
        (2, &["keyring", "--out", &there], "add keyfile"),
        (
            2,
            &["keyfile", "--new-passphrase-file", &there],
            "add passphrase",
        ),
    ];
    for (code, args, part) in cases {
        let said = home.fails(
            code,
            &[["vault", "unlock", "add"].as_slice(), args].concat(),
        );
        assert!(said.contains(part), "{args:?}: {said}");
    }
    assert_eq!(
        fs::read_to_string(&there).expect("a file"),
        "something else"
    );
    let listed = home.json(&["vault", "unlock", "list"]);
    assert_eq!(listed["unlocks"].as_array().map(Vec::len), Some(1));
}

#[test]
fn removed_way_opens_it_no_more_and_its_file_is_gone() {
    let home = Home::with_key();
    let out = text_of(&home.path("second.key"));
    home.done(&["vault", "unlock", "add", "keyfile", "--out", &out]);
    let copy = fs::read(&out).expect("a file");

    let several = home.fails(2, &["vault", "unlock", "remove", "keyfile", "--yes"]);
    assert!(several.contains("by its id"), "{several}");
    let unknown = home.fails(1, &["vault", "unlock", "remove", "passphrase", "--yes"]);
    assert!(
        unknown.contains("no unlock of the kind passphrase"),
        "{unknown}"
    );
    let nonsense = home.fails(2, &["vault", "unlock", "remove", "door", "--yes"]);
    assert!(nonsense.contains("recovery-code"), "{nonsense}");

    let said = home.fails(2, &["vault", "unlock", "remove", "2"]);
    assert!(
        said.contains("nothing was done") && said.contains("--yes"),
        "{said}"
    );
    assert!(home.path("second.key").exists());

    let removed = home.json(&["vault", "unlock", "remove", "2", "--yes"]);
    assert_eq!(removed["removed"]["id"], 2);
    assert_eq!(removed["left_behind"], serde_json::Value::Null);
    assert_eq!(removed["unlocks"].as_array().map(Vec::len), Some(1));
    assert!(!home.path("second.key").exists());
    fs::write(&out, copy).expect("written");
    let said = home.fails(1, &["key", "list", "--key-file", &out]);
    assert!(said.contains("does not open it"), "{said}");

    // The only way stays.
    let said = home.fails(1, &["vault", "unlock", "remove", "1", "--yes"]);
    assert!(said.contains("last way to unlock"), "{said}");
    home.done(&["key", "list"]);
}

#[test]
fn removing_says_that_old_copies_still_open() {
    let home = Home::with_vault();
    let passphrase = home.file("passphrase", PASSPHRASE);
    home.done(&[
        "vault",
        "unlock",
        "add",
        "passphrase",
        "--new-passphrase-file",
        &passphrase,
    ]);
    let words = "does not change the key that everything in the vault";
    let refused = home.talk(
        &["vault", "unlock", "remove", "passphrase"],
        &[("Remove it? [y/N]", "n")],
    );
    assert_eq!(refused.status.code(), Some(1), "{}", refused.stderr);
    assert!(refused.stdout.contains(words), "{}", refused.stdout);
    assert!(
        refused.stdout.contains("These still unlock it"),
        "{}",
        refused.stdout
    );
    let done = home.talk(
        &["vault", "unlock", "remove", "passphrase"],
        &[("Remove it? [y/N]", "y")],
    );
    assert_eq!(done.status.code(), Some(0), "{}", done.stdout);
    let said = home.fails(1, &["key", "list", "--passphrase-file", &passphrase]);
    assert!(said.contains("not unlocked by a passphrase"), "{said}");
}

#[test]
fn passphrase_is_typed_twice_and_asked_for() {
    let home = Home::with_key();
    let added = home.talk(
        &["vault", "unlock", "add", "passphrase"],
        &[("New passphrase", PASSPHRASE), ("again:", PASSPHRASE)],
    );
    assert_eq!(added.status.code(), Some(0), "{}", added.stdout);
    assert!(!added.stdout.contains(PASSPHRASE), "{}", added.stdout);
    home.done(&["vault", "unlock", "remove", "keyfile", "--yes"]);
    let listed = home.talk(
        &["key", "list"],
        &[("Passphrase of the vault:", PASSPHRASE)],
    );
    assert!(listed.stdout.contains("main"), "{}", listed.stdout);
    let wrong = home.talk(
        &["key", "list"],
        &[("Passphrase of the vault:", "no, not that")],
    );
    assert_eq!(wrong.status.code(), Some(1));
    assert!(wrong.stdout.contains("Caps Lock"), "{}", wrong.stdout);
    let said = home.fails(1, &["key", "list"]);
    assert!(
        said.contains("a passphrase: --passphrase-file FILE"),
        "{said}"
    );
}

#[test]
fn recovery_code_opens_the_vault_until_it_is_replaced() {
    let home = Home::with_key();
    let text = home.done(&["vault", "recovery-code"]);
    assert!(text.contains("Write it down now"), "{text}");
    let code = text.lines().map(str::trim).find(|line| line.len() == 34);
    let first = home.file("first", code.expect("a code"));
    home.done(&["key", "list", "--recovery-code-file", &first]);

    let said = home.fails(2, &["vault", "recovery-code"]);
    assert!(said.contains("nothing was done"), "{said}");
    let kept = home.talk(&["vault", "recovery-code"], &[("Replace it? [y/N]", "")]);
    assert_eq!(kept.status.code(), Some(1), "{}", kept.stdout);
    home.done(&["key", "list", "--recovery-code-file", &first]);

    let made = home.json(&["vault", "recovery-code", "--yes"]);
    assert_eq!(made["replaced"], json!([2]));
    assert_eq!(made["unlock"]["kind"], "recovery-code");
    let second = home.file("second", made["recovery_code"].as_str().expect("a code"));
    home.done(&["key", "list", "--recovery-code-file", &second]);
    let said = home.fails(1, &["key", "list", "--recovery-code-file", &first]);
    assert!(said.contains("removed or replaced"), "{said}");
    let slip = home.file("slip", "0000-0000");
    let said = home.fails(1, &["key", "list", "--recovery-code-file", &slip]);
    assert!(said.contains("28 letters and digits"), "{said}");
}

#[test]
fn code_alone_is_left_only_after_saying_so() {
    let home = Home::with_vault();
    home.done(&["vault", "recovery-code"]);
    let said = home.fails(2, &["vault", "unlock", "remove", "keyfile"]);
    assert!(said.contains("only a recovery code is left"), "{said}");
    let asked = home.talk(
        &["vault", "unlock", "remove", "keyfile"],
        &[("only a recovery code is left? [y/N]", "n")],
    );
    assert!(
        asked.stdout.contains("If the sheet is lost"),
        "{}",
        asked.stdout
    );
    let text = home.done(&["vault", "unlock", "remove", "keyfile", "--yes"]);
    assert!(text.contains("Removed unlock 1"), "{text}");
    let said = home.fails(1, &["vault", "unlock", "remove", "recovery-code", "--yes"]);
    assert!(said.contains("a recovery code: --recovery-code"), "{said}");
}

/// In a session of its own, since there is one keyring for each.
#[test]
fn keyring_opens_the_vault_in_its_session() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/keyring-session");
    let program = command(&[]);
    let mut session = Command::new(script);
    session.env("ROAMKEY", program.get_program()).args([
        "sh",
        "-ec",
        r#"
        "$ROAMKEY" vault init --with keyring
        "$ROAMKEY" key add main
        "$ROAMKEY" vault unlock list
        "$ROAMKEY" vault unlock add keyfile --out "$HOME/out.key"
        "$ROAMKEY" vault unlock remove keyring --yes
        ! "$ROAMKEY" key list --keyring
        "$ROAMKEY" vault unlock add keyring
        "$ROAMKEY" vault unlock remove keyfile --yes
        "$ROAMKEY" key list
        "#,
    ]);
    let ended = end(&mut session);
    assert!(ended.status.success(), "{}{}", ended.stdout, ended.stderr);
    for part in [
        "Your keyring unlocks it",
        "entry ",
        "Removed unlock 1, the keyring",
        "default",
    ] {
        assert!(ended.stdout.contains(part), "{part}: {}", ended.stdout);
    }
    assert!(
        ended.stderr.contains("not unlocked by a keyring"),
        "{}",
        ended.stderr
    );
}
