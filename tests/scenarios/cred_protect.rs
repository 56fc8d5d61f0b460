//! credProtect (CTAP 2.1 §12.1): who may use a credential, and who may learn that it is there.

use ciborium::Value;
use roamkey_ctap::Operation;

use crate::support::{
    bench::{Bench, RP, of_profile},
    cbor,
    ctap2::{GetAssertion, MakeCredential, Registered, sha256, status},
    pin::Protocol,
    rig::{Options, Place, pin_scenarios},
    u2f::{Control, authenticate_apdu, word},
};

pin_scenarios!(
    level_decides_who_may_use_a_credential,
    level_is_told_and_kept,
    several_show_what_the_caller_may_see,
    excluded_credential_of_level_3_is_not_told_without_verification,
    u2f_does_not_know_a_credential_of_level_3,
    level_that_does_not_exist_is_refused,
    key_without_the_extension_ignores_it,
);

fn protected(rp: &'static str, account: &[u8], rk: bool, level: u64) -> MakeCredential {
    let mut request = MakeCredential::new(rp, account).extension("credProtect", level);
    request.options.push(("rk", rk));
    request
}

fn level_decides_who_may_use_a_credential(place: Place, protocol: Protocol) {
    for level in 1..=3_u64 {
        let mut bench = Bench::new(place, protocol);
        let stored = bench.make_uv(protected(RP, b"alice", true, level));
        let derived = bench.make_uv(protected(RP, b"bob", false, level));
        for (listed, uv, silent) in [
            (false, false, false),
            (false, false, true),
            (false, true, false),
            (false, true, true),
            (true, false, false),
            (true, false, true),
            (true, true, false),
            (true, true, true),
        ] {
            let allowed = uv || level == 1 || level == 2 && listed;
            for made in [&stored, &derived] {
                let list = [made.id.as_slice()];
                let mut get = GetAssertion::new(RP, if listed { &list } else { &[] });
                if silent {
                    get = get.silent();
                }
                if uv {
                    get = get.with(&bench.uv());
                }
                let case = format!("level {level}, list {listed}, uv {uv}, silent {silent}");
                let expected = if listed { made } else { &stored };
                match bench.get(&get) {
                    Ok(asserted) => {
                        assert!(allowed, "{case}");
                        assert_eq!(asserted.id, expected.id, "{case}");
                        asserted.verify(RP, &expected.public_key);
                        assert_eq!(asserted.auth_data.user_verified, uv, "{case}");
                        assert_eq!(asserted.auth_data.user_present, !silent, "{case}");
                    }
                    Err(status) => {
                        assert!(!allowed, "{case}");
                        assert_eq!(status, status::NO_CREDENTIALS, "{case}");
                    }
                }
            }
        }
    }
}

fn level_is_told_and_kept(place: Place, protocol: Protocol) {
    let mut bench = Bench::new(place, protocol);
    let told = |made: &Registered| made.auth_data.extension("credProtect");
    for level in 1..=3_u64 {
        for rk in [false, true] {
            let made = bench.make_uv(protected(RP, b"alice", rk, level));
            assert_eq!(told(&made), Some(Value::from(level)));
        }
        let (channel, token) = (bench.channel, bench.cm());
        let managed = bench.platform().credentials(channel, &token, RP);
        let managed = managed.expect("credentials");
        assert_eq!(managed.len(), 1, "it replaced the last one");
        assert_eq!(managed[0].cred_protect, level);
    }
    let made = bench.make_uv(MakeCredential::discoverable("example.net", b"alice"));
    assert_eq!(told(&made), None, "nobody asked");
}

fn several_show_what_the_caller_may_see(place: Place, protocol: Protocol) {
    let mut bench = Bench::new(place, protocol);
    let mut ids = Vec::new();
    for (level, account) in [(1, b"one"), (3, b"thr"), (2, b"two"), (1, b"uno")] {
        ids.push(bench.make_uv(protected(RP, account, true, level)).id);
    }
    let without = vec![ids[3].clone(), ids[0].clone()];
    let with: Vec<_> = ids.iter().rev().cloned().collect();
    for (uv, expected) in [(false, without), (true, with)] {
        let mut get = GetAssertion::new(RP, &[]);
        if uv {
            get = get.with(&bench.uv());
        }
        let first = bench.get(&get).expect("an assertion");
        assert_eq!(first.number_of_credentials, Some(expected.len() as u64));
        let mut found = vec![first.id];
        for _ in 1..expected.len() {
            found.push(bench.get_next(&get).expect("another").id);
        }
        assert_eq!(found, expected, "uv: {uv}");
        let outcome = bench.get_next(&get).map(drop);
        assert_eq!(outcome, Err(status::NOT_ALLOWED));
    }
    // Of a list, the first that the caller may use.
    let list: Vec<&[u8]> = [1, 2, 0].map(|at: usize| ids[at].as_slice()).to_vec();
    let get = GetAssertion::new(RP, &list);
    assert_eq!(bench.get(&get).expect("an assertion").id, ids[2]);
    let get = get.with(&bench.uv());
    assert_eq!(bench.get(&get).expect("an assertion").id, ids[1]);
}

fn excluded_credential_of_level_3_is_not_told_without_verification(
    place: Place,
    protocol: Protocol,
) {
    let mut options = of_profile("uv-not-required");
    options.touch = Options::held().touch;
    let mut bench = Bench::with(place, protocol, options);
    let channel = bench.channel;
    for (level, rk) in [(2, false), (2, true), (3, false), (3, true)] {
        let token = bench.uv();
        let request = protected(RP, b"alice", rk, level).with(&token);
        bench.platform().start_make(channel, &request);
        bench.approve();
        let made = bench.platform().finish_make(channel, &request);
        let id = made.expect("a credential").id;
        for uv in [false, true] {
            let mut request = MakeCredential::new(RP, b"bob");
            request.exclude_list = vec![vec![9; 64], id.clone()];
            if uv {
                request = request.with(&bench.uv());
            }
            let excluded = uv || level < 3;
            bench.platform().start_make(channel, &request);
            let asked = bench.approve();
            let outcome = bench.platform().finish_make(channel, &request).map(drop);
            if excluded {
                assert_eq!(asked.prompt.operation, Operation::RegisterExcluded);
                assert_eq!(outcome, Err(status::CREDENTIAL_EXCLUDED));
            } else {
                assert_eq!(asked.prompt.operation, Operation::Register);
                assert_eq!(outcome, Ok(()));
            }
        }
    }
}

fn u2f_does_not_know_a_credential_of_level_3(place: Place, protocol: Protocol) {
    let mut bench = Bench::new(place, protocol);
    let application = sha256(RP.as_bytes());
    for rk in [false, true] {
        for level in 1..=3 {
            let made = bench.make_uv(protected(RP, b"alice", rk, level));
            let channel = bench.channel;
            let platform = bench.platform();
            let key = (made.id.as_slice(), &made.public_key);
            let outcome = platform.u2f_authenticate(channel, Control::Enforce, &application, key);
            let check = Control::CheckOnly;
            let check = authenticate_apdu(check, &[1; 32], &application, &made.id);
            let checked = platform.u2f(channel, &check);
            if level == 3 {
                assert_eq!(outcome.map(drop), Err(word::WRONG_DATA));
                assert_eq!(checked, Err(word::WRONG_DATA));
            } else {
                outcome.expect("an authentication");
                assert_eq!(checked, Err(word::CONDITIONS_NOT_SATISFIED));
            }
        }
    }
}

fn level_that_does_not_exist_is_refused(place: Place, protocol: Protocol) {
    let mut bench = Bench::held(place, protocol);
    let token = bench.uv();
    for level in [0, 4, 255, u64::MAX >> 1] {
        let request = protected(RP, b"alice", true, level).with(&token);
        let outcome = bench.make(&request).map(drop);
        assert_eq!(outcome, Err(status::INVALID_OPTION), "{level}");
    }
    for value in [Value::from("1"), Value::from(-1), Value::from(true)] {
        let request = MakeCredential::new(RP, b"alice").extension("credProtect", value);
        let outcome = bench.make(&request.with(&token)).map(drop);
        assert_eq!(outcome, Err(status::CBOR_UNEXPECTED_TYPE));
    }
    assert_eq!(bench.rig.pending(), 0, "nobody was asked");
}

fn key_without_the_extension_ignores_it(place: Place, protocol: Protocol) {
    // These keys have protocol one alone.
    if protocol == Protocol::Two {
        return;
    }
    for name in ["fido-2.0", "no-prf"] {
        let mut bench = Bench::bare(place, protocol, of_profile(name));
        let made = bench.make(&protected(RP, b"alice", true, 3));
        let made = made.expect("a credential");
        assert_eq!(made.auth_data.extensions, Value::Null);
        let get = GetAssertion::new(RP, &[]);
        assert_eq!(bench.get(&get).expect("an assertion").id, made.id);
        let listed = cbor::member(&bench.info(), 2);
        let listed = listed.and_then(|value| value.into_array().ok());
        let level = Value::from("credProtect");
        assert!(!listed.unwrap_or_default().contains(&level));
    }
}
