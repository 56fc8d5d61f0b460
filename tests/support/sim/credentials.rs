//! What programs of a world do with credentials, and what a key's answers have to say then.

use ciborium::Value;

use super::{
    model::Effect,
    programs::{Outcome, Program},
    steps::Held,
};
use crate::support::{
    auth_data::AuthData,
    cbor,
    cose::PublicKey,
    ctap2::{
        CREDENTIAL_MANAGEMENT, GET_ASSERTION, GET_NEXT_ASSERTION, GetAssertion, MAKE_CREDENTIAL,
        MakeCredential, sha256, status,
    },
    manage::{descriptor, management, of_rp, subcommand as manage, user},
    pin::permission,
};

pub(crate) const SITES: [&str; 3] = ["a.example", "b.example", "c.example"];
pub(super) const USERS: [&[u8]; 4] = [b"ann", b"ben", b"cleo", b"dan"];

impl Program {
    pub(crate) async fn make(&mut self, discoverable: bool) {
        let rp_id = SITES[self.pick(SITES.len())];
        let user = USERS[self.pick(USERS.len())];
        let wanted = discoverable || self.pick(3) == 0;
        let held = match wanted && self.model(|model| model.may_have_pin()) {
            true => self.token(permission::MC, Some(rp_id)).await,
            false => None,
        };
        let mut request = MakeCredential::new(rp_id, user);
        if discoverable {
            request = MakeCredential::discoverable(rp_id, user);
        }
        if let Some(held) = &held {
            request = request.with(&held.token);
        }
        let effect = match discoverable {
            true => Effect::Create(rp_id, user.to_vec()),
            // Nobody knows an id that nobody has seen.
            false => Effect::TokenUse,
        };
        let given = self.world.given[self.key].get();
        let value = Some(request.to_value());
        let made = self.ctap2(MAKE_CREDENTIAL, value.as_ref(), (effect, true));
        match made.await {
            Outcome::Done(value) => {
                if held.is_none() && self.world.given[self.key].get() == given {
                    self.host.fail("a credential without a touch");
                }
                let raw = cbor::bytes(cbor::member(&value, 2));
                let auth_data = AuthData::parse(&raw);
                let Some((id, public_key)) = auth_data.attested.clone() else {
                    self.host.fail("a registration without a credential");
                };
                if auth_data.rp_id_hash != sha256(rp_id.as_bytes())
                    || auth_data.user_verified != held.is_some()
                {
                    self.host.fail("authenticator data of another registration");
                }
                let user = discoverable.then(|| user.to_vec());
                let counter = (auth_data.counter, false);
                self.check(|model| model.was_made(id, (rp_id, user), public_key, counter));
            }
            Outcome::NotRun | Outcome::Doubt => {}
            Outcome::Refused(
                status::KEEPALIVE_CANCEL | status::USER_ACTION_TIMEOUT | status::OPERATION_DENIED,
            ) => {}
            Outcome::Refused(status) => self.token_refused(held.as_ref(), "makeCredential", status),
        }
    }

    pub(crate) fn take_assertion(&self, value: &Value, request: &GetAssertion) -> Vec<u8> {
        let credential = cbor::member(value, 1).expect("a credential");
        let id = cbor::bytes(cbor::member(&credential, "id"));
        let raw = cbor::bytes(cbor::member(value, 2));
        let auth_data = AuthData::parse(&raw);
        let user = cbor::member(value, 4).map(|user| cbor::bytes(cbor::member(&user, "id")));
        let rp_id = request.rp_id;
        let account = user.as_deref().map(|user| (rp_id, user));
        self.check(|model| model.seen(&id, account, None));
        self.check(|model| model.counted(&id, auth_data.counter));
        let key = self.model(|model| model.all()[&id].public_key.clone());
        if let Some(key) = key {
            let signature = cbor::bytes(cbor::member(value, 3));
            if auth_data.rp_id_hash != sha256(rp_id.as_bytes())
                || !key.signed(&[&raw, &request.client_data_hash], &signature)
            {
                self.host.fail("an assertion that its key has not signed");
            }
        }
        id
    }

    /// An assertion of a credential that is, or was, known.
    pub(super) async fn get_listed(&mut self) {
        let ids: Vec<_> = self.model(|model| {
            let known = model.all().iter().filter(|(_, known)| !known.u2f);
            let known = known.map(|(id, known)| (id.clone(), known.rp_id));
            known.collect()
        });
        if ids.is_empty() {
            return;
        }
        let (id, rp_id) = ids[self.pick(ids.len())].clone();
        self.get(&id, rp_id).await;
    }

    pub(crate) async fn get(&mut self, id: &[u8], rp_id: &'static str) {
        let silent = self.pick(4) == 0;
        let mut request = GetAssertion::new(rp_id, &[id]);
        if silent {
            request = request.silent();
        }
        let given = self.world.given[self.key].get();
        let value = Some(request.to_value());
        let effect = (Effect::Nothing, true);
        match self.ctap2(GET_ASSERTION, value.as_ref(), effect).await {
            Outcome::Done(value) => {
                if !silent && self.world.given[self.key].get() == given {
                    self.host.fail("an assertion without a touch");
                }
                let seen = self.take_assertion(&value, &request);
                if seen != id {
                    self.host.fail("an assertion of another credential");
                }
            }
            Outcome::Refused(status::NO_CREDENTIALS) => self.check(|model| model.missed(id)),
            Outcome::NotRun | Outcome::Doubt => {}
            Outcome::Refused(
                status::KEEPALIVE_CANCEL | status::USER_ACTION_TIMEOUT | status::OPERATION_DENIED,
            ) => {}
            Outcome::Refused(status) => self.unexplained("getAssertion", status),
        }
    }

    /// The discoverable ones of a site.
    pub(super) async fn get_discovered(&mut self) {
        let rp_id = SITES[self.pick(SITES.len())];
        let request = GetAssertion::new(rp_id, &[]);
        let value = Some(request.to_value());
        let effect = (Effect::Nothing, true);
        let total = match self.ctap2(GET_ASSERTION, value.as_ref(), effect).await {
            Outcome::Done(value) => {
                let total = cbor::member(&value, 5).map_or(1, |total| cbor::unsigned(Some(total)));
                self.check_total(rp_id, total);
                self.take_assertion(&value, &request);
                total
            }
            Outcome::Refused(status::NO_CREDENTIALS) => {
                return self.check(|model| model.missed_all(rp_id));
            }
            Outcome::NotRun | Outcome::Doubt => return,
            Outcome::Refused(
                status::KEEPALIVE_CANCEL | status::USER_ACTION_TIMEOUT | status::OPERATION_DENIED,
            ) => return,
            Outcome::Refused(status) => return self.unexplained("getAssertion", status),
        };
        for _ in 1..total {
            match self.look(GET_NEXT_ASSERTION, None).await {
                Outcome::Done(value) => drop(self.take_assertion(&value, &request)),
                // Another program's command came between.
                Outcome::Refused(status::NOT_ALLOWED) if !self.steady => return,
                Outcome::Refused(status::KEEPALIVE_CANCEL) => return,
                Outcome::NotRun | Outcome::Doubt => return,
                Outcome::Refused(status) => {
                    return self.unexplained("getNextAssertion", status);
                }
            }
        }
    }

    pub(super) fn check_total(&self, rp_id: &str, total: u64) {
        let (least, most) = self.model(|model| model.range(rp_id));
        if !(least..=most).contains(&total) {
            self.host.fail(format!(
                "{total} credentials of {rp_id}, and not {least} to {most}"
            ));
        }
    }

    /// Management of credentials; with a token the begin of something, without one its next.
    pub(super) async fn manage(
        &mut self,
        subcommand: u8,
        params: Option<Value>,
        (held, effect): (Option<&Held>, Effect),
    ) -> Outcome {
        let token = held.map(|held| &held.token);
        let parameters = management(subcommand, params.as_ref(), token);
        let asked = (effect, false);
        self.ctap2(CREDENTIAL_MANAGEMENT, Some(&parameters), asked)
            .await
    }

    pub(super) async fn enumerate(&mut self) {
        let rp_id = SITES[self.pick(SITES.len())];
        if let Some(held) = self.token(permission::CM, None).await {
            self.enumerate_with(rp_id, &held).await;
        }
    }

    /// Looks at all credentials of a site.
    pub(super) async fn enumerate_with(&mut self, rp_id: &'static str, held: &Held) {
        let changes = self.model(|model| model.changes);
        let mut seen = Vec::new();
        let mut total = 1;
        let mut asked = 0;
        while asked < total {
            let first = asked == 0;
            let begun = match first {
                true => (manage::CREDENTIALS, Some(of_rp(rp_id)), Some(held)),
                false => (manage::NEXT_CREDENTIAL, None, None),
            };
            let (subcommand, params, with) = begun;
            match self
                .manage(subcommand, params, (with, Effect::Nothing))
                .await
            {
                Outcome::Done(value) => {
                    if first {
                        total = cbor::unsigned(cbor::member(&value, 9));
                        self.check_total(rp_id, total);
                    }
                    seen.push(self.take_managed(&value, rp_id));
                }
                Outcome::Refused(status::NO_CREDENTIALS) if first => {
                    return self.check(|model| model.missed_all(rp_id));
                }
                Outcome::Refused(status::NOT_ALLOWED) if !first && !self.steady => return,
                Outcome::Refused(status::KEEPALIVE_CANCEL) => return,
                Outcome::NotRun | Outcome::Doubt => return,
                Outcome::Refused(status) => {
                    return match first {
                        true => self.token_refused_since(held, "credentialManagement", status),
                        false => self.unexplained("the next credential", status),
                    };
                }
            }
            asked += 1;
        }
        if self.model(|model| model.changes) != changes {
            return;
        }
        for id in self.model(|model| model.discoverable(rp_id)) {
            if !seen.contains(&id) {
                self.check(|model| model.missed(&id));
            }
        }
    }

    pub(super) fn take_managed(&self, value: &Value, rp_id: &'static str) -> Vec<u8> {
        let descriptor = cbor::member(value, 7).expect("credentialID");
        let id = cbor::bytes(cbor::member(&descriptor, "id"));
        let user = cbor::member(value, 6).expect("user");
        let user = cbor::bytes(cbor::member(&user, "id"));
        let key = PublicKey::from_cose(&cbor::member(value, 8).expect("publicKey"));
        self.check(|model| model.seen(&id, Some((rp_id, &user)), Some(&key)));
        id
    }

    pub(super) async fn delete_or_update(&mut self) {
        let rp_id = SITES[self.pick(SITES.len())];
        let ids = self.model(|model| model.discoverable(rp_id));
        if ids.is_empty() {
            return;
        }
        let id = ids[self.pick(ids.len())].clone();
        let Some(held) = self.token(permission::CM, None).await else {
            return;
        };
        if self.pick(2) == 0 {
            let account = self.model(|model| model.all()[&id].user.clone());
            let user = user(&account.unwrap_or_default(), &[("name", "renamed")]);
            let params = cbor::map([(2, descriptor(&id)), (3, user)]);
            let asked = (Some(&held), Effect::Nothing);
            match self.manage(manage::UPDATE, Some(params), asked).await {
                Outcome::Done(_) => self.check(|model| model.seen(&id, None, None)),
                Outcome::Refused(status::NO_CREDENTIALS) => self.check(|model| model.missed(&id)),
                Outcome::Refused(status::KEEPALIVE_CANCEL) | Outcome::NotRun | Outcome::Doubt => {}
                Outcome::Refused(status) => self.token_refused_since(&held, "an update", status),
            }
            return;
        }
        let params = cbor::map([(2, descriptor(&id))]);
        let asked = (Some(&held), Effect::Delete(id.clone()));
        match self.manage(manage::DELETE, Some(params), asked).await {
            Outcome::Done(_) => {
                self.check(|model| model.seen(&id, None, None));
                self.model(|model| model.was_deleted(&id));
            }
            Outcome::Refused(status::NO_CREDENTIALS) => self.check(|model| model.missed(&id)),
            Outcome::Refused(status::KEEPALIVE_CANCEL) | Outcome::NotRun | Outcome::Doubt => {}
            Outcome::Refused(status) => self.token_refused(Some(&held), "a deletion", status),
        }
    }
}
