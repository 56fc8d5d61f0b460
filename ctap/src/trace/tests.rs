use super::*;
use crate::hid::MessageKind;

/// A CTAP2 message of a first byte and a value.
fn message(first: u8, value: &ciborium::Value) -> Vec<u8> {
    let mut bytes = vec![first];
    ciborium::into_writer(value, &mut bytes).expect("memory takes it");
    bytes
}

fn map(members: Vec<(i64, ciborium::Value)>) -> ciborium::Value {
    let members = members.into_iter();
    ciborium::Value::Map(members.map(|(key, value)| (key.into(), value)).collect())
}

fn named(name: &str, value: impl Into<ciborium::Value>) -> ciborium::Value {
    ciborium::Value::Map(vec![(name.into(), value.into())])
}

fn request(payload: &[u8]) -> decode::Asked {
    decode::request(MessageKind::Cbor, payload)
}

/// What is shown of an answer to a command, as people see it.
fn answer(command: Command, payload: &[u8]) -> Vec<String> {
    let answered = decode::response(MessageKind::Cbor, command, payload);
    answered.details.iter().map(Detail::to_string).collect()
}

fn people(details: &[Detail]) -> Vec<String> {
    details.iter().map(Detail::to_string).collect()
}

#[test]
fn long_lists_and_texts_are_cut() {
    let ids: Vec<_> = (0..20).map(|n| named("id", vec![n; 64])).collect();
    let algorithms: Vec<_> = (0..10).map(|n| named("alg", -1_000 - n)).collect();
    let rp_id = format!("{}.example", "é".repeat(40));
    let asked = request(&message(
        0x01,
        &map(vec![
            (2, named("id", rp_id.clone())),
            (4, algorithms.into()),
            (5, ids.into()),
        ]),
    ));
    assert_eq!(asked.command, Command::MakeCredential);
    assert_eq!(asked.rp_id, Some(rp_id), "whole, to be compared with");
    let beginnings: Vec<_> = (0..8)
        .map(|n| format!("{n:02x}").repeat(8) + "...")
        .collect();
    let algorithms: Vec<_> = (0..8).map(|n| (-1_000 - n).to_string()).collect();
    let expected = [
        format!("rp.id {:?}", "é".repeat(32)),
        format!("pubKeyCredParams [{}, 2 more]", algorithms.join(", ")),
        "excludeList 20".to_owned(),
        format!("excludeList.id [{}]", beginnings.join(", ")),
    ];
    assert_eq!(people(&asked.details), expected);
}

#[test]
fn subcommands_and_permissions_have_names() {
    let shown = |first: u8, members: Vec<(i64, ciborium::Value)>| {
        people(&request(&message(first, &map(members))).details)
    };
    assert_eq!(
        shown(0x06, vec![(1, 2.into()), (2, 9.into()), (9, 0x45.into())]),
        [
            r#"subCommand "getPinUvAuthTokenUsingPinWithPermissions""#,
            "pinUvAuthProtocol 2",
            "permissions [mc, cm, pcmr]",
        ]
    );
    assert_eq!(shown(0x06, vec![(2, 99.into())]), ["subCommand 99"]);
    let params = map(vec![(1, vec![0xab_u8; 32].into())]);
    assert_eq!(
        shown(0x41, vec![(1, 4.into()), (2, params)]),
        [
            r#"subCommand "enumerateCredentialsBegin""#,
            "rpIDHash abababababababab...",
        ]
    );
    let params = map(vec![(1, 6.into()), (3, true.into())]);
    assert_eq!(
        shown(0x0d, vec![(1, 3.into()), (2, params)]),
        [
            r#"subCommand "setMinPINLength""#,
            "newMinPINLength 6",
            "forceChangePin true",
        ]
    );
}

#[test]
fn secrets_on_their_way_have_a_length_alone() {
    let bytes = |length: usize| ciborium::Value::Bytes(vec![0x5a; length]);
    let enc = request(&message(
        0x06,
        &map(vec![
            (2, 4.into()),
            (3, named("x", bytes(32))),
            (4, bytes(16)),
            (5, bytes(64)),
            (6, bytes(16)),
        ]),
    ));
    assert_eq!(
        people(&enc.details),
        [
            r#"subCommand "changePIN""#,
            "pinUvAuthParam (16 bytes, not shown)",
            "newPinEnc (64 bytes, not shown)",
            "pinHashEnc (16 bytes, not shown)",
        ]
    );
    let token = message(0, &map(vec![(1, named("x", bytes(32))), (2, bytes(48))]));
    let shown = answer(Command::ClientPin, &token);
    assert_eq!(shown, ["pinUvAuthToken (48 bytes, not shown)"]);
    let array = message(0, &map(vec![(1, bytes(17))]));
    let shown = answer(Command::LargeBlobs, &array);
    assert_eq!(shown, ["config (17 bytes, not shown)"]);
}

#[test]
fn authenticator_data_show_flags_counter_and_id() {
    let mut auth_data = vec![7; 32];
    auth_data.extend([0x5d, 0, 0, 1, 2]);
    let got = |auth_data: &[u8]| {
        let value = map(vec![
            (2, auth_data.to_vec().into()),
            (3, vec![1_u8; 71].into()),
        ]);
        answer(Command::GetAssertion, &message(0, &value))
    };
    let signature = "signature (71 bytes, not shown)";
    let flags = "flags [UP, UV, BE, BS, AT]";
    assert_eq!(got(&auth_data), [flags, "signCount 258", signature]);
    auth_data.extend([0; 16]);
    auth_data.extend([0, 64]);
    auth_data.extend([0xcd; 64]);
    let id = "credential.id cdcdcdcdcdcdcdcd...";
    assert_eq!(got(&auth_data), [flags, "signCount 258", id, signature]);
    // What is cut short shows what is whole.
    assert_eq!(got(&auth_data[..100]), [flags, "signCount 258", signature]);
    assert_eq!(got(&auth_data[..36]), [signature]);
}

#[test]
fn random_bytes_never_upset_the_reader() {
    use rand_core::{Rng as _, SeedableRng as _};

    let mut rng = crate::crypto::Rng::from_seed([5; 32]);
    for length in (0..300).cycle().take(3_000) {
        let mut bytes = vec![0; length];
        rng.fill_bytes(&mut bytes);
        for kind in [MessageKind::Cbor, MessageKind::Msg] {
            let asked = decode::request(kind, &bytes);
            for command in Command::ALL {
                let answered = decode::response(kind, *command, &bytes);
                assert!(answered.details.len() < 40);
            }
            assert!(asked.details.len() < 40);
        }
    }
}

#[test]
fn text_from_anywhere_stays_on_its_line() {
    let text = DetailValue::Text("a\u{1b}[2J\n\"b\"".to_owned());
    assert_eq!(text.to_string(), r#""a\u{1b}[2J\n\"b\"""#);
    let list = DetailValue::List(vec!["c\r".to_owned(), "d".to_owned()]);
    assert_eq!(list.to_string(), r"[c\r, d]");
}

#[test]
fn names_of_statuses_are_those_of_their_protocol() {
    let finished = |command, status| Trace::Finished {
        operation: 1,
        command,
        rp_id: None,
        status,
        answered: true,
        duration_ms: 0,
        touch: Touched::NotAsked,
        details: Vec::new(),
    };
    let name = |command, status| finished(command, status).status_name();
    assert_eq!(name(Command::GetInfo, 0), Some("CTAP2_OK"));
    assert_eq!(name(Command::GetInfo, 0x55), None);
    assert_eq!(name(Command::U2fVersion, 0x9000), Some("SW_NO_ERROR"));
    assert_eq!(name(Command::U2fVersion, 0), None);
    // A message of which nothing is known may be of either.
    assert_eq!(name(Command::Unknown, 0x6d00), Some("SW_INS_NOT_SUPPORTED"));
    assert_eq!(name(Command::Unknown, 1), Some("CTAP1_ERR_INVALID_COMMAND"));
}
