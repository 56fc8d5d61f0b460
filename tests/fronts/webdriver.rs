//! Authenticators of WebDriver sessions: what keys they are, and when they go.

use axum::http::StatusCode;
use roamkey::{
    front::{Keys, Note},
    profile::Profile,
    rig::{NewKey, TouchPolicy, TouchRule, VerifyRule},
};
use serde_json::{Value, json};

use super::{
    driver::{Front, SESSION, configuration},
    host::{Host, option, texts},
    place::{authenticators, authenticators_like, authenticators_that_never_arrive, listener},
};
use crate::support::ctap2::MakeCredential;

#[tokio::test]
async fn added_authenticator_is_a_key_as_it_was_asked_for() {
    let keys = authenticators().await;
    let front = Front::with_keys(&keys).await;
    let asked = json!({
        "hasResidentKey": true,
        "hasUserVerification": true,
        "isUserVerified": true,
        "extensions": ["prf", "largeBlob", "credBlob", "minPinLength", "credProtect"],
    });
    let id = front.add(asked).await;
    let key = keys.rig().key(&id).await.expect("a key of that name");
    assert_eq!(key.touch, TouchPolicy::of(TouchRule::Auto));
    assert!(key.exportable && !key.stored);
    let info = Host::open(keys.rig(), &id).await.info().await;
    assert_eq!(texts(&info, 1), ["FIDO_2_0", "FIDO_2_1"]);
    assert_eq!(option(&info, "rk"), Some(true));
    assert_eq!(option(&info, "uv"), Some(true));
    let extensions = texts(&info, 2);
    for name in ["hmac-secret", "largeBlobKey", "credBlob", "minPinLength"] {
        assert!(extensions.iter().any(|one| one == name), "{name}");
    }
    assert_eq!(front.driver.commands(), [""; 0], "the driver knows nothing");
}

#[tokio::test]
async fn authenticator_of_defaults_has_nothing_that_was_not_asked_for() {
    let keys = authenticators().await;
    let front = Front::with_keys(&keys).await;
    let (one, two) = (front.add(json!({})).await, front.add(json!({})).await);
    assert_ne!(one, two);
    let key = keys.rig().key(&one).await.expect("a key");
    assert_eq!(key.touch.touch, TouchRule::Auto);
    assert_eq!(key.touch.verify, VerifyRule::Fail);
    let info = Host::open(keys.rig(), &one).await.info().await;
    assert_ne!(option(&info, "rk"), Some(true));
    assert_eq!(option(&info, "uv"), None);
    let extensions = texts(&info, 2);
    for name in ["largeBlobKey", "credBlob", "minPinLength"] {
        assert!(!extensions.iter().any(|one| one == name), "{name}");
    }
}

#[tokio::test]
async fn protocol_and_consent_are_the_keys() {
    let keys = authenticators().await;
    let front = Front::with_keys(&keys).await;
    let old = front.add(json!({"protocol": "ctap2"})).await;
    let info = Host::open(keys.rig(), &old).await.info().await;
    assert_eq!(texts(&info, 1), ["FIDO_2_0"]);
    let u2f = front.add(json!({"protocol": "ctap1/u2f"})).await;
    let key = keys.rig().key(&u2f).await.expect("a key");
    assert!(key.profile.starts_with("u2f-only"), "{}", key.profile);
    let against = front.add(json!({"isUserConsenting": false})).await;
    let policy = keys.rig().touch_policy(&against).expect("a policy");
    assert_eq!(policy.touch, TouchRule::Deny);
}

#[tokio::test]
async fn key_after_another_has_its_profile_and_the_sites_of_its_owner() {
    let base = NewKey {
        profile: Some("fido-2.0".to_owned()),
        ..NewKey::default()
    };
    let keys = authenticators_like(base, &["example.com"]).await;
    let front = Front::with_keys(&keys).await;
    let id = front.add(json!({"hasResidentKey": true})).await;
    let key = keys.rig().key(&id).await.expect("a key");
    assert_eq!(key.profile, "fido-2.0, changed");
    assert_eq!(key.touch.sites, ["example.com"]);
    let mut host = Host::open(keys.rig(), &id).await;
    let info = host.info().await;
    assert_eq!(option(&info, "rk"), Some(true));
    for (rp_id, status) in [("example.com", None), ("other.example", Some(0x27))] {
        let made = host.register(&MakeCredential::new(rp_id, b"al")).await;
        assert_eq!(made.err(), status, "{rp_id}");
    }
    let u2f = front.add(json!({"protocol": "ctap1/u2f"})).await;
    let key = keys.rig().key(&u2f).await.expect("a key");
    assert!(key.profile.starts_with("u2f-only"), "{}", key.profile);
}

#[tokio::test]
async fn any_profile_is_a_key_with_and_without_passkeys_and_verification() {
    let mut wrong = Vec::new();
    // A key of U2F alone has neither, whatever a test asks for.
    let profiles = Profile::names().filter(|name| *name != "u2f-only");
    for profile in profiles {
        let base = NewKey {
            profile: Some(profile.to_owned()),
            ..NewKey::default()
        };
        let keys = authenticators_like(base, &[]).await;
        let front = Front::with_keys(&keys).await;
        for (rk, uv) in [(false, false), (false, true), (true, false), (true, true)] {
            let asked = json!({"hasResidentKey": rk, "hasUserVerification": uv});
            let path = format!("/session/{SESSION}/webauthn/authenticator");
            let body = configuration(asked).to_string();
            let answer = front.send("POST", &path, &body).await;
            if answer.status != StatusCode::OK {
                wrong.push(format!("{profile} rk {rk} uv {uv}: {}", answer.text()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn session_has_so_many_keys_and_no_more() {
    let keys = authenticators().await;
    let front = Front::with_keys(&keys).await;
    let first = front.add(json!({"protocol": "ctap2"})).await;
    for _ in 1..64 {
        front.add(json!({"protocol": "ctap2"})).await;
    }
    let more = front.try_ask("POST", "", configuration(json!({}))).await;
    assert_eq!(more, Err((500, "unknown error".to_owned())));
    front.ask("DELETE", &format!("/{first}"), Value::Null).await;
    front.add(json!({})).await;
}

#[tokio::test]
async fn wrong_configuration_has_its_error_and_makes_no_key() {
    let keys = authenticators().await;
    let front = Front::with_keys(&keys).await;
    let invalid = (400, "invalid argument");
    let unsupported = (500, "unsupported operation");
    let wrong = [
        (json!([]), invalid),
        (json!("ctap2"), invalid),
        (json!({}), invalid),
        (configuration(json!({"protocol": null})), invalid),
        (configuration(json!({"protocol": "ctap3"})), invalid),
        (configuration(json!({"protocol": 2})), invalid),
        (configuration(json!({"transport": null})), invalid),
        (configuration(json!({"transport": "USB"})), invalid),
        (configuration(json!({"transport": ["usb"]})), invalid),
        (configuration(json!({"hasResidentKey": "true"})), invalid),
        (configuration(json!({"hasUserVerification": 1})), invalid),
        (configuration(json!({"isUserConsenting": "no"})), invalid),
        (configuration(json!({"isUserVerified": []})), invalid),
        (configuration(json!({"defaultBackupState": 0})), invalid),
        (configuration(json!({"extensions": "prf"})), invalid),
        (configuration(json!({"extensions": [1]})), invalid),
        (configuration(json!({"hasresidentkey": true})), invalid),
        (configuration(json!({"hasPrf": true})), invalid),
        (
            configuration(json!({"extensions": ["appid2"]})),
            unsupported,
        ),
    ];
    for (body, expected) in wrong {
        let refused = front.try_ask("POST", "", body.clone()).await;
        let (status, error) = refused.expect_err("a refusal");
        assert_eq!((status, error.as_str()), expected, "{body}");
    }
    let path = format!("/session/{SESSION}/webauthn/authenticator");
    let cut = front.send("POST", &path, r#"{"protocol": "#).await;
    assert_eq!(cut.status, StatusCode::BAD_REQUEST);
    let long = front.send("POST", &path, &" ".repeat((1 << 20) + 1)).await;
    assert_eq!(long.json()["value"]["error"], "invalid argument");
    let with_null = r#"{"protocol": "ctap2", "transport": "usb", "hasResidentKey": null}"#;
    let null = front.send("POST", &path, with_null).await;
    assert_eq!(null.json()["value"]["error"], "invalid argument");
    assert_eq!(keys.rig().keys().await, Ok(Vec::new()));
    assert_eq!(front.driver.commands(), [""; 0]);
}

#[tokio::test]
async fn unknown_session_has_the_drivers_own_error() {
    let keys = authenticators().await;
    let front = Front::with_keys(&keys).await;
    let path = "/session/other/webauthn/authenticator";
    let body = configuration(json!({})).to_string();
    let answer = front.send("POST", path, &body).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    let value = answer.json()["value"].take();
    assert_eq!(value["error"], "invalid session id");
    assert_eq!(value["stacktrace"], "driver", "it is passed");
    assert_eq!(keys.rig().keys().await, Ok(Vec::new()));
}

#[tokio::test]
async fn unknown_paths_and_methods_have_their_errors() {
    let keys = authenticators().await;
    let front = Front::with_keys(&keys).await;
    let id = front.add(json!({})).await;
    let command = (404, "unknown command");
    let method = (405, "unknown method");
    for (asked, rest, expected) in [
        ("GET", String::new(), method),
        ("GET", format!("/{id}"), method),
        ("POST", format!("/{id}"), method),
        ("GET", format!("/{id}/credential"), method),
        ("POST", format!("/{id}/credentials"), method),
        ("GET", format!("/{id}/credentials/AQ"), method),
        ("GET", format!("/{id}/uv"), method),
        ("PUT", format!("/{id}/credentials/AQ/props"), method),
        ("GET", format!("/{id}/touches"), command),
        ("POST", format!("/{id}/credentials/AQ/other"), command),
        ("POST", format!("/{id}/uv/now"), command),
    ] {
        let refused = front.try_ask(asked, &rest, json!({})).await;
        let (status, error) = refused.expect_err("a refusal");
        assert_eq!((status, error.as_str()), expected, "{asked} {rest}");
    }
    assert_eq!(front.driver.commands(), [""; 0]);
}

#[tokio::test]
async fn verification_follows_uv_and_wrong_bodies_change_nothing() {
    let keys = authenticators().await;
    let front = Front::with_keys(&keys).await;
    let asked = json!({"hasUserVerification": true, "isUserVerified": true});
    let id = front.add(asked).await;
    let rule = || keys.rig().touch_policy(&id).expect("a policy").verify;
    let uv = format!("/{id}/uv");
    for wrong in [json!({}), json!([]), json!({"isUserVerified": "false"})] {
        let refused = front.try_ask("POST", &uv, wrong).await;
        assert_eq!(refused, Err((400, "invalid argument".to_owned())));
    }
    assert_eq!(rule(), VerifyRule::Pass);
    let done = front
        .ask("POST", &uv, json!({"isUserVerified": false}))
        .await;
    assert_eq!((done, rule()), (Value::Null, VerifyRule::Fail));
    front
        .ask("POST", &uv, json!({"isUserVerified": true}))
        .await;
    assert_eq!(rule(), VerifyRule::Pass);
}

#[tokio::test]
async fn other_transports_are_the_drivers_and_said_and_so_is_usb_after_them() {
    let keys = authenticators().await;
    let front = Front::with_keys(&keys).await;
    let key = front.add(json!({})).await;
    let mut heard = keys.notes().listen();
    for transport in ["internal", "nfc", "ble", "usb"] {
        let asked = configuration(json!({"transport": transport}));
        let made = front.ask("POST", "", asked.clone()).await;
        assert!(made.as_str().is_some_and(|id| id.starts_with("drivers-")));
        let seen = front.driver.seen().pop().expect("a command");
        let passed: Value = serde_json::from_slice(&seen.body).expect("JSON");
        assert_eq!(passed, asked);
    }
    let told = keys.notes().told();
    let told: Vec<&str> = told.iter().map(|note| note.text.as_str()).collect();
    assert_eq!(told.len(), 5, "{told:?}");
    for (number, part) in [
        (0, "no USB key is internal"),
        (1, "its pages do not see the keys"),
        (2, "no USB key is nfc"),
        (3, "no USB key is ble"),
        (4, "never both"),
    ] {
        assert!(told[number].contains(part), "{told:?}");
    }
    let first: Note = heard.try_recv().expect("it was heard");
    assert_eq!(first.text, told[0]);
    // The real key stays, and what names the driver's is passed on.
    assert!(keys.rig().key(&key).await.is_ok());
    front
        .ask("POST", "/drivers-1/uv", json!({"isUserVerified": true}))
        .await;
    front.ask("DELETE", "/drivers-1", Value::Null).await;
    let commands = front.driver.commands();
    let base = format!("/session/{SESSION}/webauthn/authenticator/drivers-1");
    assert_eq!(
        commands[4..],
        [format!("POST {base}/uv"), format!("DELETE {base}")]
    );
}

#[tokio::test]
async fn removed_authenticator_is_gone_and_nobody_knows_it() {
    let keys = authenticators().await;
    let front = Front::with_keys(&keys).await;
    let id = front.add(json!({})).await;
    let stays = front.add(json!({})).await;
    front.ask("DELETE", &format!("/{id}"), Value::Null).await;
    let left = keys.rig().keys().await.expect("keys");
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].name.as_deref(), Some(stays.as_str()));
    for (method, rest) in [
        ("DELETE", format!("/{id}")),
        ("GET", format!("/{id}/credentials")),
        ("POST", "/drivers-1/uv".to_owned()),
    ] {
        let again = front.try_ask(method, &rest, Value::Null).await;
        assert_eq!(again, Err((400, "invalid argument".to_owned())));
    }
    // chromedriver would hide real keys from pages before it looks for one of its own.
    assert_eq!(front.driver.commands(), [""; 0]);
    let path = "/session/other/webauthn/authenticator/x";
    let other = front.send("DELETE", path, "").await.json()["value"].take();
    assert_eq!(other["error"], "invalid session id");
}

#[tokio::test]
async fn deleted_session_takes_its_keys_and_no_other() {
    let keys = authenticators().await;
    let front = Front::with_keys(&keys).await;
    front.driver.begin("session-2");
    front.add(json!({})).await;
    front.add(json!({})).await;
    let path = "/session/session-2/webauthn/authenticator";
    let body = configuration(json!({})).to_string();
    let other = front.send("POST", path, &body).await.json()["value"].take();
    assert_eq!(keys.rig().keys().await.expect("keys").len(), 3);
    let ended = front
        .send("DELETE", &format!("/session/{SESSION}"), "")
        .await;
    assert_eq!(
        (ended.status, ended.json()),
        (StatusCode::OK, json!({"value": null}))
    );
    let left = keys.rig().keys().await.expect("keys");
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].name.as_deref(), other.as_str());
}

#[tokio::test]
async fn session_that_the_driver_no_longer_knows_loses_its_keys() {
    let keys = authenticators().await;
    let front = Front::with_keys(&keys).await;
    front.add(json!({})).await;
    front.driver.lose(SESSION);
    // Time that the front looks after sessions in, and nobody waits.
    tokio::time::pause();
    tokio::time::advance(std::time::Duration::from_secs(20)).await;
    tokio::time::resume();
    while !keys.rig().keys().await.expect("keys").is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn key_that_never_arrives_is_an_error_and_does_not_stay() {
    let keys = authenticators_that_never_arrive().await;
    let front = Front::with_keys(&keys).await;
    let path = format!("/session/{SESSION}/webauthn/authenticator");
    let body = configuration(json!({})).to_string();
    let answer = front.send("POST", &path, &body).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    let value = answer.json()["value"].take();
    assert_eq!(value["error"], "unknown error");
    assert_eq!(value["message"], "the machine saw no such device");
    assert_eq!(keys.rig().keys().await, Ok(Vec::new()));
}

#[tokio::test]
async fn no_driver_is_an_error_that_says_what_to_start() {
    let keys = authenticators().await;
    // A port that was free a moment ago, and nobody listens on.
    let (closed, nobody) = listener().await;
    drop(closed);
    let address = Front::before(nobody, Keys::Real(keys.clone())).await;
    let add = format!("/session/{SESSION}/webauthn/authenticator");
    for (method, path) in [("POST", "/session"), ("POST", add.as_str())] {
        let body = configuration(json!({})).to_string();
        let request = super::place::request(address, method, path, body);
        let answer = super::place::send(address, request).await;
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
        let value = answer.json()["value"].take();
        assert_eq!(value["error"], "unknown error");
        let message = value["message"].as_str().expect("a message");
        assert!(message.contains(&nobody.to_string()), "{message}");
        assert!(message.contains("start the driver first"), "{message}");
    }
    assert_eq!(keys.rig().keys().await, Ok(Vec::new()));
}
