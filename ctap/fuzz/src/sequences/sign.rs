//! authenticatorMakeCredential, authenticatorGetAssertion, authenticatorGetNextAssertion and U2F
//! (CTAP 2.1 §6.1 to §6.3, U2F raw message formats 1.2).

use ciborium::Value;

use super::{Auth, Plan, Walk};
use crate::{
    hid::command,
    key::TINY_ROOM,
    model::{Account, Found, Passkey, SITES, permission, status},
    pin::{bytes, map, member, sha256},
    rig::Touch,
};

const CLIENT_DATA_HASH: [u8; 32] = [0xcd; 32];

/// A map with names for keys, given in canonical order.
fn named<const N: usize>(members: [(&str, Value); N]) -> Value {
    let members = members.into_iter();
    Value::Map(
        members
            .map(|(key, value)| (Value::from(key), value))
            .collect(),
    )
}

pub(super) fn descriptor(id: Vec<u8>) -> Value {
    named([("id", Value::from(id)), ("type", Value::from("public-key"))])
}

fn user(account: Account) -> Value {
    named([
        ("id", Value::from(vec![account.1])),
        ("name", Value::from("alice")),
    ])
}

/// The parts of authenticator data that the model knows of (§6.5.1).
struct AuthData {
    flags: u8,
    counter: u32,
    id: Vec<u8>,
}

impl AuthData {
    fn parse(bytes: &[u8], site: usize) -> Self {
        assert_eq!(bytes[..32], sha256(SITES[site].as_bytes()), "rpIdHash");
        let flags = bytes[32];
        let counter = bytes[33..37].try_into().expect("four bytes");
        let id = match bytes.get(53..) {
            Some([high, low, rest @ ..]) if flags & 0x40 != 0 => {
                let length = u16::from_be_bytes([*high, *low]);
                rest[..usize::from(length)].to_vec()
            }
            _ => Vec::new(),
        };
        Self {
            flags,
            counter: u32::from_be_bytes(counter),
            id,
        }
    }
}

impl Plan {
    fn make(
        &mut self,
        now: u64,
        touched: Result<(), u8>,
        account: Account,
        (rk, auth, excluded): (bool, Auth, bool),
    ) -> Result<(), u8> {
        let durable = &self.after.durable;
        if auth == Auth::None && (durable.always_uv || durable.pin.is_some()) {
            return Err(status::PUAT_REQUIRED);
        }
        if auth != Auth::None {
            self.authorize(now, auth, permission::MC, account.0)?;
        }
        touched?;
        if excluded {
            return Err(status::CREDENTIAL_EXCLUDED);
        }
        if auth != Auth::None {
            self.spend_token();
        }
        if !rk {
            self.lease = true;
            return Ok(());
        }
        let durable = &mut self.after.durable;
        let replaces = durable.passkeys.contains_key(&account);
        if !replaces && durable.passkeys.len() >= TINY_ROOM {
            return Err(status::KEY_STORE_FULL);
        }
        durable.sequence += 1;
        let passkey = Passkey {
            id: Vec::new(),
            counter: 1,
            sequence: durable.sequence,
        };
        durable.passkeys.insert(account, passkey);
        self.commit();
        Ok(())
    }

    /// The credentials that apply, or why none signs.
    fn get(
        &mut self,
        now: u64,
        touched: Result<(), u8>,
        (site, by): (usize, Option<&[u8]>),
        (up, auth): (bool, Auth),
    ) -> Result<Vec<Found>, u8> {
        self.lease = true;
        if auth == Auth::None && up && self.after.durable.always_uv {
            return Err(status::PUAT_REQUIRED);
        }
        if auth != Auth::None {
            self.authorize(now, auth, permission::GA, site)?;
        }
        let durable = &self.after.durable;
        let found: Vec<_> = match by {
            Some(id) => durable.find(site, id).into_iter().collect(),
            None => {
                let all = durable.newest_first(site).into_iter();
                all.map(Found::Passkey).collect()
            }
        };
        if found.is_empty() {
            return Err(status::NO_CREDENTIALS);
        }
        if up {
            touched?;
            if auth != Auth::None {
                self.spend_token();
            }
        }
        let accounts = found.iter().skip(1).filter_map(|found| match found {
            Found::Passkey(account) => Some(*account),
            Found::Derived => None,
        });
        let rest: Vec<_> = accounts.collect();
        if !rest.is_empty() {
            self.after.volatile.enumeration = Some((rest, 0));
        }
        Ok(found)
    }
}

impl Walk {
    /// One of the credentials, or one that nobody has.
    pub(super) fn pick(&self, number: u8) -> (usize, Vec<u8>) {
        let mut ids = self.model.durable.ids();
        ids.push((usize::from(number % 3), vec![number; 64]));
        ids.swap_remove(usize::from(number) % ids.len())
    }

    /// A counter's value, which no assertion of it had before.
    fn count(&mut self, found: Found, counter: u32) {
        let last = match found {
            Found::Passkey(account) => {
                let passkey = self.model.durable.passkeys.get_mut(&account);
                &mut passkey.expect("one of the model's").counter
            }
            Found::Derived => &mut self.shared,
        };
        assert!(counter > *last, "{counter} after {last}");
        *last = counter;
    }

    pub(super) fn make(&mut self, account: Account, rk: bool, auth: Auth, exclude: Option<u8>) {
        let site = account.0;
        let exclude = exclude.map(|number| self.pick(number).1);
        let is_here = |id: &Vec<u8>| self.model.durable.find(site, id).is_some();
        let excluded = exclude.as_ref().is_some_and(is_here);
        let mut plan = self.plan();
        let planned = plan.make(self.rig.now, self.touched(), account, (rk, auth, excluded));
        plan.status = planned.err().unwrap_or_default();
        let algorithm = named([
            ("alg", Value::from(-7)),
            ("type", Value::from("public-key")),
        ]);
        let mut members = vec![
            (1, Value::from(&CLIENT_DATA_HASH[..])),
            (2, named([("id", Value::from(SITES[site]))])),
            (3, user(account)),
            (4, Value::Array(vec![algorithm])),
        ];
        members.extend(exclude.map(|id| (5, Value::Array(vec![descriptor(id)]))));
        members.push((7, named([("rk", Value::from(rk))])));
        if let Some((param, protocol)) = self.auth(auth, &CLIENT_DATA_HASH) {
            members.push((8, Value::from(param)));
            members.push((9, Value::from(protocol)));
        }
        let (status, value) = self.ctap2(0x01, Some(&map(members)));
        if !self.settle(status, plan) {
            return;
        }
        let data = AuthData::parse(&bytes(&value, 2), site);
        let uv = if auth == Auth::None { 0 } else { 4 };
        assert_eq!(data.flags, 0x41 | uv, "flags");
        assert_eq!(data.id.len(), 64);
        let ids = self.model.durable.ids();
        assert!(ids.iter().all(|(_, id)| *id != data.id), "an id twice");
        if rk {
            assert_eq!(data.counter, 1);
            self.model.durable.agree(&self.rig.vault);
            assert_eq!(self.model.durable.passkeys[&account].id, data.id);
        } else {
            self.count(Found::Derived, data.counter);
            self.model.durable.derived.push((site, data.id));
        }
    }

    pub(super) fn get(&mut self, site: usize, by: Option<u8>, silent: bool, auth: Auth) {
        let by = by.map(|number| self.pick(number).1);
        let mut plan = self.plan();
        let planned = plan.get(
            self.rig.now,
            self.touched(),
            (site, by.as_deref()),
            (!silent, auth),
        );
        plan.status = planned.as_ref().err().copied().unwrap_or_default();
        let mut members = vec![
            (1, Value::from(SITES[site])),
            (2, Value::from(&CLIENT_DATA_HASH[..])),
        ];
        members.extend(by.map(|id| (3, Value::Array(vec![descriptor(id)]))));
        members.push((5, named([("up", Value::from(!silent))])));
        if let Some((param, protocol)) = self.auth(auth, &CLIENT_DATA_HASH) {
            members.push((6, Value::from(param)));
            members.push((7, Value::from(protocol)));
        }
        let (status, value) = self.ctap2(0x02, Some(&map(members)));
        if !self.settle(status, plan) {
            return;
        }
        if let Some((_, deadline)) = &mut self.model.volatile.enumeration {
            *deadline = self.rig.now + 30_000;
        }
        let found = planned.expect("settled");
        let count = member(&value, 5).and_then(Value::as_integer);
        let several = u64::try_from(found.len()).ok().filter(|count| *count > 1);
        assert_eq!(count, several.map(Into::into), "numberOfCredentials");
        let uv = if auth == Auth::None { 0 } else { 4 };
        self.check(found[0], site, &value, u8::from(!silent) | uv);
    }

    fn check(&mut self, found: Found, site: usize, value: &Value, flags: u8) {
        let data = AuthData::parse(&bytes(value, 2), site);
        assert_eq!(data.flags, flags, "flags");
        let descriptor = member(value, 1).and_then(Value::as_map);
        let mut descriptor = descriptor.expect("a credential").iter();
        let id = descriptor.find(|(key, _)| key.as_text() == Some("id"));
        let id = id.and_then(|(_, id)| id.as_bytes()).expect("an id");
        assert_eq!(self.model.durable.find(site, id), Some(found), "whose");
        assert_eq!(member(value, 4).is_some(), found != Found::Derived, "user");
        self.count(found, data.counter);
    }

    /// §6.3. The flags are the first assertion's, of which the model keeps nothing.
    pub(super) fn get_next(&mut self) {
        let mut plan = self.plan();
        plan.lease = true;
        let enumeration = self.model.volatile.enumeration.clone();
        let enumeration = enumeration.filter(|(_, deadline)| self.rig.now < *deadline);
        let next = enumeration.map(|(accounts, _)| accounts);
        match next.as_ref().and_then(|accounts| accounts.split_first()) {
            Some((_, [])) => {}
            Some((_, rest)) => {
                let deadline = self.rig.now + 30_000;
                plan.after.volatile.enumeration = Some((rest.to_vec(), deadline));
            }
            None => plan.status = status::NOT_ALLOWED,
        }
        let (status, value) = self.ctap2(0x08, None);
        if !self.settle(status, plan) {
            return;
        }
        let account = next.expect("settled")[0];
        let flags = bytes(&value, 2)[32];
        assert_eq!(member(&value, 5), None, "numberOfCredentials");
        self.check(Found::Passkey(account), account.0, &value, flags);
    }

    /// An APDU with extended lengths; the error is its status word.
    fn u2f(&mut self, ins: u8, p1: u8, data: &[u8]) -> Result<Vec<u8>, u16> {
        let length = u16::try_from(data.len()).expect("small").to_be_bytes();
        let apdu = [&[0, ins, p1, 0, 0], &length[..], data, &[0, 0]].concat();
        let mut answer = self.rig.call(command::MSG, &apdu);
        let word = answer.split_off(answer.len() - 2);
        match u16::from_be_bytes([word[0], word[1]]) {
            0x9000 => Ok(answer),
            word => Err(word),
        }
    }

    /// The same after a touch, for which a client asks twice.
    fn u2f_touched(&mut self, ins: u8, p1: u8, data: &[u8]) -> Result<Vec<u8>, u16> {
        let first = self.u2f(ins, p1, data);
        if first != Err(0x6985) {
            return first;
        }
        let second = self.u2f(ins, p1, data);
        let approved = self.rig.touch == Touch::Approve;
        assert_eq!(second == Err(0x6985), !approved, "touched, or not");
        // Nobody polls any more, and the next request has a prompt of its own.
        self.rig.pass(2_500);
        second
    }

    /// What U2F answers has no status of CTAP2; a plan has one all the same.
    fn settle_u2f(&mut self, answer: &Result<Vec<u8>, u16>, expected: Result<(), u16>) -> bool {
        let mut plan = self.plan();
        plan.after.volatile.enumeration = self.model.volatile.enumeration.clone();
        plan.lease = true;
        let status = match answer {
            Err(0x6f00) => status::OTHER,
            answer => {
                assert_eq!(answer.as_ref().map(drop).map_err(|word| *word), expected);
                status::OK
            }
        };
        self.settle(status, plan) && answer.is_ok()
    }

    fn u2f_expected(&self, known: bool, touched: bool) -> Result<(), u16> {
        if self.model.durable.always_uv {
            Err(0x6986)
        } else if !known {
            Err(0x6a80)
        } else if touched && self.rig.touch != Touch::Approve {
            Err(0x6985)
        } else {
            Ok(())
        }
    }

    pub(super) fn u2f_register(&mut self, site: usize) {
        self.challenge = self.challenge.wrapping_add(1);
        let application = sha256(SITES[site].as_bytes());
        let data = [[self.challenge; 32], application].concat();
        let expected = self.u2f_expected(true, true);
        let answer = self.u2f_touched(0x01, 0, &data);
        if self.settle_u2f(&answer, expected) {
            let answer = answer.expect("settled");
            assert_eq!((answer[0], answer[66]), (0x05, 64));
            self.model
                .durable
                .derived
                .push((site, answer[67..131].to_vec()));
        }
    }

    pub(super) fn u2f_sign(&mut self, by: u8, enforce: bool) {
        self.challenge = self.challenge.wrapping_add(1);
        let (site, id) = self.pick(by);
        let found = self.model.durable.find(site, &id);
        let application = sha256(SITES[site].as_bytes());
        let challenge = [self.challenge; 32];
        let data = [&challenge[..], &application, &[64], &id].concat();
        let expected = self.u2f_expected(found.is_some(), enforce);
        let p1 = if enforce { 0x03 } else { 0x08 };
        let answer = self.u2f_touched(0x02, p1, &data);
        if self.settle_u2f(&answer, expected) {
            let answer = answer.expect("settled");
            assert_eq!(answer[0], u8::from(enforce), "user presence");
            let counter = answer[1..5].try_into().expect("four bytes");
            let counter = u32::from_be_bytes(counter);
            self.count(found.expect("settled"), counter);
        }
    }
}
