//! RS256: keys that take a while to make, and are records whether or not they are discoverable.

use roamkey_ctap::{AdminRefusal, CredentialId, KeyState};

use crate::support::{
    bench::{Bench, RP},
    carrier::WORK_MS,
    ctap2::{GetAssertion, MakeCredential, Registered, status},
    ctaphid::command,
    manage::{descriptor, subcommand, user},
    pin::{Protocol, permission},
    rig::{Options, Place, pin_scenarios, scenarios, virtual_scenarios},
    u2f::{Control, authenticate_apdu},
    vault::Failure,
};

scenarios!(
    failed_commit_of_an_rsa_key_answers_an_error,
    detach_while_a_key_is_generated_stores_nothing,
    touch_probe_stores_no_rsa_key,
);

virtual_scenarios!(
    keepalives_say_processing_while_a_key_is_generated,
    cancelled_generation_answers_at_once_and_stores_nothing,
    init_ends_a_generation_and_the_channel_goes_on,
    power_off_ends_a_generation,
    client_that_cancels_over_and_over_has_one_generation_at_a_time,
    others_are_served_while_an_abandoned_key_is_generated,
    full_store_is_told_before_the_work_and_after_it,
    owners_change_during_the_work_is_seen_after_it,
    owners_commit_at_the_end_of_the_work_is_waited_for,
    undiscoverable_record_takes_room,
);

pin_scenarios!(
    undiscoverable_record_is_found_by_its_id_alone,
    undiscoverable_record_does_what_others_do,
);

fn rsa(account: &[u8], rk: bool) -> MakeCredential {
    let mut request = MakeCredential::new(RP, account);
    request.options.push(("rk", rk));
    request.algorithms = vec![-257];
    request
}

/// A key whose RSA keys are done when the test says so.
fn held(place: Place) -> Bench {
    let bench = Bench::bare(place, Protocol::Two, Options::default());
    bench.rig.world().hold_work(0, true);
    bench
}

fn with_room(place: Place, room: u32) -> Bench {
    let mut options = Options::default();
    options.profile.ctap.max_discoverable_credentials = room;
    Bench::bare(place, Protocol::Two, options)
}

/// Sends a registration and waits until its key is being generated.
fn start(bench: &mut Bench, request: &MakeCredential) {
    let channel = bench.channel;
    bench.platform().start_make(channel, request);
    bench.platform().idle(120);
    let (busy, _) = bench.rig.world().work(0);
    assert!(busy, "it is being generated");
}

fn finish(bench: &mut Bench, request: &MakeCredential) -> Result<Registered, u8> {
    let channel = bench.channel;
    bench.platform().finish_make(channel, request)
}

fn stored(bench: &Bench) -> usize {
    bench.rig.vaults[0].credentials()
}

fn cancel(bench: &mut Bench) {
    let channel = bench.channel;
    bench.platform().send(channel, command::CANCEL, &[]);
}

fn keepalives_say_processing_while_a_key_is_generated(place: Place) {
    for rk in [false, true] {
        let mut bench = Bench::bare(place, Protocol::Two, Options::default());
        let channel = bench.channel;
        let begun_ms = bench.platform().host.now_ms();
        bench.platform().start_make(channel, &rsa(b"alice", rk));
        let (_, keepalives) = bench.platform().finish(channel).expect("a credential");
        let done_ms = bench.platform().host.now_ms();
        assert_eq!(done_ms - begun_ms, WORK_MS, "no touch is waited for");
        let statuses: Vec<u8> = keepalives.iter().map(|k| k.status).collect();
        let (touch, work) = statuses.split_first().expect("keepalives");
        assert_eq!(*touch, 2, "the touch shows first");
        assert!(work.iter().all(|status| *status == 1), "{statuses:?}");
        let times: Vec<u64> = keepalives.iter().map(|k| k.at_ms).collect();
        let gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(gaps.into_iter().all(|gap| gap <= 50), "{times:?}");
        let last = times.last().expect("keepalives");
        assert!(done_ms - last <= 50, "up to the answer");
        bench.pass(60_000);
    }
}

fn cancelled_generation_answers_at_once_and_stores_nothing(place: Place) {
    let mut bench = held(place);
    let request = rsa(b"alice", true);
    start(&mut bench, &request);
    let before_ms = bench.platform().host.now_ms();
    cancel(&mut bench);
    let outcome = finish(&mut bench, &request).map(drop);
    assert_eq!(outcome, Err(status::KEEPALIVE_CANCEL));
    assert_eq!(bench.platform().host.now_ms(), before_ms, "at once");
    bench.rig.world().hold_work(0, false);
    bench.pass(60_000);
    assert_eq!(bench.rig.vaults[0].commits(), 0);
    // The next is another one.
    let made = bench.make(&request).expect("a credential");
    let found = bench.get(&GetAssertion::new(RP, &[])).expect("it");
    found.verify(RP, &made.public_key);
}

fn init_ends_a_generation_and_the_channel_goes_on(place: Place) {
    let mut bench = held(place);
    start(&mut bench, &rsa(b"alice", true));
    let channel = bench.channel;
    bench.platform().init_on(channel);
    let answer = bench.platform().call(channel, command::PING, &[1]);
    assert_eq!(answer.message.payload, [1]);
    bench.rig.world().hold_work(0, false);
    bench.pass(60_000);
    assert_eq!(bench.rig.vaults[0].commits(), 0);
}

fn power_off_ends_a_generation(place: Place) {
    for restarts in [false, true] {
        let mut bench = held(place);
        start(&mut bench, &rsa(b"alice", true));
        if restarts {
            bench.restart();
        } else {
            bench.replug();
            bench.rig.world().hold_work(0, false);
        }
        bench.pass(60_000);
        assert_eq!(bench.rig.vaults[0].commits(), 0);
        let outcome = bench.get(&GetAssertion::new(RP, &[])).map(drop);
        assert_eq!(outcome, Err(status::NO_CREDENTIALS));
        let made = bench.make(&rsa(b"alice", true)).expect("a credential");
        assert_eq!(made.public_key.algorithm(), -257);
    }
}

fn client_that_cancels_over_and_over_has_one_generation_at_a_time(place: Place) {
    let mut bench = held(place);
    let request = rsa(b"alice", false);
    for _ in 0..20 {
        start(&mut bench, &request);
        cancel(&mut bench);
        let outcome = finish(&mut bench, &request).map(drop);
        assert_eq!(outcome, Err(status::KEEPALIVE_CANCEL));
        assert_eq!(bench.rig.world().work(0), (true, 1), "the first of all");
    }
    // The last waits for the first, which nobody wants, and then for its own.
    start(&mut bench, &request);
    let before_ms = bench.platform().host.now_ms();
    bench.rig.world().hold_work(0, false);
    let made = finish(&mut bench, &request).expect("a credential");
    let waited_ms = bench.platform().host.now_ms() - before_ms;
    assert!((WORK_MS..=WORK_MS + 1).contains(&waited_ms), "{waited_ms}");
    assert_eq!(bench.rig.world().work(0), (false, 2));
    assert_eq!(stored(&bench), 1);
    let get = GetAssertion::new(RP, &[&made.id]);
    bench.get(&get).expect("it").verify(RP, &made.public_key);
}

fn others_are_served_while_an_abandoned_key_is_generated(place: Place) {
    let mut bench = held(place);
    start(&mut bench, &rsa(b"alice", true));
    cancel(&mut bench);
    let outcome = finish(&mut bench, &rsa(b"alice", true)).map(drop);
    assert_eq!(outcome, Err(status::KEEPALIVE_CANCEL));
    let made = bench.make(&MakeCredential::discoverable(RP, b"bobby"));
    let made = made.expect("ES256 needs no work");
    let found = bench.get(&GetAssertion::new(RP, &[])).expect("it");
    found.verify(RP, &made.public_key);
    // What comes of the work meanwhile is nothing to a command that waits for something else.
    let vault = bench.rig.vaults[0].clone();
    vault.hold_commits();
    let channel = bench.channel;
    let second = MakeCredential::discoverable(RP, b"carol");
    bench.platform().start_make(channel, &second);
    bench.platform().idle(60);
    assert!(vault.is_committing());
    bench.rig.world().hold_work(0, false);
    bench.platform().idle(60);
    vault.release_commit();
    finish(&mut bench, &second).expect("a credential");
    assert_eq!(stored(&bench), 2);
}

fn failed_commit_of_an_rsa_key_answers_an_error(place: Place) {
    for rk in [false, true] {
        let mut bench = Bench::bare(place, Protocol::Two, Options::default());
        bench.rig.vaults[0].fail_next(Failure::NotStored);
        let outcome = bench.make(&rsa(b"alice", rk)).map(drop);
        assert_eq!(outcome, Err(status::OTHER));
        assert_eq!(stored(&bench), 0);
        for _ in 0..200 {
            match bench.make(&rsa(b"alice", rk)) {
                Err(status::OTHER) => bench.platform().idle(5),
                made => {
                    made.expect("the key was read again");
                    break;
                }
            }
        }
        assert_eq!(stored(&bench), 1);
    }
}

fn detach_while_a_key_is_generated_stores_nothing(place: Place) {
    let mut bench = Bench::bare(place, Protocol::Two, Options::default());
    for _ in 0..3 {
        let channel = bench.channel;
        bench.platform().start_make(channel, &rsa(b"alice", true));
        let first = bench.platform().recv(channel, 20_000);
        assert_eq!(first.expect("a keepalive").command, command::KEEPALIVE);
        bench.replug();
    }
    // Whatever was abandoned comes first, and this one alone is stored.
    let made = bench.make(&rsa(b"bobby", true)).expect("a credential");
    assert_eq!(stored(&bench), 1);
    let found = bench.get(&GetAssertion::new(RP, &[])).expect("it");
    found.verify(RP, &made.public_key);
    assert_eq!(found.user_id.as_deref(), Some(b"bobby".as_slice()));
}

fn touch_probe_stores_no_rsa_key(place: Place) {
    for rp_id in [".dummy", "make.me.blink"] {
        let mut bench = Bench::bare(place, Protocol::Two, Options::default());
        let mut probe = MakeCredential::new(rp_id, b"alice");
        probe.algorithms = vec![-257, -7];
        let made = bench.make(&probe).expect("a credential");
        assert_eq!(made.public_key.algorithm(), -7);
        probe.algorithms = vec![-257];
        let outcome = bench.make(&probe).map(drop);
        assert_eq!(outcome, Err(status::UNSUPPORTED_ALGORITHM));
        assert_eq!(stored(&bench), 0);
    }
}

fn full_store_is_told_before_the_work_and_after_it(place: Place) {
    let mut bench = with_room(place, 1);
    bench.make(&rsa(b"alice", false)).expect("room for one");
    let begun = bench.rig.world().work(0);
    for rk in [false, true] {
        let outcome = bench.make(&rsa(b"bobby", rk)).map(drop);
        assert_eq!(outcome, Err(status::KEY_STORE_FULL));
    }
    assert_eq!(bench.rig.world().work(0), begun, "nothing was generated");

    // Room is lost while the key is generated: the owner puts a copy of another's passkey in.
    let mut bench = with_room(place, 2);
    let passkey = bench.make(&MakeCredential::discoverable(RP, b"alice"));
    let passkey = passkey.expect("room").id;
    bench.rig.world().hold_work(0, true);
    let request = rsa(b"bobby", true);
    start(&mut bench, &request);
    inject_copy(&bench, &passkey);
    bench.rig.world().hold_work(0, false);
    let outcome = finish(&mut bench, &request).map(drop);
    assert_eq!(outcome, Err(status::KEY_STORE_FULL));
    assert_eq!(stored(&bench), 2);
}

/// The owner puts a passkey of an account `carol` in, with the private key of another.
fn inject_copy(bench: &Bench, of: &[u8]) {
    let of = CredentialId::from_slice(of).expect("64 bytes");
    let injected = bench.rig.world().change(0, |state, profile, rng| {
        let exportable = roamkey_ctap::Profile {
            exportable: true,
            ..profile.clone()
        };
        let passkey = state.passkey(&of).expect("a passkey");
        let private_key = passkey.private_key_pkcs8(&exportable).expect("a key");
        let mut user = passkey.user().clone();
        user.id = b"carol".to_vec();
        let new = roamkey_ctap::NewPasskey::new(RP.to_owned(), user, private_key);
        state.inject(profile, rng, new).map(|(_, set)| set)
    });
    assert!(injected.expect("it fits").is_some());
}

fn owners_change_during_the_work_is_seen_after_it(place: Place) {
    let mut bench = with_room(place, 2);
    let old = bench.make(&rsa(b"alice", true)).expect("room").id;
    let old = CredentialId::from_slice(&old).expect("64 bytes");
    bench.rig.world().hold_work(0, true);
    // It would replace the account's passkey, which is deleted meanwhile.
    let request = rsa(b"alice", true);
    start(&mut bench, &request);
    let deleted = bench
        .rig
        .world()
        .change(0, |state, _, _| Ok::<_, ()>(state.delete_passkey(&old)));
    assert!(deleted.expect("no commit is in the way").is_some());
    assert_eq!(stored(&bench), 0);
    bench.rig.world().hold_work(0, false);
    let made = finish(&mut bench, &request).expect("a credential");
    assert_eq!(stored(&bench), 1);
    let found = bench.get(&GetAssertion::new(RP, &[])).expect("it");
    found.verify(RP, &made.public_key);
    // And after a wipe it is the only one.
    bench.rig.world().hold_work(0, true);
    let request = rsa(b"bobby", false);
    start(&mut bench, &request);
    let wiped = bench
        .rig
        .world()
        .change(0, |state, _, rng| Ok::<_, ()>(state.wipe(rng)));
    assert!(wiped.expect("no commit is in the way").is_some());
    bench.rig.world().hold_work(0, false);
    let made = finish(&mut bench, &request).expect("a credential");
    let get = GetAssertion::new(RP, &[&made.id]);
    bench.get(&get).expect("it").verify(RP, &made.public_key);
    assert_eq!(stored(&bench), 1);
}

fn owners_commit_at_the_end_of_the_work_is_waited_for(place: Place) {
    for (failure, expected) in [(None, 0), (Some(Failure::NotStored), status::OTHER)] {
        let mut bench = held(place);
        let old = bench.make(&MakeCredential::discoverable(RP, b"carol"));
        let old = CredentialId::from_slice(&old.expect("room").id).expect("64 bytes");
        let vault = bench.rig.vaults[0].clone();
        let request = rsa(b"alice", true);
        start(&mut bench, &request);
        vault.hold_commits();
        let delete = |state: &KeyState| Ok::<_, ()>(state.delete_passkey(&old));
        let world = bench.rig.world();
        world
            .change(0, |state, _, _| delete(state))
            .expect("it begins");
        world.hold_work(0, false);
        world.pass(2 * WORK_MS);
        assert!(!world.work(0).0, "the work is done");
        let second = world.change(0, |state, _, _| delete(state)).err();
        assert_eq!(second, Some(AdminRefusal::Busy));
        bench.platform().idle(60);
        match failure {
            None => vault.release_commit(),
            Some(_) => vault.lose_commit(),
        }
        let outcome = finish(&mut bench, &request).map(drop);
        assert_eq!(outcome.err().unwrap_or(0), expected);
        let left = if failure.is_some() {
            b"carol"
        } else {
            b"alice"
        };
        assert_eq!(stored(&bench), 1);
        let world = bench.rig.world();
        let user = world.look(0, |state| {
            state.passkeys().first().map(|p| p.user().id.clone())
        });
        assert_eq!(user.as_deref(), Some(left.as_slice()));
    }
}

fn undiscoverable_record_takes_room(place: Place) {
    let mut bench = with_room(place, 3);
    let passkey = MakeCredential::discoverable(RP, b"alice");
    bench.make(&passkey).expect("room");
    // The same account: none of these replaces another, nor the passkey.
    let made: Vec<_> = (0..2)
        .map(|_| bench.make(&rsa(b"alice", false)).expect("room"))
        .collect();
    let outcome = bench.make(&rsa(b"alice", false)).map(drop);
    assert_eq!(outcome, Err(status::KEY_STORE_FULL));
    let other = MakeCredential::discoverable(RP, b"bobby");
    assert_eq!(bench.make(&other).map(drop), Err(status::KEY_STORE_FULL));
    // The account's passkey gives way to a new one, and ES256 without rk needs no room.
    bench.make(&passkey).expect("in the old one's place");
    bench.make(&rsa(b"alice", true)).expect("likewise");
    bench
        .make(&MakeCredential::new(RP, b"carol"))
        .expect("no record");
    assert_eq!(stored(&bench), 3);
    for made in made {
        let get = GetAssertion::new(RP, &[&made.id]);
        bench.get(&get).expect("it").verify(RP, &made.public_key);
    }
    bench.reset();
    assert_eq!(stored(&bench), 0, "a reset takes them all");
}

fn undiscoverable_record_is_found_by_its_id_alone(place: Place, protocol: Protocol) {
    let mut bench = Bench::new(place, protocol);
    let made = bench.make_uv(rsa(b"alice", false));
    bench.restart();
    let channel = bench.channel;
    // No site finds it for an account, no platform lists it, none changes it.
    let get = GetAssertion::new(RP, &[]).with(&bench.uv());
    let outcome = bench.get(&get).map(drop);
    assert_eq!(outcome, Err(status::NO_CREDENTIALS));
    let token = bench.cm();
    let metadata = bench.platform().metadata(channel, &token);
    assert_eq!(metadata, Ok((0, 999)), "none there, and one place less");
    let rps = bench.platform().rps(channel, &token).map(drop);
    assert_eq!(rps, Err(status::NO_CREDENTIALS));
    let listed = bench.platform().credential(channel, Some((&token, RP)));
    assert_eq!(listed.map(drop), Err(status::NO_CREDENTIALS));
    let named = || (ciborium::Value::from(2), descriptor(&made.id));
    let delete = ciborium::Value::Map(vec![named()]);
    let account = (ciborium::Value::from(3), user(b"alice", &[("name", "a")]));
    let update = ciborium::Value::Map(vec![named(), account]);
    for (subcommand, params) in [(subcommand::DELETE, delete), (subcommand::UPDATE, update)] {
        let outcome = bench
            .platform()
            .manage(channel, Some(&token), subcommand, Some(params));
        assert_eq!(outcome, Err(status::NO_CREDENTIALS));
    }
    // Its id finds it, and its owner sees and deletes it.
    let get = GetAssertion::new(RP, &[&made.id]).with(&bench.uv());
    let found = bench.get(&get).expect("an assertion");
    found.verify(RP, &made.public_key);
    assert_eq!((found.user_id, found.number_of_credentials), (None, None));
    let world = bench.rig.world();
    let seen = world.look(0, |state| {
        let passkeys = state.passkeys();
        let seen = passkeys.iter().map(|p| (*p.id(), p.is_discoverable()));
        seen.collect::<Vec<_>>()
    });
    let id = CredentialId::from_slice(&made.id).expect("64 bytes");
    assert_eq!(seen, [(id, false)]);
    let deleted = world.change(0, |state, _, _| Ok::<_, ()>(state.delete_passkey(&id)));
    deleted.expect("no commit is in the way");
    let outcome = bench.get(&GetAssertion::new(RP, &[&made.id])).map(drop);
    assert_eq!(outcome, Err(status::NO_CREDENTIALS));
}

fn undiscoverable_record_does_what_others_do(place: Place, protocol: Protocol) {
    let mut bench = Bench::new(place, protocol);
    let request = rsa(b"alice", false)
        .extension("hmac-secret", true)
        .extension("credBlob", ciborium::Value::from(vec![1, 2, 3]))
        .extension("credProtect", 3);
    let made = bench.make_uv(request);
    let told = |name| made.auth_data.extension(name);
    assert_eq!(told("hmac-secret"), Some(true.into()));
    assert_eq!(told("credBlob"), Some(false.into()), "a passkey's alone");
    assert_eq!(told("credProtect"), Some(3.into()));
    // credProtect 3: without verification it is not there, neither to sign nor to exclude.
    let bare = GetAssertion::new(RP, &[&made.id]);
    let outcome = bench.get(&bare).map(drop);
    assert_eq!(outcome, Err(status::NO_CREDENTIALS));
    let token = bench.token(permission::MC, Some(RP));
    let mut again = rsa(b"alice", false).with(&token);
    again.exclude_list = vec![made.id.clone()];
    let outcome = bench.make(&again).map(drop);
    assert_eq!(outcome, Err(status::CREDENTIAL_EXCLUDED));
    // U2F knows ES256 alone.
    let (channel, id) = (bench.channel, made.id.clone());
    let application = crate::support::ctap2::sha256(RP.as_bytes());
    let check = authenticate_apdu(Control::CheckOnly, &[1; 32], &application, &id);
    assert_eq!(bench.platform().u2f(channel, &check), Err(0x6a80));
    // Its counter is its own, and is leased.
    let mut last = made.counter;
    for _ in 0..3 {
        let get = bare.clone().with(&bench.uv());
        let asserted = bench.get(&get).expect("an assertion");
        asserted.verify(RP, &made.public_key);
        assert!(asserted.auth_data.counter > last);
        last = asserted.auth_data.counter;
        bench.restart();
    }
    // hmac-secret is the same before and after.
    let secret = |bench: &mut Bench| {
        let (channel, protocol) = (bench.channel, bench.protocol);
        let shared = bench.platform().agree(channel, protocol);
        let get = bare
            .clone()
            .extension("hmac-secret", shared.salts(&[5; 32]));
        let get = get.with(&bench.uv());
        let asserted = bench.get(&get).expect("an assertion");
        shared.open(asserted.auth_data.extension("hmac-secret"))
    };
    let before = secret(&mut bench);
    bench.restart();
    assert_eq!(secret(&mut bench), before);
}
