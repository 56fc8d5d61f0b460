//! Which operations meet an armed fault, and when it is over.

use roamkey_ctap::{Command, Fault, FaultId, FaultRefusal, FaultRule};

use crate::support::{
    ctap2::{GET_INFO, GetAssertion, MakeCredential, sha256, status},
    ctaphid::command,
    faulty::{Faulty, always, once, once_in},
    rig::{Options, Place, virtual_scenarios},
    u2f::{Control, authenticate_apdu, register_apdu},
};

const RP: &str = "example.com";
const ELSEWHERE: &str = "example.org";

virtual_scenarios!(
    remaining_counts_down_to_nothing,
    disarmed_fault_is_met_no_more,
    fault_waits_for_its_command,
    fault_waits_for_its_site,
    site_is_known_by_its_hash_too,
    fault_stays_with_its_command_over_touch_and_commit,
    next_assertion_meets_its_own_faults,
    cancelled_command_ends_its_faults,
    aborted_command_ends_its_faults,
    command_that_fails_has_met_its_faults,
    polls_for_a_touch_leave_the_fault_to_the_answer,
    u2f_check_of_a_handle_meets_nothing,
    several_faults_meet_in_one_answer,
    full_plan_takes_no_more,
);

/// For operations at one site.
fn at(rp_id: &str, rule: FaultRule) -> FaultRule {
    FaultRule {
        rp_id: Some(rp_id.to_owned()),
        ..rule
    }
}

fn met(key: &Faulty) -> Vec<FaultId> {
    let met = key.rig.world().take_met(0);
    met.into_iter().map(|(id, _)| id).collect()
}

fn remaining(key: &Faulty) -> Vec<Option<u32>> {
    let armed = key.rig.world().armed(0);
    armed.into_iter().map(|(_, rule)| rule.remaining).collect()
}

fn remaining_counts_down_to_nothing(place: Place) {
    let mut key = Faulty::new(place);
    let id = key.arm(FaultRule {
        remaining: Some(3),
        ..always(Fault::Status(1))
    });
    for left in [vec![Some(2)], vec![Some(1)], vec![]] {
        assert_eq!(key.raw(GET_INFO, None), [1]);
        assert_eq!(met(&key), [id]);
        assert_eq!(remaining(&key), left);
    }
    key.platform.info(key.channel).expect("right again");
    assert_eq!(met(&key), []);
}

fn disarmed_fault_is_met_no_more(place: Place) {
    let mut key = Faulty::new(place);
    let id = key.arm(always(Fault::Status(1)));
    for _ in 0..5 {
        assert_eq!(key.raw(GET_INFO, None), [1]);
        assert_eq!(remaining(&key), [None]);
    }
    assert!(key.rig.world().disarm(0, id));
    assert!(!key.rig.world().disarm(0, id));
    key.platform.info(key.channel).expect("right again");
}

fn fault_waits_for_its_command(place: Place) {
    let mut key = Faulty::new(place);
    let id = key.arm(once_in(Command::GetAssertion, Fault::BadSignature));
    let other = key.arm(once_in(Command::Selection, Fault::Status(1)));
    key.platform.info(key.channel).expect("getInfo");
    let made = MakeCredential::new(RP, b"alice");
    let made = key.platform.make(key.channel, &made).expect("verified");
    assert_eq!(met(&key), []);
    let signed = key.get(&GetAssertion::new(RP, &[&made.id]));
    assert!(!signed.is_by(&made.public_key));
    assert_eq!(met(&key), [id]);
    assert_eq!(key.rig.world().armed(0)[0].0, other);
}

fn fault_waits_for_its_site(place: Place) {
    let mut key = Faulty::new(place);
    let here = key.arm(at(RP, once(Fault::Status(7))));
    let make = MakeCredential::new(ELSEWHERE, b"alice");
    let elsewhere = key.platform.make(key.channel, &make);
    let elsewhere = elsewhere.expect("another site");
    key.platform.info(key.channel).expect("no site");
    let get = GetAssertion::new(ELSEWHERE, &[&elsewhere.id]);
    key.platform.get(key.channel, &get).expect("another site");
    assert_eq!(met(&key), []);
    let get = GetAssertion::new(RP, &[]);
    let outcome = key.platform.get(key.channel, &get).map(drop);
    assert_eq!(outcome, Err(7));
    assert_eq!(met(&key), [here]);
    let here = key.arm(at(RP, once(Fault::Status(8))));
    let make = MakeCredential::new(RP, b"alice");
    key.platform.start_make(key.channel, &make);
    let outcome = key.platform.finish(key.channel).map(drop);
    assert_eq!(outcome, Err(8));
    assert_eq!(met(&key), [here]);
}

fn site_is_known_by_its_hash_too(place: Place) {
    let mut key = Faulty::new(place);
    for user in [b"a", b"b"] {
        let make = MakeCredential::discoverable(RP, user);
        key.platform.make(key.channel, &make).expect("a credential");
    }
    let next = key.arm(at(RP, once_in(Command::GetNextAssertion, Fault::Status(7))));
    let u2f = key.arm(at(RP, once_in(Command::U2fRegister, Fault::Status(8))));
    let get = GetAssertion::new(RP, &[]);
    key.platform.get(key.channel, &get).expect("the first");
    let outcome = key.platform.get_next(key.channel, &get).map(drop);
    assert_eq!(outcome, Err(7));
    assert_eq!(met(&key), [next]);
    for (site, word) in [(ELSEWHERE, 0x6985), (RP, 0x6f00)] {
        let apdu = register_apdu(&[1; 32], &sha256(site.as_bytes()));
        assert_eq!(key.platform.u2f(key.channel, &apdu), Err(word));
    }
    assert_eq!(met(&key), [u2f]);
}

fn fault_stays_with_its_command_over_touch_and_commit(place: Place) {
    let mut key = Faulty::with(place, Options::held());
    let request = MakeCredential::discoverable(RP, b"alice");
    let id = key.arm(once(Fault::Status(1)));
    assert_eq!(key.raw(GET_INFO, None), [1]);
    let bad = key.arm(once(Fault::AttestationMissing));
    key.platform.start_make(key.channel, &request);
    key.platform.idle(330);
    assert_eq!(met(&key), [id, bad], "met as the command begins");
    let later = key.arm(once(Fault::BadSignature));
    key.rig.approve(&mut key.platform);
    let made = key.platform.finish_make(key.channel, &request);
    assert_eq!(made.expect("a credential").format, "none");
    assert_eq!(met(&key), []);
    assert_eq!(key.rig.world().armed(0)[0].0, later, "for the next one");
}

fn next_assertion_meets_its_own_faults(place: Place) {
    let mut key = Faulty::new(place);
    let mut keys = Vec::new();
    for user in [b"a", b"b", b"c"] {
        let make = MakeCredential::discoverable(RP, user);
        let made = key.platform.make(key.channel, &make).expect("a credential");
        keys.push(made.public_key);
    }
    key.arm(once(Fault::FlipUserVerified));
    key.arm(once_in(Command::GetNextAssertion, Fault::BadSignature));
    let get = GetAssertion::new(RP, &[]);
    let first = key.get(&get);
    assert!(first.is_by(&keys[2]));
    assert!(first.parsed(0).user_verified);
    let second = key.get_next(&get);
    assert!(!second.is_by(&keys[1]));
    assert!(!second.parsed(0).user_verified);
    key.expect_met(&[Fault::FlipUserVerified, Fault::BadSignature]);
    let third = key.platform.get_next(key.channel, &get).expect("right");
    third.verify(RP, &keys[0]);
}

fn cancelled_command_ends_its_faults(place: Place) {
    let mut key = Faulty::with(place, Options::held());
    let request = MakeCredential::new(RP, b"alice");
    let id = key.arm(once(Fault::AttestationMissing));
    key.platform.start_make(key.channel, &request);
    key.platform.send(key.channel, command::CANCEL, &[]);
    let outcome = key.platform.finish(key.channel).map(drop);
    assert_eq!(outcome, Err(status::KEEPALIVE_CANCEL));
    assert_eq!(met(&key), [id]);
    key.rig.take_notices();
    key.platform.start_make(key.channel, &request);
    key.rig.approve(&mut key.platform);
    let made = key.platform.finish_make(key.channel, &request);
    assert_eq!(made.expect("right").format, "packed");
}

fn aborted_command_ends_its_faults(place: Place) {
    let mut key = Faulty::with(place, Options::held());
    let request = MakeCredential::new(RP, b"alice");
    key.arm(once(Fault::AttestationMissing));
    key.arm(once(Fault::CborOversized));
    key.platform.start_make(key.channel, &request);
    key.platform.idle(100);
    key.platform.init_on(key.channel);
    key.expect_met(&[Fault::AttestationMissing, Fault::CborOversized]);
    key.arm(once(Fault::Status(0)));
    assert_eq!(key.raw(GET_INFO, None), [0], "the status alone");
    key.rig.take_notices();
    key.platform.start_make(key.channel, &request);
    key.rig.approve(&mut key.platform);
    let made = key.platform.finish_make(key.channel, &request);
    assert_eq!(made.expect("right").format, "packed");
}

fn command_that_fails_has_met_its_faults(place: Place) {
    let mut key = Faulty::new(place);
    for fault in [
        Fault::BadSignature,
        Fault::CborTruncated,
        Fault::CborOversized,
    ] {
        key.arm(once(fault));
        let get = GetAssertion::new(RP, &[]);
        let answer = key.raw(0x02, Some(&get.to_value()));
        assert_eq!(answer, [status::NO_CREDENTIALS], "nothing to be wrong in");
        key.expect_met(&[fault]);
    }
    key.platform.info(key.channel).expect("right");
}

fn polls_for_a_touch_leave_the_fault_to_the_answer(place: Place) {
    let mut key = Faulty::with(place, Options::held());
    let application = sha256(RP.as_bytes());
    let register = register_apdu(&[1; 32], &application);
    let id = key.arm(once(Fault::BadSignature));
    for _ in 0..3 {
        assert_eq!(key.platform.u2f(key.channel, &register), Err(0x6985));
        assert_eq!(met(&key), []);
    }
    key.rig.approve(&mut key.platform);
    let answer = key.platform.u2f(key.channel, &register);
    answer.expect("a registration");
    assert_eq!(met(&key), [id]);
    assert_eq!(remaining(&key), []);
}

fn u2f_check_of_a_handle_meets_nothing(place: Place) {
    let mut key = Faulty::new(place);
    let application = sha256(RP.as_bytes());
    let channel = key.channel;
    let made = key.platform.u2f_register(channel, &[1; 32], &application);
    key.arm(once(Fault::CounterLowered));
    let apdu = |control| authenticate_apdu(control, &[1; 32], &application, &made.key_handle);
    let check = key.platform.u2f(channel, &apdu(Control::CheckOnly));
    assert_eq!(check, Err(0x6985));
    assert_eq!(met(&key), []);
    let silent = key.platform.u2f(channel, &apdu(Control::DontEnforce));
    silent.expect("a signature");
    key.expect_met(&[Fault::CounterLowered]);
}

fn several_faults_meet_in_one_answer(place: Place) {
    let mut key = Faulty::new(place);
    let make = MakeCredential::discoverable(RP, b"alice");
    let made = key.platform.make(key.channel, &make).expect("a credential");
    let faults = [
        Fault::FlipUserPresent,
        Fault::CounterLowered,
        Fault::MissingCredential,
        Fault::WrongUserHandle,
        Fault::CborNonCanonical,
    ];
    for fault in faults {
        key.arm(once(fault));
    }
    let signed = key.get(&GetAssertion::new(RP, &[]));
    key.expect_met(&faults);
    let data = signed.parsed(0);
    assert!(!data.user_present);
    assert_eq!(data.counter, 0);
    assert_eq!(signed.member(1), None);
    assert!(signed.is_by(&made.public_key));
}

fn full_plan_takes_no_more(place: Place) {
    let mut key = Faulty::new(place);
    let world = key.rig.world();
    for _ in 0..64 {
        world.arm(0, at(RP, once(Fault::Status(1))));
    }
    let refused = world.try_arm(0, once(Fault::Status(1)));
    assert_eq!(refused, Err(FaultRefusal::TooMany));
    let get = GetAssertion::new(RP, &[]);
    assert_eq!(key.raw(0x02, Some(&get.to_value())), [1]);
    assert_eq!(met(&key).len(), 64, "each counts");
    let refused = key
        .rig
        .world()
        .try_arm(0, once_in(Command::GetInfo, Fault::FlipAttested));
    let refusal = FaultRefusal::Inapplicable(Fault::FlipAttested, Command::GetInfo);
    assert_eq!(refused, Err(refusal));
}
