//! `roamkey key`: keys are made, renamed, wiped and removed.

use serde_json::{Value, json};

use super::home::{Home, assert_fits, stop};
use crate::support::{
    ctap2::{GetAssertion, MakeCredential, status},
    pin::Protocol,
};

fn names(home: &Home) -> Vec<String> {
    let listed = home.json(&["key", "list"]);
    let keys = listed["keys"].as_array().expect("a list");
    let name = |key: &Value| key["name"].as_str().expect("a name").to_owned();
    keys.iter().map(name).collect()
}

#[test]
fn keys_are_added_listed_and_renamed() {
    let home = Home::with_vault();
    let none = home.done(&["key", "list"]);
    assert!(none.contains("roamkey key add NAME"), "{none}");
    let added = home.json(&["key", "add", "work", "--profile", "tiny"]);
    for (name, value) in [
        ("bus_id", json!("1-1")),
        ("name", json!("work")),
        ("profile", json!("tiny")),
        ("passkeys", json!(0)),
        ("pin_is_set", json!(false)),
    ] {
        assert_eq!(added["key"][name], value, "{added}");
    }
    let said = home.done(&["key", "add", "home"]);
    assert!(said.contains("bus id 1-2"), "{said}");
    let renamed = home.json(&["key", "rename", "1-1", "office"]);
    assert_eq!(renamed["key"]["name"], "office");
    assert_eq!(renamed["key"]["id"], added["key"]["id"]);
    assert_eq!(names(&home), ["office", "home"]);

    let text = home.done(&["key", "list"]);
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with("BUS ID  NAME"), "{text}");
    assert!(lines[1].starts_with("1-1     office  tiny"), "{text}");
    assert!(lines[2].starts_with("1-2     home    default"), "{text}");
}

#[test]
fn list_of_long_and_wide_names_fits_80_columns() {
    let home = Home::with_vault();
    let long = "a".repeat(64);
    for name in [
        &long,
        "東京東京東京東京東京東京東京東京東京東",
        "evil\u{202e}eman",
    ] {
        home.done(&["key", "add", name]);
    }
    let text = home.done(&["key", "list"]);
    assert_fits(&text, "");
    assert!(text.contains("aaaa…") && text.contains("東京…"), "{text}");
    assert!(!text.contains('\u{202e}'), "{text}");
    let listed = home.json(&["key", "list"]);
    assert_eq!(
        listed["keys"][0]["name"],
        json!(long),
        "whole in a document"
    );
}

#[test]
fn what_does_not_fit_is_refused() {
    let home = Home::with_key();
    let cases: [(i32, &[&str], &str); 7] = [
        (1, &["add", "main"], "called \"main\" already"),
        (1, &["add", ""], "1 to 64 bytes"),
        (1, &["add", "a\nb"], "control characters"),
        (
            2,
            &["add", "other", "--profile", "none"],
            "no profile and no file",
        ),
        (1, &["rename", "other", "third"], "there is main"),
        (1, &["remove", "other", "--yes"], "there is main"),
        (1, &["wipe", "1-7", "--yes"], "there is main"),
    ];
    for (code, args, part) in cases {
        let said = home.fails(code, &[["key"].as_slice(), args].concat());
        assert!(said.contains(part), "{args:?}: {said}");
    }
    assert_eq!(names(&home), ["main"]);
}

/// A home whose key has a passkey, a PIN and a second factor's registration; that one's id.
fn in_use() -> (Home, Vec<u8>) {
    let home = Home::with_key();
    let (process, mut platform) = home.serve();
    let channel = platform.init();
    let request = MakeCredential::discoverable("example.com", b"alice");
    platform.make(channel, &request).expect("a credential");
    let request = MakeCredential::new("example.org", b"alice");
    let second = platform.make(channel, &request).expect("a credential");
    platform
        .set_pin(channel, Protocol::Two, "1234")
        .expect("set");
    drop(platform);
    stop(process);
    (home, second.id)
}

#[test]
fn what_is_lost_is_listed_before_anything_is_done() {
    let (home, _) = in_use();
    for command in ["remove", "wipe"] {
        let said = home.fails(2, &["key", command, "main"]);
        assert!(said.contains("nothing was done"), "{said}");
        assert!(said.contains("--yes"), "{said}");
        let question = format!(
            "{} the key main? [y/N]",
            match command {
                "remove" => "Remove",
                _ => "Wipe",
            }
        );
        for answer in ["n", "", "perhaps"] {
            let asked = home.talk(&["key", command, "main"], &[(&question, answer)]);
            assert_eq!(asked.status.code(), Some(1), "{}", asked.stdout);
            for part in [
                "1 passkey",
                "example.com",
                "alice",
                "its PIN",
                "cannot be counted",
                "nothing was done",
            ] {
                let stdout = asked.stdout.replace("\r\n", " ");
                assert!(stdout.contains(part), "{part}: {stdout}");
            }
        }
    }
    assert_eq!(home.json(&["key", "list"])["keys"][0]["passkeys"], 1);
}

#[test]
fn removed_key_is_gone() {
    let (home, _) = in_use();
    home.done(&["key", "add", "other"]);
    let removed = home.json(&["key", "remove", "main", "--yes"]);
    assert_eq!(removed["key"]["name"], "main");
    assert_eq!(removed["lost"]["pin"], true);
    let lost = removed["lost"]["passkeys"].as_array().expect("a list");
    assert_eq!(lost.len(), 1);
    assert_eq!(lost[0]["rp_id"], "example.com");
    assert_eq!(names(&home), ["other"]);
    let asked = home.talk(
        &["key", "remove", "1-2"],
        &[("Remove the key other? [y/N]", "yes")],
    );
    assert_eq!(asked.status.code(), Some(0), "{}", asked.stdout);
    assert!(asked.stdout.contains("no passkey"), "{}", asked.stdout);
    assert!(names(&home).is_empty());
}

#[test]
fn wiped_key_is_as_good_as_new_and_keeps_its_identity() {
    let (home, second) = in_use();
    let before = home.json(&["key", "list"])["keys"][0].clone();
    let said = home.done(&["key", "wipe", "main", "--yes"]);
    assert!(said.contains("1 passkey and its PIN"), "{said}");
    let after = home.json(&["key", "list"])["keys"][0].clone();
    for member in ["id", "name", "serial", "profile", "created", "bus_id"] {
        assert_eq!(before[member], after[member], "{member}");
    }
    assert_eq!(after["passkeys"], 0);
    assert_eq!(after["pin_is_set"], false);
    let (process, mut platform) = home.serve();
    let channel = platform.init();
    for request in [
        GetAssertion::new("example.com", &[]),
        GetAssertion::new("example.org", &[&second]),
    ] {
        let outcome = platform.get(channel, &request).map(drop);
        assert_eq!(outcome, Err(status::NO_CREDENTIALS));
    }
    drop(platform);
    stop(process);
}
