//! The owner changes a key while it runs: what waits, what goes on, and what ends.

use roamkey::profile::Profile;
use roamkey_ctap::{
    AdminRefusal, ChangeSet, CommitId, CredentialId, Decision, KeyState, NewPasskey, PasskeyEdit,
    PasskeyRefusal, PinRefusal, User,
};
use zeroize::Zeroizing;

use crate::support::{
    bench::{Bench, PIN, RP},
    cose::PublicKey,
    ctap2::{GetAssertion, MakeCredential, SELECTION, status},
    ctaphid::command,
    pin::{Protocol, permission},
    rig::{Options, Place, Rig, pin_scenarios, virtual_scenarios},
    vault::Failure,
};

virtual_scenarios!(
    passkey_deleted_during_a_touch_is_not_found_after_it,
    touch_given_during_a_change_waits_for_it,
    touch_denied_during_a_change_waits_for_it,
    command_during_a_change_waits_for_it,
    cancel_during_a_change_acts_at_once,
    touch_times_out_during_a_change,
    change_outlives_power,
    second_change_is_refused_until_the_first_is_durable,
    change_during_a_commands_commit_is_refused,
    failed_change_fences_the_key,
    change_of_nothing_asks_the_vault_for_nothing,
    change_that_is_refused_changes_nothing,
    counter_goes_on_from_where_it_was_set,
    injected_passkey_signs,
    backup_flags_are_the_credentials_own,
);

pin_scenarios!(
    enumeration_ends_with_a_change,
    pin_changed_by_the_owner_ends_its_tokens,
    first_pin_set_by_the_owner_is_asked_for,
    attempts_restored_by_the_owner_need_no_power_cycle,
    wipe_by_the_owner_is_a_reset,
);

/// Changes the first key.
fn change<E>(
    rig: &Rig,
    change: impl FnOnce(&KeyState) -> Result<ChangeSet, E>,
) -> Result<Option<CommitId>, AdminRefusal<E>> {
    rig.world().change(0, |state, _, _| change(state))
}

fn delete(rig: &Rig, id: &[u8]) -> Result<Option<CommitId>, AdminRefusal<()>> {
    let id = CredentialId::from_slice(id).expect("64 bytes");
    change(rig, |state| Ok(state.delete_passkey(&id)))
}

fn edit(rig: &Rig, id: &[u8], edit: PasskeyEdit) {
    let id = CredentialId::from_slice(id).expect("64 bytes");
    let profile = Profile::default().ctap;
    let changed = change(rig, |state| state.edit_passkey(&profile, &id, edit));
    assert!(changed.expect("an edit").is_some());
}

/// A bench whose touches wait, with a passkey at [`RP`].
fn held(place: Place) -> (Bench, Vec<u8>) {
    let mut bench = Bench::bare(place, Protocol::Two, Options::held());
    let id = bench.make_approved(b"alice");
    (bench, id)
}

fn get() -> GetAssertion {
    GetAssertion::new(RP, &[])
}

/// What comes on the bench's channel is keepalives alone.
fn expect_no_answer(bench: &mut Bench) {
    let channel = bench.channel;
    for _ in 0..3 {
        let message = bench.platform().recv(channel, 1_000).expect("a keepalive");
        assert_eq!(message.command, command::KEEPALIVE, "no answer yet");
    }
}

fn passkey_deleted_during_a_touch_is_not_found_after_it(place: Place) {
    let (mut bench, id) = held(place);
    let channel = bench.channel;
    bench.platform().start_get(channel, &get());
    let asked = bench.asked();
    assert!(delete(&bench.rig, &id).expect("between commits").is_some());
    assert_eq!(bench.rig.vaults[0].credentials(), 0);
    assert_eq!(bench.rig.pending(), 1, "the person is still asked");
    bench.rig.decide(&asked, Decision::Approved);
    let outcome = bench.platform().finish_get(channel, &get()).map(drop);
    assert_eq!(outcome, Err(status::NO_CREDENTIALS));
}

fn touch_given_during_a_change_waits_for_it(place: Place) {
    let (mut bench, id) = held(place);
    let channel = bench.channel;
    let vault = bench.rig.vaults[0].clone();
    bench.platform().start_get(channel, &get());
    let asked = bench.asked();
    vault.hold_commits();
    delete(&bench.rig, &id).expect("between commits");
    let still_there = bench.rig.world().look(0, KeyState::passkey_count);
    assert_eq!(still_there, 1, "nothing shows before it is durable");
    bench.rig.decide(&asked, Decision::Approved);
    expect_no_answer(&mut bench);
    vault.release_commit();
    let outcome = bench.platform().finish_get(channel, &get()).map(drop);
    assert_eq!(outcome, Err(status::NO_CREDENTIALS));
}

fn touch_denied_during_a_change_waits_for_it(place: Place) {
    let (mut bench, id) = held(place);
    let channel = bench.channel;
    let vault = bench.rig.vaults[0].clone();
    bench.platform().start_get(channel, &get());
    let asked = bench.asked();
    vault.hold_commits();
    delete(&bench.rig, &id).expect("between commits");
    bench.rig.decide(&asked, Decision::Denied);
    expect_no_answer(&mut bench);
    vault.release_commit();
    let outcome = bench.platform().finish_get(channel, &get()).map(drop);
    assert_eq!(outcome, Err(status::OPERATION_DENIED));
}

fn command_during_a_change_waits_for_it(place: Place) {
    let (mut bench, id) = held(place);
    let channel = bench.channel;
    let vault = bench.rig.vaults[0].clone();
    vault.hold_commits();
    delete(&bench.rig, &id).expect("between commits");
    // CTAPHID's own commands do not wait.
    let answer = bench.platform().call(channel, command::PING, &[1]);
    assert_eq!(answer.message.payload, [1]);
    bench.platform().start_get(channel, &get());
    expect_no_answer(&mut bench);
    vault.release_commit();
    let outcome = bench.platform().finish_get(channel, &get()).map(drop);
    assert_eq!(outcome, Err(status::NO_CREDENTIALS));
}

fn cancel_during_a_change_acts_at_once(place: Place) {
    let (mut bench, id) = held(place);
    let channel = bench.channel;
    let vault = bench.rig.vaults[0].clone();
    vault.hold_commits();
    // A touch that waits, one that was given, and a command that has not begun.
    bench.platform().start_get(channel, &get());
    bench.asked();
    delete(&bench.rig, &id).expect("between commits");
    let cancelled = |bench: &mut Bench| {
        bench.platform().send(channel, command::CANCEL, &[]);
        let outcome = bench.platform().finish_get(channel, &get()).map(drop);
        assert_eq!(outcome, Err(status::KEEPALIVE_CANCEL));
    };
    cancelled(&mut bench);
    assert_eq!(bench.rig.pending(), 0, "nobody is asked any more");
    bench.platform().start_get(channel, &get());
    cancelled(&mut bench);
    assert!(vault.is_committing(), "the change goes on");
    vault.release_commit();
    assert_eq!(vault.credentials(), 0);

    let id = bench.make_approved(b"bobby");
    bench.platform().start_get(channel, &get());
    let asked = bench.asked();
    vault.hold_commits();
    delete(&bench.rig, &id).expect("between commits");
    bench.rig.decide(&asked, Decision::Approved);
    cancelled(&mut bench);
    vault.release_commit();
    let outcome = bench.get(&get()).map(drop);
    assert_eq!(outcome, Err(status::NO_CREDENTIALS));
}

fn touch_times_out_during_a_change(place: Place) {
    let (mut bench, id) = held(place);
    let channel = bench.channel;
    let vault = bench.rig.vaults[0].clone();
    bench.platform().start_get(channel, &get());
    bench.asked();
    vault.hold_commits();
    delete(&bench.rig, &id).expect("between commits");
    let outcome = bench.platform().finish_get(channel, &get()).map(drop);
    assert_eq!(outcome, Err(status::USER_ACTION_TIMEOUT));
    assert!(vault.is_committing());
    vault.release_commit();
    assert_eq!(vault.credentials(), 0);
}

fn change_outlives_power(place: Place) {
    let (mut bench, id) = held(place);
    let vault = bench.rig.vaults[0].clone();
    vault.hold_commits();
    delete(&bench.rig, &id).expect("between commits");
    bench.replug();
    vault.release_commit();
    let outcome = bench.get(&get()).map(drop);
    assert_eq!(outcome, Err(status::NO_CREDENTIALS));
}

fn second_change_is_refused_until_the_first_is_durable(place: Place) {
    let (bench, id) = held(place);
    let vault = bench.rig.vaults[0].clone();
    vault.hold_commits();
    delete(&bench.rig, &id).expect("between commits");
    assert_eq!(delete(&bench.rig, &id), Err(AdminRefusal::Busy));
    vault.release_commit();
    bench.rig.world().settle();
    assert!(delete(&bench.rig, &id).is_ok());
}

fn change_during_a_commands_commit_is_refused(place: Place) {
    let (mut bench, id) = held(place);
    let channel = bench.channel;
    let vault = bench.rig.vaults[0].clone();
    vault.hold_commits();
    let request = MakeCredential::discoverable(RP, b"bobby");
    bench.platform().start_make(channel, &request);
    bench.approve();
    assert!(vault.is_committing());
    assert_eq!(delete(&bench.rig, &id), Err(AdminRefusal::Busy));
    vault.release_commit();
    let made = bench.platform().finish_make(channel, &request);
    made.expect("a credential");
    assert!(delete(&bench.rig, &id).is_ok());
    assert_eq!(vault.credentials(), 1);
}

fn failed_change_fences_the_key(place: Place) {
    for failure in [Failure::NotStored, Failure::Stored] {
        let (mut bench, id) = held(place);
        let channel = bench.channel;
        let vault = bench.rig.vaults[0].clone();
        bench.platform().start_get(channel, &get());
        let asked = bench.asked();
        vault.fail_next(failure);
        vault.hold_loads();
        delete(&bench.rig, &id).expect("it goes to the vault");
        assert_eq!(delete(&bench.rig, &id), Err(AdminRefusal::Fenced));
        // What was asked for is not done on a state that may be another.
        bench.rig.decide(&asked, Decision::Approved);
        let outcome = bench.platform().finish_get(channel, &get()).map(drop);
        assert_eq!(outcome, Err(status::OTHER));
        let outcome = bench.get(&get()).map(drop);
        assert_eq!(outcome, Err(status::OTHER));
        vault.release_load();
        bench.rig.world().settle();
        bench.platform().start_get(channel, &get());
        let outcome = match failure {
            Failure::NotStored => {
                bench.approve();
                bench.platform().finish_get(channel, &get()).map(drop)
            }
            Failure::Stored => bench.platform().finish_get(channel, &get()).map(drop),
        };
        let stored = failure == Failure::Stored;
        let expected = if stored {
            Err(status::NO_CREDENTIALS)
        } else {
            Ok(())
        };
        assert_eq!(outcome, expected);
    }
}

fn change_of_nothing_asks_the_vault_for_nothing(place: Place) {
    let (bench, _) = held(place);
    let commits = bench.rig.vaults[0].commits();
    let nothing: Result<_, AdminRefusal<()>> = change(&bench.rig, |_| Ok(ChangeSet::default()));
    assert_eq!(nothing, Ok(None));
    assert_eq!(bench.rig.vaults[0].commits(), commits);
}

fn change_that_is_refused_changes_nothing(place: Place) {
    let (bench, _) = held(place);
    let commits = bench.rig.vaults[0].commits();
    let refused = change(&bench.rig, |_| Err("no"));
    assert_eq!(refused, Err(AdminRefusal::Refused("no")));
    assert_eq!(bench.rig.vaults[0].commits(), commits);
}

fn counter_goes_on_from_where_it_was_set(place: Place) {
    let mut bench = Bench::bare(place, Protocol::Two, Options::default());
    let made = bench.make(&MakeCredential::discoverable(RP, b"alice"));
    let made = made.expect("a credential");
    for set_to in [1_000, 5, 0, u32::MAX - 1_000] {
        let counter = PasskeyEdit {
            counter: Some(set_to),
            ..PasskeyEdit::default()
        };
        edit(&bench.rig, &made.id, counter);
        for expected in [set_to + 1, set_to + 2] {
            let asserted = bench.get(&get()).expect("an assertion");
            asserted.verify(RP, &made.public_key);
            assert_eq!(asserted.auth_data.counter, expected);
        }
    }
    bench.restart();
    let asserted = bench.get(&get()).expect("an assertion");
    assert!(asserted.auth_data.counter > u32::MAX - 998);
}

/// A P-256 key as openssl wrote it, in PKCS#8.
const KEY: &str = concat!(
    "308187020100301306072a8648ce3d020106082a8648ce3d030107046d306b02",
    "010104204f5effa0c0ae26990500361f75de4ea09148d86d0b49c9f65e9d584b",
    "64728e80a144034200045aa82fd76b7e81c84feda7e26f7e256a32007541622d",
    "95e1b9e73aebbd4bc5772d0cc9235ee44f07f1374998a83d0769977cae40c267",
    "02d064c8bb31318f9e8b",
);

fn bytes(hex: &str) -> Vec<u8> {
    base16ct::lower::decode_vec(hex).expect("hexadecimal")
}

/// A passkey with [`KEY`], and its public key.
fn passkey() -> (NewPasskey, PublicKey) {
    let der = bytes(KEY);
    // A PKCS#8 key of EC ends with its public point (RFC 5915).
    let public_key = PublicKey::from_sec1(&der[der.len() - 65..]);
    let user = User {
        id: b"carol".to_vec(),
        name: Some("Carol".to_owned()),
        display_name: None,
    };
    let new = NewPasskey::new(RP.to_owned(), user, Zeroizing::new(der));
    (new, public_key)
}

fn inject(rig: &Rig, new: NewPasskey) -> Result<CredentialId, AdminRefusal<PasskeyRefusal>> {
    let mut injected = None;
    rig.world().change(0, |state, profile, rng| {
        let (id, set) = state.inject(profile, rng, new)?;
        injected = Some(id);
        Ok(set)
    })?;
    Ok(injected.expect("an id"))
}

fn injected_passkey_signs(place: Place) {
    let mut bench = Bench::bare(place, Protocol::Two, Options::default());
    let (mut new, public_key) = passkey();
    new.counter = 41;
    let id = inject(&bench.rig, new).expect("it fits");
    for restarted in [false, true] {
        let found = bench.get(&get()).expect("an assertion");
        found.verify(RP, &public_key);
        assert_eq!(found.id, id.as_bytes());
        assert_eq!(found.user_id.as_deref(), Some(b"carol".as_slice()));
        assert!(found.auth_data.counter > 41);
        assert_eq!(found.auth_data.counter == 42, !restarted);
        bench.restart();
    }
    let listed = bench.rig.world().look(0, |state| {
        let passkeys = state.passkeys();
        passkeys.iter().map(|one| *one.id()).collect::<Vec<_>>()
    });
    assert_eq!(listed, [id]);
}

fn backup_flags_are_the_credentials_own(place: Place) {
    let mut bench = Bench::bare(place, Protocol::Two, Options::default());
    let made = bench.make(&MakeCredential::discoverable(RP, b"alice"));
    let made = made.expect("a credential");
    let (mut new, public_key) = passkey();
    (new.backup_eligible, new.backup_state) = (Some(true), Some(true));
    inject(&bench.rig, new).expect("it fits");
    // One request, two credentials, each with its own flags; a copy has no counter.
    let copied = bench.get(&get()).expect("an assertion");
    copied.verify(RP, &public_key);
    assert_eq!(copied.auth_data.backup, (true, true));
    assert_eq!(copied.auth_data.counter, 0);
    let own = bench.get_next(&get()).expect("another");
    own.verify(RP, &made.public_key);
    assert_eq!(own.auth_data.backup, (false, false));
    assert!(own.auth_data.counter > 0);
    // And as its owner changes them, over a restart, too.
    let eligible = PasskeyEdit {
        backup_eligible: Some(true),
        ..PasskeyEdit::default()
    };
    edit(&bench.rig, &made.id, eligible);
    bench.restart();
    let own = bench.get(&GetAssertion::new(RP, &[&made.id]));
    let own = own.expect("an assertion");
    own.verify(RP, &made.public_key);
    assert_eq!(own.auth_data.backup, (true, false));
    assert_eq!(own.auth_data.counter, 0);
}

fn enumeration_ends_with_a_change(place: Place, protocol: Protocol) {
    let mut bench = Bench::new(place, protocol);
    for account in [b"alice", b"bobby"] {
        bench.make_uv(MakeCredential::discoverable(RP, account));
    }
    let request = get().with(&bench.uv());
    let first = bench.get(&request).expect("the first of two");
    let rename = PasskeyEdit {
        name: Some("Robert".to_owned()),
        ..PasskeyEdit::default()
    };
    edit(&bench.rig, &first.id, rename);
    let outcome = bench.get_next(&request).map(drop);
    assert_eq!(outcome, Err(status::NOT_ALLOWED));
}

fn pin_changed_by_the_owner_ends_its_tokens(place: Place, protocol: Protocol) {
    let mut bench = Bench::new(place, protocol);
    let channel = bench.channel;
    let token = bench.cm();
    assert!(bench.platform().metadata(channel, &token).is_ok());
    let profile = Profile::default().ctap;
    let too_short = change(&bench.rig, |state| state.change_pin(&profile, "1"));
    let refused = AdminRefusal::Refused(PinRefusal::TooShort { least: 4 });
    assert_eq!(too_short, Err(refused));
    assert!(bench.platform().metadata(channel, &token).is_ok());
    let changed = change(&bench.rig, |state| state.change_pin(&profile, "97531"));
    assert!(changed.expect("a PIN").is_some());
    let outcome = bench.platform().metadata(channel, &token);
    assert_eq!(outcome, Err(status::PIN_AUTH_INVALID));
    let old = bench.try_token(PIN, permission::CM, None).map(drop);
    assert_eq!(old, Err(status::PIN_INVALID));
    let token = bench.try_token("97531", permission::CM, None);
    let token = token.expect("the PIN is this now");
    assert!(bench.platform().metadata(channel, &token).is_ok());
}

fn first_pin_set_by_the_owner_is_asked_for(place: Place, protocol: Protocol) {
    let mut bench = Bench::bare(place, protocol, Options::default());
    assert_eq!(bench.option("clientPin"), Some(false));
    let profile = Profile::default().ctap;
    let set = change(&bench.rig, |state| state.set_pin(&profile, PIN));
    assert!(set.expect("a PIN").is_some());
    assert_eq!(bench.option("clientPin"), Some(true));
    let made = bench.make(&MakeCredential::discoverable(RP, b"alice"));
    assert_eq!(made.map(drop), Err(status::PUAT_REQUIRED));
    bench.make_uv(MakeCredential::discoverable(RP, b"alice"));
}

fn attempts_restored_by_the_owner_need_no_power_cycle(place: Place, protocol: Protocol) {
    let mut bench = Bench::new(place, protocol);
    for _ in 0..3 {
        let wrong = bench.try_token("1357", permission::CM, None);
        assert!(wrong.is_err());
    }
    assert_eq!(bench.retries(), Ok((5, true)));
    let restored: Result<_, AdminRefusal<()>> =
        change(&bench.rig, |state| Ok(state.restore_pin_attempts()));
    assert!(restored.expect("a set").is_some());
    assert_eq!(bench.retries(), Ok((8, false)));
    bench.cm();
}

fn wipe_by_the_owner_is_a_reset(place: Place, protocol: Protocol) {
    let mut bench = Bench::new(place, protocol);
    let channel = bench.channel;
    let derived = bench.make_uv(MakeCredential::new(RP, b"dave"));
    bench.make_uv(MakeCredential::discoverable(RP, b"alice"));
    let token = bench.cm();
    let shared = bench.platform().agree(channel, protocol);
    let wiped: Result<_, AdminRefusal<()>> = bench
        .rig
        .world()
        .change(0, |state, _, rng| Ok(state.wipe(rng)));
    assert!(wiped.expect("a set").is_some());
    assert_eq!(bench.option("clientPin"), Some(false));
    let outcome = bench.platform().metadata(channel, &token);
    assert_eq!(outcome, Err(status::PIN_AUTH_INVALID));
    for request in [get(), GetAssertion::new(RP, &[&derived.id])] {
        let outcome = bench.get(&request).map(drop);
        assert_eq!(outcome, Err(status::NO_CREDENTIALS));
    }
    // The keys that were agreed on are gone, too.
    let padded = crate::support::pin::padded(PIN);
    let outcome = bench.client_pin(shared.set_pin(&padded));
    assert_eq!(outcome, Err(status::PIN_AUTH_INVALID));
    bench.set_pin(PIN).expect("no PIN is set");
    let selected = bench.platform().ctap2(channel, SELECTION, None);
    selected.expect("the key goes on");
}
