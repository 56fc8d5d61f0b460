//! The catalogue holds together.

use std::collections::BTreeSet;

use super::*;
use crate::command::Command;

#[test]
fn every_fault_comes_back_from_its_name() {
    for info in Fault::all() {
        let parameter = match info.parameter {
            Parameter::Nothing => None,
            Parameter::Status => Some(0xf2),
            Parameter::Milliseconds => Some(70_000),
        };
        let fault = Fault::from_name(info.name, parameter).expect("a fault");
        assert_eq!(fault.info(), info);
        assert_eq!(fault.number(), parameter);
        for command in Command::ALL {
            assert_eq!(fault.applies_to(*command), info.commands.contains(command));
        }
    }
}

#[test]
fn catalogue_has_each_name_once() {
    let names: BTreeSet<_> = Fault::all().iter().map(|info| info.name).collect();
    assert_eq!(names.len(), Fault::all().len());
    assert_eq!(names.len(), 36);
    for name in &names {
        let plain = |c: char| c.is_ascii_lowercase() || c == '-';
        assert!(name.chars().all(plain), "{name}");
    }
}

#[test]
fn texts_are_sentences() {
    for info in Fault::all() {
        for text in [info.does, info.expect] {
            assert!(text.ends_with('.'), "{}: {text}", info.name);
            assert!(
                text.starts_with(char::is_uppercase),
                "{}: {text}",
                info.name
            );
            assert!(!text.contains("  "), "{}: {text}", info.name);
        }
    }
}

#[test]
fn name_without_its_parameter_says_what_is_missing() {
    for (name, parameter, expected) in [
        ("no-such-fault", None, NoSuchFault::Name),
        (
            "status",
            None,
            NoSuchFault::ParameterMissing(Parameter::Status),
        ),
        (
            "status",
            Some(256),
            NoSuchFault::ParameterTooLarge(Parameter::Status),
        ),
        ("flip-up", Some(1), NoSuchFault::ParameterUnwanted),
    ] {
        assert_eq!(Fault::from_name(name, parameter), Err(expected));
    }
    let missing = Fault::from_name("slow-trickle", None).expect_err("a number is missing");
    assert_eq!(
        missing.to_string(),
        "this fault takes a number of milliseconds"
    );
}

#[test]
fn fault_shows_its_name_and_parameter() {
    assert_eq!(Fault::Status(0x2e).to_string(), "status 0x2E");
    assert_eq!(Fault::DelayReport(250).to_string(), "delay-report 250 ms");
    assert_eq!(Fault::FlipAttested.to_string(), "flip-at");
}
