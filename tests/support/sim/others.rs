//! What programs of a world do besides: large blobs, U2F, selection, resets, and tokens used for
//! what they do not allow.

use super::{
    credentials::{SITES, USERS},
    model::Effect,
    programs::{Outcome, Program},
};
use crate::support::{
    cbor,
    ctap2::{LARGE_BLOBS, MAKE_CREDENTIAL, MakeCredential, RESET, SELECTION, sha256, status},
    large_blobs::{array, set},
    manage::subcommand as manage,
    pin::permission,
    u2f::{Control, authenticate_apdu, register_apdu, registered, word},
};

/// The application of U2F programs.
const APPLICATION: &str = "u2f.example";
/// Part of a large blob that is written at once.
const FRAGMENT: usize = 400;

impl Program {
    pub(super) async fn write_blobs(&mut self) {
        let length = 100 + self.pick(500);
        let seed = u8::try_from(self.pick(256)).expect("a byte");
        let array = array(length, seed);
        let mut held = None;
        if self.model(|model| model.may_have_pin()) {
            held = self.token(permission::LBW, None).await;
        }
        let parts = array.chunks(FRAGMENT).count();
        for (number, part) in array.chunks(FRAGMENT).enumerate() {
            let last = number + 1 == parts;
            let whole = (number == 0).then_some(array.len());
            let token = held.as_ref().map(|held| &held.token);
            let members = cbor::map(set(part, number * FRAGMENT, whole, token));
            let effect = match last {
                true => Effect::Blobs(array.clone()),
                false => Effect::Nothing,
            };
            match self
                .ctap2(LARGE_BLOBS, Some(&members), (effect, false))
                .await
            {
                Outcome::Done(_) if last => self.model(|model| model.blobs_written(&array)),
                Outcome::Done(_) => {}
                // Another program writes as well.
                Outcome::Refused(status::INVALID_SEQ | status::INTEGRITY_FAILURE)
                    if number > 0 && !self.steady =>
                {
                    return;
                }
                Outcome::Refused(status::KEEPALIVE_CANCEL) => return,
                Outcome::NotRun | Outcome::Doubt => return,
                Outcome::Refused(status) => {
                    let since = self.model(|model| model.epoch);
                    return match &held {
                        Some(held) if since > held.epoch + 1 => {}
                        // Only the last part counts as a use.
                        Some(held) if !last => {
                            self.token_refused_since(held, "a part of a large blob", status);
                        }
                        held => self.token_refused(held.as_ref(), "a large blob", status),
                    };
                }
            }
        }
    }

    pub(crate) async fn read_blobs(&mut self) {
        let members = cbor::map([(1, 900.into()), (3, 0.into())]);
        match self.look(LARGE_BLOBS, Some(&members)).await {
            Outcome::Done(value) => {
                let array = cbor::bytes(cbor::member(&value, 1));
                self.check(|model| model.blobs_seen(&array));
            }
            Outcome::Refused(status::KEEPALIVE_CANCEL) | Outcome::NotRun | Outcome::Doubt => {}
            Outcome::Refused(status) => self.unexplained("reading large blobs", status),
        }
    }

    /// A token that does not allow what it is used for.
    pub(super) async fn misuse_token(&mut self) {
        let rp_id = SITES[self.pick(SITES.len())];
        let (given, site) = [
            (permission::GA, Some(rp_id)),
            (permission::CM, None),
            (permission::LBW, None),
        ][self.pick(3)];
        let Some(held) = self.token(given, site).await else {
            return;
        };
        let refused = match self.pick(2) {
            0 => {
                let request = MakeCredential::discoverable(rp_id, USERS[0]).with(&held.token);
                let value = Some(request.to_value());
                let effect = Effect::Create(rp_id, USERS[0].to_vec());
                self.ctap2(MAKE_CREDENTIAL, value.as_ref(), (effect, true))
                    .await
            }
            _ if held.permissions == permission::CM => {
                let members = cbor::map(set(&array(100, 1), 0, Some(100), Some(&held.token)));
                let effect = Effect::Blobs(array(100, 1));
                self.ctap2(LARGE_BLOBS, Some(&members), (effect, false))
                    .await
            }
            _ => {
                let asked = (Some(&held), Effect::Nothing);
                self.manage(manage::METADATA, None, asked).await
            }
        };
        match refused {
            Outcome::Refused(status::PIN_AUTH_INVALID | status::KEEPALIVE_CANCEL) => {}
            Outcome::NotRun | Outcome::Doubt => {}
            Outcome::Refused(status) if self.model(|model| model.epoch) > held.epoch + 1 => {
                // A reset came between, and there is no PIN.
                if status != status::PIN_NOT_SET {
                    self.unexplained("a token without permission", status);
                }
            }
            Outcome::Refused(status) => self.unexplained("a token without permission", status),
            Outcome::Done(_) => self
                .host
                .fail("a token allowed what it has no permission for"),
        }
    }

    pub(super) async fn u2f_register(&mut self) {
        let challenge = [7; 32];
        let application = sha256(APPLICATION.as_bytes());
        let apdu = register_apdu(&challenge, &application);
        for _ in 0..6 {
            match self.u2f(&apdu).await {
                Some((data, 0x9000)) => {
                    let registered = registered(&data, &challenge, &application);
                    let key = registered.public_key;
                    let made = (APPLICATION, None);
                    let id = registered.key_handle;
                    return self.check(|model| model.was_made(id, made, key, (0, true)));
                }
                Some((_, word::CONDITIONS_NOT_SATISFIED)) => super::pause(&mut self.rng, 400).await,
                Some((_, word)) => return self.word(word),
                None => return,
            }
        }
    }

    pub(super) fn word(&self, word: u16) {
        if !self.world.may_fail() {
            self.host.fail(format!("U2F answers {word:#06x}"));
        }
    }

    pub(super) async fn u2f_authenticate(&mut self) {
        let ids: Vec<_> = self.model(|model| {
            let known = model.all().iter().filter(|(_, known)| known.u2f);
            known.map(|(id, _)| id.clone()).collect()
        });
        if !ids.is_empty() {
            let id = ids[self.pick(ids.len())].clone();
            self.u2f_sign(&id).await;
        }
    }

    pub(crate) async fn u2f_sign(&mut self, id: &[u8]) {
        let challenge = [9; 32];
        let application = sha256(APPLICATION.as_bytes());
        let apdu = authenticate_apdu(Control::Enforce, &challenge, &application, id);
        for _ in 0..6 {
            match self.u2f(&apdu).await {
                Some((data, 0x9000)) => {
                    let (head, signature) = data.split_at(5);
                    let counter = u32::from_be_bytes(head[1..].try_into().expect("four bytes"));
                    self.check(|model| model.seen(id, None, None));
                    self.check(|model| model.counted(id, counter));
                    let key = self.model(|model| model.all()[id].public_key.clone());
                    if key.is_some_and(|key| {
                        !key.signed(&[&application, head, &challenge], signature)
                    }) {
                        self.host.fail("a U2F signature by another key");
                    }
                    return;
                }
                Some((_, word::WRONG_DATA)) => return self.check(|model| model.missed(id)),
                Some((_, word::CONDITIONS_NOT_SATISFIED)) => super::pause(&mut self.rng, 400).await,
                Some((_, word)) => return self.word(word),
                None => return,
            }
        }
    }

    pub(super) async fn select(&mut self) {
        let effect = (Effect::Nothing, true);
        match self.ctap2(SELECTION, None, effect).await {
            Outcome::Done(_) | Outcome::NotRun | Outcome::Doubt => {}
            Outcome::Refused(
                status::KEEPALIVE_CANCEL | status::USER_ACTION_TIMEOUT | status::OPERATION_DENIED,
            ) => {}
            Outcome::Refused(status) => self.unexplained("selection", status),
        }
    }

    pub(super) async fn reset(&mut self) {
        let pins = self.pins.clone();
        let _one = pins.lock().await;
        match self.ctap2(RESET, None, (Effect::Reset, true)).await {
            Outcome::Done(_) => self.model(|model| model.was_reset()),
            Outcome::NotRun | Outcome::Doubt => {}
            // Too late after power-on.
            Outcome::Refused(status::NOT_ALLOWED) => {}
            Outcome::Refused(
                status::KEEPALIVE_CANCEL | status::USER_ACTION_TIMEOUT | status::OPERATION_DENIED,
            ) => {}
            Outcome::Refused(status) => self.unexplained("a reset", status),
        }
    }
}
