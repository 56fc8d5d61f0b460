//! Commands on keys that run: what they do is done in the process that has the keys.

use serde_json::{Value, json};

use super::{
    home::{Home, stop, text_of},
    process::{Process, attach, listen_of},
};
use crate::support::{
    ctap2::{GetAssertion, MakeCredential, status},
    pin::{Protocol, permission},
};

const RP: &str = "example.com";
/// Keys in memory alone.
const EPHEMERAL: [&str; 7] = [
    "run",
    "--ephemeral",
    "--listen",
    "127.0.0.1:0",
    "--format",
    "json",
    "--touch",
];

fn ephemeral(home: &Home, touch: &str, more: &[&str]) -> (Process, Value) {
    let process = Process::spawn(home.command(&[&EPHEMERAL[..], &[touch], more].concat()));
    let ready = process.event_named("ready");
    (process, ready)
}

#[test]
fn commands_on_a_vault_in_use_take_effect_in_the_running_key() {
    let home = Home::with_key();
    let pin = home.file("pin", "1234");
    let (process, mut platform) = home.serve();
    let channel = platform.init();
    let request = MakeCredential::discoverable(RP, b"alice");
    platform.make(channel, &request).expect("a credential");
    let listed = home.json(&["passkey", "list"]);
    let id = listed["passkeys"][0]["id"].as_str().expect("an id");
    let renamed = home.json(&["passkey", "rename", id, "--name", "carol"]);
    assert_eq!(renamed["passkey"]["user_name"], "carol");
    let deleted = home.json(&["passkey", "delete", id, "--yes"]);
    assert_eq!(deleted["deleted"]["id"], id);
    let outcome = platform.get(channel, &GetAssertion::new(RP, &[])).map(drop);
    assert_eq!(outcome, Err(status::NO_CREDENTIALS));

    home.json(&["pin", "set", "--new-pin-file", &pin]);
    let token = platform.token(channel, Protocol::Two, "1234", (permission::CM, None));
    token.map(drop).expect("the PIN that was set");
    home.json(&["key", "add", "other"]);
    home.json(&["key", "rename", "other", "second"]);
    let keys = home.json(&["key", "list"]);
    assert_eq!(keys["keys"][1]["name"], "second");
    assert_eq!(keys["keys"][1]["plugged"], true);
    assert!(keys["keys"][0]["host"].is_string(), "{keys}");
    let text = home.done(&["key", "list"]);
    assert!(
        text.contains("STATE") && text.contains("attached"),
        "{text}"
    );
    assert_eq!(keys["keys"][1]["bus_id"], "1-2");
    home.json(&["key", "remove", "second", "--yes"]);
    drop(platform);
    stop(process);
    let keys = home.json(&["key", "list"]);
    assert_eq!(keys["keys"].as_array().map(Vec::len), Some(1));
    assert_eq!(keys["keys"][0]["pin_is_set"], true);
}

#[test]
fn vault_is_kept_and_backed_up_while_its_keys_run() {
    let home = Home::with_key();
    let secret = home.file("secret", "correct horse battery");
    let (process, mut platform) = home.serve();
    let channel = platform.init();
    home.json(&["vault", "snapshot", "before"]);
    let request = MakeCredential::discoverable(RP, b"alice");
    let made = platform.make(channel, &request).expect("a credential");
    let file = text_of(&home.path("b.age"));
    let backup = [
        "vault",
        "backup",
        &file,
        "--backup-passphrase-file",
        &secret,
    ];
    let written = home.json(&backup);
    assert_eq!(written["keys"], 1);
    assert_eq!(written["path"], json!(file));
    let asserted = platform.get(channel, &GetAssertion::new(RP, &[&made.id]));
    asserted.expect("an assertion").verify(RP, &made.public_key);
    let lost = home.json(&["vault", "rollback", "before", "--yes"]);
    assert_eq!(lost["lost"][0]["passkeys"][0]["rp_id"], RP);
    assert_eq!(home.json(&["passkey", "list"])["passkeys"], json!([]));
    assert_eq!(
        home.json(&["vault", "snapshots"])["snapshots"][0]["name"],
        "before"
    );
    drop(platform);
    stop(process);
}

#[test]
fn touch_is_answered_from_another_terminal() {
    let home = Home::empty();
    let (_process, ready) = ephemeral(&home, "ask", &[]);
    let mut platform = attach(listen_of(&ready));
    let channel = platform.init();
    let said = home.fails(1, &["touch", "approve"]);
    assert!(said.contains("no touch is waited for"), "{said}");
    let request = MakeCredential::new(RP, b"id");
    platform.start_make(channel, &request);
    let listed = home.json(&["touch", "list", "--wait", "10"]);
    assert_eq!(listed["touches"][0]["rp"], RP);
    let said = home.done(&["touch", "approve"]);
    assert_eq!(
        said.trim(),
        "Approved: 1-1: register with example.com as alice"
    );
    platform.finish_make(channel, &request).expect("approved");
    platform.start_make(channel, &request);
    home.done(&["touch", "deny", "--wait", "10"]);
    let outcome = platform.finish_make(channel, &request).map(drop);
    assert_eq!(outcome, Err(status::OPERATION_DENIED));

    let policy = home.json(&[
        "key", "touch", "1-1", "--policy", "deny", "--script", "approve",
    ]);
    assert_eq!(policy["touch"]["touch"], "deny");
    platform.make(channel, &request).expect("as scripted");
    let outcome = platform.make(channel, &request).map(drop);
    assert_eq!(outcome, Err(status::OPERATION_DENIED));
    let text = home.done(&["key", "touch", "1-1"]);
    assert!(text.contains("deny: refused at once"), "{text}");
}

#[test]
fn fault_is_met_and_expected() {
    let home = Home::empty();
    let (_process, ready) = ephemeral(&home, "auto", &[]);
    let mut platform = attach(listen_of(&ready));
    let channel = platform.init();
    assert!(home.done(&["fault", "list"]).contains("bad-signature"));
    let armed = [
        "fault",
        "1-1",
        "status",
        "NO_CREDENTIALS",
        "--operation",
        "make-credential",
    ];
    let armed = home.json(&armed);
    assert_eq!(armed["fault"]["remaining"], 1);
    let listed = home.json(&["fault", "1-1", "--armed"]);
    assert_eq!(listed["armed"][0], armed["fault"]);
    let request = MakeCredential::new(RP, b"id");
    let outcome = platform.make(channel, &request).map(drop);
    assert_eq!(outcome, Err(status::NO_CREDENTIALS));
    home.done(&["expect", "1-1", "fault", "--exactly", "1"]);
    home.json(&["fault", "1-1", "bad-signature", "--always"]);
    assert_eq!(home.json(&["fault", "1-1", "--clear"])["armed"], json!([]));
    platform.make(channel, &request).expect("no fault any more");
    let finished = ["expect", "1-1", "finished", "--command", "make-credential"];
    home.done(&[&finished[..], &["--status", "CTAP2_OK", "--exactly", "1"]].concat());
    let said = home.fails(1, &[&finished[..], &["--rp", "example.org"]].concat());
    assert!(said.contains("at least 1, and there were 0"), "{said}");
    let said = home.fails(2, &["fault", "1-1", "no-such-fault"]);
    assert!(said.contains("no-such-fault"), "{said}");
}

#[test]
fn watch_tells_an_operation_in_a_line() {
    let home = Home::empty();
    let (process, ready) = ephemeral(&home, "auto", &[]);
    let watch = Process::spawn(home.command(&["watch", "--since", "0", "--details"]));
    let mut platform = attach(listen_of(&ready));
    let channel = platform.init();
    let mut request = MakeCredential::new(RP, b"id");
    request.user_name = Some("al\u{1b}ice");
    platform.make(channel, &request).expect("a credential");
    let line = watch.line_with("CTAP2_OK");
    let line = line.split_once("make-credential").expect("an operation").1;
    assert!(
        line.starts_with("  example.com as al\u{fffd}ice  CTAP2_OK  touch approved"),
        "{line}"
    );
    let json = Process::spawn(home.command(&["watch", "1-1", "--since", "0", "--format", "json"]));
    assert_eq!(json.event_named("finished")["rp_id"], RP);
    drop(platform);
    stop(process);
    // It ends with the process that it watched.
    for watch in [watch, json] {
        while !watch.is_silent_for(std::time::Duration::from_millis(100)) {}
    }
}

#[test]
fn several_processes_are_listed_and_one_is_named() {
    let home = Home::empty();
    let said = home.fails(1, &["touch", "list"]);
    assert!(said.contains("no roamkey runs"), "{said}");
    let (one, ready) = ephemeral(&home, "auto", &["--control", "127.0.0.1:0"]);
    let (other, _) = ephemeral(&home, "auto", &[]);
    let said = home.fails(2, &["touch", "list"]);
    for process in [&one, &other] {
        assert!(
            said.contains(&format!("(process {})", process.id())),
            "{said}"
        );
    }
    let control = &ready["control"];
    let socket = control["socket"].as_str().expect("a socket");
    home.json(&["touch", "list", "--control", socket]);
    let url = format!("http://{}", control["tcp"].as_str().expect("an address"));
    let token = control["token_file"].as_str().expect("a file");
    let by_url = ["key", "list", "--control", &url];
    home.json(&[&by_url[..], &["--token-file", token]].concat());
    let said = home.fails(2, &by_url);
    assert!(said.contains("--token-file FILE"), "{said}");
    let wrong = home.file("wrong", &"0".repeat(64));
    let said = home.fails(1, &[&by_url[..], &["--token-file", &wrong]].concat());
    assert!(said.contains("does not know this token"), "{said}");
    let gone = socket.to_owned();
    stop(one);
    let said = home.fails(1, &["key", "list", "--control", &gone]);
    assert!(said.contains("no roamkey listens at"), "{said}");
    home.json(&["touch", "list"]);
    stop(other);
}

#[test]
fn key_in_memory_is_made_plugged_and_given_passkeys() {
    let home = Home::empty();
    let (_process, ready) = ephemeral(&home, "auto", &["--keys", "1"]);
    let add = [
        "key",
        "add",
        "test",
        "--ephemeral",
        "--override",
        "exportable=true",
    ];
    let added = home.json(&add);
    assert_eq!(added["key"]["stored"], false);
    assert_eq!(added["key"]["exportable"], true);
    for (action, plugged) in [("unplug", false), ("plug", true), ("replug", true)] {
        let key = home.json(&["key", action, "test"]);
        assert_eq!(key["key"]["plugged"], plugged, "{action}");
    }
    home.json(&["key", "power-cycle", "test"]);

    let control = ready["control"]["socket"].as_str().expect("a socket");
    let at = ["--control", control];
    // ES256 in PKCS#8 (RFC 5208, RFC 5915), the private key 1.
    let pem = home.file("key.pem", PRIVATE_KEY);
    let inject = [
        "passkey",
        "inject",
        "--key",
        "test",
        "--rp",
        RP,
        "--user-handle",
        "0102",
        "--name",
        "dora",
        "--private-key-file",
        &pem,
    ];
    let made = home.json(&[&inject[..], &at].concat());
    let id = made["passkey"]["id"].as_str().expect("an id");
    assert_eq!(made["passkey"]["user_handle"], "0102");
    let edit = ["passkey", "edit", id, "--counter", "77"];
    let edited = home.json(&[&edit[..], &at].concat());
    assert!(edited["passkey"]["counter_ceiling"].as_u64() >= Some(77));
    let file = text_of(&home.path("out.pem"));
    let export = ["passkey", "export", id, "--output", &file];
    home.json(&[&export[..], &at].concat());
    let mode = std::fs::metadata(&file).expect("the file").permissions();
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777,
        0o600
    );
    let again = home.fails(1, &[&export[..], &at].concat());
    assert!(again.contains("out.pem"), "{again}");
    let text = home.done(&[&["passkey", "export", id][..], &at].concat());
    assert!(text.starts_with("-----BEGIN PRIVATE KEY-----"), "{text}");
    let kept = home.json(&[&inject[..3], &["1-1"], &inject[4..], &at].concat());
    let id = kept["passkey"]["id"].as_str().expect("an id");
    let said = home.fails(1, &[&["passkey", "export", id][..], &at].concat());
    assert!(said.contains("exportable"), "{said}");
}

/// A private key for tests alone, made by OpenSSL.
pub(super) const PRIVATE_KEY: &str = "\
    -----BEGIN PRIVATE KEY-----\n\
    MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgxxXt4syF2cJcE0Wf\n\
    ZFpNhdlmdwi+1b0G0K1K6yvymX+hRANCAASHAJ1kFwhg9j5DuuC9MLilhvTTs5Kl\n\
    /b967DlKiMxY+GXDzHRrrQInp0EOoPG2vQaj6ONVO6iRkq9mxmVKwd3p\n\
    -----END PRIVATE KEY-----\n\
";
