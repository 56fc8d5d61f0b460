//! What programs do with a key in a world: which of it, and what is about PINs and tokens.

use ciborium::Value;

use super::{
    credentials::SITES,
    model::Effect,
    programs::{Outcome, Program},
};
use crate::support::{
    cbor,
    ctap2::{CLIENT_PIN, GET_INFO, status},
    pin::{Protocol, Shared, Token, opened, padded, permission, subcommand},
};

const PINS: [&str; 3] = ["1234", "correct horse", "battery staple"];
const WRONG: &str = "nobody's PIN";
/// Fewer attempts are seldom left, or most keys would be blocked.
const SPARED: u64 = 4;

/// A token, and when it was the last that was given.
pub(crate) struct Held {
    pub(super) token: Token,
    pub(super) permissions: u64,
    pub(super) epoch: u64,
}

impl Program {
    /// Some use of the key.
    pub(crate) async fn step(&mut self) {
        match self.pick(32) {
            0 => self.info().await,
            1 => {
                let length = self.pick(300);
                self.ping(length).await;
            }
            2 | 3 => self.set_or_change_pin().await,
            4..=6 => self.wrong_pin().await,
            7 => self.look_at_retries().await,
            8..=12 => self.make(true).await,
            13 | 14 => self.make(false).await,
            15..=18 => self.get_listed().await,
            19 | 20 => self.get_discovered().await,
            21 | 22 => self.enumerate().await,
            23 | 24 => self.delete_or_update().await,
            25 => self.write_blobs().await,
            26 => self.read_blobs().await,
            27 => self.misuse_token().await,
            28 => self.u2f_register().await,
            29 => self.u2f_authenticate().await,
            30 => self.select().await,
            _ => {
                if self.pick(3) == 0 {
                    self.reset().await;
                }
            }
        }
    }

    /// An answer that nothing explains.
    pub(super) fn unexplained(&self, what: &str, status: u8) {
        self.host
            .fail(format!("{what} was answered with {status:#04x}"));
    }

    pub(super) async fn look(&mut self, command: u8, parameters: Option<&Value>) -> Outcome {
        self.ctap2(command, parameters, (Effect::Nothing, false))
            .await
    }

    async fn info(&mut self) {
        match self.look(GET_INFO, None).await {
            Outcome::Done(info) => {
                let options = cbor::member(&info, 4).expect("options");
                let pin = cbor::member(&options, "clientPin").and_then(|pin| pin.as_bool());
                let (has, has_none) =
                    self.model(|model| (model.may_have_pin(), model.may_have_no_pin()));
                if pin == Some(true) && !has || pin == Some(false) && !has_none {
                    self.host.fail(format!("clientPin is {pin:?}"));
                }
            }
            Outcome::Refused(status::KEEPALIVE_CANCEL) | Outcome::NotRun | Outcome::Doubt => {}
            Outcome::Refused(status) => self.unexplained("getInfo", status),
        }
    }

    pub(super) fn protocol(&mut self) -> Protocol {
        [Protocol::One, Protocol::Two][self.pick(2)]
    }

    async fn agree(&mut self) -> Option<Shared> {
        let protocol = self.protocol();
        let members = cbor::map([
            (1, Value::from(protocol.number())),
            (2, Value::from(subcommand::GET_KEY_AGREEMENT)),
        ]);
        match self.look(CLIENT_PIN, Some(&members)).await {
            Outcome::Done(value) => {
                let key = cbor::member(&value, 1).expect("keyAgreement");
                Some(Shared::agreed(protocol, &key))
            }
            Outcome::Refused(status::KEEPALIVE_CANCEL) | Outcome::NotRun | Outcome::Doubt => None,
            Outcome::Refused(status) => {
                self.unexplained("getKeyAgreement", status);
                None
            }
        }
    }

    pub(crate) async fn look_at_retries(&mut self) {
        let members = cbor::map([(2, Value::from(subcommand::GET_PIN_RETRIES))]);
        match self.look(CLIENT_PIN, Some(&members)).await {
            Outcome::Done(value) => {
                let left = cbor::unsigned(cbor::member(&value, 3));
                self.check(|model| model.retries_seen(Some(left)));
            }
            Outcome::Refused(status::PIN_NOT_SET) => self.check(|model| model.retries_seen(None)),
            Outcome::Refused(status::KEEPALIVE_CANCEL) | Outcome::NotRun | Outcome::Doubt => {}
            Outcome::Refused(status) => self.unexplained("getPINRetries", status),
        }
    }

    async fn set_or_change_pin(&mut self) {
        let pins = self.pins.clone();
        let _one = pins.lock().await;
        let new = PINS[self.pick(PINS.len())];
        let Some(shared) = self.agree().await else {
            return;
        };
        let Some(old) = self.model(|model| model.pin().map(str::to_owned)) else {
            if !self.model(|model| model.may_have_no_pin()) {
                return;
            }
            let members = cbor::map(shared.set_pin(&padded(new)));
            let effect = Effect::SetPin(new.to_owned());
            match self
                .ctap2(CLIENT_PIN, Some(&members), (effect, false))
                .await
            {
                Outcome::Done(_) => self.check(|model| model.pin_set(new)),
                // There is a PIN.
                Outcome::Refused(status::PIN_AUTH_INVALID | status::NOT_ALLOWED)
                    if self.model(|model| model.may_have_pin()) => {}
                Outcome::Refused(status::KEEPALIVE_CANCEL) | Outcome::NotRun | Outcome::Doubt => {}
                Outcome::Refused(status) => self.unexplained("setPIN", status),
            }
            return;
        };
        let members = cbor::map(shared.change_pin(&old, &padded(new)));
        let effect = Effect::ChangePin(old.clone(), new.to_owned());
        match self
            .ctap2(CLIENT_PIN, Some(&members), (effect, false))
            .await
        {
            Outcome::Done(_) => {
                self.check(|model| model.pin_matched(&old));
                self.model(|model| model.pin_changed(new));
            }
            Outcome::Refused(status::KEEPALIVE_CANCEL) | Outcome::NotRun | Outcome::Doubt => {}
            Outcome::Refused(status) => self.check(|model| model.pin_refused(&old, status)),
        }
    }

    async fn wrong_pin(&mut self) {
        let pins = self.pins.clone();
        let _one = pins.lock().await;
        let spared = self.model(|model| model.least_retries() <= SPARED);
        if spared && self.pick(8) > 0 {
            return;
        }
        self.token_with(WRONG, permission::GA, Some(SITES[0])).await;
    }

    /// A token with some PIN. The caller has the lock.
    async fn token_with(
        &mut self,
        pin: &str,
        permissions: u64,
        rp_id: Option<&str>,
    ) -> Option<Held> {
        let shared = self.agree().await?;
        let members = cbor::map(shared.token(pin, permissions, rp_id));
        let effect = Effect::TryPin(pin.to_owned());
        match self
            .ctap2(CLIENT_PIN, Some(&members), (effect, false))
            .await
        {
            Outcome::Done(value) => {
                self.check(|model| model.pin_matched(pin));
                let token = opened(&shared, &value);
                let epoch = self.model(|model| model.epoch);
                Some(Held {
                    token,
                    permissions,
                    epoch,
                })
            }
            Outcome::Refused(status::KEEPALIVE_CANCEL) | Outcome::NotRun | Outcome::Doubt => None,
            Outcome::Refused(status) => {
                self.check(|model| model.pin_refused(pin, status));
                None
            }
        }
    }

    /// A token with the right PIN, where there is one.
    pub(super) async fn token(&mut self, permissions: u64, rp_id: Option<&str>) -> Option<Held> {
        let pins = self.pins.clone();
        let _one = pins.lock().await;
        if self.model(|model| model.pin().is_none() && model.may_have_pin()) {
            self.look_at_retries().await;
        }
        let pin = self.model(|model| {
            let usable = !model.may_be_locked();
            model.pin().filter(|_| usable).map(str::to_owned)
        })?;
        self.token_with(&pin, permissions, rp_id).await
    }

    /// A refusal of what a token was to allow: only one that is not the last any more is refused.
    pub(super) fn token_refused(&self, held: Option<&Held>, what: &str, with: u8) {
        let Some(held) = held else {
            if with == status::PUAT_REQUIRED && self.model(|model| model.may_have_pin()) {
                return;
            }
            return self.unexplained(what, with);
        };
        let fresh = self.model(|model| model.epoch) == held.epoch + 1;
        let refused = matches!(with, status::PIN_AUTH_INVALID | status::PIN_NOT_SET);
        if !refused || fresh {
            self.unexplained(&format!("{what} with a token ({fresh})"), with);
        }
    }

    /// The same of what does not count as a use of the token.
    pub(super) fn token_refused_since(&self, held: &Held, what: &str, with: u8) {
        let fresh = self.model(|model| model.epoch) == held.epoch;
        let refused = matches!(with, status::PIN_AUTH_INVALID | status::PIN_NOT_SET);
        if !refused || fresh {
            self.unexplained(what, with);
        }
    }

    /// Looks at everything that the key must know, and must not know any more.
    pub(crate) async fn look_at_all(&mut self) {
        self.look_at_retries().await;
        self.read_blobs().await;
        let known: Vec<_> = self.model(|model| {
            let all = model.all().iter();
            all.map(|(id, known)| (id.clone(), known.rp_id, known.u2f))
                .collect()
        });
        for (id, rp_id, u2f) in known {
            match u2f {
                true => self.u2f_sign(&id).await,
                false => self.get(&id, rp_id).await,
            }
        }
        if let Some(held) = self.token(permission::CM, None).await {
            for rp_id in SITES {
                self.enumerate_with(rp_id, &held).await;
            }
        }
    }
}
