//! Large blobs and user verification: what a write needs of a pinUvAuthToken (CTAP 2.1 §6.10.2),
//! and how long that serves.

use crate::support::{
    bench::{Bench, PIN, RP},
    ctap2::{GetAssertion, MakeCredential, status},
    large_blobs::{INITIAL, array, set},
    manage::config,
    pin::{Protocol, Token, permission},
    rig::{Options, Place, pin_scenarios},
};

pin_scenarios!(
    every_fragment_needs_the_token,
    param_is_for_its_fragment_alone,
    touch_leaves_the_permission_to_write,
    token_that_ends_ends_no_write,
    pin_that_is_set_meanwhile_counts,
    always_uv_without_a_pin_keeps_everybody_from_writing,
    permission_is_given_where_there_are_large_blobs,
);

/// An array in three fragments of this length.
const PART: usize = 100;

fn lbw(bench: &mut Bench) -> Token {
    bench.token(permission::LBW, None)
}

fn read(bench: &mut Bench) -> Vec<u8> {
    let channel = bench.channel;
    bench.platform().read_all_blobs(channel, 1_000)
}

/// Writes fragment `number` of an array of three.
fn write(bench: &mut Bench, whole: &[u8], number: usize, token: Option<&Token>) -> Result<(), u8> {
    let channel = bench.channel;
    let offset = number * PART;
    let length = (number == 0).then_some(3 * PART);
    let part = &whole[offset..offset + PART];
    bench
        .platform()
        .write_blobs(channel, part, offset, length, token)
}

fn every_fragment_needs_the_token(place: Place, protocol: Protocol) {
    let mut bench = Bench::new(place, protocol);
    let whole = array(3 * PART, 1);
    assert_eq!(read(&mut bench), INITIAL, "reading needs none");
    let token = lbw(&mut bench);
    for number in 0..3 {
        // Refusals leave the fragments before, but for the first, which begins anew.
        let missing = write(&mut bench, &whole, number, None);
        assert_eq!(missing, Err(status::PUAT_REQUIRED));
        let other = token.under_the_other_protocol();
        let wrong = write(&mut bench, &whole, number, Some(&other));
        assert_eq!(wrong, Err(status::PIN_AUTH_INVALID));
        assert_eq!(write(&mut bench, &whole, number, Some(&token)), Ok(()));
    }
    assert_eq!(read(&mut bench), whole);
    // What is wrong with the fragment comes first.
    let channel = bench.channel;
    for (offset, length, expected) in [
        (0, Some(16), status::INVALID_PARAMETER),
        (0, Some(16_385), status::LARGE_BLOB_STORAGE_FULL),
        (PART, None, status::INVALID_SEQ),
        (PART, Some(3 * PART), status::INVALID_PARAMETER),
    ] {
        let outcome = bench
            .platform()
            .write_blobs(channel, &whole[..PART], offset, length, None);
        assert_eq!(outcome, Err(expected));
    }
    // And the token before more bytes than were announced.
    for (token, expected) in [
        (None, status::PUAT_REQUIRED),
        (Some(&token), status::INVALID_PARAMETER),
    ] {
        let outcome = bench
            .platform()
            .write_blobs(channel, &whole, 0, Some(20), token);
        assert_eq!(outcome, Err(expected));
    }
}

fn param_is_for_its_fragment_alone(place: Place, protocol: Protocol) {
    let mut bench = Bench::new(place, protocol);
    let channel = bench.channel;
    let whole = array(3 * PART, 1);
    let token = lbw(&mut bench);
    let invalid = Err(status::PIN_AUTH_INVALID);
    assert_eq!(write(&mut bench, &whole, 0, Some(&token)), Ok(()));
    let right = set(&whole[PART..2 * PART], PART, None, Some(&token));
    let param_of = |bytes: &[u8], offset| set(bytes, offset, None, Some(&token))[2].clone();
    for (name, param) in [
        ("other bytes", param_of(&whole[2 * PART..], PART)),
        ("another place", param_of(&whole[PART..2 * PART], 0)),
        ("the next place", param_of(&whole[PART..2 * PART], 2 * PART)),
        (
            "a place that swaps bytes",
            param_of(&whole[PART..2 * PART], PART << 24),
        ),
    ] {
        let mut members = right.clone();
        members[2] = param;
        let outcome = bench.platform().large_blobs(channel, members).map(drop);
        assert_eq!(outcome, invalid, "{name}");
    }
    let outcome = bench.platform().large_blobs(channel, right);
    assert_eq!(outcome.map(drop), Ok(()));
    assert_eq!(write(&mut bench, &whole, 2, Some(&token)), Ok(()));
    assert_eq!(read(&mut bench), whole);
}

fn touch_leaves_the_permission_to_write(place: Place, protocol: Protocol) {
    let mut bench = Bench::new(place, protocol);
    let whole = array(3 * PART, 1);
    let all = permission::MC | permission::GA | permission::LBW;
    let token = bench.token(all, Some(RP));
    let make = MakeCredential::discoverable(RP, b"alice").with(&token);
    bench.make(&make).expect("a credential");
    // As a platform does that writes at once what it asserts for.
    let token = bench.token(all, Some(RP));
    let get = GetAssertion::new(RP, &[]).with(&token);
    bench.get(&get).expect("an assertion");
    let outcome = bench.get(&get).map(drop);
    assert_eq!(
        outcome,
        Err(status::PIN_AUTH_INVALID),
        "it is spent for that"
    );
    for number in 0..3 {
        assert_eq!(write(&mut bench, &whole, number, Some(&token)), Ok(()));
    }
    // A token without the permission gets none by a touch.
    let token = bench.uv();
    let get = GetAssertion::new(RP, &[]).with(&token);
    bench.get(&get).expect("an assertion");
    let outcome = write(&mut bench, &whole, 0, Some(&token));
    assert_eq!(outcome, Err(status::PIN_AUTH_INVALID));
    assert_eq!(read(&mut bench), whole);
}

fn token_that_ends_ends_no_write(place: Place, protocol: Protocol) {
    let mut bench = Bench::new(place, protocol);
    let whole = array(3 * PART, 1);
    let token = lbw(&mut bench);
    assert_eq!(write(&mut bench, &whole, 0, Some(&token)), Ok(()));
    bench.pass(599_000);
    assert_eq!(write(&mut bench, &whole, 1, Some(&token)), Ok(()));
    bench.pass(2_000);
    let outcome = write(&mut bench, &whole, 2, Some(&token));
    assert_eq!(outcome, Err(status::PIN_AUTH_INVALID));
    // A program with another channel can get a token without ending the write.
    let mine = bench.channel;
    bench.channel = bench.platform().init();
    let token = lbw(&mut bench);
    bench.channel = mine;
    assert_eq!(write(&mut bench, &whole, 2, Some(&token)), Ok(()));
    assert_eq!(read(&mut bench), whole);
    // The same channel ends it by asking for one.
    assert_eq!(write(&mut bench, &whole, 0, Some(&token)), Ok(()));
    let token = lbw(&mut bench);
    let outcome = write(&mut bench, &whole, 1, Some(&token));
    assert_eq!(outcome, Err(status::INVALID_SEQ));
}

fn pin_that_is_set_meanwhile_counts(place: Place, protocol: Protocol) {
    let mut bench = Bench::bare(place, protocol, Options::default());
    let whole = array(3 * PART, 1);
    assert_eq!(write(&mut bench, &whole, 0, None), Ok(()));
    let mine = bench.channel;
    bench.channel = bench.platform().init();
    bench.set_pin(PIN).expect("no PIN is set");
    bench.channel = mine;
    let outcome = write(&mut bench, &whole, 1, None);
    assert_eq!(outcome, Err(status::PUAT_REQUIRED));
    assert_eq!(read(&mut bench), INITIAL);
}

fn always_uv_without_a_pin_keeps_everybody_from_writing(place: Place, protocol: Protocol) {
    let mut bench = Bench::bare(place, protocol, Options::default());
    let whole = array(3 * PART, 1);
    let channel = bench.channel;
    let toggled = bench
        .platform()
        .configure(channel, None, config::TOGGLE_ALWAYS_UV, None);
    assert_eq!(toggled, Ok(()));
    let outcome = write(&mut bench, &whole, 0, None);
    assert_eq!(outcome, Err(status::PUAT_REQUIRED));
    let forged = Token {
        protocol,
        secret: vec![0; 32],
    };
    let outcome = write(&mut bench, &whole, 0, Some(&forged));
    assert_eq!(outcome, Err(status::PIN_AUTH_INVALID));
    assert_eq!(read(&mut bench), INITIAL, "reading asks nobody");
    bench.set_pin(PIN).expect("no PIN is set");
    let token = lbw(&mut bench);
    for number in 0..3 {
        assert_eq!(write(&mut bench, &whole, number, Some(&token)), Ok(()));
    }
    assert_eq!(read(&mut bench), whole);
}

fn permission_is_given_where_there_are_large_blobs(place: Place, protocol: Protocol) {
    for (profile, given) in [
        ("default", true),
        ("uv-not-required", true),
        ("passkey-provider", true),
        ("fido-2.1-pin", false),
        ("tiny", false),
    ] {
        let mut bench = Bench::of_profile(place, protocol, profile);
        for rp in [None, Some(RP)] {
            let outcome = bench.try_token(PIN, permission::LBW, rp).map(drop);
            let expected = if given {
                Ok(())
            } else {
                Err(status::UNAUTHORIZED_PERMISSION)
            };
            assert_eq!(outcome, expected, "{profile}");
        }
    }
}
