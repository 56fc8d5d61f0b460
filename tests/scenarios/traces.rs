//! What a key tells of what it does: one trace where a command begins and one where it ends.

use ciborium::Value;
use roamkey_ctap::{Command, Decision, Detail, DetailValue, Touched, Trace};

use crate::support::{
    bench::{Bench, RP},
    bio::sensor_bench,
    ctap2::{GET_INFO, GetAssertion, MakeCredential, RESET, SELECTION, status},
    ctaphid::{BROADCAST, Channel, command},
    pin::{Protocol, permission},
    rig::{Options, Place, virtual_scenarios},
    u2f::{apdu, register_apdu, word},
};

virtual_scenarios!(
    key_that_nobody_asked_tells_nothing,
    command_is_told_from_request_to_answer,
    refused_command_is_told_with_its_status,
    finger_that_verifies_nobody_is_told,
    command_that_makes_no_sense_is_told_without_members,
    commands_of_ctaphid_are_told,
    command_whose_client_starts_over_ends_unanswered,
    command_of_a_host_that_leaves_ends_unanswered,
    cancelled_command_is_answered,
    each_u2f_poll_is_an_operation,
    operations_count_while_nobody_looks,
);

/// A key that tells, whose touches wait for the test.
fn told(place: Place) -> Bench {
    let bench = Bench::bare(place, Protocol::Two, Options::held());
    bench.rig.world().trace(0, true);
    bench
}

/// The commands that ended since somebody looked.
fn ended(bench: &Bench) -> Vec<Trace> {
    let traces = bench.rig.world().take_traces(0).into_iter();
    traces
        .filter(|trace| matches!(trace, Trace::Finished { .. }))
        .collect()
}

/// Of a command that ended: its status, whether it was answered, and the touch.
fn end(trace: &Trace) -> (Command, u16, bool, Touched) {
    match trace {
        Trace::Finished {
            command,
            status,
            answered,
            touch,
            ..
        } => (*command, *status, *answered, *touch),
        other => panic!("{other:?}"),
    }
}

fn detail(details: &[Detail], name: &str) -> Option<DetailValue> {
    let mut named = details.iter().filter(|detail| detail.name == name);
    let value = named.next().map(|detail| detail.value.clone());
    assert!(named.next().is_none(), "{name} comes once");
    value
}

fn text(text: &str) -> Option<DetailValue> {
    Some(DetailValue::Text(text.to_owned()))
}

fn list(items: &[&str]) -> Option<DetailValue> {
    let items = items.iter().map(|item| (*item).to_owned());
    Some(DetailValue::List(items.collect()))
}

fn key_that_nobody_asked_tells_nothing(place: Place) {
    let mut bench = Bench::bare(place, Protocol::Two, Options::default());
    let channel = bench.channel;
    bench.platform().call(channel, command::PING, &[1]);
    bench
        .make(&MakeCredential::new(RP, b"alice"))
        .expect("made");
    assert_eq!(bench.rig.world().take_traces(0), []);
    bench.rig.world().trace(0, true);
    bench.info();
    assert_eq!(bench.rig.world().take_traces(0).len(), 2);
    bench.rig.world().trace(0, false);
    bench.info();
    assert_eq!(bench.rig.world().take_traces(0), []);
}

fn command_is_told_from_request_to_answer(place: Place) {
    let mut bench = told(place);
    let channel = bench.channel;
    let mut request = MakeCredential::discoverable(RP, b"alice");
    request.display_name = Some("Alice A.");
    request.algorithms = vec![-37, -7];
    request = request.extension("credProtect", 2);
    bench.platform().start_make(channel, &request);
    let asked = bench.asked();
    let traces = bench.rig.world().take_traces(0);
    let [
        Trace::Started {
            operation,
            channel: client,
            command,
            details,
        },
    ] = traces.as_slice()
    else {
        panic!("{traces:?}");
    };
    assert_eq!((*command, *client), (Command::MakeCredential, channel.0));
    let asked_for = |name: &str| detail(details, name);
    assert_eq!(asked_for("rp.id"), text(RP));
    assert_eq!(asked_for("user.name"), text("alice"));
    assert_eq!(asked_for("user.displayName"), text("Alice A."));
    let id = DetailValue::Hex("616c696365".to_owned());
    assert_eq!(asked_for("user.id"), Some(id));
    assert_eq!(asked_for("pubKeyCredParams"), list(&["-37", "ES256"]));
    assert_eq!(asked_for("extensions"), list(&["credProtect"]));
    assert_eq!(asked_for("options.rk"), Some(DetailValue::Flag(true)));
    assert_eq!(asked_for("options.up"), None);

    bench.platform().idle(300);
    bench.rig.decide(&asked, Decision::Approved);
    let made = bench.platform().finish_make(channel, &request);
    let made = made.expect("a credential");
    let ended = ended(&bench);
    let [
        trace @ Trace::Finished {
            operation: same,
            rp_id,
            duration_ms,
            details,
            ..
        },
    ] = ended.as_slice()
    else {
        panic!("{ended:?}");
    };
    let expected = (Command::MakeCredential, 0, true, Touched::Approved);
    assert_eq!(end(trace), expected);
    assert_eq!(trace.status_name(), Some("CTAP2_OK"));
    assert_eq!((same, rp_id.as_deref()), (operation, Some(RP)));
    assert!((300..400).contains(duration_ms), "{duration_ms}");
    let answered = |name: &str| detail(details, name);
    assert_eq!(answered("fmt"), text("packed"));
    assert_eq!(answered("flags"), list(&["UP", "AT", "ED"]));
    assert_eq!(answered("signCount"), Some(DetailValue::Number(1)));
    let start = base16ct::lower::encode_string(&made.id[..8]) + "...";
    assert_eq!(answered("credential.id"), Some(DetailValue::Hex(start)));
}

fn refused_command_is_told_with_its_status(place: Place) {
    let mut bench = told(place);
    let channel = bench.channel;
    let outcome = bench.get(&GetAssertion::new(RP, &[&[7; 64]]));
    assert_eq!(outcome.map(drop), Err(status::NO_CREDENTIALS));
    bench.platform().start(channel, SELECTION, None);
    let asked = bench.asked();
    bench.rig.decide(&asked, Decision::Denied);
    let outcome = bench.platform().finish(channel).map(drop);
    assert_eq!(outcome, Err(status::OPERATION_DENIED));
    bench.platform().start(channel, SELECTION, None);
    let outcome = bench.platform().finish(channel).map(drop);
    assert_eq!(outcome, Err(status::USER_ACTION_TIMEOUT));
    let ended = ended(&bench);
    let ends: Vec<_> = ended.iter().map(end).collect();
    let expected = [
        (Command::GetAssertion, 0x2e, true, Touched::NotAsked),
        (Command::Selection, 0x27, true, Touched::Denied),
        (Command::Selection, 0x2f, true, Touched::Unanswered),
    ];
    assert_eq!(ends, expected);
    let names: Vec<_> = ended.iter().filter_map(Trace::status_name).collect();
    let expected = [
        "CTAP2_ERR_NO_CREDENTIALS",
        "CTAP2_ERR_OPERATION_DENIED",
        "CTAP2_ERR_USER_ACTION_TIMEOUT",
    ];
    assert_eq!(names, expected);
}

fn finger_that_verifies_nobody_is_told(place: Place) {
    let mut bench = sensor_bench(place, Protocol::Two);
    bench.rig.world().trace(0, true);
    let wrong = [Decision::Unverified];
    let token = bench.try_finger_token(permission::BE, None, &wrong);
    assert_eq!(token.map(drop), Err(status::UV_INVALID));
    let token = bench.finger_token(permission::BE, None);
    let first = bench.sample(&token, None, Decision::Unverified);
    assert!(first.is_ok(), "a sample that is not good is one");
    let traces = ended(&bench);
    let commands = traces.iter().map(end);
    let asked = commands.filter(|(.., touch)| *touch != Touched::NotAsked);
    let expected = [
        (Command::ClientPin, 0x3f, true, Touched::NotVerified),
        (Command::ClientPin, 0x00, true, Touched::Approved),
        (Command::BioEnrollment, 0x00, true, Touched::NotVerified),
    ];
    assert_eq!(asked.collect::<Vec<_>>(), expected);
    let Some(Trace::Finished { details, .. }) = traces.last() else {
        panic!("it ended");
    };
    let quality = text("CTAP2_ENROLL_FEEDBACK_FP_POOR_QUALITY");
    assert_eq!(detail(details, "lastEnrollSampleStatus"), quality);
}

fn command_that_makes_no_sense_is_told_without_members(place: Place) {
    let mut bench = told(place);
    let channel = bench.channel;
    // Not canonical, of another type, and unknown.
    for payload in [
        [1, 0xa1, 0x18].as_slice(),
        &[2, 0x81, 1],
        &[0x55, 0xa1, 1, 2],
    ] {
        assert_ne!(bench.platform().raw_status(channel, payload), 0);
    }
    let traces = bench.rig.world().take_traces(0);
    let mut commands = Vec::new();
    for trace in &traces {
        match trace {
            Trace::Started {
                command, details, ..
            } => {
                assert_eq!(details, &[]);
                commands.push(*command);
            }
            Trace::Finished { details, rp_id, .. } => {
                assert_eq!((details.as_slice(), rp_id), ([].as_slice(), &None));
            }
            Trace::Hid { .. } => panic!("{trace:?}"),
        }
    }
    let expected = [
        Command::MakeCredential,
        Command::GetAssertion,
        Command::Unknown,
    ];
    assert_eq!(commands, expected);
    assert_eq!(traces.len(), 6);
}

/// What was told of CTAPHID's own commands.
fn hid(bench: &Bench) -> Vec<(u32, &'static str, u32)> {
    let traces = bench.rig.world().take_traces(0).into_iter();
    let hid = traces.map(|trace| match trace {
        Trace::Hid {
            channel,
            command,
            value,
        } => (channel, command, value),
        other => panic!("{other:?}"),
    });
    hid.collect()
}

fn commands_of_ctaphid_are_told(place: Place) {
    let mut bench = told(place);
    let channel = bench.channel;
    let platform = bench.platform();
    platform.init();
    platform.init_on(channel);
    platform.call(channel, command::PING, &[0; 100]);
    platform.call(channel, command::WINK, &[]);
    platform.call(channel, command::LOCK, &[0]);
    platform.send(channel, command::CANCEL, &[]);
    platform.expect_error(channel, 0x55, &[1, 2, 3], 0x01);
    platform.expect_error(Channel(0x00ab_cdef), command::PING, &[], 0x0b);
    let expected = [
        (BROADCAST.0, "init", 8),
        (channel.0, "init", 8),
        (channel.0, "ping", 100),
        (channel.0, "wink", 0),
        (channel.0, "lock", 1),
        (channel.0, "cancel", 0),
        (channel.0, "unknown", 3),
        (channel.0, "error", 0x01),
        (0x00ab_cdef, "error", 0x0b),
    ];
    assert_eq!(hid(&bench), expected);
    // Still after power came again.
    bench.replug();
    assert_eq!(hid(&bench), [(BROADCAST.0, "init", 8)]);
}

fn command_whose_client_starts_over_ends_unanswered(place: Place) {
    let mut bench = told(place);
    let channel = bench.channel;
    bench.platform().start(channel, SELECTION, None);
    bench.asked();
    bench.platform().init_on(channel);
    let ended = ended(&bench);
    let ends: Vec<_> = ended.iter().map(end).collect();
    let expected = (Command::Selection, 0x2d, false, Touched::Unanswered);
    assert_eq!(ends, [expected]);
    bench.info();
}

fn command_of_a_host_that_leaves_ends_unanswered(place: Place) {
    let mut bench = told(place);
    let channel = bench.channel;
    bench.platform().start(channel, SELECTION, None);
    bench.asked();
    bench.unplug();
    let ended = ended(&bench);
    let ends: Vec<_> = ended.iter().map(end).collect();
    let expected = (Command::Selection, 0x2d, false, Touched::Unanswered);
    assert_eq!(ends, [expected]);
}

fn cancelled_command_is_answered(place: Place) {
    let mut bench = told(place);
    let channel = bench.channel;
    bench.platform().start(channel, SELECTION, None);
    bench.asked();
    bench.platform().send(channel, command::CANCEL, &[]);
    let outcome = bench.platform().finish(channel).map(drop);
    assert_eq!(outcome, Err(status::KEEPALIVE_CANCEL));
    let traces = bench.rig.world().take_traces(0);
    let [
        Trace::Started { .. },
        Trace::Hid {
            command: "cancel", ..
        },
        finished,
    ] = traces.as_slice()
    else {
        panic!("{traces:?}");
    };
    let expected = (Command::Selection, 0x2d, true, Touched::Unanswered);
    assert_eq!(end(finished), expected);
}

fn each_u2f_poll_is_an_operation(place: Place) {
    let mut bench = told(place);
    let channel = bench.channel;
    let register = register_apdu(&[1; 32], &[2; 32]);
    let touch = Err(word::CONDITIONS_NOT_SATISFIED);
    for _ in 0..2 {
        assert_eq!(bench.platform().u2f(channel, &register), touch);
    }
    bench.approve();
    let registered = bench.platform().u2f(channel, &register);
    registered.expect("a registration");
    let other = register_apdu(&[3; 32], &[2; 32]);
    assert_eq!(bench.platform().u2f(channel, &other), touch);
    let asked = bench.asked();
    bench.rig.decide(&asked, Decision::Denied);
    assert_eq!(bench.platform().u2f(channel, &other), touch);
    let version = bench.platform().u2f(channel, &apdu(3, 0, &[]));
    version.expect("a version");
    let traces = bench.rig.world().take_traces(0);
    let Some(Trace::Started { details, .. }) = traces.first() else {
        panic!("{traces:?}");
    };
    let application = DetailValue::Hex("02".repeat(32));
    assert_eq!(detail(details, "application"), Some(application));
    let ended = traces.iter();
    let ended: Vec<_> = ended
        .filter(|trace| matches!(trace, Trace::Finished { .. }))
        .map(end)
        .collect();
    let register = Command::U2fRegister;
    let expected = [
        (register, 0x6985, true, Touched::Unanswered),
        (register, 0x6985, true, Touched::Unanswered),
        (register, 0x9000, true, Touched::Approved),
        (register, 0x6985, true, Touched::Unanswered),
        (register, 0x6985, true, Touched::Denied),
        (Command::U2fVersion, 0x9000, true, Touched::NotAsked),
    ];
    assert_eq!(ended, expected);
}

fn operations_count_while_nobody_looks(place: Place) {
    let mut bench = Bench::bare(place, Protocol::Two, Options::default());
    let channel = bench.channel;
    for _ in 0..3 {
        bench.info();
    }
    bench.rig.world().trace(0, true);
    let value = bench.platform().ctap2(channel, GET_INFO, None);
    assert!(matches!(value, Ok(Value::Map(_))));
    let reset = bench.platform().ctap2(channel, RESET, None);
    reset.expect("power came just now");
    let traces = bench.rig.world().take_traces(0).into_iter();
    let operations: Vec<_> = traces
        .filter_map(|trace| match trace {
            Trace::Started {
                operation, command, ..
            } => Some((operation, command)),
            Trace::Finished { .. } | Trace::Hid { .. } => None,
        })
        .collect();
    assert_eq!(operations, [(4, Command::GetInfo), (5, Command::Reset)]);
}
