use rand_core::SeedableRng;

use super::*;
use crate::credential::RpIdHash;

fn at(ms: u64) -> Instant {
    Instant::from_millis(ms)
}

fn rng() -> Rng {
    Rng::from_seed([4; 32])
}

/// A line of the fixture.
fn vector(name: &str) -> Vec<u8> {
    let text = include_str!("../../../fixtures/pin/protocols.hex");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let digits: Vec<char> = line.expect(name).chars().collect();
    let byte = |pair: &[char]| u8::from_str_radix(&String::from_iter(pair), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn key_agreement() -> (KeyAgreement, Point) {
    let scalar = vector("authenticator-scalar").try_into().unwrap();
    let point = Point {
        x: vector("platform-x").try_into().unwrap(),
        y: vector("platform-y").try_into().unwrap(),
    };
    (KeyAgreement::from_scalar(&scalar).unwrap(), point)
}

#[test]
fn both_protocols_agree_with_an_independent_implementation() {
    let (key, platform) = key_agreement();
    for (protocol, name) in [(PinProtocol::One, "one"), (PinProtocol::Two, "two")] {
        let shared = key.decapsulate(protocol, &platform).unwrap();
        let sealed = vector(&format!("{name}-sealed"));
        let param = vector(&format!("{name}-param"));
        assert!(shared.verify(&[&sealed], &param), "{protocol:?}");
        let plain = shared.decrypt(&sealed).unwrap();
        assert_eq!(*plain, vector("plain"), "{protocol:?}");
    }
}

#[test]
fn sealed_text_opens_again_and_has_its_protocols_length() {
    let (key, platform) = key_agreement();
    for (protocol, overhead) in [(PinProtocol::One, 0), (PinProtocol::Two, 16)] {
        let shared = key.decapsulate(protocol, &platform).unwrap();
        let sealed = shared.encrypt(&mut rng(), &[7; 32]);
        assert_eq!(sealed.len(), 32 + overhead);
        assert_eq!(*shared.decrypt(&sealed).unwrap(), [7; 32]);
        for length in [1, 15, 17, 31] {
            assert!(shared.decrypt(&sealed[..length]).is_none(), "{length}");
        }
        let signature = [0; 32];
        assert!(!shared.verify(&[&sealed], &signature));
        assert!(!shared.verify(&[&sealed], &[]));
    }
}

#[test]
fn point_off_the_curve_is_refused() {
    let (key, mut platform) = key_agreement();
    platform.y[31] ^= 1;
    for protocol in [PinProtocol::One, PinProtocol::Two] {
        assert!(key.decapsulate(protocol, &platform).is_none());
    }
}

fn token(now: Instant) -> Token {
    let permissions = Permissions::MC.with(Permissions::GA);
    Token::issue(now, &mut rng(), PinProtocol::Two, permissions, None, false)
}

/// A right pinUvAuthParam for `message`.
fn param(token: &Token, message: &[u8]) -> Vec<u8> {
    crate::crypto::hmac_sha256(token.secret().as_bytes(), &[message]).to_vec()
}

#[test]
fn unused_token_ends_early_and_a_used_one_late() {
    let mut token = token(at(1_000));
    assert!(!token.is_over(at(1_000 + TOKEN_INITIAL_USAGE_MS - 1)));
    assert!(token.is_over(at(1_000 + TOKEN_INITIAL_USAGE_MS)));
    let right = param(&token, b"message");
    assert!(token.verify(PinProtocol::Two, &[b"mess", b"age"], &right));
    assert!(!token.is_over(at(1_000 + TOKEN_MAX_USAGE_MS - 1)));
    assert!(token.is_over(at(1_000 + TOKEN_MAX_USAGE_MS)));
}

#[test]
fn wrong_use_does_not_lengthen_a_tokens_life() {
    let mut token = token(at(0));
    let right = param(&token, b"message");
    assert!(!token.verify(PinProtocol::One, &[b"message"], &right));
    assert!(!token.verify(PinProtocol::One, &[b"message"], &right[..16]));
    assert!(!token.verify(PinProtocol::Two, &[b"massage"], &right));
    assert!(token.is_over(at(TOKEN_INITIAL_USAGE_MS)));
}

#[test]
fn token_is_bound_to_its_first_rp_and_spent_once() {
    let (one, other) = (RpIdHash::of("one.example"), RpIdHash::of("other.example"));
    let mut token = token(at(0));
    assert!(token.is_unbound() && token.fits(&one) && token.fits(&other));
    token.bind(&one);
    token.bind(&other);
    assert!(token.fits(&one) && !token.fits(&other));
    assert!(token.permits(Permissions::MC) && !token.permits(Permissions::CM));
    token.spend();
    assert!(!token.permits(Permissions::MC) && !token.user_verified());
}

#[test]
fn finger_of_a_token_is_a_touch_once_and_for_a_while() {
    let by_finger = |now| {
        let permissions = Permissions::MC;
        Token::issue(now, &mut rng(), PinProtocol::Two, permissions, None, true)
    };
    let mut token = by_finger(at(1_000));
    assert!(token.user_present(at(30_999)));
    assert!(!token.user_present(at(31_000)));
    token.spend();
    assert!(!token.user_present(at(1_000)));
    assert!(!self::token(at(0)).user_present(at(0)), "a PIN is no touch");
}

#[test]
fn third_wrong_pin_in_a_row_wants_a_power_cycle() {
    let mut state = PinState::new(&mut rng());
    let agreement = |state: &PinState| state.key_agreement(PinProtocol::Two).public_key().x;
    let before = agreement(&state);
    for _ in 0..2 {
        state.mismatched(&mut rng(), PinProtocol::Two);
        assert!(!state.needs_power_cycle());
    }
    assert_ne!(agreement(&state), before);
    state.matched();
    for wrong in 1..=3 {
        state.mismatched(&mut rng(), PinProtocol::One);
        assert_eq!(state.needs_power_cycle(), wrong == 3);
    }
}

#[test]
fn new_token_takes_the_place_of_the_old() {
    let mut state = PinState::new(&mut rng());
    state.begin_using(token(at(0)));
    assert!(state.token(at(1)).is_some());
    assert!(state.token(at(TOKEN_INITIAL_USAGE_MS)).is_none());
    assert!(state.token(at(1)).is_none());
}
