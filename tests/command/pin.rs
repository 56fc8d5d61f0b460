//! `roamkey pin`: set and changed in the vault under the key's own rules, and used over USB.

use serde_json::json;

use super::home::{Home, stop};
use crate::support::{
    cbor,
    ctap2::status,
    manage::config,
    pin::{Protocol, permission},
};

/// A home with a key, and files with these PINs by their names.
fn home(pins: &[&str]) -> (Home, Vec<String>) {
    let home = Home::with_key();
    let files = pins.iter().map(|pin| home.file(&format!("pin-{pin}"), pin));
    let files = files.collect();
    (home, files)
}

#[test]
fn pin_that_was_set_in_the_vault_is_the_keys() {
    let (home, pins) = home(&["1234", "567890"]);
    let before = home.json(&["pin", "status"]);
    let expected = json!({
        "key": "main", "offered": true, "is_set": false, "retries": 8, "blocked": false,
        "min_length": 4, "must_change": false,
    });
    assert_eq!(before, expected);
    let text = home.done(&["pin", "status"]);
    for part in ["PIN            none", "8 of 8", "4 characters"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let set = home.json(&["pin", "set", "--new-pin-file", &pins[0]]);
    assert_eq!(set["is_set"], true);
    let said = home.fails(1, &["pin", "set", "--new-pin-file", &pins[1]]);
    assert!(said.contains("roamkey pin change"), "{said}");
    assert_eq!(home.json(&["key", "list"])["keys"][0]["pin_is_set"], true);

    let (process, mut platform) = home.serve();
    let channel = platform.init();
    let token = platform.token(channel, Protocol::Two, "1234", (permission::CM, None));
    token.map(drop).expect("the right PIN");
    let wrong = platform.token(channel, Protocol::Two, "4321", (permission::CM, None));
    assert_eq!(wrong.map(drop), Err(status::PIN_INVALID));
    drop(platform);
    stop(process);
    assert_eq!(home.json(&["pin", "status"])["retries"], 7, "one for both");

    let change = [
        "pin",
        "change",
        "--pin-file",
        &pins[0],
        "--new-pin-file",
        &pins[1],
    ];
    let said = home.done(&change);
    assert_eq!(said.trim(), "Changed the PIN of the key main.");
    let (process, mut platform) = home.serve();
    let channel = platform.init();
    assert_eq!(platform.pin_retries(channel), Ok((8, false)));
    let old = platform.token(channel, Protocol::Two, "1234", (permission::CM, None));
    assert_eq!(old.map(drop), Err(status::PIN_INVALID));
    let token = platform.token(channel, Protocol::Two, "567890", (permission::CM, None));
    token.map(drop).expect("the right PIN");
    drop(platform);
    stop(process);
}

#[test]
fn pin_is_typed_at_a_terminal() {
    let (home, _) = home(&[]);
    let set = home.talk(
        &["pin", "set"],
        &[
            ("New PIN of the key main, 4 characters", "4711"),
            ("again:", "4711"),
        ],
    );
    assert_eq!(set.status.code(), Some(0), "{}", set.stdout);
    let changed = home.talk(
        &["pin", "change", "--key", "1-1"],
        &[
            ("PIN of the key main: ", "4711"),
            ("New PIN of the key main", "0815"),
            ("again:", "0815"),
        ],
    );
    assert_eq!(changed.status.code(), Some(0), "{}", changed.stdout);
    for text in [&set.stdout, &changed.stdout] {
        assert!(!text.contains("4711") && !text.contains("0815"), "{text}");
    }
    let said = home.fails(2, &["pin", "change"]);
    assert!(said.contains("--pin-file"), "{said}");
    assert_eq!(home.json(&["pin", "status"])["retries"], 8);
}

#[test]
fn new_pin_is_held_against_the_rules() {
    let long = "1".repeat(64);
    let (home, pins) = home(&["123", &long, "1234", "ÄÖÜß"]);
    for (pin, part) in [(&pins[0], "4 characters at least"), (&pins[1], "63 bytes")] {
        let said = home.fails(1, &["pin", "set", "--new-pin-file", pin]);
        assert!(said.contains(part), "{said}");
    }
    let said = home.fails(
        1,
        &[
            "pin",
            "change",
            "--pin-file",
            &pins[2],
            "--new-pin-file",
            &pins[3],
        ],
    );
    assert!(said.contains("roamkey pin set"), "{said}");
    home.done(&["pin", "set", "--new-pin-file", &pins[3]]);
    // The right PIN has its attempt back, whatever is wrong with the new one.
    let said = home.fails(
        1,
        &[
            "pin",
            "change",
            "--pin-file",
            &pins[3],
            "--new-pin-file",
            &pins[0],
        ],
    );
    assert!(said.contains("too short"), "{said}");
    assert_eq!(home.json(&["pin", "status"])["retries"], 8);
}

#[test]
fn wrong_pins_cost_attempts_until_it_is_blocked() {
    let (home, pins) = home(&["1234", "4321"]);
    home.done(&["pin", "set", "--new-pin-file", &pins[0]]);
    let wrong = [
        "pin",
        "change",
        "--pin-file",
        &pins[1],
        "--new-pin-file",
        &pins[0],
    ];
    for left in (1..8).rev() {
        let said = home.fails(1, &wrong);
        let attempts = if left == 1 { "attempt" } else { "attempts" };
        assert!(said.contains(&format!("{left} {attempts}\n")), "{said}");
        assert!(!said.contains("4321"), "{said}");
        assert_eq!(home.json(&["pin", "status"])["retries"], left);
    }
    let said = home.fails(1, &wrong);
    assert!(
        said.contains("blocked") && said.contains("roamkey key wipe"),
        "{said}"
    );
    let right = [
        "pin",
        "change",
        "--pin-file",
        &pins[0],
        "--new-pin-file",
        &pins[1],
    ];
    let said = home.fails(1, &right);
    assert!(said.contains("blocked"), "{said}");
    assert_eq!(home.json(&["pin", "status"])["blocked"], true);
    assert!(home.done(&["key", "list"]).contains("blocked"));

    let (process, mut platform) = home.serve();
    let channel = platform.init();
    let token = platform.token(channel, Protocol::Two, "1234", (permission::CM, None));
    assert_eq!(token.map(drop), Err(status::PIN_BLOCKED));
    drop(platform);
    stop(process);
    home.done(&["key", "wipe", "main", "--yes"]);
    home.done(&["pin", "set", "--new-pin-file", &pins[1]]);
}

#[test]
fn forced_change_wants_another_pin() {
    let (home, pins) = home(&["1234", "12345", "123456"]);
    home.done(&["pin", "set", "--new-pin-file", &pins[0]]);
    let (process, mut platform) = home.serve();
    let channel = platform.init();
    let token = platform
        .token(channel, Protocol::Two, "1234", (permission::ACFG, None))
        .expect("a token");
    let longer = cbor::map([(1, ciborium::Value::from(6))]);
    let subcommand = config::SET_MIN_PIN_LENGTH;
    let done = platform.configure(channel, Some(&token), subcommand, Some(longer));
    done.expect("raised");
    drop(platform);
    stop(process);

    let pin = home.json(&["pin", "status"]);
    assert_eq!(
        (&pin["must_change"], &pin["min_length"]),
        (&json!(true), &json!(6))
    );
    let text = home.done(&["pin", "status"]);
    assert!(text.contains("must be changed"), "{text}");
    for (new, part) in [(&pins[1], "6 characters"), (&pins[0], "6 characters")] {
        let said = home.fails(
            1,
            &[
                "pin",
                "change",
                "--pin-file",
                &pins[0],
                "--new-pin-file",
                new,
            ],
        );
        assert!(said.contains(part), "{said}");
    }
    home.done(&[
        "pin",
        "change",
        "--pin-file",
        &pins[0],
        "--new-pin-file",
        &pins[2],
    ]);
    let pin = home.json(&["pin", "status"]);
    assert_eq!(
        (&pin["must_change"], &pin["retries"]),
        (&json!(false), &json!(8))
    );
}

#[test]
fn key_is_named_where_there_are_several() {
    let (home, pins) = home(&["1234"]);
    home.done(&["key", "add", "other", "--profile", "u2f-only"]);
    for args in [
        ["pin", "status"].as_slice(),
        &["pin", "set", "--new-pin-file", &pins[0]],
    ] {
        let said = home.fails(2, args);
        assert!(said.contains("--key NAME (main, other)"), "{said}");
    }
    let set = ["pin", "set", "--key", "other", "--new-pin-file", &pins[0]];
    let said = home.fails(1, &set);
    assert!(said.contains("its profile has no PIN"), "{said}");
    assert_eq!(
        home.json(&["pin", "status", "--key", "other"])["offered"],
        false
    );
    let set = ["pin", "set", "--key", "1-1", "--new-pin-file", &pins[0]];
    assert_eq!(home.json(&set)["key"], "main");

    let empty = Home::with_vault();
    let said = empty.fails(1, &["pin", "status"]);
    assert!(said.contains("roamkey key add"), "{said}");
}
