//! `roamkey vault backup`, `restore`, `snapshot`, `rollback` and `key clone`, and backups in the
//! hands of the age tool.

use std::{
    fs,
    io::Write as _,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use super::{
    home::{Home, stop, text_of},
    served::PRIVATE_KEY,
};
use crate::support::ctap2::{GetAssertion, MakeCredential, Registered};

const RP: &str = "example.com";
/// What a restore adds to a counter.
const RAISED: u32 = 65_536;

/// A program of Debian's package `age`.
fn age(program: &str, args: &[&str], input: &str) -> String {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|why| panic!("{program} is needed here (apt-get install age): {why}"));
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().expect("it ends");
    let _ = writer.join(); // it may not have wanted all of it
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {said}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// A file with a new identity, and its recipient.
fn identity(home: &Home, name: &str) -> (String, String) {
    let file = home.file(name, &age("age-keygen", &[], ""));
    let recipient = age("age-keygen", &["-y", &file], "");
    (file, recipient.trim().to_owned())
}

/// A vault with one key, `key`, in which this account is registered.
fn registered(home: &Home, user_id: &[u8]) -> Registered {
    let (process, mut platform) = home.serve();
    let channel = platform.init();
    let made = platform.make(channel, &MakeCredential::discoverable(RP, user_id));
    drop(platform);
    stop(process);
    made.expect("a credential")
}

/// Signs in with the first key; the counter.
fn signs_in(home: &Home, made: &Registered) -> u32 {
    let (process, mut platform) = home.serve();
    let channel = platform.init();
    let asserted = platform.get(channel, &GetAssertion::new(RP, &[&made.id]));
    let asserted = asserted.expect("an assertion");
    asserted.verify(RP, &made.public_key);
    drop(platform);
    stop(process);
    asserted.auth_data.counter
}

#[test]
fn age_opens_a_backup_and_roamkey_restores_what_age_wrote() {
    let home = Home::empty();
    let made = registered(&home, b"alice");
    let before = signs_in(&home, &made);
    let (mine, my_recipient) = identity(&home, "mine.txt");
    let (others, other_recipient) = identity(&home, "other.txt");
    let list = home.file("list.txt", &format!("# who may\n{other_recipient}\n"));
    let file = text_of(&home.path("backup.age"));
    let args = ["vault", "backup", &file, "--recipient", &my_recipient];
    let document = home.json(&[&args[..], &["--recipients-file", &list]].concat());
    assert_eq!(document["keys"], 1);
    let length = fs::metadata(&file).expect("the file").len();
    assert_eq!(document["bytes"], length);

    // What age shows of it, for either identity.
    let text = age("age", &["-d", "-i", &mine, &file], "");
    assert_eq!(age("age", &["-d", "-i", &others, &file], ""), text);
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(lines[0]["format"], "roamkey backup");
    assert_eq!(lines[0]["version"], 1);
    assert_eq!(lines[1]["key"]["name"], "key");
    let end = &lines[lines.len() - 1]["end"];
    assert_eq!(end["records"], document["records"]);
    assert_eq!(end["records"], lines.len() - 3);
    assert!(text.contains("\"rp_id\":\"example.com\""));

    // A home that has nothing yet.
    let new = Home::empty();
    let restored = new.json(&["vault", "restore", &file, "--identity-file", &mine]);
    assert_eq!(restored["created"], true);
    assert_eq!(restored["keys"][0]["bus_id"], "1-1");
    assert_eq!(restored["keys"][0]["serial"], lines[1]["key"]["serial"]);
    assert!(signs_in(&new, &made) > before + RAISED);

    // age encrypts it again, for somebody else.
    let again = text_of(&home.path("again.age"));
    age("age", &["-r", &other_recipient, "-o", &again], &text);
    let restore = ["vault", "restore", &again, "--identity-file"];
    let wrong = home.fails(1, &[&restore[..], &[&mine]].concat());
    assert!(wrong.contains("none of the identities"), "{wrong}");
    let whole = home.fails(1, &[&restore[..], &[&others]].concat());
    assert!(whole.contains("--key NAME --as NEW"), "{whole}");
    let one = [&restore[..], &[&others, "--key", "key", "--as", "twin"]].concat();
    let document = home.json(&one);
    assert_eq!(document["created"], false);
    assert_eq!(document["keys"][0]["name"], "twin");
    assert_eq!(document["keys"][0]["bus_id"], "1-2");
    // Who has the text can cut it.
    let cut: String = text
        .lines()
        .take(3)
        .map(|line| format!("{line}\n"))
        .collect();
    let short = text_of(&home.path("short.age"));
    age("age", &["-r", &my_recipient, "-o", &short], &cut);
    let short = home.fails(1, &["vault", "restore", &short, "--identity-file", &mine]);
    assert!(short.contains("not whole"), "{short}");
}

#[test]
fn passphrase_makes_a_backup_and_opens_it() {
    let home = Home::empty();
    let made = registered(&home, b"alice");
    let good = home.file("good.txt", "correct horse battery\n");
    let wrong = home.file("wrong.txt", "correct horse buttery\n");
    let short = home.file("short.txt", "short\n");
    let file = text_of(&home.path("backup.age"));
    let backup = ["vault", "backup", &file, "--backup-passphrase-file"];
    let said = home.fails(1, &[&backup[..], &[&short]].concat());
    assert!(said.contains("8 characters"), "{said}");
    let said = home.done(&[&backup[..], &[&good]].concat());
    let words = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("read back in full"), "{said}");
    let bytes = fs::read(&file).expect("the backup");
    assert!(bytes.starts_with(b"age-encryption.org/v1\n-> scrypt "));
    let said = home.fails(1, &[&backup[..], &[&good]].concat());
    assert!(said.contains("there already"), "{said}");
    assert_eq!(fs::read(&file).expect("the backup"), bytes);

    let new = Home::empty();
    let restore = ["vault", "restore", &file, "--backup-passphrase-file"];
    let said = new.fails(1, &[&restore[..], &[&wrong]].concat());
    assert!(said.contains("the passphrase is wrong"), "{said}");
    assert!(!new.vault().exists(), "nothing was made");
    let said = new.done(&[&restore[..], &[&good]].concat());
    assert!(
        said.contains("1 key came back into the new vault"),
        "{said}"
    );
    assert!(signs_in(&new, &made) > RAISED);
}

#[test]
fn rollback_lists_what_is_lost_and_wants_a_yes() {
    let home = Home::empty();
    let first = registered(&home, b"first");
    let before = signs_in(&home, &first);
    let document = home.json(&["vault", "snapshot", "before the move"]);
    assert_eq!(document["snapshot"]["keys"], 1);
    let said = home.fails(1, &["vault", "snapshot", "before the move"]);
    assert!(said.contains("already"), "{said}");
    registered(&home, b"second");
    home.done(&["key", "clone", "key", "--as", "twin"]);

    let said = home.fails(2, &["vault", "rollback", "before the move"]);
    assert!(said.contains("--yes"), "{said}");
    let said = home.fails(1, &["vault", "rollback", "never"]);
    assert!(said.contains("before the move"), "{said}");
    let document = home.json(&["vault", "rollback", "before the move", "--yes"]);
    let lost = document["lost"].as_array().expect("keys");
    let passkey = json!({"rp_id": RP, "account": "alice"});
    assert_eq!(lost[0]["name"], "key");
    assert_eq!(lost[0]["removed"], false);
    assert_eq!(lost[0]["passkeys"], json!([passkey]));
    assert_eq!(lost[1]["name"], "twin");
    assert_eq!(lost[1]["removed"], true);
    assert!(signs_in(&home, &first) > before);

    let listed = home.json(&["vault", "snapshots"]);
    assert_eq!(listed["snapshots"][0]["name"], "before the move");
    let text = home.done(&["vault", "snapshots"]);
    assert!(text.contains("1 key  before the move"), "{text}");
    home.done(&["vault", "snapshot", "--remove", "before the move"]);
    assert_eq!(home.json(&["vault", "snapshots"])["snapshots"], json!([]));
}

#[test]
fn clone_signs_for_the_same_account() {
    let home = Home::empty();
    let made = registered(&home, b"alice");
    let before = signs_in(&home, &made);
    let document = home.json(&["key", "clone", "1-1", "--as", "twin"]);
    assert_eq!(document["key"]["bus_id"], "1-2");
    assert_eq!(document["key"]["name"], "twin");
    let said = home.fails(1, &["key", "clone", "nobody", "--as", "x"]);
    assert!(said.contains("key, twin"), "{said}");

    // The only key that is served is the clone.
    let new = Home::empty();
    let (mine, recipient) = identity(&home, "mine.txt");
    let file = text_of(&home.path("b.age"));
    home.done(&["vault", "backup", &file, "--recipient", &recipient]);
    let restore = ["vault", "restore", &file, "--identity-file", &mine];
    new.done(&[&restore[..], &["--key", "twin", "--as", "alone"]].concat());
    assert!(signs_in(&new, &made) > before + RAISED);
}

#[test]
fn what_does_not_fit_says_what_to_type() {
    let home = Home::empty();
    registered(&home, b"alice");
    let file = text_of(&home.path("b.age"));
    let text = home.file("text.txt", "hello\n");
    let (mine, recipient) = identity(&home, "mine.txt");
    let backup = ["vault", "backup", &file];
    let restore = ["vault", "restore", &text];
    let both = ["--recipient", &recipient, "--backup-passphrase-file", &text];
    let cases: [(i32, Vec<&str>, &str); 8] = [
        (2, [&backup[..], &both].concat(), "cannot be used with"),
        (
            2,
            [&backup[..], &["--recipient", "ssh-rsa AAAA"]].concat(),
            "age1…",
        ),
        (
            2,
            [&backup[..], &["--recipients-file", "/dev/null"]].concat(),
            "no recipient",
        ),
        (2, backup.to_vec(), "--backup-passphrase-file FILE"),
        (2, [&restore[..], &["--key", "a"]].concat(), "--as"),
        (1, restore.to_vec(), "no age file"),
        (
            1,
            [&restore[..], &["--identity-file", &text]].concat(),
            "line 1 is no age identity",
        ),
        (
            1,
            [&restore[..], &["--identity-file", &mine]].concat(),
            "no age file",
        ),
    ];
    for (code, args, wanted) in cases {
        let said = home.fails(code, &args);
        assert!(said.contains(wanted), "{args:?}: {said}");
    }
    assert!(!home.path("b.age").exists());
    home.done(&["vault", "backup", &file, "--recipient", &recipient]);
    let said = home.fails(2, &["vault", "restore", &file]);
    assert!(said.contains("--identity-file FILE"), "{said}");
}

#[test]
fn passkey_of_elsewhere_keeps_its_id_in_the_vault_and_over_a_backup() {
    let home = Home::with_vault();
    let profile = home.file("long.toml", "[limits]\nmaxCredentialIdLength = 1023\n");
    home.done(&["key", "add", "work", "--profile", &profile]);
    let pem = home.file("key.pem", PRIVATE_KEY);
    let ids = ["07".to_owned(), "5a".repeat(1023)];
    for (account, id) in ["01", "02"].iter().zip(&ids) {
        let inject = ["passkey", "inject", "--key", "work", "--rp", RP, "--id", id];
        let rest = ["--user-handle", account, "--private-key-file", &pem];
        home.json(&[&inject[..], &rest].concat());
    }
    let passphrase = home.file("good.txt", "correct horse battery\n");
    let file = text_of(&home.path("backup.age"));
    let protected = ["--backup-passphrase-file", &passphrase];
    home.done(&[&["vault", "backup", &file], &protected[..]].concat());
    let new = Home::empty();
    new.done(&[&["vault", "restore", &file], &protected[..]].concat());
    for place in [&home, &new] {
        let listed = place.json(&["passkey", "list"]);
        let listed = listed["passkeys"].as_array().expect("a list");
        let found: Vec<_> = listed.iter().map(|one| one["id"].as_str()).collect();
        assert_eq!(found, [Some(ids[0].as_str()), Some(ids[1].as_str())]);
        let shown = place.json(&["passkey", "show", &ids[0]]);
        assert_eq!(shown["passkey"]["rp_id"], RP);
    }
}
