//! The control plane of the real binary: who may ask, and that what is asked is done.

mod http;
#[cfg(target_os = "linux")]
mod many;

use std::{
    fs,
    io::{Read, Write},
    net::SocketAddr,
    os::unix::{
        fs::{PermissionsExt as _, symlink},
        net::UnixStream,
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::Command,
};

use base64ct::{Base64, Encoding as _};
use serde_json::{Value, json};

use super::{
    home::{Home, text_of},
    process::{Process, attach, end, listen_of},
};
use http::{Answer, answer, on_socket, over_tcp};

/// The least of PKCS#8 around a P-256 key.
const PKCS8: &str = "3041020100301306072a8648ce3d020106082a8648ce3d030107042730250201010420";
/// A user who is neither root nor, where the tests run as root, this one.
const NOBODY: u32 = 65_534;

/// A run with a control plane, in a home of its own.
struct Server {
    process: Process,
    ready: Value,
    home: Home,
}

impl Server {
    fn start(more: &[&str]) -> Self {
        let home = Home::empty();
        let run = home.path("run");
        fs::create_dir(&run).expect("a directory");
        let plain = ["run", "--ephemeral", "--format", "json"];
        let listen = ["--listen", "127.0.0.1:0", "--control", "127.0.0.1:0"];
        let mut command = home.command(&[&plain, &listen, more].concat());
        command.env("XDG_RUNTIME_DIR", run).env("RUST_LOG", "trace");
        let process = Process::spawn(command);
        let ready = process.event_named("ready");
        Self {
            process,
            ready,
            home,
        }
    }

    fn place(&self, name: &str) -> PathBuf {
        let place = self.ready["control"][name].as_str();
        place.expect("a place").into()
    }

    fn tcp(&self) -> SocketAddr {
        let address = self.ready["control"]["tcp"].as_str().expect("an address");
        address.parse().expect("an address")
    }

    fn token(&self) -> String {
        fs::read_to_string(self.place("token_file")).expect("a token")
    }

    fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        on_socket(&self.place("socket"), method, path, body)
    }

    /// What is answered to a request that is done.
    fn done(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let answer = self.ask(method, path, body);
        let is_done = (200..300).contains(&answer.status);
        assert!(is_done, "{method} {path}: {} {}", answer.head, answer.json);
        answer.json
    }
}

fn mode(path: &Path) -> u32 {
    let metadata = fs::metadata(path).expect("a file");
    metadata.permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("ours");
}

#[test]
fn ready_names_a_socket_and_a_token_that_are_its_owners_alone() {
    let server = Server::start(&["--touch", "auto"]);
    let (socket, token) = (server.place("socket"), server.place("token_file"));
    assert_eq!(mode(&socket), 0o600);
    assert_eq!(mode(&token), 0o600);
    let directory = server.home.path("run/roamkey");
    assert_eq!(mode(&directory), 0o700);
    assert_eq!(
        socket,
        directory.join(format!("{}.sock", server.process.id()))
    );
    assert_eq!(server.token().len(), 64);
    let ended = server.process.signal("-TERM");
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    assert!(!socket.exists() && !token.exists());
}

#[test]
fn tcp_wants_the_token_and_no_web_page() {
    let server = Server::start(&["--touch", "auto"]);
    let (address, token) = (server.tcp(), server.token());
    let host = format!("Host: {address}\r\n");
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let wrong = format!("Authorization: Bearer {}\r\n", "0".repeat(64));
    let get = |lines: &[&str]| over_tcp(address, "GET", "/v1/server", &lines.concat());
    assert_eq!(get(&[&host]).status, 401);
    assert_eq!(get(&[&host, &wrong]).status, 401);
    assert_eq!(get(&["Host: evil.example\r\n", &bearer]).status, 403);
    let page = get(&[&host, &bearer, "Origin: https://evil.example\r\n"]);
    assert_eq!(page.status, 403);
    let answer = get(&[&host, &bearer]);
    assert_eq!((answer.status, &answer.json["keys"]), (200, &json!(1)));
}

/// What another user's connection to the socket comes to: an answer, or nothing where the system
/// refuses it.
fn asked_by_another(socket: &Path) -> Option<Answer> {
    let program = "import socket, sys\n\
                   s = socket.socket(socket.AF_UNIX)\n\
                   s.connect(sys.argv[1])\n\
                   s.sendall(b'GET /v1/server HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n')\n\
                   while part := s.recv(65536): sys.stdout.buffer.write(part)\n";
    let mut python = Command::new("/usr/bin/python3");
    python.args(["-c", program, &text_of(socket)]);
    let output = python.uid(NOBODY).gid(NOBODY).current_dir("/").output();
    let output = output.expect("python3, as scripts/test installs it");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    if text.is_empty() {
        let why = String::from_utf8_lossy(&output.stderr);
        assert!(why.contains("PermissionError"), "{why}");
        return None;
    }
    Some(answer(&text))
}

#[test]
fn another_user_is_kept_out_by_the_directory_and_by_the_socket() {
    if !rustix::process::geteuid().is_root() {
        println!("only root can be another user; unit tests of the guard cover its decision");
        return;
    }
    let server = Server::start(&["--touch", "auto"]);
    let socket = server.place("socket");
    set_mode(&server.home.path(""), 0o755);
    assert!(asked_by_another(&socket).is_none());
    set_mode(&server.home.path("run/roamkey"), 0o755);
    set_mode(&socket, 0o666);
    let refused = asked_by_another(&socket).expect("an answer");
    assert_eq!(
        (refused.status, &refused.json["status"]),
        (403, &json!(403))
    );
    assert!(refused.json.get("keys").is_none());
    let ended = server.process.signal("-TERM");
    assert!(
        ended.stderr.contains("refused user 65534"),
        "{}",
        ended.stderr
    );
}

#[test]
fn directory_that_is_anothers_to_lead_elsewhere_is_refused() {
    let home = Home::empty();
    fs::create_dir_all(home.path("run/elsewhere")).expect("directories");
    symlink("elsewhere", home.path("run/roamkey")).expect("a link");
    let args = [
        "run",
        "--ephemeral",
        "--touch",
        "deny",
        "--listen",
        "127.0.0.1:0",
    ];
    let mut command = home.command(&args);
    command.env("XDG_RUNTIME_DIR", home.path("run"));
    let ended = end(&mut command);
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("XDG_RUNTIME_DIR"), "{}", ended.stderr);
}

#[test]
fn key_comes_and_goes_while_others_are_used() {
    let server = Server::start(&["--touch", "auto"]);
    let mut platform = attach(listen_of(&server.ready));
    let made = server.done("POST", "/v1/keys", Some(json!({ "name": "second" })));
    assert_eq!(
        (&made["bus_id"], &made["plugged"]),
        (&json!("1-2"), &json!(true))
    );
    let unplugged = server.done("POST", "/v1/keys/second/unplug", None);
    assert_eq!(unplugged["plugged"], false);
    let plugged = server.done("POST", "/v1/keys/second/plug", None);
    assert_eq!(plugged["plugged"], true);
    let keys = server.done("GET", "/v1/keys", None);
    let hosts = keys["keys"].as_array().expect("a list").iter();
    let hosts: Vec<_> = hosts.map(|key| key["host"].is_string()).collect();
    assert_eq!(hosts, [true, false]);
    server.done("DELETE", "/v1/keys/second", None);
    assert_eq!(server.ask("GET", "/v1/keys/second", None).status, 404);
    platform.init();
}

#[test]
fn body_that_is_too_long_is_refused_and_others_are_served() {
    let server = Server::start(&["--touch", "auto"]);
    let long = json!({ "name": "x".repeat(70_000) });
    assert_eq!(server.ask("POST", "/v1/keys", Some(long)).status, 413);
    assert_eq!(server.done("GET", "/v1/server", None)["keys"], 1);
}

#[test]
fn secrets_are_neither_in_the_log_nor_in_events() {
    let server = Server::start(&["--touch", "auto"]);
    let new = json!({ "name": "open", "overrides": { "exportable": true } });
    server.done("POST", "/v1/keys", Some(new));
    let pin = json!({ "new_pin": "31415926" });
    server.done("PUT", "/v1/keys/open/pin", Some(pin));
    let wrong = json!({ "pin": "27182818", "new_pin": "16180339" });
    assert_eq!(
        server.ask("PUT", "/v1/keys/open/pin", Some(wrong)).status,
        403
    );
    let der = base16ct::mixed::decode_vec(format!("{PKCS8}{}", "5a".repeat(32)));
    let private_key = Base64::encode_string(&der.expect("hex"));
    let passkey = json!({
        "rp_id": "example.com",
        "user_handle": "01",
        "private_key": private_key,
    });
    let put = server.done("POST", "/v1/keys/open/passkeys", Some(passkey));
    let id = put["id"].as_str().expect("an id");
    let path = format!("/v1/keys/open/passkeys/{id}/private-key");
    let read = server.done("GET", &path, None);
    assert!(
        read["private_key"]
            .as_str()
            .expect("PEM")
            .contains("PRIVATE KEY")
    );
    let host = format!("Host: {}\r\n", server.tcp());
    let token = server.token();
    let mistaken = format!("{host}Authorization: Bearer {token}f\r\n");
    assert_eq!(
        over_tcp(server.tcp(), "GET", "/v1/server?31415926", &mistaken).status,
        401
    );
    let events = server.done("GET", "/v1/events/last?count=1000", None);
    let events = events.to_string();
    assert!(events.contains("private key of passkey"), "{events}");
    let ended = server.process.signal("-TERM");
    let said = ended.stdout + &ended.stderr + &events;
    assert!(said.contains("the control plane refused"), "{said}");
    // What is the same in each key of this kind tells nothing.
    let secret_part = private_key.get(50..80).expect("longer").to_owned();
    let secrets = ["31415926", "27182818", "16180339", &token, &secret_part];
    for secret in secrets {
        assert!(!said.contains(secret), "{secret} in {said}");
    }
}

#[test]
fn connection_becomes_a_keys_and_the_key_is_busy_meanwhile() {
    let server = Server::start(&["--touch", "auto"]);
    let socket = server.place("socket");
    let request = b"POST /v1/keys/1-1/usbip HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n\
                    Upgrade: usbip\r\n\r\n";
    let mut stream = UnixStream::connect(&socket).expect("a server");
    stream.write_all(request).expect("it is taken");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a whole head");
        head.extend(byte);
    }
    let head = String::from_utf8(head).expect("UTF-8");
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(head.contains("roamkey-devid: 65537\r\n"), "{head}");
    assert!(head.contains("roamkey-speed: 2\r\n"), "{head}");
    // GET_DESCRIPTOR of the device: the answer names the device's class and endpoint 0's size.
    let mut submit = Vec::new();
    for word in [1_u32, 1, 65_537, 1, 0, 0, 18, 0, 0, 0] {
        submit.extend(word.to_be_bytes());
    }
    submit.extend([0x80, 6, 0, 1, 0, 0, 18, 0]);
    stream.write_all(&submit).expect("it is taken");
    let mut reply = [0; 48 + 18];
    stream.read_exact(&mut reply).expect("an answer");
    assert_eq!(reply[..8], [0, 0, 0, 3, 0, 0, 0, 1]);
    assert_eq!(reply[48..50], [18, 1]);
    let mut second = UnixStream::connect(&socket).expect("a server");
    second.write_all(request).expect("it is taken");
    let mut start = [0; 12];
    second.read_exact(&mut start).expect("an answer");
    assert_eq!(&start, b"HTTP/1.1 409");
    server.done("POST", "/v1/keys/1-1/unplug", None);
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).expect("it ends");
}

#[test]
fn keys_are_served_where_no_socket_can_be_made_unless_commands_are_asked_for() {
    let home = Home::empty();
    let run = home.path("run");
    // A path that is too long for a socket.
    let deep = run.join("d".repeat(100));
    fs::create_dir_all(&deep).expect("a directory");
    let plain = ["run", "--ephemeral", "--touch", "auto", "--format", "json"];
    let listen = ["--listen", "127.0.0.1:0"];
    let mut command = home.command(&[plain.as_slice(), &listen].concat());
    command.env("XDG_RUNTIME_DIR", &deep);
    let process = Process::spawn(command);
    let ready = process.event_named("ready");
    assert_eq!(ready["control"]["socket"], Value::Null);
    let mut platform = attach(listen_of(&ready));
    platform.init();
    let ended = process.signal("-TERM");
    assert!(ended.stderr.contains("XDG_RUNTIME_DIR"), "{}", ended.stderr);
    let control = ["--control", "127.0.0.1:0"];
    let mut command = home.command(&[plain.as_slice(), &listen, &control].concat());
    command.env("XDG_RUNTIME_DIR", &deep);
    let ended = end(&mut command);
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
}
