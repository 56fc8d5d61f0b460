//! CTAP1/U2F, alone and on the same credentials as CTAP2.

use roamkey::presence::Notice;
use roamkey_ctap::{Decision, Operation, RpIdHash, Withdrawn};

use crate::support::{
    ctap2::{GetAssertion, MakeCredential, SELECTION, sha256, status},
    rig::{Place, Rig, scenarios, virtual_scenarios},
    u2f::{Control, apdu, authenticate_apdu, register_apdu, registered, word},
};

const RP: &str = "example.com";

scenarios!(
    registration_and_authentication_verify,
    apdu_that_makes_no_sense_has_its_word,
    short_and_extended_lengths_are_both_understood,
    credentials_serve_both_protocols,
    polls_share_one_prompt,
    ctap2_command_takes_the_prompt_over,
    u2f_keeps_the_list_of_sites,
    detach_withdraws_the_prompt,
);

virtual_scenarios!(
    prompt_is_withdrawn_when_polls_stop,
    approval_waits_10_s_for_its_poll,
    denied_polls_ask_nobody_again,
);

fn registration_and_authentication_verify(place: Place) {
    let rig = place.rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    let version = platform.u2f(channel, &apdu(0x03, 0, &[]));
    assert_eq!(version.as_deref(), Ok(b"U2F_V2".as_slice()));
    let application = sha256(RP.as_bytes());
    let made = platform.u2f_register(channel, &[7; 32], &application);
    assert_eq!(made.key_handle.len(), 64);
    let key = (made.key_handle.as_slice(), &made.public_key);

    let enforced = platform.u2f_authenticate(channel, Control::Enforce, &application, key);
    let enforced = enforced.expect("a signature");
    assert!(enforced.user_present);
    let silent = platform.u2f_authenticate(channel, Control::DontEnforce, &application, key);
    let silent = silent.expect("a signature");
    assert!(!silent.user_present);
    assert!(silent.counter > enforced.counter);

    let check = authenticate_apdu(Control::CheckOnly, &[1; 32], &application, key.0);
    let known = platform.u2f(channel, &check);
    assert_eq!(known, Err(word::CONDITIONS_NOT_SATISFIED), "a known handle");
    let elsewhere = sha256(b"example.org");
    let mut tampered = key.0.to_vec();
    tampered[0] ^= 1;
    for (application, handle) in [
        (&elsewhere, key.0),
        (&application, &tampered),
        (&application, &[]),
        (&application, &key.0[..63]),
    ] {
        for control in [Control::CheckOnly, Control::Enforce, Control::DontEnforce] {
            let apdu = authenticate_apdu(control, &[1; 32], application, handle);
            assert_eq!(platform.u2f(channel, &apdu), Err(word::WRONG_DATA));
        }
    }
}

fn apdu_that_makes_no_sense_has_its_word(place: Place) {
    let rig = place.held_rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    let mut foreign_class = apdu(0x03, 0, &[]);
    foreign_class[0] = 0x80;
    let mut cut = register_apdu(&[1; 32], &[2; 32]);
    cut.truncate(40);
    for (apdu, expected) in [
        (vec![0], word::WRONG_LENGTH),
        (vec![0, 1, 0], word::WRONG_LENGTH),
        (foreign_class, word::CLA_NOT_SUPPORTED),
        (apdu(0x04, 0, &[]), word::INS_NOT_SUPPORTED),
        (apdu(0xc0, 0, &[]), word::INS_NOT_SUPPORTED),
        (apdu(0x03, 0, &[1]), word::WRONG_LENGTH),
        (apdu(0x01, 0, &[0; 63]), word::WRONG_LENGTH),
        (apdu(0x01, 0, &[0; 65]), word::WRONG_LENGTH),
        (apdu(0x02, 3, &[0; 64]), word::WRONG_LENGTH),
        (apdu(0x02, 3, &[64; 66]), word::WRONG_LENGTH),
        (cut, word::WRONG_LENGTH),
    ] {
        assert_eq!(platform.u2f(channel, &apdu), Err(expected), "{apdu:02x?}");
    }
    assert_eq!(rig.pending(), 0);
}

fn short_and_extended_lengths_are_both_understood(place: Place) {
    let rig = place.rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    for version in [
        vec![0, 3, 0, 0],
        vec![0, 3, 0, 0, 0],
        vec![0, 3, 0, 0, 0, 0, 0],
        vec![0, 3, 0, 0, 0, 0, 0, 0, 0],
    ] {
        let answer = platform.u2f(channel, &version);
        assert_eq!(
            answer.as_deref(),
            Ok(b"U2F_V2".as_slice()),
            "{version:02x?}"
        );
    }
    let (challenge, application) = ([3; 32], [4; 32]);
    let data = [challenge, application].concat();
    let short = [&[0, 1, 0, 0, 64], data.as_slice()].concat();
    for apdu in [short.clone(), [short.as_slice(), &[0]].concat()] {
        let response = platform.u2f_polled(channel, &apdu);
        registered(&response.expect("a registration"), &challenge, &application);
    }
}

fn credentials_serve_both_protocols(place: Place) {
    let rig = place.rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    let application = sha256(RP.as_bytes());

    let u2f = platform.u2f_register(channel, &[7; 32], &application);
    let request = GetAssertion::new(RP, &[&u2f.key_handle]);
    let asserted = platform.get(channel, &request).expect("an assertion");
    asserted.verify(RP, &u2f.public_key);
    let mut request = MakeCredential::new(RP, b"alice");
    request.exclude_list = vec![u2f.key_handle];
    let outcome = platform.make(channel, &request).map(drop);
    assert_eq!(outcome, Err(status::CREDENTIAL_EXCLUDED));

    let mut last = asserted.auth_data.counter;
    for rk in [false, true] {
        let mut request = MakeCredential::new(RP, b"alice");
        request.options.push(("rk", rk));
        let made = platform.make(channel, &request).expect("a credential");
        let key = (made.id.as_slice(), &made.public_key);
        let signed = platform.u2f_authenticate(channel, Control::Enforce, &application, key);
        let signed = signed.expect("a signature");
        assert!(signed.counter > made.counter);
        if !rk {
            // U2F and derived credentials share the key's counter.
            assert!(signed.counter > last);
            last = signed.counter;
        }
    }
}

/// How often a touch was asked for and withdrawn since somebody looked.
fn prompts(rig: &mut Rig) -> (usize, usize) {
    let notices = rig.take_notices();
    let asked = notices.iter().filter(|n| matches!(n, Notice::Asked { .. }));
    let withdrawn = notices
        .iter()
        .filter(|n| matches!(n, Notice::Withdrawn { .. }));
    (asked.count(), withdrawn.count())
}

fn polls_share_one_prompt(place: Place) {
    let mut rig = place.held_rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    let application = sha256(RP.as_bytes());
    let request = register_apdu(&[7; 32], &application);
    let touch = Err(word::CONDITIONS_NOT_SATISFIED);
    assert_eq!(platform.u2f(channel, &request), touch);
    let asked = rig.wait_asked(&mut platform);
    assert_eq!(asked.prompt.operation, Operation::Register);
    assert_eq!(asked.prompt.rp_id, None, "U2F does not tell");
    assert_eq!(asked.prompt.rp_id_hash, Some(RpIdHash(application)));
    for _ in 0..20 {
        assert_eq!(platform.u2f(channel, &request), touch);
    }
    assert_eq!(prompts(&mut rig), (0, 0), "one prompt for all polls");
    assert_eq!(rig.pending(), 1);
    rig.decide(&asked, Decision::Approved);
    let response = platform.u2f_polled(channel, &request);
    registered(&response.expect("a registration"), &[7; 32], &application);
    // One approval is good for one registration.
    assert_eq!(platform.u2f(channel, &request), touch);
    rig.wait_asked(&mut platform);
}

fn ctap2_command_takes_the_prompt_over(place: Place) {
    let mut rig = place.held_rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    let request = register_apdu(&[7; 32], &sha256(RP.as_bytes()));
    let touch = Err(word::CONDITIONS_NOT_SATISFIED);
    assert_eq!(platform.u2f(channel, &request), touch);
    let polled = rig.wait_asked(&mut platform);
    platform.start(channel, SELECTION, None);
    let reason = rig.wait_withdrawn(&mut platform, &polled);
    assert_eq!(reason, Withdrawn::Cancelled);
    let asked = rig.approve(&mut platform);
    assert_eq!(asked.prompt.operation, Operation::Select);
    platform.finish(channel).expect("approved");
}

fn detach_withdraws_the_prompt(place: Place) {
    let mut rig = place.held_rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    let request = register_apdu(&[7; 32], &sha256(RP.as_bytes()));
    let touch = Err(word::CONDITIONS_NOT_SATISFIED);
    assert_eq!(platform.u2f(channel, &request), touch);
    let asked = rig.wait_asked(&mut platform);
    drop(platform);
    let mut platform = rig.attach();
    let reason = rig.wait_withdrawn(&mut platform, &asked);
    assert_eq!(reason, Withdrawn::HostGone);
}

fn u2f_keeps_the_list_of_sites(place: Place) {
    let rig = place.rig_with(crate::support::rig::Options {
        rp_ids: vec![RP],
        ..Default::default()
    });
    let mut platform = rig.attach();
    let channel = platform.init();
    platform.u2f_register(channel, &[7; 32], &sha256(RP.as_bytes()));
    let elsewhere = register_apdu(&[7; 32], &sha256(b"example.org"));
    for _ in 0..10 {
        let outcome = platform.u2f(channel, &elsewhere);
        assert_eq!(outcome, Err(word::CONDITIONS_NOT_SATISFIED));
    }
}

fn prompt_is_withdrawn_when_polls_stop(place: Place) {
    let mut rig = place.held_rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    let request = register_apdu(&[7; 32], &sha256(RP.as_bytes()));
    let touch = Err(word::CONDITIONS_NOT_SATISFIED);
    for _ in 0..10 {
        assert_eq!(platform.u2f(channel, &request), touch);
        platform.expect_silence(1_900);
    }
    assert_eq!(prompts(&mut rig), (1, 0), "polls keep it alive");
    platform.expect_silence(100);
    assert_eq!(prompts(&mut rig), (0, 1), "2 s without a poll");
    assert_eq!(rig.pending(), 0);
    assert_eq!(platform.u2f(channel, &request), touch);
    assert_eq!(prompts(&mut rig), (1, 0), "a new poll asks anew");
}

fn approval_waits_10_s_for_its_poll(place: Place) {
    let mut rig = place.held_rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    let application = sha256(RP.as_bytes());
    let request = register_apdu(&[7; 32], &application);
    let touch = Err(word::CONDITIONS_NOT_SATISFIED);
    assert_eq!(platform.u2f(channel, &request), touch);
    rig.approve(&mut platform);
    platform.expect_silence(9_900);
    let response = platform.u2f(channel, &request);
    registered(&response.expect("a registration"), &[7; 32], &application);

    assert_eq!(platform.u2f(channel, &request), touch);
    rig.approve(&mut platform);
    platform.expect_silence(10_100);
    assert_eq!(platform.u2f(channel, &request), touch, "too late");
    // An approval is for what was shown, and for nothing else.
    rig.approve(&mut platform);
    let other = register_apdu(&[8; 32], &sha256(b"example.org"));
    assert_eq!(platform.u2f(channel, &other), touch);
}

fn denied_polls_ask_nobody_again(place: Place) {
    let mut rig = place.held_rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    let request = register_apdu(&[7; 32], &sha256(RP.as_bytes()));
    let touch = Err(word::CONDITIONS_NOT_SATISFIED);
    assert_eq!(platform.u2f(channel, &request), touch);
    let asked = rig.wait_asked(&mut platform);
    rig.decide(&asked, Decision::Denied);
    rig.take_notices();
    for _ in 0..20 {
        assert_eq!(platform.u2f(channel, &request), touch);
        platform.expect_silence(500);
    }
    assert_eq!(prompts(&mut rig), (0, 0));
    platform.expect_silence(2_000);
    assert_eq!(platform.u2f(channel, &request), touch);
    assert_eq!(prompts(&mut rig), (1, 0), "a new attempt asks anew");
}
