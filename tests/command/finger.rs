//! Fingers of running keys: what `--verify` says of them, and what a person says.

use serde_json::Value;

use super::{
    home::Home,
    process::{Process, attach, listen_of},
};
use crate::support::{
    ctap2::{MakeCredential, status},
    ctaphid::{Channel, Platform},
};

/// A key with a sensor that knows one finger.
const PROFILE: &str = "[options]\nuv = true\nbioEnroll = true\n\
                       [limits]\nmaxFingerprints = 5\nenrolledFingerprints = 1\n";

/// A running key, and a host that has it.
struct Running {
    home: Home,
    process: Process,
    platform: Platform,
    channel: Channel,
}

impl Running {
    fn start(more: &[&str]) -> Self {
        let home = Home::empty();
        let profile = home.file("sensor.toml", PROFILE);
        let plain = "run --ephemeral --listen 127.0.0.1:0 --profile";
        let plain: Vec<_> = plain.split(' ').chain([profile.as_str()]).collect();
        let process = Process::spawn(home.command(&[&plain, more].concat()));
        let address = if more.contains(&"json") {
            listen_of(&process.event_named("ready"))
        } else {
            let first = process.line();
            let address = first.trim_end_matches(':').rsplit(' ').next();
            let address = address.and_then(|address| address.parse().ok());
            address.expect("an address")
        };
        let mut platform = attach(address);
        let channel = platform.init();
        Self {
            home,
            process,
            platform,
            channel,
        }
    }

    fn start_make(&mut self) -> MakeCredential {
        let mut request = MakeCredential::new("example.com", b"id");
        request.options.push(("uv", true));
        self.platform.start_make(self.channel, &request);
        request
    }

    /// Whether a person was verified.
    fn finish_make(&mut self, request: &MakeCredential) -> Result<bool, u8> {
        let made = self.platform.finish_make(self.channel, request);
        made.map(|made| made.auth_data.user_verified)
    }

    fn make(&mut self) -> Result<bool, u8> {
        let request = self.start_make();
        self.finish_make(&request)
    }
}

#[test]
fn finger_is_what_verify_says() {
    let json = ["--touch", "auto", "--format", "json"];
    let mut passes = Running::start(&json);
    assert_eq!(passes.make(), Ok(true));
    let mut fails = Running::start(&[&json[..], &["--verify", "fail"]].concat());
    assert_eq!(fails.make(), Err(status::OPERATION_DENIED));
    let touch = ["key", "touch", "1-1"];
    let said = fails.home.json(&touch);
    assert_eq!(said["touch"]["verify"], "fail");
    let script = ["--script", "approve verified=false, approve verified=true"];
    let wanted = [&touch[..], &["--verify", "ask"], &script].concat();
    let said = fails.home.json(&wanted);
    assert_eq!(said["touch"]["verify"], "ask");
    assert_eq!(fails.make(), Ok(true), "the second finger");
    let text = fails.home.done(&touch);
    assert!(text.contains("ask: somebody is asked"), "{text}");
}

#[test]
fn finger_is_answered_from_another_terminal() {
    let json = ["--touch", "auto", "--verify", "ask", "--format", "json"];
    let mut running = Running::start(&json);
    let request = running.start_make();
    let wait = ["--wait", "10"];
    let listed = running.home.json(&[&["touch", "list"][..], &wait].concat());
    let asked = &listed["touches"][0];
    assert_eq!(
        (&asked["gesture"], &asked["operation"]),
        (&Value::from("finger"), &Value::from("register"))
    );
    for (answer, said) in [
        ("not-verified", "Not verified: "),
        ("approve", "Approved: "),
    ] {
        let text = running.home.done(&[&["touch", answer][..], &wait].concat());
        let what = "1-1: register with example.com as alice, with a finger";
        assert_eq!(text.trim(), format!("{said}{what}"));
    }
    assert_eq!(running.finish_make(&request), Ok(true));
    let states = ["asked", "not-verified", "asked", "approved"];
    for state in states {
        let touch = running.process.event_named("touch");
        assert_eq!(
            (&touch["state"], &touch["gesture"]),
            (&Value::from(state), &Value::from("finger"))
        );
    }
}

#[test]
fn prompt_wants_a_finger_and_w_is_a_wrong_one() {
    let mut running = Running::start(&["--touch", "ask"]);
    let request = running.start_make();
    let prompt = running.process.line_with("Put a finger on 1-1 to register");
    assert!(prompt.ends_with("w for a wrong finger"), "{prompt}");
    running.process.answer("w");
    running.process.line_with("not verified: register");
    running.process.line_with("Put a finger on 1-1 to register");
    running.process.answer("y");
    assert_eq!(running.finish_make(&request), Ok(true));
    // Nobody is verified by a touch.
    let (channel, selection) = (running.channel, crate::support::ctap2::SELECTION);
    running.platform.start(channel, selection, None);
    running.process.line_with("Touch 1-1 to use this key");
    running.process.answer("w");
    running.process.answer("y");
    running.platform.finish(channel).expect("approved");
}
