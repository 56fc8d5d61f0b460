//! Credentials of WebDriver's authenticators: put in, read, changed and taken out, and signed with
//! by the key that has them.

use serde_json::{Value, json};

use super::{
    driver::Front,
    host::Host,
    place::{authenticators, hex, private_key, url, with},
};
use crate::support::ctap2::GetAssertion;

const RP: &str = "example.com";

/// A resident credential of one byte's id, changed.
fn credential(changes: Value) -> Value {
    let usual = json!({
        "credentialId": "AQ",
        "isResidentCredential": true,
        "rpId": RP,
        "privateKey": url(&private_key()),
        "userHandle": "AQ",
        "signCount": 0,
    });
    with(usual, changes)
}

/// Fills an id of so many bytes.
fn id_of(length: usize) -> Vec<u8> {
    (1..=u8::MAX).cycle().take(length).collect()
}

async fn credentials(front: &Front, id: &str) -> Vec<Value> {
    let found = front
        .ask("GET", &format!("/{id}/credentials"), Value::Null)
        .await;
    found.as_array().expect("a list").clone()
}

#[tokio::test]
async fn credentials_of_any_id_come_back_and_sign() {
    let keys = authenticators().await;
    let front = Front::with_keys(&keys).await;
    let id = front.add(json!({"hasResidentKey": true})).await;
    let mut given = Vec::new();
    let ids = [1, 16, 64, 300].into_iter();
    let ids = ids.flat_map(|length| [(vec![1; length], true), (vec![2; length], false)]);
    for (number, (credential_id, resident)) in (1_u8..).zip(ids) {
        let one = credential(json!({
            "credentialId": url(&credential_id),
            "isResidentCredential": resident,
            "userHandle": resident.then(|| url(&[number; 64])),
            "signCount": 1_000 * u32::from(number),
            "userName": resident.then(|| format!("user {number}")),
            "userDisplayName": resident.then_some("A Person"),
        }));
        let done = front
            .ask("POST", &format!("/{id}/credential"), one.clone())
            .await;
        assert_eq!(done, Value::Null);
        let flags = json!({"backupEligibility": false, "backupState": false});
        given.push((credential_id, with(one, flags)));
    }
    let expected: Vec<_> = given.iter().map(|(_, one)| one.clone()).collect();
    assert_eq!(credentials(&front, &id).await, expected);
    let mut host = Host::open(keys.rig(), &id).await;
    for (credential_id, one) in &given {
        let request = GetAssertion::new(RP, &[credential_id]);
        let signed = host.sign_in(&request).await.expect("an assertion");
        assert_eq!(&signed.id, credential_id);
        signed.verify(&private_key(), RP);
        let counter = u64::from(signed.auth_data.counter);
        assert!(
            one["signCount"]
                .as_u64()
                .is_some_and(|count| counter > count)
        );
        let found = credentials(&front, &id).await.into_iter();
        let mut found = found.filter(|found| found["credentialId"] == one["credentialId"]);
        assert_eq!(found.next().expect("it is there")["signCount"], counter);
    }
}

#[tokio::test]
async fn credential_of_the_same_account_gives_way_to_a_new_one() {
    let keys = authenticators().await;
    let front = Front::with_keys(&keys).await;
    let id = front.add(json!({"hasResidentKey": true})).await;
    for number in [1, 2] {
        let one = credential(json!({"credentialId": url(&[number; 16])}));
        front.ask("POST", &format!("/{id}/credential"), one).await;
    }
    let left = credentials(&front, &id).await;
    assert_eq!(left.len(), 1);
    assert_eq!(left[0]["credentialId"], url(&[2; 16]));
}

#[tokio::test]
async fn backup_flags_are_given_defaulted_and_set() {
    let keys = authenticators().await;
    let front = Front::with_keys(&keys).await;
    let asked = json!({"hasResidentKey": true, "defaultBackupEligibility": true,
        "defaultBackupState": true});
    let id = front.add(asked).await;
    let add = format!("/{id}/credential");
    front.ask("POST", &add, credential(json!({}))).await;
    let other = json!({"credentialId": "Ag", "userHandle": "Ag", "backupEligibility": true,
        "backupState": false});
    front.ask("POST", &add, credential(other)).await;
    let flags = |one: &Value| (one["backupEligibility"].clone(), one["backupState"].clone());
    let found = credentials(&front, &id).await;
    assert_eq!(flags(&found[0]), (json!(true), json!(true)));
    assert_eq!(flags(&found[1]), (json!(true), json!(false)));
    let props = format!("/{id}/credentials/Ag/props");
    let set = json!({"backupState": true, "signCount": 77});
    assert_eq!(front.ask("POST", &props, set).await, Value::Null);
    let found = credentials(&front, &id).await;
    assert_eq!(flags(&found[1]), (json!(true), json!(true)));
    assert_eq!(found[1]["signCount"], 77);
    front
        .ask(
            "POST",
            &props,
            json!({"backupEligibility": false, "backupState": false}),
        )
        .await;
    let mut host = Host::open(keys.rig(), &id).await;
    let signed = host.sign_in(&GetAssertion::new(RP, &[&[2]])).await;
    let signed = signed.expect("an assertion");
    assert_eq!(signed.auth_data.backup, (false, false));
    let signed = host.sign_in(&GetAssertion::new(RP, &[&[1]])).await;
    assert_eq!(signed.expect("an assertion").auth_data.backup, (true, true));
    for (path, wrong) in [
        (props.as_str(), json!({"signCount": "77"})),
        (props.as_str(), json!({"backupState": 1})),
        (props.as_str(), json!({"userName": "bob"})),
        (props.as_str(), json!([])),
        (
            &format!("/{id}/credentials/Aw/props"),
            json!({"backupState": true}),
        ),
        (&format!("/{id}/credentials/+w/props"), json!({})),
    ] {
        let refused = front.try_ask("POST", path, wrong.clone()).await;
        assert_eq!(
            refused,
            Err((400, "invalid argument".to_owned())),
            "{path} {wrong}"
        );
    }
}

#[tokio::test]
async fn large_blob_comes_back_whole() {
    let keys = authenticators().await;
    let front = Front::with_keys(&keys).await;
    let asked = json!({"hasResidentKey": true, "extensions": ["largeBlob"]});
    let id = front.add(asked).await;
    let add = format!("/{id}/credential");
    let blobs = [b"".to_vec(), b"a certificate".to_vec(), id_of(2_000)];
    for (number, blob) in (1_u8..).zip(&blobs) {
        let changes = json!({"credentialId": url(&[number]), "userHandle": url(&[number]),
            "largeBlob": url(blob)});
        front.ask("POST", &add, credential(changes)).await;
    }
    let without = json!({"credentialId": "BA", "userHandle": "BA"});
    front.ask("POST", &add, credential(without)).await;
    let found = credentials(&front, &id).await;
    for (one, blob) in found.iter().zip(&blobs) {
        assert_eq!(one["largeBlob"], url(blob));
    }
    assert_eq!(found[3].get("largeBlob"), None);
    let mut host = Host::open(keys.rig(), &id).await;
    let request = GetAssertion::new(RP, &[&[2]]).extension("largeBlobKey", true);
    assert!(
        host.sign_in(&request)
            .await
            .expect("an assertion")
            .large_blob_key
    );
}

#[tokio::test]
async fn credentials_are_removed_one_by_one_and_all_at_once() {
    let keys = authenticators().await;
    let front = Front::with_keys(&keys).await;
    let id = front.add(json!({"hasResidentKey": true})).await;
    for number in 1..=4_u8 {
        let changes = json!({"credentialId": url(&[number; 20]), "userHandle": url(&[number])});
        front
            .ask("POST", &format!("/{id}/credential"), credential(changes))
            .await;
    }
    let two = format!("/{id}/credentials/{}", url(&[2; 20]));
    assert_eq!(front.ask("DELETE", &two, Value::Null).await, Value::Null);
    let again = front.try_ask("DELETE", &two, Value::Null).await;
    assert_eq!(again, Err((400, "invalid argument".to_owned())));
    let left = keys.rig().passkeys(&id, None).await.expect("passkeys");
    let left: Vec<_> = left.into_iter().map(|one| one.id).collect();
    assert_eq!(left, [hex(&[1; 20]), hex(&[3; 20]), hex(&[4; 20])]);
    let all = format!("/{id}/credentials");
    assert_eq!(front.ask("DELETE", &all, Value::Null).await, Value::Null);
    assert_eq!(credentials(&front, &id).await, [Value::Null; 0]);
    // None is none, too.
    front.ask("DELETE", &all, Value::Null).await;
}

#[tokio::test]
async fn wrong_credential_has_its_error_and_is_not_put_in() {
    let keys = authenticators().await;
    let front = Front::with_keys(&keys).await;
    let id = front.add(json!({"hasResidentKey": true})).await;
    let mut cut = private_key();
    cut.truncate(60);
    for wrong in [
        json!([]),
        json!({}),
        credential(json!({"credentialId": null})),
        credential(json!({"credentialId": 1})),
        credential(json!({"credentialId": "+/"})),
        credential(json!({"credentialId": ""})),
        credential(json!({"credentialId": url(&id_of(1_024))})),
        credential(json!({"isResidentCredential": null})),
        credential(json!({"isResidentCredential": "true"})),
        credential(json!({"rpId": null})),
        credential(json!({"rpId": ""})),
        credential(json!({"rpId": 1})),
        credential(json!({"privateKey": null})),
        credential(json!({"privateKey": "AQ"})),
        credential(json!({"privateKey": url(&cut)})),
        credential(json!({"privateKey": "no base64"})),
        credential(json!({"userHandle": null})),
        credential(json!({"userHandle": "a b"})),
        credential(json!({"userHandle": url(&[1; 65])})),
        credential(json!({"signCount": null})),
        credential(json!({"signCount": -1})),
        credential(json!({"signCount": "0"})),
        credential(json!({"signCount": 1_u64 << 32})),
        credential(json!({"backupEligibility": "no"})),
        credential(json!({"backupState": 1})),
        credential(json!({"userName": 1})),
        credential(json!({"userDisplayName": []})),
        credential(json!({"largeBlob": 1})),
        credential(json!({"isResidentCredential": false, "largeBlob": "AQ"})),
        credential(json!({"user": "alice"})),
    ] {
        let refused = front
            .try_ask("POST", &format!("/{id}/credential"), wrong.clone())
            .await;
        assert_eq!(
            refused,
            Err((400, "invalid argument".to_owned())),
            "{wrong}"
        );
    }
    assert_eq!(keys.rig().passkeys(&id, None).await, Ok(Vec::new()));
}

#[tokio::test]
async fn resident_credential_does_not_go_into_a_key_without_them() {
    let keys = authenticators().await;
    let front = Front::with_keys(&keys).await;
    let id = front.add(json!({})).await;
    let add = format!("/{id}/credential");
    let refused = front.try_ask("POST", &add, credential(json!({}))).await;
    assert_eq!(refused, Err((400, "invalid argument".to_owned())));
    let other = credential(json!({"isResidentCredential": false, "userHandle": null}));
    front.ask("POST", &add, other).await;
    let found = credentials(&front, &id).await;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["isResidentCredential"], false);
    assert_eq!(found[0].get("userHandle"), None);
    let mut host = Host::open(keys.rig(), &id).await;
    let signed = host.sign_in(&GetAssertion::new(RP, &[&[1]])).await;
    signed.expect("an assertion").verify(&private_key(), RP);
}

#[tokio::test]
async fn large_blob_does_not_go_into_a_key_without_them_and_leaves_nothing() {
    let keys = authenticators().await;
    let front = Front::with_keys(&keys).await;
    let id = front.add(json!({"hasResidentKey": true})).await;
    let add = format!("/{id}/credential");
    let blob = credential(json!({"largeBlob": "AQ"}));
    let refused = front.try_ask("POST", &add, blob).await;
    assert!(refused.is_err());
    assert_eq!(keys.rig().passkeys(&id, None).await, Ok(Vec::new()));
}

#[tokio::test]
async fn credential_of_an_id_that_is_there_is_refused_and_changes_nothing() {
    let keys = authenticators().await;
    let front = Front::with_keys(&keys).await;
    let id = front.add(json!({"hasResidentKey": true})).await;
    let add = format!("/{id}/credential");
    front
        .ask("POST", &add, credential(json!({"signCount": 5})))
        .await;
    let before = credentials(&front, &id).await;
    let same_id = credential(json!({"rpId": "other.example", "userHandle": "Ag"}));
    let refused = front.try_ask("POST", &add, same_id).await;
    assert_eq!(refused, Err((400, "invalid argument".to_owned())));
    assert_eq!(credentials(&front, &id).await, before);
}
