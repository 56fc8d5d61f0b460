//! Commands of the domain `WebAuthn` that a DevTools front does.

use roamkey::rig::{TouchPolicy, TouchRule, VerifyRule};
use serde_json::{Value, json};

use super::{
    chrome::Front,
    devtools::{Client, credential, options},
    host::{Host, option, texts},
    place::{authenticators, authenticators_that_never_arrive, private_key, standard, with},
};
use crate::support::ctap2::{GetAssertion, SELECTION};

const RP: &str = "example.com";

async fn credentials(client: &mut Client, id: &str) -> Vec<Value> {
    let found = client
        .call("getCredentials", json!({ "authenticatorId": id }))
        .await;
    found["credentials"].as_array().expect("a list").clone()
}

#[tokio::test]
async fn command_before_enable_has_chromes_error() {
    let keys = authenticators().await;
    let front = Front::with_keys(&keys).await;
    let mut client = front.client().await;
    let refused = (
        -32_000,
        "The Virtual Authenticator Environment has not been enabled for this session".to_owned(),
    );
    let add = json!({ "options": options(json!({})) });
    for (name, params) in [
        ("addVirtualAuthenticator", add),
        ("getCredentials", json!({"authenticatorId": "x"})),
        ("clearCredentials", json!({"authenticatorId": "x"})),
    ] {
        let answer = client.try_call(name, params).await;
        assert_eq!(answer, Err(refused.clone()), "{name}");
    }
    assert_eq!(keys.rig().keys().await, Ok(Vec::new()));
}

#[tokio::test]
async fn added_authenticator_is_a_key_as_it_was_asked_for() {
    let keys = authenticators().await;
    let front = Front::with_keys(&keys).await;
    let mut client = front.enabled().await;
    let asked = json!({"hasUserVerification": true, "isUserVerified": true, "hasPrf": true,
        "hasLargeBlob": true, "hasCredBlob": true, "hasMinPinLength": true});
    let id = client.add(asked).await;
    let key = keys.rig().key(&id).await.expect("a key of that name");
    assert_eq!(key.touch, TouchPolicy::of(TouchRule::Auto));
    let info = Host::open(keys.rig(), &id).await.info().await;
    assert_eq!(texts(&info, 1), ["FIDO_2_0", "FIDO_2_1"]);
    assert_eq!(option(&info, "rk"), Some(true));
    assert_eq!(option(&info, "uv"), Some(true));
    let extensions = texts(&info, 2);
    for name in ["hmac-secret", "largeBlobKey", "credBlob", "minPinLength"] {
        assert!(extensions.iter().any(|one| one == name), "{name}");
    }
    let plain = client.add(json!({"ctap2Version": null, "hasResidentKey": null}));
    let info = Host::open(keys.rig(), &plain.await).await.info().await;
    assert_eq!(texts(&info, 1), ["FIDO_2_0"]);
    assert_ne!(option(&info, "rk"), Some(true));
    let waits = client.add(json!({"automaticPresenceSimulation": false}));
    let policy = keys.rig().touch_policy(&waits.await).expect("a policy");
    assert_eq!(policy.touch, TouchRule::Ask);
    assert_eq!(policy.verify, VerifyRule::Pass);
    assert_eq!(front.chrome.seen(), [], "the browser knows nothing");
}

#[tokio::test]
async fn wrong_options_are_invalid_parameters_and_make_no_key() {
    let keys = authenticators().await;
    let front = Front::with_keys(&keys).await;
    let mut client = front.enabled().await;
    for wrong in [
        json!({}),
        json!({"options": []}),
        json!({"options": {}}),
        json!({"options": options(json!({"protocol": null}))}),
        json!({"options": options(json!({"protocol": "ctap1/u2f"}))}),
        json!({"options": options(json!({"ctap2Version": "ctap2_9"}))}),
        json!({"options": options(json!({"transport": null}))}),
        json!({"options": options(json!({"transport": "serial"}))}),
        json!({"options": options(json!({"hasResidentKey": "true"}))}),
        json!({"options": options(json!({"hasUserVerification": 1}))}),
        json!({"options": options(json!({"automaticPresenceSimulation": 0}))}),
        json!({"options": options(json!({"hasResidentKey": false, "hasLargeBlob": true}))}),
    ] {
        let refused = client.try_call("addVirtualAuthenticator", wrong.clone());
        let (code, words) = refused.await.expect_err("a refusal");
        assert_eq!(code, -32_602, "{wrong}: {words}");
    }
    assert_eq!(keys.rig().keys().await, Ok(Vec::new()));
}

#[tokio::test]
async fn unknown_method_and_wrong_parameters_have_their_codes() {
    let keys = authenticators().await;
    let front = Front::with_keys(&keys).await;
    let mut client = front.client().await;
    let unknown = Err((-32_601, "'WebAuthn.noSuch' wasn't found".to_owned()));
    assert_eq!(client.try_call("noSuch", json!({})).await, unknown);
    client.call("enable", json!({})).await;
    assert_eq!(client.try_call("noSuch", json!({})).await, unknown);
    let id = client.add(json!({})).await;
    let ours = json!({ "authenticatorId": id });
    assert_eq!(client.try_call("noSuch", ours.clone()).await, unknown);
    let with = |changes| with(ours.clone(), changes);
    for (name, params) in [
        ("getCredentials", json!({})),
        ("getCredentials", json!({"authenticatorId": 1})),
        ("getCredentials", json!({"authenticatorId": "other"})),
        ("addCredential", ours.clone()),
        ("getCredential", ours.clone()),
        ("getCredential", with(json!({"credentialId": "AQ"}))),
        ("getCredential", with(json!({"credentialId": "_w=="}))),
        ("removeCredential", with(json!({"credentialId": 1}))),
        ("setUserVerified", ours.clone()),
        ("setUserVerified", with(json!({"isUserVerified": "no"}))),
        ("setAutomaticPresenceSimulation", ours.clone()),
        ("setResponseOverrideBits", with(json!({"isBadUV": 1}))),
        ("setCredentialProperties", ours.clone()),
        (
            "setCredentialProperties",
            with(json!({"credentialId": "AQ=="})),
        ),
    ] {
        let refused = client.try_call(name, params.clone()).await;
        let (code, words) = refused.expect_err("a refusal");
        assert_eq!(code, -32_602, "{name} {params}: {words}");
    }
}

#[tokio::test]
async fn wrong_credentials_are_refused_and_not_put_in() {
    let keys = authenticators().await;
    let front = Front::with_keys(&keys).await;
    let mut client = front.enabled().await;
    let id = client.add(json!({})).await;
    for wrong in [
        json!({"credentialId": null}),
        json!({"credentialId": ""}),
        json!({"credentialId": "-_8="}),
        json!({"isResidentCredential": null}),
        json!({"rpId": null}),
        json!({"privateKey": null}),
        json!({"privateKey": "AQ=="}),
        json!({"userHandle": null}),
        json!({"userHandle": standard(&[1; 65])}),
        json!({"signCount": null}),
        json!({"signCount": -1}),
        json!({"isResidentCredential": false, "largeBlob": "AQ=="}),
    ] {
        let params = json!({"authenticatorId": id, "credential": credential(wrong.clone())});
        let refused = client.try_call("addCredential", params).await;
        let (code, words) = refused.expect_err("a refusal");
        assert_eq!(code, -32_602, "{wrong}: {words}");
    }
    assert_eq!(keys.rig().passkeys(&id, None).await, Ok(Vec::new()));
}

#[tokio::test]
async fn credentials_come_back_in_standard_base64_and_sign() {
    let keys = authenticators().await;
    let front = Front::with_keys(&keys).await;
    let mut client = front.enabled().await;
    let id = client.add(json!({"hasLargeBlob": true})).await;
    let resident = credential(json!({"credentialId": "+/8=", "userHandle": "/w==",
        "signCount": 9, "largeBlob": "+/+/", "userName": "al", "userDisplayName": "Al"}));
    let other = credential(json!({"credentialId": standard(&[0xfe; 300]),
        "isResidentCredential": false, "userHandle": null}));
    let flags = json!({"backupEligibility": false, "backupState": false});
    let given = [resident, other].map(|one| with(one, flags.clone()));
    for one in &given {
        let params = json!({"authenticatorId": id, "credential": one});
        assert_eq!(client.call("addCredential", params).await, json!({}));
    }
    assert_eq!(credentials(&mut client, &id).await, given);
    let one = json!({"authenticatorId": id, "credentialId": "+/8="});
    let found = client.call("getCredential", one.clone()).await;
    assert_eq!(found["credential"], given[0]);
    let mut host = Host::open(keys.rig(), &id).await;
    let signed = host.sign_in(&GetAssertion::new(RP, &[&[0xfe; 300]])).await;
    signed.expect("an assertion").verify(&private_key(), RP);
    assert_eq!(
        client.event("credentialAsserted").await["authenticatorId"],
        id
    );
    assert_eq!(
        client.call("removeCredential", one.clone()).await,
        json!({})
    );
    let gone = client.try_call("removeCredential", one).await;
    assert_eq!(gone.expect_err("it is gone").0, -32_602);
    let ours = json!({ "authenticatorId": id });
    assert_eq!(
        client.call("clearCredentials", ours.clone()).await,
        json!({})
    );
    assert_eq!(credentials(&mut client, &id).await, [Value::Null; 0]);
    client
        .call("removeVirtualAuthenticator", ours.clone())
        .await;
    assert_eq!(keys.rig().keys().await, Ok(Vec::new()));
    let again = client.try_call("removeVirtualAuthenticator", ours).await;
    assert_eq!(again.expect_err("it is gone").0, -32_602);
}

#[tokio::test]
async fn override_bits_are_faults_until_they_are_cleared() {
    let keys = authenticators().await;
    let front = Front::with_keys(&keys).await;
    let mut client = front.enabled().await;
    let id = client.add(json!({})).await;
    for (bits, expected) in [
        (json!({"isBogusSignature": true}), vec!["bad-signature"]),
        (
            json!({"isBadUV": true, "isBadUP": true}),
            vec!["clear-up", "clear-uv"],
        ),
        (json!({"isBadUP": false}), vec![]),
    ] {
        let params = with(bits, json!({ "authenticatorId": id }));
        client.call("setResponseOverrideBits", params).await;
        let armed = keys.rig().faults(&id).await.expect("faults");
        assert!(armed.iter().all(|one| one.remaining.is_none()), "{armed:?}");
        let names: Vec<_> = armed.into_iter().map(|one| one.fault).collect();
        assert_eq!(names, expected);
    }
}

#[tokio::test]
async fn override_bits_show_in_what_the_key_signs() {
    let keys = authenticators().await;
    let front = Front::with_keys(&keys).await;
    let mut client = front.enabled().await;
    let id = client.add(json!({})).await;
    let params = json!({"authenticatorId": id, "credential": credential(json!({}))});
    client.call("addCredential", params).await;
    let mut host = Host::open(keys.rig(), &id).await;
    for (bad_up, bogus) in [(true, false), (false, true), (false, false)] {
        let bits = json!({"authenticatorId": id, "isBadUP": bad_up, "isBogusSignature": bogus});
        client.call("setResponseOverrideBits", bits).await;
        let signed = host.sign_in(&GetAssertion::new(RP, &[&[1]])).await;
        let signed = signed.expect("an assertion");
        assert_eq!(signed.auth_data.user_present, !bad_up);
        assert_eq!(signed.is_by(&private_key()), !bogus);
    }
}

#[tokio::test]
async fn presence_that_comes_back_answers_touches_that_wait() {
    let keys = authenticators().await;
    let front = Front::with_keys(&keys).await;
    let mut client = front.enabled().await;
    let id = client.add(json!({})).await;
    let simulate = |enabled| json!({"authenticatorId": id, "enabled": enabled});
    let rule = || keys.rig().touch_policy(&id).expect("a policy").touch;
    client
        .call("setAutomaticPresenceSimulation", simulate(false))
        .await;
    assert_eq!(rule(), TouchRule::Ask);
    let mut host = Host::open(keys.rig(), &id).await;
    host.start(SELECTION, None).await;
    let minute = std::time::Duration::from_secs(60);
    let waits = keys.rig().wait_for_touch(Some(&id), minute).await;
    assert_eq!(waits.expect("touches").len(), 1);
    client
        .call("setAutomaticPresenceSimulation", simulate(true))
        .await;
    assert_eq!(rule(), TouchRule::Auto);
    assert!(host.finish().await.is_ok());
    assert!(host.ctap2(SELECTION, None).await.is_ok());
}

#[tokio::test]
async fn verification_and_properties_are_set() {
    let keys = authenticators().await;
    let front = Front::with_keys(&keys).await;
    let mut client = front.enabled().await;
    let id = client.add(json!({"hasUserVerification": true})).await;
    // Chromium refuses such an answer at once, and wrong fingers only with a person.
    let verify = |verified: bool| json!({"authenticatorId": id, "isUserVerified": verified});
    for (change, expected) in [
        (None, vec!["spoil-uv"]),
        (Some(true), vec![]),
        (Some(false), vec!["spoil-uv"]),
        (Some(true), vec![]),
    ] {
        if let Some(verified) = change {
            client.call("setUserVerified", verify(verified)).await;
        }
        let rule = keys.rig().touch_policy(&id).expect("a policy").verify;
        assert_eq!(rule, VerifyRule::Pass);
        let armed = keys.rig().faults(&id).await.expect("faults");
        let names: Vec<_> = armed.into_iter().map(|one| one.fault).collect();
        assert_eq!(names, expected);
    }
    let params = json!({"authenticatorId": id, "credential": credential(json!({}))});
    client.call("addCredential", params).await;
    let one = json!({"authenticatorId": id, "credentialId": "AQ=="});
    let both = json!({"backupEligibility": true, "backupState": true});
    let none = json!({"backupEligibility": false, "backupState": false});
    for (set, expected) in [(&both, &both), (&json!({}), &both), (&none, &none)] {
        let params = with(one.clone(), set.clone());
        client.call("setCredentialProperties", params).await;
        let found = credentials(&mut client, &id).await.remove(0);
        assert_eq!(&with(found.clone(), expected.clone()), &found);
    }
    assert_eq!(client.unread(), 0, "what a client does is no news to it");
}

#[tokio::test]
async fn key_that_never_arrives_is_an_error_and_does_not_stay() {
    let keys = authenticators_that_never_arrive().await;
    let front = Front::with_keys(&keys).await;
    let mut client = front.enabled().await;
    let params = json!({ "options": options(json!({})) });
    let refused = client.try_call("addVirtualAuthenticator", params).await;
    let expected = (-32_000, "the machine saw no such device".to_owned());
    assert_eq!(refused, Err(expected));
    assert_eq!(keys.rig().keys().await, Ok(Vec::new()));
}
