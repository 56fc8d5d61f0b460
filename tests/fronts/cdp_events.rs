//! What a DevTools front tells of its own, and what it leaves to the browser.

use serde_json::json;

use super::{
    chrome::Front,
    devtools::{Client, credential, options},
    host::Host,
    place::{authenticators, standard, with},
};
use crate::support::ctap2::{GetAssertion, MakeCredential};

const RP: &str = "example.com";

fn id_of(registered: &crate::support::auth_data::AuthData) -> Vec<u8> {
    let (id, _) = registered.attested.clone().expect("a credential");
    id
}

/// An event of a credential: its id.
async fn told(client: &mut Client, event: &str, key: &str) -> String {
    let params = client.event(event).await;
    assert_eq!(params["authenticatorId"], key);
    let id = match event {
        "credentialDeleted" => &params["credentialId"],
        _ => {
            assert_eq!(params["credential"]["rpId"], RP);
            &params["credential"]["credentialId"]
        }
    };
    id.as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn registration_and_sign_in_are_told_with_their_credential() {
    let keys = authenticators().await;
    let front = Front::with_keys(&keys).await;
    let mut client = front.enabled().await;
    let id = client.add(json!({})).await;
    let mut host = Host::open(keys.rig(), &id).await;
    let made = host
        .register(&MakeCredential::discoverable(RP, b"al"))
        .await;
    let made = id_of(&made.expect("a registration"));
    let added = client.event("credentialAdded").await;
    assert_eq!(added["authenticatorId"], id);
    let told = &added["credential"];
    assert_eq!(told["credentialId"], standard(&made));
    assert_eq!(told["rpId"], RP);
    assert_eq!(told["isResidentCredential"], true);
    assert_eq!(told["userHandle"], standard(b"al"));
    assert!(
        told["privateKey"]
            .as_str()
            .is_some_and(|key| key.len() > 80)
    );
    let signed = host.sign_in(&GetAssertion::new(RP, &[])).await;
    let counter = signed.expect("an assertion").auth_data.counter;
    let asserted = client.event("credentialAsserted").await;
    assert_eq!(asserted["credential"]["credentialId"], standard(&made));
    assert_eq!(asserted["credential"]["signCount"], counter);
}

#[tokio::test]
async fn other_registrations_are_told_as_well_and_one_that_gives_way() {
    let keys = authenticators().await;
    let front = Front::with_keys(&keys).await;
    let mut client = front.enabled().await;
    let id = client.add(json!({})).await;
    let mut host = Host::open(keys.rig(), &id).await;
    let plain = host.register(&MakeCredential::new(RP, b"al")).await;
    let plain = id_of(&plain.expect("a registration"));
    let event = told(&mut client, "credentialAdded", &id).await;
    assert_eq!(event, standard(&plain));
    let account = MakeCredential::discoverable(RP, b"al");
    let first = id_of(&host.register(&account).await.expect("a registration"));
    let event = told(&mut client, "credentialAdded", &id).await;
    assert_eq!(event, standard(&first));
    let second = id_of(&host.register(&account).await.expect("a registration"));
    let event = told(&mut client, "credentialDeleted", &id).await;
    assert_eq!(event, standard(&first));
    let event = told(&mut client, "credentialAdded", &id).await;
    assert_eq!(event, standard(&second));
    let signed = host.sign_in(&GetAssertion::new(RP, &[&plain])).await;
    assert!(signed.is_ok());
    let event = told(&mut client, "credentialAsserted", &id).await;
    assert_eq!(event, standard(&plain));
}

#[tokio::test]
async fn credential_without_a_counter_is_told_when_it_signs() {
    let keys = authenticators().await;
    let front = Front::with_keys(&keys).await;
    let mut client = front.enabled().await;
    let id = client.add(json!({"defaultBackupEligibility": true})).await;
    let mut host = Host::open(keys.rig(), &id).await;
    let mut made = Vec::new();
    for user in [b"al", b"bo"] {
        let one = host.register(&MakeCredential::discoverable(RP, user)).await;
        made.push(id_of(&one.expect("a registration")));
        told(&mut client, "credentialAdded", &id).await;
    }
    for one in &made {
        let signed = host.sign_in(&GetAssertion::new(RP, &[one])).await;
        assert_eq!(&signed.expect("an assertion").id, one);
        let event = told(&mut client, "credentialAsserted", &id).await;
        assert_eq!(event, standard(one));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happened_before_a_command_is_told_before_its_answer() {
    let keys = authenticators().await;
    let front = Front::with_keys(&keys).await;
    let mut client = front.enabled().await;
    let id = client.add(json!({})).await;
    let mut host = Host::open(keys.rig(), &id).await;
    for (user, before) in (0..20_u8).zip(0..) {
        let made = host
            .register(&MakeCredential::discoverable(RP, &[user]))
            .await;
        let made = id_of(&made.expect("a registration"));
        let params = json!({ "authenticatorId": id });
        let found = client.call("getCredentials", params).await;
        let found = found["credentials"].as_array().expect("a list").len();
        assert_eq!((found, client.unread()), (before + 1, 1));
        let event = told(&mut client, "credentialAdded", &id).await;
        assert_eq!(event, standard(&made));
    }
}

#[tokio::test]
async fn injected_credential_is_no_news_until_it_signs() {
    let keys = authenticators().await;
    let front = Front::with_keys(&keys).await;
    let mut client = front.enabled().await;
    let id = client.add(json!({})).await;
    let params = json!({"authenticatorId": id, "credential": credential(json!({}))});
    client.call("addCredential", params).await;
    let mut host = Host::open(keys.rig(), &id).await;
    let signed = host.sign_in(&GetAssertion::new(RP, &[])).await;
    assert_eq!(signed.expect("an assertion").id, [1]);
    let event = told(&mut client, "credentialAsserted", &id).await;
    assert_eq!(event, standard(&[1]));
}

#[tokio::test]
async fn events_go_to_the_session_that_has_the_key() {
    let keys = authenticators().await;
    let front = Front::with_keys(&keys).await;
    let mut client = front.client().await;
    for session in ["A", "B"] {
        let enabled = client.try_call_in(Some(session), "enable", json!({}));
        enabled.await.expect("it is enabled");
    }
    client.add_in(Some("A"), json!({})).await;
    let id = client.add_in(Some("B"), json!({})).await;
    let mut host = Host::open(keys.rig(), &id).await;
    let made = host.register(&MakeCredential::new(RP, b"al")).await;
    assert!(made.is_ok());
    let message = client.receive().await.expect("an event");
    let event: serde_json::Value =
        serde_json::from_str(message.to_text().expect("text")).expect("JSON");
    assert_eq!(event["method"], "WebAuthn.credentialAdded");
    assert_eq!(event["sessionId"], "B");
    assert_eq!(event["params"]["authenticatorId"], id);
}

#[tokio::test]
async fn internal_authenticator_is_the_browsers_and_said() {
    let keys = authenticators().await;
    let front = Front::with_keys(&keys).await;
    let mut client = front.client().await;
    let session = Some("A");
    let ui = json!({"enableUI": true});
    let enabled = client.try_call_in(session, "enable", ui.clone()).await;
    assert_eq!((enabled, front.chrome.seen().len()), (Ok(json!({})), 0));
    let real = client.add_in(session, json!({})).await;
    let internal = options(json!({"transport": "internal"}));
    let id = client
        .add_in(session, json!({"transport": "internal"}))
        .await;
    assert_eq!(id, "browsers-1");
    let usb = client.add_in(session, json!({})).await;
    assert_eq!(usb, "browsers-2", "a page sees one kind, never both");
    let ours = json!({ "authenticatorId": id });
    let put = with(ours.clone(), json!({"credential": credential(json!({}))}));
    for (name, params) in [
        ("addCredential", put.clone()),
        ("getCredentials", ours.clone()),
    ] {
        let done = client.try_call_in(session, name, params).await;
        assert!(done.is_ok(), "{name}: {done:?}");
    }
    let gone = client.try_call_in(session, "getCredentials", json!({"authenticatorId": "x"}));
    let theirs = (-32_602, "the browser has none such".to_owned());
    assert_eq!(gone.await, Err(theirs));
    assert!(keys.rig().key(&real).await.is_ok());
    let off = client.try_call_in(session, "disable", json!({})).await;
    assert_eq!(off, Ok(json!({})));
    assert_eq!(keys.rig().keys().await, Ok(Vec::new()));
    let expected = [
        ("enable", ui),
        ("addVirtualAuthenticator", json!({ "options": internal })),
        (
            "addVirtualAuthenticator",
            json!({"options": options(json!({}))}),
        ),
        ("addCredential", put),
        ("getCredentials", ours),
        ("getCredentials", json!({"authenticatorId": "x"})),
        ("disable", json!({})),
    ];
    let expected = expected.map(|(name, params)| (name.to_owned(), Some("A".to_owned()), params));
    assert_eq!(front.chrome.commands(), expected);
    let told = keys.notes().told();
    assert!(told[0].text.contains("no USB key is internal"), "{told:?}");
    assert!(told[1].text.contains("do not see the keys"), "{told:?}");
}

#[tokio::test]
async fn authenticator_that_the_browser_refuses_hides_no_keys() {
    let keys = authenticators().await;
    let front = Front::with_keys(&keys).await;
    let mut client = front.enabled().await;
    let cable = json!({ "options": options(json!({"transport": "cable"})) });
    let refused = client.try_call("addVirtualAuthenticator", cable).await;
    let theirs = (-32_602, "the browser has no cable".to_owned());
    assert_eq!(refused, Err(theirs));
    let names = front.chrome.commands().into_iter().map(|(name, ..)| name);
    let names: Vec<_> = names.collect();
    assert_eq!(names, ["enable", "addVirtualAuthenticator", "disable"]);
    let id = client.add(json!({})).await;
    assert!(keys.rig().key(&id).await.is_ok(), "it is a real one");
    assert_eq!(keys.notes().told(), []);
}

#[tokio::test]
async fn disable_takes_the_keys_and_enable_starts_anew() {
    let keys = authenticators().await;
    let front = Front::with_keys(&keys).await;
    let mut client = front.enabled().await;
    let id = client.add(json!({})).await;
    assert_eq!(client.call("disable", json!({})).await, json!({}));
    assert_eq!(keys.rig().keys().await, Ok(Vec::new()));
    let ours = json!({ "authenticatorId": id });
    let refused = client.try_call("getCredentials", ours.clone()).await;
    assert_eq!(refused.expect_err("it is off").0, -32_000);
    client.call("enable", json!({})).await;
    let refused = client.try_call("getCredentials", ours).await;
    assert_eq!(refused.expect_err("it is gone").0, -32_602);
    assert_eq!(front.chrome.seen(), []);
}
