//! authenticatorCredentialManagement (CTAP 2.1 §6.8) and its preview.

use ciborium::Value;

use crate::support::{
    bench::{Bench, RP, of_profile},
    cbor,
    ctap2::{CREDENTIAL_MANAGEMENT, GetAssertion, MakeCredential, status},
    manage::{descriptor, management, of_rp, subcommand as manage, user},
    pin::{Protocol, Token, permission},
    rig::{Options, Place, pin_scenarios},
};

const OTHER_RP: &str = "example.org";

pin_scenarios!(
    empty_key_has_nothing_to_tell,
    everything_that_is_stored_is_told,
    preview_answers_the_same,
    deleted_credential_is_gone,
    account_is_renamed_and_keeps_its_id,
    enumeration_ends_with_another_command,
    enumeration_ends_at_its_end_and_without_power,
    enumeration_belongs_to_its_channel,
    token_of_one_rp_manages_that_rp,
    management_wants_a_token,
    wrong_management_request_has_its_status,
    management_wants_its_members,
    remaining_count_falls_and_rises,
);

/// Two credentials at [`RP`] and one at [`OTHER_RP`].
fn stocked(place: Place, protocol: Protocol) -> (Bench, Vec<Vec<u8>>) {
    let mut bench = Bench::new(place, protocol);
    let mut ids = Vec::new();
    for (rp, account) in [(RP, b"alice"), (RP, b"bobby"), (OTHER_RP, b"carol")] {
        let mut request = MakeCredential::discoverable(rp, account);
        request.display_name = Some("Somebody");
        ids.push(bench.make_uv(request).id);
    }
    // None of these is stored.
    bench.make_uv(MakeCredential::new("example.net", b"dave"));
    (bench, ids)
}

fn empty_key_has_nothing_to_tell(place: Place, protocol: Protocol) {
    let mut bench = Bench::new(place, protocol);
    let channel = bench.channel;
    let token = bench.cm();
    let platform = bench.platform();
    assert_eq!(platform.metadata(channel, &token), Ok((0, 1_000)));
    let none = Err(status::NO_CREDENTIALS);
    assert_eq!(platform.rps(channel, &token).map(drop), none);
    let outcome = platform.credentials(channel, &token, RP).map(drop);
    assert_eq!(outcome, none);
    assert_eq!(platform.delete(channel, &token, &[1; 64]).map(drop), none);
    let account = user(b"alice", &[]);
    let outcome = platform.update(channel, &token, &[1; 64], account);
    assert_eq!(outcome.map(drop), none);
    for subcommand in [manage::NEXT_RP, manage::NEXT_CREDENTIAL] {
        let outcome = platform.manage(channel, None, subcommand, None);
        assert_eq!(outcome, Err(status::NOT_ALLOWED), "{subcommand}");
    }
}

fn everything_that_is_stored_is_told(place: Place, protocol: Protocol) {
    let (mut bench, ids) = stocked(place, protocol);
    bench.restart();
    let channel = bench.channel;
    let token = bench.cm();
    let platform = bench.platform();
    assert_eq!(platform.metadata(channel, &token), Ok((3, 997)));
    let rps = platform.rps(channel, &token);
    assert_eq!(rps, Ok(vec![RP.to_owned(), OTHER_RP.to_owned()]));
    for (rp, mut expected) in [
        (RP, vec![(&ids[0], b"alice"), (&ids[1], b"bobby")]),
        (OTHER_RP, vec![(&ids[2], b"carol")]),
    ] {
        let managed = platform.credentials(channel, &token, rp);
        let managed = managed.expect("credentials");
        assert_eq!(managed.len(), expected.len());
        for one in &managed {
            let at = expected.iter().position(|(id, _)| **id == one.id);
            let (_, account) = expected.remove(at.expect("one of ours"));
            let names = [("name", "alice"), ("displayName", "Somebody")];
            assert_eq!(one.user, user(account, &names));
            assert_eq!(one.cred_protect, 1);
        }
        // The public key is the one that signs.
        for one in managed {
            let get = GetAssertion::new(rp, &[&one.id]);
            let asserted = platform.get(channel, &get).expect("an assertion");
            asserted.verify(rp, &one.public_key);
        }
    }
    let outcome = platform.credentials(channel, &token, "example.net");
    assert_eq!(outcome.map(drop), Err(status::NO_CREDENTIALS));
}

fn preview_answers_the_same(place: Place, protocol: Protocol) {
    let (mut bench, ids) = stocked(place, protocol);
    let channel = bench.channel;
    let token = bench.cm();
    let platform = bench.platform();
    let requests = [
        (true, manage::METADATA, None),
        (true, manage::RPS, None),
        (false, manage::NEXT_RP, None),
        (true, manage::CREDENTIALS, Some(of_rp(RP))),
        (false, manage::NEXT_CREDENTIAL, None),
    ];
    for (wants_token, subcommand, params) in requests.clone() {
        let token = wants_token.then_some(&token);
        let preview = platform.manage_preview(channel, token, subcommand, params.clone());
        let preview = preview.expect("the preview is served");
        if wants_token {
            let same = platform.manage(channel, token, subcommand, params);
            assert_eq!(same, Ok(preview), "{subcommand}");
        }
    }
    let params = cbor::map([(2, descriptor(&ids[0]))]);
    let outcome = platform.manage_preview(channel, Some(&token), manage::DELETE, Some(params));
    assert_eq!(outcome, Ok(Value::Null));
    assert_eq!(platform.metadata(channel, &token), Ok((2, 998)));
}

fn deleted_credential_is_gone(place: Place, protocol: Protocol) {
    let (mut bench, ids) = stocked(place, protocol);
    let channel = bench.channel;
    let token = bench.cm();
    let platform = bench.platform();
    let outcome = platform.delete(channel, &token, &ids[2]);
    assert_eq!(outcome, Ok(Value::Null));
    let outcome = platform.delete(channel, &token, &ids[2]);
    assert_eq!(outcome, Err(status::NO_CREDENTIALS), "twice");
    assert_eq!(platform.delete(channel, &token, &ids[0]), Ok(Value::Null));
    assert_eq!(platform.rps(channel, &token), Ok(vec![RP.to_owned()]));
    bench.restart();
    assert_eq!(bench.rig.vaults[0].credentials(), 1);
    let gone = Err(status::NO_CREDENTIALS);
    assert_eq!(bench.get(&GetAssertion::new(OTHER_RP, &[])).map(drop), gone);
    let get = GetAssertion::new(RP, &[&ids[0]]);
    assert_eq!(bench.get(&get).map(drop), gone);
    let left = bench.get(&GetAssertion::new(RP, &[])).expect("the other");
    assert_eq!(left.id, ids[1]);
    // What is not stored cannot be deleted.
    let derived = bench.make_uv(MakeCredential::new(RP, b"eve"));
    let (channel, token) = (bench.channel, bench.cm());
    for id in [derived.id.as_slice(), &[], &[1; 63], &[1; 65]] {
        let outcome = bench.platform().delete(channel, &token, id);
        assert_eq!(outcome, Err(status::NO_CREDENTIALS));
    }
}

fn account_is_renamed_and_keeps_its_id(place: Place, protocol: Protocol) {
    let (mut bench, ids) = stocked(place, protocol);
    let channel = bench.channel;
    let token = bench.cm();
    let count = bench.get(&GetAssertion::new(RP, &[&ids[0]]));
    let count = count.expect("an assertion").auth_data.counter;
    let update = |bench: &mut Bench, account| {
        bench
            .platform()
            .update(channel, &token, &ids[0], account)
            .map(drop)
    };
    for account in [user(b"bobby", &[]), user(b"", &[]), user(b"alicf", &[])] {
        let outcome = update(&mut bench, account);
        assert_eq!(outcome, Err(status::INVALID_PARAMETER), "another account");
    }
    let long = "\u{e9}".repeat(40);
    let cut = "\u{e9}".repeat(32);
    for (sent, stored) in [
        (
            vec![("name", "new"), ("displayName", "New")],
            vec![("name", "new"), ("displayName", "New")],
        ),
        (
            vec![("name", "new"), ("displayName", "")],
            vec![("name", "new")],
        ),
        (vec![("displayName", "Only")], vec![("displayName", "Only")]),
        (vec![("name", ""), ("displayName", "")], vec![]),
        (vec![("name", long.as_str())], vec![("name", cut.as_str())]),
    ] {
        assert_eq!(update(&mut bench, user(b"alice", &sent)), Ok(()));
        let managed = bench.platform().credentials(channel, &token, RP);
        let managed = managed.expect("credentials");
        assert_eq!(managed.len(), 2);
        let renamed = managed.iter().find(|one| one.id == ids[0]);
        assert_eq!(renamed.expect("it").user, user(b"alice", &stored));
    }
    let after = bench.get(&GetAssertion::new(RP, &[&ids[0]]));
    let after = after.expect("an assertion").auth_data.counter;
    assert!(after > count, "a new name is no new credential");
    // The newest is still the newest.
    let newest = bench.get(&GetAssertion::new(RP, &[])).expect("several");
    assert_eq!(newest.id, ids[1]);
}

fn begin(bench: &mut Bench, token: &Token, subcommand: u8) {
    let channel = bench.channel;
    let params = (subcommand == manage::CREDENTIALS).then(|| of_rp(RP));
    bench
        .platform()
        .manage(channel, Some(token), subcommand, params)
        .expect("the first of two");
}

const BOTH: [(u8, u8); 2] = [
    (manage::RPS, manage::NEXT_RP),
    (manage::CREDENTIALS, manage::NEXT_CREDENTIAL),
];

/// A command that goes on with no enumeration.
type Other = fn(&mut Bench, &[Vec<u8>]);

fn enumeration_ends_with_another_command(place: Place, protocol: Protocol) {
    let (mut bench, ids) = stocked(place, protocol);
    let channel = bench.channel;
    let token = bench.cm();
    let others: [(&str, Other); 4] = [
        ("getInfo", |bench, _| drop(bench.info())),
        ("getPINRetries", |bench, _| assert!(bench.retries().is_ok())),
        ("getAssertion", |bench, ids| {
            let silent = GetAssertion::new(RP, &[&ids[0]]).silent();
            bench.get(&silent).expect("an assertion");
        }),
        ("a wrong command", |bench, _| {
            let get = GetAssertion::new("nowhere.example", &[]);
            let outcome = bench.get(&get).map(drop);
            assert_eq!(outcome, Err(status::NO_CREDENTIALS));
        }),
    ];
    for (first, next) in BOTH {
        for (name, other) in others {
            begin(&mut bench, &token, first);
            other(&mut bench, &ids);
            let outcome = bench.platform().manage(channel, None, next, None);
            assert_eq!(outcome, Err(status::NOT_ALLOWED), "{next} after {name}");
        }
        // The other enumeration's next is not this one's.
        begin(&mut bench, &token, first);
        let wrong = if next == manage::NEXT_RP {
            manage::NEXT_CREDENTIAL
        } else {
            manage::NEXT_RP
        };
        let outcome = bench.platform().manage(channel, None, wrong, None);
        assert_eq!(outcome, Err(status::NOT_ALLOWED));
    }
    // Beginning another enumeration ends the first, however many it finds.
    for rp in [RP, OTHER_RP] {
        begin(&mut bench, &token, manage::RPS);
        let platform = bench.platform();
        let found = platform.credential(channel, Some((&token, rp)));
        found.expect("a credential");
        let outcome = platform.manage(channel, None, manage::NEXT_RP, None);
        assert_eq!(outcome, Err(status::NOT_ALLOWED), "after those of {rp}");
    }
    // getNextAssertion does not go on with what management began, nor the other way round.
    begin(&mut bench, &token, manage::CREDENTIALS);
    let get = GetAssertion::new(RP, &[]);
    assert_eq!(bench.get_next(&get).map(drop), Err(status::NOT_ALLOWED));
    bench.get(&get).expect("several");
    let outcome = bench
        .platform()
        .manage(channel, None, manage::NEXT_CREDENTIAL, None);
    assert_eq!(outcome, Err(status::NOT_ALLOWED));
}

fn enumeration_ends_at_its_end_and_without_power(place: Place, protocol: Protocol) {
    let (mut bench, _) = stocked(place, protocol);
    for (first, next) in BOTH {
        let (channel, token) = (bench.channel, bench.cm());
        begin(&mut bench, &token, first);
        let outcome = bench.platform().manage(channel, None, next, None);
        outcome.expect("the second of two");
        let outcome = bench.platform().manage(channel, None, next, None);
        assert_eq!(outcome, Err(status::NOT_ALLOWED));
        begin(&mut bench, &token, first);
        bench.replug();
        let channel = bench.channel;
        let outcome = bench.platform().manage(channel, None, next, None);
        assert_eq!(outcome, Err(status::NOT_ALLOWED));
    }
}

fn enumeration_belongs_to_its_channel(place: Place, protocol: Protocol) {
    let (mut bench, _) = stocked(place, protocol);
    let mine = bench.channel;
    let other = bench.platform().init();
    let token = bench.cm();
    for (first, next) in BOTH {
        begin(&mut bench, &token, first);
        let platform = bench.platform();
        let outcome = platform.manage(other, None, next, None);
        assert_eq!(outcome, Err(status::NOT_ALLOWED), "not theirs");
        platform.info(other).expect("getInfo");
        let outcome = platform.manage(mine, None, next, None);
        outcome.expect("another channel's commands end nothing");
    }
}

fn token_of_one_rp_manages_that_rp(place: Place, protocol: Protocol) {
    let (mut bench, ids) = stocked(place, protocol);
    let channel = bench.channel;
    let token = bench.token(permission::CM, Some(RP));
    let platform = bench.platform();
    let refused = Err(status::PIN_AUTH_INVALID);
    assert_eq!(platform.metadata(channel, &token).map(drop), refused);
    assert_eq!(platform.rps(channel, &token).map(drop), refused);
    let outcome = platform.credentials(channel, &token, OTHER_RP).map(drop);
    assert_eq!(outcome, refused);
    assert_eq!(platform.delete(channel, &token, &ids[2]).map(drop), refused);
    let account = user(b"carol", &[]);
    let outcome = platform.update(channel, &token, &ids[2], account);
    assert_eq!(outcome.map(drop), refused);
    let managed = platform.credentials(channel, &token, RP);
    assert_eq!(managed.map(|all| all.len()), Ok(2));
    let outcome = platform.update(channel, &token, &ids[0], user(b"alice", &[]));
    assert_eq!(outcome, Ok(Value::Null));
    assert_eq!(platform.delete(channel, &token, &ids[0]), Ok(Value::Null));
    assert_eq!(bench.rig.vaults[0].credentials(), 2);
}

/// What each subcommand takes, for the credential with the id.
fn requests(id: &[u8]) -> [(u8, Option<Value>); 5] {
    let one = (2, descriptor(id));
    [
        (manage::METADATA, None),
        (manage::RPS, None),
        (manage::CREDENTIALS, Some(of_rp(RP))),
        (manage::DELETE, Some(cbor::map([one.clone()]))),
        (
            manage::UPDATE,
            Some(cbor::map([one, (3, user(b"alice", &[]))])),
        ),
    ]
}

fn management_wants_a_token(place: Place, protocol: Protocol) {
    let (mut bench, ids) = stocked(place, protocol);
    let channel = bench.channel;
    let token = bench.cm();
    for (subcommand, params) in requests(&ids[0]) {
        let platform = bench.platform();
        let outcome = platform.manage(channel, None, subcommand, params.clone());
        assert_eq!(outcome, Err(status::PUAT_REQUIRED), "{subcommand}");
        // What was authenticated is the subcommand with its parameters.
        let right = management(subcommand, params.as_ref(), Some(&token));
        let mut members = right.into_map().expect("a map");
        let known = Value::from(1);
        let number = members.iter_mut().find(|(name, _)| *name == known);
        number.expect("a subcommand").1 = Value::from(manage::METADATA);
        let moved = cbor::map(members);
        let outcome = platform.ctap2(channel, CREDENTIAL_MANAGEMENT, Some(&moved));
        let same = subcommand == manage::METADATA;
        let expected = if same {
            Ok(())
        } else {
            Err(status::PIN_AUTH_INVALID)
        };
        assert_eq!(outcome.map(drop), expected, "{subcommand}");
    }
    assert_eq!(bench.rig.vaults[0].credentials(), 3);
    // Without a PIN there is no token to be had.
    let mut bench = Bench::bare(place, protocol, Options::default());
    let made = bench.make(&MakeCredential::discoverable(RP, b"alice"));
    let (channel, id) = (bench.channel, made.expect("a credential").id);
    for (subcommand, params) in requests(&id) {
        let outcome = bench.platform().manage(channel, None, subcommand, params);
        assert_eq!(outcome, Err(status::PUAT_REQUIRED), "{subcommand}");
    }
}

fn wrong_management_request_has_its_status(place: Place, protocol: Protocol) {
    let (mut bench, ids) = stocked(place, protocol);
    let channel = bench.channel;
    let token = bench.cm();
    let mut expect = |subcommand: u8, params: Option<Value>, expected: u8| {
        let platform = bench.platform();
        let outcome = platform.manage(channel, Some(&token), subcommand, params.clone());
        assert_eq!(outcome, Err(expected), "{subcommand} with {params:?}");
    };
    for subcommand in [0, 8, 0x7f, 0xff] {
        expect(subcommand, None, status::INVALID_SUBCOMMAND);
    }
    let unexpected = status::CBOR_UNEXPECTED_TYPE;
    let text = Value::from("text");
    for subcommand in [manage::CREDENTIALS, manage::DELETE, manage::UPDATE] {
        expect(subcommand, None, status::MISSING_PARAMETER);
        let empty = cbor::map::<i64>([]);
        expect(subcommand, Some(empty), status::MISSING_PARAMETER);
        expect(subcommand, Some(text.clone()), unexpected);
    }
    let hash = |value: Value| Some(cbor::map([(1, value)]));
    expect(manage::CREDENTIALS, hash(text.clone()), unexpected);
    for length in [0, 31, 33] {
        let short = hash(Value::from(vec![1; length]));
        expect(manage::CREDENTIALS, short, status::INVALID_LENGTH);
    }
    let with = |id: Value, user: Option<Value>| {
        let user = user.map(|user| (3, user));
        Some(cbor::map([(2, id)].into_iter().chain(user)))
    };
    expect(manage::DELETE, with(text.clone(), None), unexpected);
    let untyped = cbor::map([("id", Value::from(ids[0].clone()))]);
    expect(
        manage::DELETE,
        with(untyped, None),
        status::MISSING_PARAMETER,
    );
    let one = descriptor(&ids[0]);
    expect(
        manage::UPDATE,
        with(one.clone(), None),
        status::MISSING_PARAMETER,
    );
    expect(
        manage::UPDATE,
        with(one.clone(), Some(text.clone())),
        unexpected,
    );
    let nameless = cbor::map([("name", text)]);
    expect(
        manage::UPDATE,
        with(one, Some(nameless)),
        status::MISSING_PARAMETER,
    );
    assert_eq!(bench.rig.vaults[0].credentials(), 3);
}

fn management_wants_its_members(place: Place, protocol: Protocol) {
    let (mut bench, _) = stocked(place, protocol);
    let channel = bench.channel;
    let token = bench.cm();
    for key in [1, 3, 4] {
        let value = management(manage::METADATA, None, Some(&token));
        let mut members = value.into_map().expect("a map");
        members.retain(|(name, _)| *name != Value::from(key));
        let without = cbor::map(members.clone());
        members.push((Value::from(key), Value::from("text")));
        let expected = if key == 4 {
            status::PUAT_REQUIRED
        } else {
            status::MISSING_PARAMETER
        };
        let text = cbor::map(members);
        for (value, expected) in [(without, expected), (text, status::CBOR_UNEXPECTED_TYPE)] {
            let outcome = bench
                .platform()
                .ctap2(channel, CREDENTIAL_MANAGEMENT, Some(&value));
            assert_eq!(outcome, Err(expected), "{key}");
        }
    }
}

fn remaining_count_falls_and_rises(place: Place, protocol: Protocol) {
    let mut bench = Bench::with(place, protocol, of_profile("tiny"));
    let mut ids = Vec::new();
    let expect = |bench: &mut Bench, existing: u64| {
        let (channel, token) = (bench.channel, bench.cm());
        let counts = bench.platform().metadata(channel, &token);
        assert_eq!(counts, Ok((existing, 3 - existing)));
        let info = cbor::member(&bench.info(), 0x14);
        assert_eq!(cbor::unsigned(info), 3 - existing);
        token
    };
    for (number, account) in [b"a", b"b", b"c"].into_iter().enumerate() {
        expect(&mut bench, number as u64);
        let made = bench.make_uv(MakeCredential::discoverable(RP, account));
        ids.push(made.id);
    }
    expect(&mut bench, 3);
    let token = bench.uv();
    let fourth = MakeCredential::discoverable(RP, b"d").with(&token);
    let outcome = bench.make(&fourth).map(drop);
    assert_eq!(outcome, Err(status::KEY_STORE_FULL));
    let token = expect(&mut bench, 3);
    let channel = bench.channel;
    let outcome = bench.platform().delete(channel, &token, &ids[1]);
    assert_eq!(outcome, Ok(Value::Null));
    expect(&mut bench, 2);
    bench.make_uv(MakeCredential::discoverable(RP, b"d"));
    expect(&mut bench, 3);
}
