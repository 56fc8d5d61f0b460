//! `roamkey vault`: made, looked at, looked through, and an older copy accepted.

use std::fs;

use serde_json::{Value, json};

use super::home::{Home, assert_fits, document, stop, text_of};
use crate::support::ctap2::MakeCredential;

#[test]
fn new_vault_says_what_protects_it_and_is_its_owners_alone() {
    let home = Home::empty();
    let said = home.done(&["vault", "init"]);
    for part in [
        "vault.redb.key unlocks it",
        "What that protects against: Copies",
        "What it\ndoes not: Whoever can read your files",
    ] {
        let said = said.replace('\n', " ");
        assert!(said.contains(&part.replace('\n', " ")), "{part}: {said}");
    }
    assert!(home.path("data/roamkey/vault.redb.key").exists());
    #[cfg(unix)]
    for file in ["vault.redb", "vault.redb.key"] {
        use std::os::unix::fs::PermissionsExt as _;
        let path = home.path("data/roamkey").join(file);
        let mode = fs::metadata(path).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let said = home.fails(1, &["vault", "init"]);
    assert!(said.contains("is there already"), "{said}");
}

#[test]
fn vault_is_made_with_the_way_that_is_chosen() {
    let home = Home::empty();
    let [long, short] = ["five words are so long", "short"].map(|text| home.file(text, text));
    let vault = text_of(&home.path("other.redb"));
    let init = ["vault", "init", "--vault", &vault, "--with", "passphrase"];
    let with = |file| [init.as_slice(), &["--passphrase-file", file]].concat();
    let said = home.fails(1, &with(short.as_str()));
    assert!(said.contains("8 characters at least"), "{said}");
    assert!(!home.path("other.redb").exists());
    let made = home.json(&with(long.as_str()));
    assert_eq!(made["path"], json!(vault));
    assert_eq!(made["unlock"]["kind"], "passphrase");
    assert!(made["unlock"]["argon2"]["memory_kib"].as_u64() >= Some(19 * 1024));
    assert!(
        made["does_not_protect"]
            .as_str()
            .is_some_and(|text| text.contains("guessed"))
    );
    let listed = home.json(&["key", "list", "--vault", &vault, "--passphrase-file", &long]);
    assert_eq!(listed, json!({"keys": []}));
    let said = home.fails(2, &["vault", "init", "--passphrase-file", &long]);
    assert!(said.contains("--with passphrase"), "{said}");
}

#[test]
fn status_tells_what_is_in_it() {
    let home = Home::with_key();
    let status = home.json(&["vault", "status"]);
    let expected = [
        ("path", json!(text_of(&home.vault()))),
        ("unlocked", json!(true)),
        ("problem", Value::Null),
        ("commits", json!(2)),
        ("keys", json!(1)),
        ("passkeys", json!(0)),
    ];
    for (name, value) in expected {
        assert_eq!(status[name], value, "{status}");
    }
    let size = fs::metadata(home.vault()).expect("a file").len();
    assert!(status["size"].as_u64() > Some(0) && size > 0);
    assert_eq!(status["vault_id"].as_str().map(str::len), Some(32));
    let text = home.done(&["vault", "status"]);
    for part in ["commits   2", "passkeys  0", "keyfile"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn locked_vault_tells_what_it_can() {
    let home = Home::with_key();
    let key_file = home.path("data/roamkey/vault.redb.key");
    fs::rename(&key_file, home.path("elsewhere")).expect("renamed");
    let status = home.json(&["vault", "status"]);
    assert_eq!(status["unlocked"], false);
    assert_eq!(status["keys"], Value::Null);
    assert_eq!(status["unlocks"][0]["is_there"], false);
    let problem = status["problem"].as_str().expect("a sentence");
    assert!(problem.contains("--key-file FILE"), "{problem}");
    let text = home.done(&["vault", "status"]);
    assert!(text.contains("cannot be told"), "{text}");
    assert_fits(&text, "/roamkey-test");

    // Every command that needs it open says what is missing, and takes it from where it is.
    for args in [["key", "list"], ["passkey", "list"], ["vault", "check"]] {
        let said = home.fails(1, &args);
        assert!(said.contains("(missing): --key-file FILE"), "{said}");
    }
    let moved = text_of(&home.path("elsewhere"));
    home.done(&["key", "list", "--key-file", &moved]);
    let absent = text_of(&home.path("nowhere"));
    let said = home.fails(1, &["key", "list", "--key-file", &absent]);
    assert!(said.contains("it is not there"), "{said}");
}

#[test]
fn command_without_a_vault_says_how_to_make_one() {
    let home = Home::empty();
    for args in [["vault", "status"], ["key", "list"], ["pin", "status"]] {
        let said = home.fails(1, &args);
        assert!(said.contains("`roamkey vault init`"), "{said}");
    }
}

#[test]
fn check_says_that_all_is_well() {
    let home = Home::with_key();
    let text = home.done(&["vault", "check"]);
    assert_eq!(
        text.trim(),
        "All is well: 1 key and 0 passkeys are as they were written."
    );
    let found = home.json(&["vault", "check", "--accept-older"]);
    let expected = json!({
        "ok": true, "damage": [], "keys": 1, "passkeys": 0, "older_copy": null, "accepted": false,
    });
    assert_eq!(found, expected);
    assert_eq!(home.json(&["vault", "status"])["commits"], 2, "unchanged");
}

/// Places in the vault's file that look sealed: of 32 bytes few are equal.
fn sealed(bytes: &[u8]) -> Vec<usize> {
    let looks_sealed = |at: &usize| {
        let mut part = bytes[*at..*at + 32].to_vec();
        part.sort_unstable();
        part.dedup();
        part.len() > 24
    };
    (0..bytes.len() - 32)
        .step_by(320)
        .filter(looks_sealed)
        .collect()
}

/// What `vault check` finds with these bytes in the vault's place.
fn damage(home: &Home, bytes: &[u8]) -> Vec<String> {
    fs::write(home.vault(), bytes).expect("written");
    let ended = home.run(&["vault", "check", "--format", "json"]);
    let code = ended.status.code();
    assert!(matches!(code, Some(0 | 1)), "{code:?} {}", ended.stderr);
    if code == Some(1) && ended.stdout.is_empty() {
        return vec![ended.stderr]; // it does not come as far as to unlock
    }
    let document = document(&ended.stdout);
    assert_eq!(document["ok"], code == Some(0));
    let damage: Vec<String> = serde_json::from_value(document["damage"].clone()).expect("texts");
    assert_eq!(damage.is_empty(), code == Some(0), "{damage:?}");
    damage
}

#[test]
fn check_lists_all_that_is_damaged() {
    let home = Home::with_key();
    home.done(&["key", "add", "second"]);
    let mut bytes = fs::read(home.vault()).expect("a file");
    let mut found = Vec::new();
    for at in sealed(&bytes) {
        bytes[at] ^= 1;
        let now = damage(&home, &bytes);
        let of_records = now.iter().all(|text| text.starts_with("key "));
        if of_records && now.len() == found.len() + 1 {
            found = now;
        } else {
            bytes[at] ^= 1; // nobody uses it, or it hides the rest
        }
        if found.len() == 2 {
            break;
        }
    }
    assert_eq!(found.len(), 2, "{found:?}");
    fs::write(home.vault(), &bytes).expect("written");
    let ended = home.run(&["vault", "check"]);
    assert_eq!(ended.status.code(), Some(1));
    assert!(
        ended.stdout.starts_with("Damage to the vault:\n- key "),
        "{}",
        ended.stdout
    );
    assert_eq!(
        ended.stdout.matches("- key ").count(),
        2,
        "{}",
        ended.stdout
    );
    assert_fits(&ended.stdout, "");
    for part in ["2 things are wrong", "roamkey vault restore"] {
        assert!(ended.stderr.contains(part), "{}", ended.stderr);
    }
}

/// Where redb trusts a page that is not what it was, it panics; a person is told all the same.
#[test]
fn check_survives_damage_to_the_files_structure() {
    let home = Home::with_key();
    let whole = fs::read(home.vault()).expect("a file");
    let mut found = 0;
    for page in (0..whole.len()).step_by(4096) {
        // What a page is, how many entries it has, where they end.
        for at in [0, 2, 9] {
            let mut bytes = whole.clone();
            bytes[page + at] ^= 0x41;
            found += usize::from(!damage(&home, &bytes).is_empty());
        }
    }
    assert!(found > 10, "{found}");
}

#[test]
fn older_copy_is_refused_until_it_is_accepted() {
    let home = Home::with_key();
    let (process, mut platform) = home.serve();
    let channel = platform.init();
    let request = MakeCredential::discoverable("example.com", b"alice");
    platform.make(channel, &request).expect("a credential");
    drop(platform);
    stop(process);
    let ceiling = |home: &Home| {
        let list = home.json(&["passkey", "list"]);
        list["passkeys"][0]["counter_ceiling"]
            .as_u64()
            .expect("a number")
    };
    let before = ceiling(&home);
    let older = fs::read(home.vault()).expect("a file");
    home.done(&["key", "add", "later"]);
    home.done(&["key", "add", "latest"]);
    let latest = fs::read(home.vault()).expect("a file");

    fs::write(home.vault(), &older).expect("written");
    let said = home.fails(1, &["key", "list"]);
    assert!(
        said.contains("`roamkey vault check --accept-older`"),
        "{said}"
    );
    let ended = home.run(&["vault", "check", "--format", "json"]);
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    let found = document(&ended.stdout);
    assert_eq!(found["ok"], false);
    assert!(found["older_copy"]["commit"].as_u64() < found["older_copy"]["seen"].as_u64());

    let found = home.json(&["vault", "check", "--accept-older"]);
    assert_eq!(found["accepted"], true, "{found}");
    assert_eq!(found["passkeys"], 1);
    assert_eq!(ceiling(&home), before + 65_536);
    home.done(&["vault", "check"]);

    // What was the latest is the older copy now.
    fs::write(home.vault(), &latest).expect("written");
    let said = home.fails(1, &["key", "list"]);
    assert!(said.contains("older copy"), "{said}");
    let text = home.done(&["vault", "check", "--accept-older"]);
    assert!(text.contains("65536"), "{text}");
    assert_eq!(
        home.json(&["key", "list"])["keys"].as_array().map(Vec::len),
        Some(3)
    );
}

#[test]
fn what_only_the_vault_does_names_the_process_that_has_it() {
    let home = Home::with_key();
    let (process, _platform) = home.serve();
    let holder = format!("in use by process {}", process.id());
    let commands: [&[&str]; 6] = [
        &["vault", "status"],
        &["vault", "check"],
        &["vault", "unlock", "list"],
        &["vault", "unlock", "add", "keyfile"],
        &["vault", "unlock", "remove", "1", "--yes"],
        &["vault", "recovery-code"],
    ];
    for args in commands {
        let said = home.fails(1, args);
        assert!(said.contains(&holder), "{args:?}: {said}");
        assert!(said.contains("end it first"), "{args:?}: {said}");
    }
    stop(process);
    assert_eq!(home.json(&["key", "list"])["keys"][0]["name"], "main");
}
