use std::time::Duration;

use roamkey_transport::memory::MemoryHost;

use super::*;
use crate::presence::Touch;

/// PKCS#8 of a P-256 key, made with `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`.
const PRIVATE_KEY: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgOfm4gguJ1JWjuPSX
IzS53HlQM93nRm/ospocn4MqPbKhRANCAATU4XvLFjr1qmoaa2G+eyz4v6Bsh/jm
p0COf1Nt0TptMqsF7BS+KW7P1if32bxxjkW00/wogEwQyOeSEoUtiTRM
-----END PRIVATE KEY-----
";

async fn rig(touch: Touch) -> Rig {
    let policy = Policy::new(touch, []);
    let setup = Setup::new(Backend::memory(), policy);
    Rig::start(setup).await.unwrap()
}

fn new_key(json: &str) -> NewKey {
    serde_json::from_str(json).unwrap()
}

fn passkey(json: &str) -> NewPasskey {
    let mut value: serde_json::Value = serde_json::from_str(json).unwrap();
    value["private_key"] = PRIVATE_KEY.into();
    serde_json::from_value(value).unwrap()
}

fn policy(json: &str) -> TouchPolicy {
    serde_json::from_str(json).unwrap()
}

/// Sends one report, and reads answers until one is no keepalive.
async fn call(host: &mut MemoryHost, channel: [u8; 4], command: u8, data: &[u8]) -> [u8; 64] {
    send(host, channel, command, data).await;
    loop {
        let answer = host.recv_report().await.unwrap();
        if answer[4] != 0xbb {
            return answer;
        }
    }
}

async fn send(host: &mut MemoryHost, channel: [u8; 4], command: u8, data: &[u8]) {
    let mut report = [0; 64];
    report[..4].copy_from_slice(&channel);
    report[4] = command | 0x80;
    report[6] = u8::try_from(data.len()).unwrap();
    report[7..7 + data.len()].copy_from_slice(data);
    host.send_report(&report).await.unwrap();
}

/// A host with a channel.
async fn opened(rig: &Rig, key: &str) -> (MemoryHost, [u8; 4]) {
    let mut host = rig.connect(key).await.unwrap();
    let answer = call(&mut host, [0xff; 4], 0x06, &[7; 8]).await;
    let channel = answer[15..19].try_into().unwrap();
    (host, channel)
}

/// authenticatorSelection wants a touch and nothing else.
async fn select(host: &mut MemoryHost, channel: [u8; 4]) -> u8 {
    call(host, channel, 0x10, &[0x0b]).await[7]
}

#[tokio::test]
async fn key_is_found_by_name_and_by_bus_id_until_it_is_removed() {
    let rig = rig(Touch::Auto).await;
    let made = rig.add_key(new_key(r#"{"name": "alice"}"#)).await.unwrap();
    assert_eq!((made.bus_id.as_str(), made.stored), ("1-1", false));
    assert_eq!(
        rig.key("alice").await.unwrap(),
        rig.key("1-1").await.unwrap()
    );
    let taken = rig.add_key(new_key(r#"{"name": "alice"}"#)).await;
    assert_eq!(taken.unwrap_err().kind, ErrorKind::Conflict);
    let misleads = rig.add_key(new_key(r#"{"name": "a\u001bb"}"#)).await;
    assert_eq!(misleads.unwrap_err().kind, ErrorKind::Conflict);
    let renamed = rig.rename_key("1-1", "bob").await.unwrap();
    assert_eq!(renamed.name.as_deref(), Some("bob"));
    assert_eq!(
        rig.key("alice").await.unwrap_err().kind,
        ErrorKind::NotFound
    );
    rig.remove_key("bob").await.unwrap();
    assert_eq!(rig.keys().await.unwrap(), []);
}

#[tokio::test]
async fn overrides_differ_from_the_profile_and_wrong_ones_are_named() {
    let rig = rig(Touch::Auto).await;
    let new = r#"{"profile": "fido-2.0", "overrides": {"exportable": true}}"#;
    let made = rig.add_key(new_key(new)).await.unwrap();
    assert!(made.exportable);
    assert_eq!(made.profile, "fido-2.0, changed");
    let wrong = rig
        .add_key(new_key(r#"{"overrides": {"optoins": 1}}"#))
        .await;
    let why = wrong.unwrap_err();
    assert_eq!(why.kind, ErrorKind::Invalid);
    assert!(why.text.contains("optoins"), "{why}");
    let file = rig.add_key(new_key(r#"{"profile": "/etc/passwd"}"#)).await;
    assert!(file.unwrap_err().text.contains("no profile"));
}

#[tokio::test]
async fn each_key_has_its_touch_policy_and_scripts_run_out() {
    let rig = rig(Touch::Auto).await;
    for _ in 0..2 {
        rig.add_key(NewKey::default()).await.unwrap();
    }
    let scripted = policy(r#"{"touch": "deny", "script": "approve, wait 5 ms then approve"}"#);
    rig.set_touch_policy("1-2", &scripted).unwrap();
    let (mut one, first) = opened(&rig, "1-1").await;
    let (mut two, second) = opened(&rig, "1-2").await;
    assert_eq!(select(&mut two, second).await, 0);
    assert_eq!(
        rig.touch_policy("1-2").unwrap().script,
        "wait 5 ms then approve"
    );
    assert_eq!(select(&mut two, second).await, 0);
    assert_eq!(select(&mut two, second).await, 0x27);
    assert_eq!(select(&mut one, first).await, 0);
    let wrong = policy(r#"{"touch": "auto", "script": "perhaps"}"#);
    assert!(rig.set_touch_policy("1-1", &wrong).is_err());
}

#[tokio::test]
async fn touch_is_waited_for_listed_and_answered_by_its_number() {
    let rig = rig(Touch::Ask).await;
    rig.add_key(NewKey::default()).await.unwrap();
    let (mut host, channel) = opened(&rig, "1-1").await;
    assert_eq!(rig.touches(None).unwrap(), []);
    let waiting = rig.clone();
    let waiting = tokio::spawn(async move {
        let minute = Duration::from_secs(60);
        waiting.wait_for_touch(Some("1-1"), minute).await
    });
    send(&mut host, channel, 0x10, &[0x0b]).await;
    let touches = waiting.await.unwrap().unwrap();
    let [touch] = touches.as_slice() else {
        panic!("one touch, not {touches:?}");
    };
    assert_eq!(touch.operation, "select");
    rig.answer_touch(touch.id, TouchAnswer::Deny).unwrap();
    let late = rig.answer_touch(touch.id, TouchAnswer::Approve);
    assert_eq!(late.unwrap_err().kind, ErrorKind::NotFound);
    loop {
        let answer = host.recv_report().await.unwrap();
        if answer[4] != 0xbb {
            assert_eq!(answer[7], 0x27);
            break;
        }
    }
}

#[tokio::test]
async fn injected_passkey_is_edited_exported_and_deleted() {
    let rig = rig(Touch::Auto).await;
    let exportable = r#"{"overrides": {"exportable": true}}"#;
    rig.add_key(new_key(exportable)).await.unwrap();
    rig.add_key(NewKey::default()).await.unwrap();
    let new = r#"{"rp_id": "example.com", "user_handle": "01", "user_name": "al", "counter": 40}"#;
    let made = rig.inject("1-1", passkey(new)).await.unwrap();
    assert_eq!((made.algorithm, made.counter_ceiling), (-7, 40));
    let read = rig.private_key("1-1", &made.id).await.unwrap();
    assert_eq!(read.private_key, PRIVATE_KEY);
    let edit = r#"{"user_name": "", "counter": 7}"#;
    let edit = serde_json::from_str(edit).unwrap();
    let edited = rig.edit_passkey("1-1", &made.id, edit).await.unwrap();
    assert_eq!((edited.user_name, edited.counter_ceiling), (None, 7));
    assert_eq!(
        rig.passkeys("1-1", Some("other.example")).await.unwrap(),
        []
    );
    rig.delete_passkey("1-1", &made.id).await.unwrap();
    let gone = rig.passkey("1-1", &made.id).await.unwrap_err();
    assert_eq!(gone.kind, ErrorKind::NotFound);
    let kept = rig.inject("1-2", passkey(new)).await.unwrap();
    let refused = rig.private_key("1-2", &kept.id).await;
    assert_eq!(refused.map(|_| ()).unwrap_err().kind, ErrorKind::Forbidden);
}

#[tokio::test]
async fn wrong_private_key_is_refused_without_being_repeated() {
    let rig = rig(Touch::Auto).await;
    rig.add_key(NewKey::default()).await.unwrap();
    for text in ["c2VjcmV0", "not base64, secret", ""] {
        let new = NewPasskey {
            private_key: text.to_owned(),
            ..passkey(r#"{"rp_id": "example.com", "user_handle": "01"}"#)
        };
        let why = rig.inject("1-1", new).await.unwrap_err();
        assert!(text.is_empty() || !why.text.contains(text), "{why}");
    }
}

#[tokio::test]
async fn pin_is_set_and_changed_and_a_wrong_one_costs_an_attempt() {
    let rig = rig(Touch::Auto).await;
    rig.add_key(NewKey::default()).await.unwrap();
    let pin = |old: Option<&str>, new: &str| NewPin {
        pin: old.map(str::to_owned),
        new_pin: new.to_owned(),
    };
    let short = rig.set_pin("1-1", pin(None, "12")).await.unwrap_err();
    assert_eq!(short.kind, ErrorKind::Conflict);
    let set = rig.set_pin("1-1", pin(None, "1234")).await.unwrap();
    assert!(set.is_set);
    let wrong = rig.set_pin("1-1", pin(Some("4321"), "5678")).await;
    assert_eq!(wrong.unwrap_err().kind, ErrorKind::Forbidden);
    assert_eq!(rig.pin("1-1").await.unwrap().retries, 7);
    let broken = rig.set_pin("1-1", pin(Some("1234"), "5")).await;
    assert_eq!(broken.unwrap_err().kind, ErrorKind::Conflict);
    assert_eq!(rig.pin("1-1").await.unwrap().retries, 8);
    rig.set_pin("1-1", pin(Some("1234"), "5678")).await.unwrap();
}

#[tokio::test]
async fn fault_strikes_the_next_operation_and_is_noted() {
    let rig = rig(Touch::Auto).await;
    rig.add_key(NewKey::default()).await.unwrap();
    let (mut host, channel) = opened(&rig, "1-1").await;
    let new = r#"{"fault": "status", "parameter": "NO_CREDENTIALS", "operation": "selection"}"#;
    let new: NewFault = serde_json::from_str(new).unwrap();
    let armed = rig.arm_fault("1-1", &new).await.unwrap();
    assert_eq!(armed.remaining, Some(1));
    assert_eq!(rig.faults("1-1").await.unwrap(), [armed]);
    assert_eq!(select(&mut host, channel).await, 0x2e);
    assert_eq!(rig.faults("1-1").await.unwrap(), []);
    assert_eq!(select(&mut host, channel).await, 0);
    let met = Expectation {
        key: Some("1-1".to_owned()),
        event: "fault".to_owned(),
        exactly: Some(1),
        ..Expectation::default()
    };
    assert!(rig.expect(&met).await.unwrap().holds);
    for wrong in [
        r#"{"fault": "no-such"}"#,
        r#"{"fault": "status"}"#,
        r#"{"fault": "bad-signature", "operation": "get-info"}"#,
        r#"{"fault": "bad-signature", "next": 0}"#,
        r#"{"fault": "bad-signature", "next": 2, "always": true}"#,
    ] {
        let wrong: NewFault = serde_json::from_str(wrong).unwrap();
        let why = rig.arm_fault("1-1", &wrong).await.unwrap_err();
        assert_eq!(why.kind, ErrorKind::Invalid, "{why}");
    }
}

#[tokio::test]
async fn expectation_counts_touches_once_and_says_why_nothing_came() {
    let rig = rig(Touch::Ask).await;
    rig.add_key(NewKey::default()).await.unwrap();
    let nothing = |since| Expectation {
        since,
        key: Some("1-1".to_owned()),
        event: "touch".to_owned(),
        exactly: Some(1),
        ..Expectation::default()
    };
    let unplugged = rig.expect(&nothing(0)).await.unwrap();
    assert!(!unplugged.holds && unplugged.text.contains("not plugged in"));
    let (mut host, channel) = opened(&rig, "1-1").await;
    let opened = rig.contact("1-1", 0).await.unwrap();
    assert_eq!(opened.contact, Contact::Opened, "{}", opened.text);
    send(&mut host, channel, 0x10, &[0x0b]).await;
    let minute = Duration::from_secs(60);
    let touch = rig.wait_for_touch(None, minute).await.unwrap().remove(0);
    rig.answer_touch(touch.id, TouchAnswer::Approve).unwrap();
    let held = rig.expect(&nothing(0)).await.unwrap();
    assert!(held.holds, "{}", held.text);
    let since = held.last_event;
    assert!(!rig.expect(&nothing(since)).await.unwrap().holds);
}

#[tokio::test]
async fn unplugged_key_ends_its_hosts_session_and_a_power_cycle_does_not() {
    let rig = rig(Touch::Auto).await;
    rig.add_key(NewKey::default()).await.unwrap();
    let (mut host, channel) = opened(&rig, "1-1").await;
    rig.power_cycle("1-1").await.unwrap();
    let lost = call(&mut host, channel, 0x10, &[0x04]).await;
    assert_eq!((lost[4], lost[7]), (0xbf, 0x0b), "the channel is gone");
    let again = call(&mut host, [0xff; 4], 0x06, &[7; 8]).await;
    assert_eq!(again[4], 0x86);
    let unplugged = rig.unplug("1-1").await.unwrap();
    assert!(!unplugged.plugged && unplugged.host.is_none());
    assert!(host.recv_report().await.is_err());
}

/// What the README promises of many keys, with hosts in this process; tests/scenarios has the
/// same with hosts that attach over USB/IP.
#[tokio::test]
async fn keys_come_and_go_while_others_work() {
    let rig = rig(Touch::Auto).await;
    rig.add_key(NewKey::default()).await.unwrap();
    let (mut host, channel) = opened(&rig, "1-1").await;
    for _ in 0..20 {
        let made = rig.add_key(NewKey::default()).await.unwrap();
        let (mut other, its) = opened(&rig, &made.bus_id).await;
        assert_eq!(select(&mut other, its).await, 0);
        assert_eq!(select(&mut host, channel).await, 0);
        rig.remove_key(&made.bus_id).await.unwrap();
        assert!(other.recv_report().await.is_err());
    }
    assert_eq!(rig.keys().await.unwrap().len(), 1);
    rig.stop().await;
}

#[tokio::test]
async fn touch_that_verifies_nobody_is_not_answered_as_if_it_did() {
    let rig = rig(Touch::Ask).await;
    rig.add_key(NewKey::default()).await.unwrap();
    let fingers = policy(r#"{"touch": "ask", "verify": "fail"}"#);
    rig.set_touch_policy("1-1", &fingers).unwrap();
    assert_eq!(rig.touch_policy("1-1").unwrap(), fingers);
    let (mut host, channel) = opened(&rig, "1-1").await;
    send(&mut host, channel, 0x10, &[0x0b]).await;
    let minute = Duration::from_secs(60);
    let touches = rig.wait_for_touch(Some("1-1"), minute).await.unwrap();
    assert_eq!(touches[0].gesture, "touch");
    let wrong = rig.answer_touch(touches[0].id, TouchAnswer::NotVerified);
    assert_eq!(wrong.unwrap_err().kind, ErrorKind::Invalid);
    rig.answer_touch(touches[0].id, TouchAnswer::Approve)
        .unwrap();
    let over = rig.answer_touch(touches[0].id, TouchAnswer::NotVerified);
    assert_eq!(over.unwrap_err().kind, ErrorKind::NotFound);
}

#[tokio::test]
async fn metadata_of_more_models_than_anybody_has_is_refused() {
    let rig = rig(Touch::Auto).await;
    let of = |count| NewMetadata {
        statuses: Vec::new(),
        models: Some(vec![
            MetadataModel {
                profile: "tiny".to_owned(),
                profile_toml: None,
            };
            count
        ]),
    };
    let made = rig.attestation_metadata(&of(100)).await.unwrap();
    assert_eq!(made.entries.len(), 1, "one for each AAGUID");
    let refused = rig.attestation_metadata(&of(101)).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Invalid);
}

#[tokio::test]
async fn metadata_of_no_keys_knows_nobody() {
    let rig = rig(Touch::Auto).await;
    let made = rig.attestation_metadata(&NewMetadata::default()).await;
    assert_eq!(made.unwrap().entries, []);
}

#[tokio::test]
async fn full_rig_takes_one_more_key_once_one_is_gone() {
    let rig = rig(Touch::Auto).await;
    let key = rig.add_key(new_key("{}")).await.unwrap();
    // Others that cost nothing: the same key at every place.
    let slot = rig.slot(&key.bus_id).unwrap();
    for number in 2..=crate::limits::MOST_KEYS {
        rig.lock().insert(number, Arc::clone(&slot));
    }
    let refused = rig.add_key(new_key("{}")).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Conflict);
    assert!(
        refused.text.contains("10000 keys at most"),
        "{}",
        refused.text
    );
    rig.lock().remove(&7_000);
    rig.add_key(new_key("{}")).await.unwrap();
    let refused = rig.add_key(new_key("{}")).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Conflict);
}

#[tokio::test]
async fn policy_names_so_many_sites_and_no_more() {
    let rig = rig(Touch::Ask).await;
    let key = rig.add_key(new_key("{}")).await.unwrap().bus_id;
    let most = crate::limits::MOST_SITES;
    let of = |count| TouchPolicy {
        sites: (0..count)
            .map(|number| format!("{number}.example"))
            .collect(),
        ..policy(r#"{"touch": "auto"}"#)
    };
    rig.set_touch_policy(&key, &of(most)).unwrap();
    let refused = rig.set_touch_policy(&key, &of(most + 1)).unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Invalid);
    assert_eq!(rig.touch_policy(&key).unwrap().sites.len(), most);
}
