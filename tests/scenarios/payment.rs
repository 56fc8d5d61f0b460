//! thirdPartyPayment (CTAP 2.2 §12.10): which credentials other sites may ask to pay with.

use ciborium::Value;
use roamkey_ctap::Extension;

use crate::support::{
    bench::{Bench, RP},
    cbor,
    ctap2::{GetAssertion, MakeCredential, status},
    pin::Protocol,
    rig::{Options, Place, pin_scenarios},
};

const PAYMENT: &str = "thirdPartyPayment";

pin_scenarios!(
    assertions_tell_whether_a_credential_pays,
    management_tells_whether_a_credential_pays,
    payment_wants_a_boolean,
    key_without_the_extension_ignores_it,
);

/// Credentials that pay and that do not, discoverable and not.
fn made(bench: &mut Bench) -> Vec<(Vec<u8>, bool)> {
    let mut made = Vec::new();
    for (account, rk, asked) in [
        (b"a", true, Some(true)),
        (b"b", true, None),
        (b"c", true, Some(false)),
        (b"d", false, Some(true)),
        (b"e", false, None),
    ] {
        let mut request = MakeCredential::new(RP, account);
        request.options.push(("rk", rk));
        if let Some(asked) = asked {
            request = request.extension(PAYMENT, asked);
        }
        let registered = bench.make_uv(request);
        assert!(registered.auth_data.extensions.is_null(), "nothing is told");
        made.push((registered.id, asked == Some(true)));
    }
    made
}

fn told(bench: &mut Bench, id: &[u8], asked: Option<bool>) -> Option<Value> {
    let mut request = GetAssertion::new(RP, &[id]);
    if let Some(asked) = asked {
        request = request.extension(PAYMENT, asked);
    }
    let asserted = bench.get(&request).expect("an assertion");
    let told = asserted.auth_data.extensions;
    (!told.is_null()).then_some(told)
}

fn assertions_tell_whether_a_credential_pays(place: Place, protocol: Protocol) {
    let mut bench = Bench::new(place, protocol);
    let made = made(&mut bench);
    bench.restart();
    for (id, pays) in made {
        let expected = Some(cbor::map([(PAYMENT, Value::from(pays))]));
        assert_eq!(told(&mut bench, &id, Some(true)), expected);
        assert_eq!(told(&mut bench, &id, Some(false)), None);
        assert_eq!(told(&mut bench, &id, None), None);
    }
}

fn management_tells_whether_a_credential_pays(place: Place, protocol: Protocol) {
    let mut bench = Bench::new(place, protocol);
    let made = made(&mut bench);
    let token = bench.cm();
    let channel = bench.channel;
    let listed = bench.platform().credentials(channel, &token, RP);
    let listed = listed.expect("credentials");
    assert_eq!(listed.len(), 3);
    for credential in listed {
        let (_, pays) = made
            .iter()
            .find(|(id, _)| *id == credential.id)
            .expect("it");
        assert_eq!(credential.third_party_payment, Some(*pays));
    }
}

fn payment_wants_a_boolean(place: Place, protocol: Protocol) {
    let mut bench = Bench::bare(place, protocol, Options::default());
    for wrong in [Value::from(1), Value::from("true"), Value::Null] {
        let request = MakeCredential::new(RP, b"alice").extension(PAYMENT, wrong.clone());
        let outcome = bench.make(&request).map(drop);
        assert_eq!(outcome, Err(status::CBOR_UNEXPECTED_TYPE), "{wrong:?}");
        let request = GetAssertion::new(RP, &[]).extension(PAYMENT, wrong.clone());
        let outcome = bench.get(&request).map(drop);
        assert_eq!(outcome, Err(status::CBOR_UNEXPECTED_TYPE), "{wrong:?}");
    }
}

fn key_without_the_extension_ignores_it(place: Place, protocol: Protocol) {
    let mut options = Options::default();
    options
        .profile
        .ctap
        .extensions
        .remove(&Extension::ThirdPartyPayment);
    let mut bench = Bench::with(place, protocol, options);
    for (id, _) in made(&mut bench) {
        assert_eq!(told(&mut bench, &id, Some(true)), None);
    }
    let token = bench.cm();
    let channel = bench.channel;
    let listed = bench.platform().credentials(channel, &token, RP);
    let told = listed.expect("credentials");
    assert!(told.iter().all(|one| one.third_party_payment.is_none()));
}
