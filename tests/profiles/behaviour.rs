//! getInfo of every built-in profile against what the key then does: what is advertised is used,
//! and what is not is refused.

use ciborium::Value;
use roamkey::profile::Profile;
use roamkey_ctap::Algorithm;

use super::info::{Info, infos};
use crate::support::{
    bench::{Bench, PIN, RP, of_profile},
    bio::{enrollment, subcommand as bio},
    cbor,
    ctap2::{
        BIO_ENROLLMENT, BIO_ENROLLMENT_PREVIEW, CLIENT_PIN, CONFIG, CREDENTIAL_MANAGEMENT,
        CREDENTIAL_MANAGEMENT_PREVIEW, GetAssertion, LARGE_BLOBS, MakeCredential, Outcome,
        SELECTION, status,
    },
    large_blobs::array,
    manage::config,
    pin::{Protocol, permission, subcommand as pin},
    rig::Place,
};

const PLACE: Place = Place {
    windows: false,
    virtual_time: true,
};

/// A key of each profile without a PIN and without a finger, and what it says.
fn each(check: impl Fn(&str, &Info, &mut Bench)) {
    for (name, info) in infos() {
        let mut bench = bare(name, &info);
        if info.is("uv") {
            bench.reset();
        }
        check(name, &info, &mut bench);
    }
}

fn bare(name: &str, info: &Info) -> Bench {
    let protocol = match info.protocols.first() {
        Some(2) => Protocol::Two,
        _ => Protocol::One,
    };
    Bench::bare(PLACE, protocol, of_profile(name))
}

fn command(bench: &mut Bench, command: u8, parameters: &[(i64, Value)]) -> Outcome<Value> {
    let channel = bench.channel;
    let parameters = cbor::map(parameters.iter().cloned());
    bench.platform().ctap2(channel, command, Some(&parameters))
}

/// Whether a command, whatever it answers, is one that the key knows.
fn knows(bench: &mut Bench, number: u8) -> bool {
    let channel = bench.channel;
    let outcome = bench.platform().ctap2(channel, number, None).map(drop);
    outcome != Err(status::INVALID_COMMAND)
}

fn with_rk(account: &[u8]) -> MakeCredential {
    MakeCredential::discoverable(RP, account)
}

#[test]
fn commands_are_those_of_the_options_and_versions() {
    each(|name, info, bench| {
        let later = info.versions.contains("FIDO_2_1") || info.versions.contains("FIDO_2_3");
        for (number, expected) in [
            (SELECTION, later),
            (CREDENTIAL_MANAGEMENT, info.is("credMgmt")),
            (
                CREDENTIAL_MANAGEMENT_PREVIEW,
                info.is("credentialMgmtPreview"),
            ),
            (LARGE_BLOBS, info.is("largeBlobs")),
            (CONFIG, info.is("authnrCfg")),
            (BIO_ENROLLMENT, info.knows("bioEnroll")),
            (
                BIO_ENROLLMENT_PREVIEW,
                info.knows("userVerificationMgmtPreview"),
            ),
        ] {
            assert_eq!(knows(bench, number), expected, "{name}: {number:#x}");
        }
        let application = [2; 32];
        let channel = bench.channel;
        let version = bench.platform();
        if info.versions.contains("U2F_V2") {
            version.u2f_register(channel, &[1; 32], &application);
        } else {
            version.send(channel, 0x03, &[0, 3, 0, 0, 0, 0, 0]);
            let answer = version.answer(channel).message;
            assert_eq!(
                (answer.command, answer.payload),
                (0x3f, vec![0x01]),
                "{name}"
            );
        }
    });
}

#[test]
fn algorithms_are_signed_with_and_no_others() {
    each(|name, info, bench| {
        let offered: Vec<i128> = info
            .algorithms
            .iter()
            .map(|entry| entry[0].1.as_integer().expect("an integer").into())
            .collect();
        for algorithm in Algorithm::ALL {
            let mut request = MakeCredential::new(RP, b"alice");
            request.algorithms = vec![algorithm.cose().into()];
            let outcome = bench.make(&request);
            if !offered.contains(&algorithm.cose().into()) {
                let outcome = outcome.map(drop);
                assert_eq!(outcome, Err(status::UNSUPPORTED_ALGORITHM), "{name}");
                continue;
            }
            let made = outcome.expect(name);
            // maxCredentialIdLength.
            assert_eq!(info.numbers[&8], made.id.len() as u64, "{name}");
            let used = bench.get(&GetAssertion::new(RP, &[&made.id]));
            used.expect(name).verify(RP, &made.public_key);
        }
    });
}

#[test]
fn lists_and_messages_are_as_long_as_it_says() {
    each(|name, info, bench| {
        let most = usize::try_from(info.numbers[&7]).expect("a length");
        for (count, expected) in [
            (most, status::NO_CREDENTIALS),
            (most + 1, status::LIMIT_EXCEEDED),
        ] {
            let ids = vec![vec![7; 64]; count];
            let ids: Vec<&[u8]> = ids.iter().map(Vec::as_slice).collect();
            let outcome = bench.get(&GetAssertion::new(RP, &ids)).map(drop);
            assert_eq!(outcome, Err(expected), "{name}: {count}");
        }
        let longest = usize::try_from(info.numbers[&5]).expect("a length");
        let channel = bench.channel;
        for (length, too_long) in [(longest, false), (longest + 1, true)] {
            if length > roamkey_ctap::MAX_MESSAGE_LEN {
                continue;
            }
            let mut payload = vec![0x02; length];
            payload[1] = 0xff;
            let found = bench.platform().raw_status(channel, &payload);
            assert_eq!(found == status::REQUEST_TOO_LARGE, too_long, "{name}");
        }
    });
}

#[test]
fn extensions_do_what_they_say_and_others_nothing() {
    each(|name, info, bench| {
        let has = |extension: &str| info.extensions.contains(extension);
        let listed = cbor::map([(2, Value::Array(vec![Value::from(RP)]))]);
        let channel = bench.channel;
        let number = config::SET_MIN_PIN_LENGTH;
        let platform = bench.platform();
        let outcome = platform.configure(channel, None, number, Some(listed));
        let may_list = info.is("setMinPINLength") && has("minPinLength");
        assert_eq!(
            outcome.is_ok(),
            may_list,
            "{name}: who may learn the minimum"
        );

        let blob =
            vec![1; usize::try_from(*info.numbers.get(&0xf).unwrap_or(&32)).expect("a length")];
        let request = with_rk(b"alice")
            .extension("credBlob", blob.clone())
            .extension("credProtect", 2)
            .extension("hmac-secret", true)
            .extension("minPinLength", true)
            .extension("pinComplexityPolicy", true)
            .extension("thirdPartyPayment", true)
            .extension("largeBlobKey", true);
        let made = bench.make(&request).expect(name);
        for (extension, output) in [
            ("credBlob", Value::from(true)),
            ("credProtect", Value::from(2)),
            ("hmac-secret", Value::from(true)),
            (
                "minPinLength",
                Value::from(*info.numbers.get(&0xd).unwrap_or(&0)),
            ),
            ("pinComplexityPolicy", Value::from(false)),
        ] {
            let expected = has(extension).then_some(output);
            assert_eq!(made.auth_data.extension(extension), expected, "{name}");
        }
        assert_eq!(made.large_blob_key.is_some(), has("largeBlobKey"), "{name}");
        let request = GetAssertion::new(RP, &[&made.id])
            .extension("credBlob", true)
            .extension("thirdPartyPayment", true);
        let used = bench.get(&request).expect(name);
        let pays = used.auth_data.extension("thirdPartyPayment");
        let expected = has("thirdPartyPayment").then_some(Value::from(true));
        assert_eq!(pays, expected, "{name}");
        let kept = used.auth_data.extension("credBlob");
        assert_eq!(
            kept,
            has("credBlob").then(|| Value::from(blob.clone())),
            "{name}"
        );
        // maxCredBlobLength.
        let longer = [blob.as_slice(), &[1]].concat();
        let request = with_rk(b"bob").extension("credBlob", longer);
        let made = bench.make(&request).expect(name);
        let stored = made.auth_data.extension("credBlob");
        assert_eq!(
            stored,
            has("credBlob").then_some(Value::from(false)),
            "{name}"
        );
    });
}

#[test]
fn room_is_what_it_says() {
    each(|name, info, bench| {
        let left = |bench: &mut Bench| cbor::unsigned(cbor::member(&bench.info(), 0x14));
        assert_eq!(left(bench), info.numbers[&0x14], "{name}");
        bench.make(&with_rk(b"alice")).expect(name);
        assert_eq!(left(bench), info.numbers[&0x14] - 1, "{name}");
        let Some(most) = info.numbers.get(&0xb) else {
            return;
        };
        let most = usize::try_from(*most).expect("a length");
        let channel = bench.channel;
        let fragment = usize::try_from(info.numbers[&5]).expect("a length") - 64;
        let platform = bench.platform();
        let longer = platform.write_all_blobs(channel, &array(most + 1, 1), fragment, None);
        assert_eq!(longer, Err(status::LARGE_BLOB_STORAGE_FULL), "{name}");
        let whole = array(most, 1);
        let written = platform.write_all_blobs(channel, &whole, fragment, None);
        assert_eq!(written, Ok(()), "{name}");
        assert!(
            platform.read_all_blobs(channel, fragment) == whole,
            "{name}"
        );
    });
}

#[test]
fn attestation_is_of_the_formats_it_says() {
    each(|name, info, bench| {
        let Some(formats) = cbor::member(&bench.info(), 0x16) else {
            assert!(!info.versions.contains("FIDO_2_3"), "{name}");
            return;
        };
        let formats: Vec<String> = formats
            .into_array()
            .expect("an array")
            .into_iter()
            .map(|format| cbor::text(Some(format)))
            .collect();
        let made = bench.make(&MakeCredential::new(RP, b"alice")).expect(name);
        assert_eq!(Some(&made.format), formats.first(), "{name}");
        for format in ["packed", "none"] {
            let mut request = MakeCredential::new(RP, b"alice");
            request.formats = vec![format];
            let made = bench.make(&request).expect(name);
            assert!(
                made.format == format || !formats.contains(&format.to_owned()),
                "{name}"
            );
        }
    });
}

#[test]
fn configuration_commands_are_those_it_lists() {
    each(|name, info, bench| {
        if !info.is("authnrCfg") {
            return;
        }
        let listed = cbor::member(&bench.info(), 0x1f).map(|listed| {
            let listed = listed.into_array().expect("an array").into_iter();
            listed
                .map(|one| cbor::unsigned(Some(one)))
                .collect::<Vec<_>>()
        });
        let expected: Vec<u64> = [
            (1, info.knows("ep")),
            (2, info.knows("alwaysUv")),
            (3, info.is("setMinPINLength")),
            (4, info.members.contains(&0x18)),
        ]
        .into_iter()
        .filter_map(|(number, served)| served.then_some(number))
        .collect();
        if info.versions.contains("FIDO_2_3") {
            assert_eq!(listed.as_ref(), Some(&expected), "{name}");
        }
        for number in [1, 3, 4, 5, 0xff, 2] {
            let channel = bench.channel;
            let outcome = bench.platform().configure(channel, None, number, None);
            let served = expected.contains(&u64::from(number));
            let wanted = if served {
                Ok(())
            } else {
                Err(status::INVALID_PARAMETER)
            };
            assert_eq!(outcome, wanted, "{name}: {number}");
        }
        for (option, now) in [("ep", true), ("alwaysUv", true)] {
            assert_eq!(
                bench.option(option),
                info.knows(option).then_some(now),
                "{name}"
            );
        }
        let long = info.members.contains(&0x18).then_some(Value::from(true));
        assert_eq!(cbor::member(&bench.info(), 0x18), long, "{name}");
    });
}

#[test]
fn pins_and_tokens_are_as_it_says() {
    each(|name, info, bench| {
        for number in [1, 2] {
            let members = [
                (1, Value::from(number)),
                (2, Value::from(pin::GET_KEY_AGREEMENT)),
            ];
            let outcome = command(bench, CLIENT_PIN, &members);
            let offered = info.protocols.contains(&number);
            assert_eq!(outcome.is_ok(), offered, "{name}: protocol {number}");
        }
        let least = usize::try_from(*info.numbers.get(&0xd).unwrap_or(&4)).expect("a length");
        let most = usize::try_from(*info.numbers.get(&0x1d).unwrap_or(&63)).expect("a length");
        for length in [least - 1, most + 1] {
            let outcome = bench.set_pin(&"x".repeat(length));
            assert_eq!(
                outcome,
                Err(status::PIN_POLICY_VIOLATION),
                "{name}: {length}"
            );
        }
        assert_eq!(bench.option("clientPin"), Some(false), "{name}");
        bench.set_pin(PIN).expect(name);
        assert_eq!(bench.option("clientPin"), Some(true), "{name}");
        let plain = bench.make(&MakeCredential::new(RP, b"alice"));
        assert_eq!(plain.is_ok(), info.is("makeCredUvNotRqd"), "{name}");
        let tokens = info.is("pinUvAuthToken");
        for (permission, offered) in [
            (permission::MC, !info.is("noMcGaPermissionsWithClientPin")),
            (permission::CM, info.is("credMgmt")),
            (permission::BE, info.is("uvBioEnroll")),
            (permission::LBW, info.is("largeBlobs")),
            (permission::ACFG, info.is("authnrCfg")),
            (permission::PCMR, info.is("perCredMgmtRO")),
        ] {
            let outcome = bench.try_token(PIN, permission, Some(RP)).map(drop);
            let expected = match (tokens, offered) {
                (true, true) => Ok(()),
                (true, false) => Err(status::UNAUTHORIZED_PERMISSION),
                (false, _) => Err(status::INVALID_SUBCOMMAND),
            };
            assert_eq!(outcome, expected, "{name}: {permission:#x}");
        }
        let told = cbor::member(&bench.info(), 0x19).is_some();
        assert_eq!(told, info.is("perCredMgmtRO"), "{name}: encIdentifier");
    });
}

#[test]
fn built_in_verification_is_there_where_it_says() {
    for (name, info) in infos() {
        let mut bench = bare(name, &info);
        let retries = [
            (1, Value::from(bench.protocol.number())),
            (2, Value::from(pin::GET_UV_RETRIES)),
        ];
        let outcome = command(&mut bench, CLIENT_PIN, &retries).map(drop);
        let expected = if info.knows("uv") {
            Ok(())
        } else {
            Err(status::INVALID_SUBCOMMAND)
        };
        assert_eq!(outcome, expected, "{name}: getUVRetries");
        let mut request = MakeCredential::new(RP, b"alice");
        request.options.push(("uv", true));
        let outcome = bench.make(&request);
        if info.is("uv") {
            assert!(outcome.expect(name).auth_data.user_verified, "{name}");
        } else {
            assert_eq!(outcome.map(drop), Err(status::INVALID_OPTION), "{name}");
        }
        if info.knows("bioEnroll") {
            let channel = bench.channel;
            let sensor = cbor::map(enrollment(bio::SENSOR, None, None));
            for number in [BIO_ENROLLMENT, BIO_ENROLLMENT_PREVIEW] {
                let told = bench.platform().ctap2(channel, number, Some(&sensor));
                // fingerprintKind: touch.
                assert_eq!(cbor::member(&told.expect(name), 2), Some(Value::from(1)));
            }
            // A finger was put on since the last PIN entry, of which there was none.
            assert_eq!(cbor::member(&bench.info(), 0x17), Some(Value::from(1)));
        }
    }
    assert!(Profile::named("bio").is_some_and(|bio| bio.ctap.built_in_uv));
}
