//! `roamkey passkey`: what was made over USB is listed, renamed and deleted in the vault.

use serde_json::Value;

use super::home::{Home, assert_fits, stop};
use crate::support::{
    cbor,
    cose::PublicKey,
    ctap2::{GetAssertion, MakeCredential, Registered, status},
    pin::{Protocol, permission},
};

/// Makes passkeys as a browser does.
fn register(home: &Home, requests: &[MakeCredential]) -> Vec<Registered> {
    let (process, mut platform) = home.serve();
    let channel = platform.init();
    let made = requests.iter().map(|request| {
        let made = platform.make(channel, request);
        made.expect("a credential")
    });
    let made = made.collect();
    drop(platform);
    stop(process);
    made
}

fn hex(bytes: &[u8]) -> String {
    base16ct::lower::encode_string(bytes)
}

/// As much of an id as lists show.
fn head(id: &str) -> &str {
    id.split_at(8).0
}

fn list(home: &Home, more: &[&str]) -> Vec<Value> {
    let listed = home.json(&[["passkey", "list"].as_slice(), more].concat());
    listed["passkeys"].as_array().expect("a list").clone()
}

#[test]
fn passkeys_are_listed_by_key_and_site() {
    let home = Home::with_key();
    assert_eq!(
        home.done(&["passkey", "list"]).trim(),
        "There are no passkeys."
    );
    let mut named = MakeCredential::discoverable("example.org", b"bob");
    named.user_name = Some("bob@example.org");
    named.display_name = Some("Bob");
    let mut nameless = MakeCredential::discoverable("example.net", &[0xab, 0xcd]);
    nameless.user_name = None;
    let requests = [
        MakeCredential::discoverable("example.com", b"alice"),
        named,
        nameless,
        MakeCredential::new("not-discoverable.example", b"alice"),
    ];
    let made = register(&home, &requests);
    home.done(&["key", "add", "other"]);

    let all = list(&home, &[]);
    let sites: Vec<_> = all
        .iter()
        .map(|passkey| passkey["rp_id"].as_str())
        .collect();
    let expected = ["example.com", "example.org", "example.net"].map(Some);
    assert_eq!(sites, expected, "the oldest first");
    assert_eq!(all[1]["id"], hex(&made[1].id));
    assert_eq!(all[1]["user_name"], "bob@example.org");
    assert_eq!(all[1]["user_display_name"], "Bob");
    assert_eq!(all[1]["user_handle"], hex(b"bob"));
    assert_eq!(all[1]["algorithm"], -7);
    assert_eq!(all[1]["key"], "main");
    assert_eq!(all[2]["user_name"], Value::Null);
    assert!(
        all.iter()
            .all(|passkey| passkey.get("private_key").is_none())
    );

    let text = home.done(&["credential", "list"]);
    assert!(text.starts_with("ID"), "{text}");
    assert_eq!(text.lines().count(), 4, "{text}");
    assert!(text.contains(head(&hex(&made[0].id))), "{text}");
    assert!(text.contains("(user handle abcd)"), "{text}");

    assert_eq!(list(&home, &["--rp", "example.org"]).len(), 1);
    assert_eq!(list(&home, &["--key", "main"]).len(), 3);
    assert!(list(&home, &["--key", "other"]).is_empty());
    let none = home.done(&["passkey", "list", "--rp", "example.edu"]);
    assert_eq!(none.trim(), "There are no passkeys of example.edu.");
    let said = home.fails(1, &["passkey", "list", "--key", "third"]);
    assert!(said.contains("main, other"), "{said}");
}

#[test]
fn list_of_what_sites_call_themselves_fits_80_columns() {
    let home = Home::with_key();
    let mut long = MakeCredential::discoverable(
        "a-very-long-name-of-a-site-that-goes-on-and-on-and-on.and-on.example.com",
        b"1",
    );
    long.user_name = Some("a-name-as-long-as-can-be-64-bytes-are-kept-of-it-and-no-more@x.y");
    let mut wide = MakeCredential::discoverable("xn--1lqs71d.example", b"2");
    wide.user_name = Some("東京東京東京東京東京東京東京東京東京東京東");
    let mut evil = MakeCredential::discoverable("evil.example", b"3");
    evil.user_name = Some("a\u{1b}[2J\u{202e}b\nc");
    register(&home, &[long, wide, evil]);
    for args in [["passkey", "list"], ["passkey", "show"]] {
        let id = list(&home, &[])[0]["id"]
            .as_str()
            .expect("an id")
            .to_owned();
        let args: Vec<_> = match args[1] {
            "show" => args.iter().copied().chain([id.as_str()]).collect(),
            _ => args.to_vec(),
        };
        let text = home.done(&args);
        assert_fits(&text, "");
        assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text}");
    }
    let text = home.done(&["passkey", "list"]);
    assert_eq!(text.lines().count(), 4, "{text}");
    assert!(text.contains("a-very-long"), "{text}");
}

#[test]
fn show_tells_all_that_is_no_secret() {
    let home = Home::with_key();
    let mut request = MakeCredential::discoverable("example.com", b"alice")
        .extension("credProtect", 2)
        .extension("credBlob", vec![1, 2, 3]);
    request.algorithms = vec![-8];
    let made = register(&home, &[request]);
    let id = hex(&made[0].id);
    let shown = home.json(&["passkey", "show", id.split_at(4).0]);
    let passkey = &shown["passkey"];
    assert_eq!(passkey["id"], id);
    assert_eq!(passkey["algorithm"], -8);
    assert_eq!(passkey["cred_protect"], 2);
    assert_eq!(passkey["cred_blob_len"], 3);
    assert_eq!(passkey["sequence"], 0);
    assert!(passkey["counter_ceiling"].as_u64() > Some(0));
    let cose = passkey["public_key"].as_str().expect("a key");
    let cose = base16ct::lower::decode_vec(cose).expect("hexadecimal");
    let key = PublicKey::from_cose(&cbor::parse(&cose));
    assert_eq!(key, made[0].public_key, "the one that the site has");

    let text = home.done(&["passkey", "show", &id.to_uppercase()]);
    for part in [
        "example.com",
        "alice",
        "EdDSA (COSE -8)",
        "3 bytes",
        id.split_at(64).0,
        id.split_at(64).1,
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let members = passkey.as_object().expect("an object").len();
    assert_eq!(passkey["discoverable"], true);
    assert_eq!(members, 19, "as documented: {passkey}");
}

#[test]
fn rsa_key_that_is_no_passkey_is_listed_with_a_mark_and_deleted() {
    let home = Home::with_key();
    let passkey = MakeCredential::discoverable("example.com", b"alice");
    let mut other = MakeCredential::new("example.com", b"alice");
    other.algorithms = vec![-257];
    let made = register(&home, &[passkey, other]);
    let discoverable: Vec<_> = list(&home, &[])
        .iter()
        .map(|passkey| passkey["discoverable"].clone())
        .collect();
    assert_eq!(discoverable, [true, false]);
    let text = home.done(&["passkey", "list"]);
    assert_eq!(
        text.matches("(not discoverable) alice").count(),
        1,
        "{text}"
    );
    let id = hex(&made[1].id);
    let text = home.done(&["passkey", "show", &id]);
    assert!(text.contains("RS256 (COSE -257)"), "{text}");
    home.done(&["passkey", "delete", &id, "--yes"]);
    let left = list(&home, &[]);
    assert_eq!(left.len(), 1);
    assert_eq!(left[0]["id"], hex(&made[0].id));
}

#[test]
fn id_that_fits_several_lists_them() {
    let home = Home::with_key();
    let requests: Vec<_> = (0..17_u8)
        .map(|number| MakeCredential::discoverable("example.com", &[number]))
        .collect();
    let made = register(&home, &requests);
    // Of 17 ids two begin with the same of 16 digits.
    let ids: Vec<_> = made.iter().map(|made| hex(&made.id)).collect();
    let digit = (0..16)
        .map(|digit| format!("{digit:x}"))
        .max_by_key(|digit| ids.iter().filter(|id| id.starts_with(digit)).count())
        .expect("a digit");
    let fitting: Vec<_> = ids.iter().filter(|id| id.starts_with(&digit)).collect();
    assert!(fitting.len() > 1);
    let said = home.fails(1, &["passkey", "show", &digit]);
    for id in fitting.iter().take(10) {
        assert!(said.contains(head(id)), "{said}");
    }
    let said = home.fails(1, &["passkey", "delete", &digit, "--yes"]);
    assert!(said.contains("type more"), "{said}");
    assert_eq!(list(&home, &[]).len(), 17);

    let said = home.fails(1, &["passkey", "show", "0123456789abcdef0123456789abcdef"]);
    assert!(said.contains("no passkey's id begins"), "{said}");
    for id in ["", "xyz", "-"] {
        let said = home.fails(2, &["passkey", "show", id]);
        assert!(said.contains("hexadecimal"), "{said}");
    }
}

#[test]
fn renamed_account_is_what_the_key_tells() {
    let home = Home::with_key();
    let made = register(
        &home,
        &[MakeCredential::discoverable("example.com", b"alice")],
    );
    let id = hex(&made[0].id);
    let said = home.fails(2, &["passkey", "rename", &id]);
    assert!(said.contains("--display-name"), "{said}");
    let renamed = home.json(&["passkey", "rename", &id, "--display-name", "Alice L."]);
    assert_eq!(renamed["passkey"]["user_name"], "alice", "as it was");
    assert_eq!(renamed["passkey"]["user_display_name"], "Alice L.");
    let said = home.done(&[
        "passkey",
        "rename",
        &id,
        "--name",
        "carol",
        "--display-name",
        "",
    ]);
    assert!(said.contains("carol") && said.contains("(none)"), "{said}");
    let long = "é".repeat(40);
    let renamed = home.json(&["passkey", "rename", &id, "--name", &long]);
    assert_eq!(
        renamed["passkey"]["user_name"],
        "é".repeat(32),
        "as it is kept"
    );
    home.done(&["passkey", "rename", &id, "--name", "carol"]);

    let (process, mut platform) = home.serve();
    let channel = platform.init();
    platform
        .set_pin(channel, Protocol::Two, "1234")
        .expect("set");
    let token = platform
        .token(channel, Protocol::Two, "1234", (permission::CM, None))
        .expect("a token");
    let managed = platform
        .credentials(channel, &token, "example.com")
        .expect("one");
    assert_eq!(managed[0].id, made[0].id);
    let name = cbor::text(cbor::member(&managed[0].user, "name"));
    assert_eq!(name, "carol");
    assert_eq!(cbor::member(&managed[0].user, "displayName"), None);
    assert_eq!(managed[0].public_key, made[0].public_key);
    drop(platform);
    stop(process);
}

#[test]
fn deleted_passkey_signs_no_more() {
    let home = Home::with_key();
    let requests =
        ["example.com", "example.org"].map(|rp_id| MakeCredential::discoverable(rp_id, b"alice"));
    let made = register(&home, &requests);
    let id = hex(&made[0].id);
    let said = home.fails(2, &["passkey", "delete", &id]);
    assert!(
        said.contains("nothing was done") && said.contains("--yes"),
        "{said}"
    );
    let asked = home.talk(&["passkey", "delete", &id], &[("Delete it? [y/N]", "no")]);
    assert_eq!(asked.status.code(), Some(1), "{}", asked.stdout);
    assert!(
        asked.stdout.contains("example.com as alice"),
        "{}",
        asked.stdout
    );
    assert_eq!(list(&home, &[]).len(), 2);

    let deleted = home.json(&["passkey", "delete", &id, "--yes"]);
    assert_eq!(deleted["deleted"]["id"], id);
    assert_eq!(list(&home, &[]).len(), 1);
    let (process, mut platform) = home.serve();
    let channel = platform.init();
    let outcome = platform.get(channel, &GetAssertion::new("example.com", &[]));
    assert_eq!(outcome.map(drop), Err(status::NO_CREDENTIALS));
    let asserted = platform.get(channel, &GetAssertion::new("example.org", &[]));
    asserted
        .expect("an assertion")
        .verify("example.org", &made[1].public_key);
    drop(platform);
    stop(process);

    let id = hex(&made[1].id);
    let text = home.done(&["passkey", "delete", head(&id), "--yes"]);
    assert!(
        text.starts_with("Deleted the passkey of example.org as alice"),
        "{text}"
    );
}
