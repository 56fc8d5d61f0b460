//! authenticatorGetAssertion: lists, silence, what is refused before a touch.

use roamkey_ctap::Operation;

use crate::support::{
    cbor,
    ctap2::{GET_ASSERTION, GetAssertion, MakeCredential, descriptors, status},
    rig::{Place, scenarios},
};

const RP: &str = "example.com";

scenarios!(
    silent_assertion_needs_no_touch,
    nothing_to_sign_with_is_told_before_a_touch,
    allow_list_names_what_signs,
    options_that_do_not_fit_are_refused,
    touch_shows_site_and_account,
    list_of_64_credentials_is_searched_and_65_are_too_many,
    empty_allow_list_is_none,
    allow_list_of_another_type_names_nothing,
);

fn silent_assertion_needs_no_touch(place: Place) {
    let mut rig = place.held_rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    for rk in [false, true] {
        let mut request = MakeCredential::new(RP, b"alice");
        request.options.push(("rk", rk));
        platform.start_make(channel, &request);
        rig.approve(&mut platform);
        let made = platform.finish_make(channel, &request);
        let made = made.expect("a credential");
        rig.take_notices();
        let request = GetAssertion::new(RP, &[&made.id]).silent();
        let asserted = platform.get(channel, &request).expect("an assertion");
        asserted.verify(RP, &made.public_key);
        assert!(!asserted.auth_data.user_present);
        assert!(asserted.auth_data.counter > made.counter);
        assert!(asserted.keepalives.iter().all(|k| k.status != 2));
        assert!(rig.take_notices().is_empty(), "nobody was asked");
    }
}

fn nothing_to_sign_with_is_told_before_a_touch(place: Place) {
    let mut rig = place.held_rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    let request = MakeCredential::discoverable(RP, b"alice");
    platform.start_make(channel, &request);
    rig.approve(&mut platform);
    let made = platform.finish_make(channel, &request);
    let made = made.expect("a credential");
    rig.take_notices();
    let mut tampered = made.id.clone();
    tampered[40] ^= 1;
    for request in [
        GetAssertion::new("example.org", &[]),
        GetAssertion::new("example.org", &[&made.id]),
        GetAssertion::new("EXAMPLE.com", &[]),
        GetAssertion::new(RP, &[&tampered]),
        GetAssertion::new(RP, &[&made.id[..63]]),
        GetAssertion::new(RP, &[&[]]),
    ] {
        let outcome = platform.get(channel, &request).map(drop);
        assert_eq!(outcome, Err(status::NO_CREDENTIALS));
        let silent = request.silent();
        let outcome = platform.get(channel, &silent).map(drop);
        assert_eq!(outcome, Err(status::NO_CREDENTIALS));
    }
    assert!(rig.take_notices().is_empty(), "nobody was asked");
}

fn allow_list_names_what_signs(place: Place) {
    let rig = place.rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    let one = MakeCredential::new(RP, b"alice");
    let one = platform.make(channel, &one).expect("a credential");
    let two = MakeCredential::discoverable(RP, b"bob");
    let two = platform.make(channel, &two).expect("a credential");
    let foreign = MakeCredential::new("example.org", b"alice");
    let foreign = platform.make(channel, &foreign).expect("a credential");

    let list: [&[u8]; 4] = [&[9; 64], &foreign.id, &one.id, &[1, 2, 3]];
    let asserted = platform.get(channel, &GetAssertion::new(RP, &list));
    let asserted = asserted.expect("an assertion");
    assert_eq!(asserted.id, one.id);
    asserted.verify(RP, &one.public_key);
    // Of several, one signs, and there is nothing to enumerate.
    for list in [[&one.id, &two.id], [&two.id, &one.id]] {
        let request = GetAssertion::new(RP, &list.map(Vec::as_slice));
        let asserted = platform.get(channel, &request).expect("an assertion");
        assert_eq!(asserted.number_of_credentials, None);
        let key = if asserted.id == one.id { &one } else { &two };
        assert_eq!(asserted.id, key.id);
        asserted.verify(RP, &key.public_key);
        let outcome = platform.get_next(channel, &request).map(drop);
        assert_eq!(outcome, Err(status::NOT_ALLOWED));
    }
}

fn options_that_do_not_fit_are_refused(place: Place) {
    let rig = place.held_rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    for (name, value, expected) in [
        ("rk", true, status::UNSUPPORTED_OPTION),
        ("rk", false, status::UNSUPPORTED_OPTION),
        ("uv", true, status::INVALID_OPTION),
    ] {
        let mut request = GetAssertion::new(RP, &[]);
        request.options.push((name, value));
        let outcome = platform.get(channel, &request).map(drop);
        assert_eq!(outcome, Err(expected), "{name}: {value}");
    }
    assert_eq!(rig.pending(), 0);
}

fn touch_shows_site_and_account(place: Place) {
    let mut rig = place.held_rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    let request = MakeCredential::discoverable(RP, b"id of alice");
    platform.start_make(channel, &request);
    rig.approve(&mut platform);
    platform
        .finish_make(channel, &request)
        .expect("a credential");
    let request = GetAssertion::new(RP, &[]);
    platform.start_get(channel, &request);
    let asked = rig.approve(&mut platform);
    assert_eq!(asked.prompt.operation, Operation::Authenticate);
    assert_eq!(asked.prompt.rp_id.as_deref(), Some(RP));
    assert_eq!(asked.prompt.account.as_deref(), Some("alice"));
    platform
        .finish_get(channel, &request)
        .expect("an assertion");
}

fn list_of_64_credentials_is_searched_and_65_are_too_many(place: Place) {
    let rig = place.rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    let made = MakeCredential::new(RP, b"alice");
    let made = platform.make(channel, &made).expect("a credential");
    let mut request = GetAssertion::new(RP, &[]);
    request.allow_list = (0..63).map(|n| vec![n; 64]).collect();
    request.allow_list.push(made.id.clone());
    let asserted = platform.get(channel, &request).expect("an assertion");
    asserted.verify(RP, &made.public_key);
    request.allow_list.insert(0, vec![77; 64]);
    let outcome = platform.get(channel, &request).map(drop);
    assert_eq!(outcome, Err(status::LIMIT_EXCEEDED));
}

/// The list is there and not empty, so only what it names may sign (§6.2.2 step 7).
fn allow_list_of_another_type_names_nothing(place: Place) {
    let rig = place.rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    let made = MakeCredential::discoverable(RP, b"alice");
    let made = platform.make(channel, &made).expect("a credential");
    let foreign = cbor::map([
        ("id", ciborium::Value::from(made.id)),
        ("type", ciborium::Value::from("another-type")),
    ]);
    let parameters = cbor::map([
        (1, ciborium::Value::from(RP)),
        (2, ciborium::Value::from(vec![1; 32])),
        (3, ciborium::Value::Array(vec![foreign])),
    ]);
    let outcome = platform.ctap2(channel, GET_ASSERTION, Some(&parameters));
    assert_eq!(outcome, Err(status::NO_CREDENTIALS));
}

/// Platforms are not to send one, and some do.
fn empty_allow_list_is_none(place: Place) {
    let rig = place.rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    let made = MakeCredential::discoverable(RP, b"alice");
    let made = platform.make(channel, &made).expect("a credential");
    let parameters = cbor::map([
        (1, ciborium::Value::from(RP)),
        (2, ciborium::Value::from(vec![1; 32])),
        (3, descriptors(&[])),
    ]);
    let value = platform.ctap2(channel, GET_ASSERTION, Some(&parameters));
    let credential = cbor::member(&value.expect("an assertion"), 1);
    let id = cbor::member(&credential.expect("a credential"), "id");
    assert_eq!(cbor::bytes(id), made.id);
}
