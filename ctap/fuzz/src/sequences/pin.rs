//! authenticatorClientPIN (CTAP 2.1 §6.5.5).

use ciborium::Value;

use super::{Plan, Walk};
use crate::{
    model::{Durable, PINS, SITES, Token, permission, status},
    pin::{Shared, bytes, map, member},
};

fn protocol(two: bool) -> u8 {
    if two { 2 } else { 1 }
}

fn number(pin: u8) -> usize {
    usize::from(pin) % PINS.len()
}

/// Whether a new PIN breaks a rule (§6.5.1).
fn is_refused(durable: &Durable, pin: usize) -> bool {
    let text = PINS[pin];
    let same = durable.pin == Some(pin) && durable.force_pin_change;
    text.chars().count() < usize::from(durable.min_pin_length) || text.len() > 63 || same
}

impl Plan {
    /// An attempt is lost before the PIN is looked at.
    fn compare(&mut self, pin: usize) -> Result<(), u8> {
        let after = &mut self.after;
        if after.durable.pin.is_none() {
            return Err(status::PIN_NOT_SET);
        }
        if after.durable.retries == 0 {
            return Err(status::PIN_BLOCKED);
        }
        if after.volatile.mismatches >= 3 {
            return Err(status::PIN_AUTH_BLOCKED);
        }
        after.durable.retries -= 1;
        self.commit();
        let after = &mut self.after;
        if after.durable.pin == Some(pin) {
            return Ok(());
        }
        after.volatile.mismatches += 1;
        Err(if after.durable.retries == 0 {
            status::PIN_BLOCKED
        } else if after.volatile.mismatches >= 3 {
            status::PIN_AUTH_BLOCKED
        } else {
            status::PIN_INVALID
        })
    }

    fn restore(&mut self) {
        self.after.durable.retries = 8;
        self.after.volatile.mismatches = 0;
    }

    /// A new PIN ends the token, and the duty to change.
    fn store(&mut self, pin: usize) {
        self.restore();
        self.after.durable.pin = Some(pin);
        self.after.durable.force_pin_change = false;
        self.after.volatile.token = None;
        self.commit();
    }

    fn set_pin(&mut self, pin: usize) -> Result<(), u8> {
        if self.after.durable.pin.is_some() {
            return Err(status::PIN_AUTH_INVALID);
        }
        if is_refused(&self.after.durable, pin) {
            return Err(status::PIN_POLICY_VIOLATION);
        }
        self.store(pin);
        Ok(())
    }

    fn change_pin(&mut self, old: usize, new: usize) -> Result<(), u8> {
        self.compare(old)?;
        if is_refused(&self.after.durable, new) {
            self.restore();
            self.commit();
            return Err(status::PIN_POLICY_VIOLATION);
        }
        self.store(new);
        Ok(())
    }

    /// A token for the right PIN; `forced` is the status where it must be changed first.
    fn issue(&mut self, pin: usize, forced: u8, token: Token) -> Result<(), u8> {
        self.compare(pin)?;
        self.restore();
        self.commit();
        if self.after.durable.force_pin_change {
            return Err(forced);
        }
        self.after.volatile.token = Some(token);
        Ok(())
    }
}

/// What this profile gives (§6.5.5.7.2): all but bioEnrollment's, and what is no permission.
fn check_permissions(permissions: u8, site: Option<usize>) -> Result<(), u8> {
    if permissions == 0 {
        return Err(status::INVALID_PARAMETER);
    }
    let offered =
        permission::MC | permission::GA | permission::CM | permission::LBW | permission::ACFG;
    if permissions & !offered != 0 {
        return Err(status::UNAUTHORIZED_PERMISSION);
    }
    let for_a_site = permission::MC | permission::GA;
    if permissions & for_a_site != 0 && site.is_none() {
        return Err(status::MISSING_PARAMETER);
    }
    Ok(())
}

impl Walk {
    fn client_pin(&mut self, members: Vec<(i64, Value)>) -> (u8, Value) {
        self.ctap2(0x06, Some(&map(members)))
    }

    fn agree(&mut self, protocol: u8) -> Shared {
        let members = vec![(1, Value::from(protocol)), (2, Value::from(2))];
        let (status, value) = self.client_pin(members);
        assert_eq!(status, status::OK, "getKeyAgreement");
        Shared::new(protocol, member(&value, 1).expect("keyAgreement"))
    }

    pub(super) fn pin_retries(&mut self) {
        let mut plan = self.plan();
        let (status, value) = self.client_pin(vec![(2, Value::from(1))]);
        let (durable, volatile) = (&plan.after.durable, &plan.after.volatile);
        if durable.pin.is_none() {
            plan.status = status::PIN_NOT_SET;
        } else {
            let left = Some(&Value::from(durable.retries));
            assert_eq!(member(&value, 3), left, "pinRetries");
            let power_cycle = member(&value, 4).and_then(Value::as_bool);
            let power_cycle = power_cycle.unwrap_or_default();
            assert_eq!(power_cycle, volatile.mismatches >= 3);
        }
        self.settle(status, plan);
    }

    pub(super) fn set_pin(&mut self, pin: u8, two: bool) {
        let (pin, protocol) = (number(pin), protocol(two));
        let mut plan = self.plan();
        plan.status = plan.set_pin(pin).err().unwrap_or_default();
        let shared = self.agree(protocol);
        let new_pin = shared.new_pin(PINS[pin]);
        let (status, _) = self.client_pin(vec![
            (1, Value::from(protocol)),
            (2, Value::from(3)),
            (3, shared.key_agreement.clone()),
            (4, Value::from(shared.authenticate(&new_pin))),
            (5, Value::from(new_pin)),
        ]);
        self.settle(status, plan);
    }

    pub(super) fn change_pin(&mut self, old: u8, new: u8, two: bool) {
        let (old, new, protocol) = (number(old), number(new), protocol(two));
        let mut plan = self.plan();
        plan.status = plan.change_pin(old, new).err().unwrap_or_default();
        let shared = self.agree(protocol);
        let (new_pin, hash) = (shared.new_pin(PINS[new]), shared.pin_hash(PINS[old]));
        let param = shared.authenticate(&[&new_pin[..], &hash].concat());
        let (status, _) = self.client_pin(vec![
            (1, Value::from(protocol)),
            (2, Value::from(4)),
            (3, shared.key_agreement.clone()),
            (4, Value::from(param)),
            (5, Value::from(new_pin)),
            (6, Value::from(hash)),
        ]);
        self.settle(status, plan);
    }

    /// getPinUvAuthTokenUsingPinWithPermissions. Of 0x40, the persistent token's, nothing is asked.
    pub(super) fn token(&mut self, pin: u8, two: bool, permissions: u8, site: Option<u8>) {
        let (pin, protocol, permissions) = (number(pin), protocol(two), permissions & 0xbf);
        let site = site.map(|site| usize::from(site % 3));
        let mut plan = self.plan();
        let token = Token {
            secret: Vec::new(),
            protocol,
            permissions,
            site,
            verified: true,
            issued_at: self.rig.now,
            used: false,
        };
        let planned = check_permissions(permissions, site)
            .and_then(|()| plan.issue(pin, status::PIN_POLICY_VIOLATION, token));
        plan.status = planned.err().unwrap_or_default();
        let shared = self.agree(protocol);
        let mut members = vec![
            (1, Value::from(protocol)),
            (2, Value::from(9)),
            (3, shared.key_agreement.clone()),
            (6, Value::from(shared.pin_hash(PINS[pin]))),
            (9, Value::from(permissions)),
        ];
        members.extend(site.map(|site| (10, Value::from(SITES[site]))));
        let (status, value) = self.client_pin(members);
        if self.settle(status, plan) {
            self.take_token(&shared, &value);
        }
    }

    /// getPinToken: registrations and assertions, at the first site that it is used for.
    pub(super) fn pin_token(&mut self, pin: u8, two: bool) {
        let (pin, protocol) = (number(pin), protocol(two));
        let mut plan = self.plan();
        let token = Token {
            secret: Vec::new(),
            protocol,
            permissions: permission::MC | permission::GA,
            site: None,
            verified: true,
            issued_at: self.rig.now,
            used: false,
        };
        let planned = plan.issue(pin, status::PIN_INVALID, token);
        plan.status = planned.err().unwrap_or_default();
        let shared = self.agree(protocol);
        let (status, value) = self.client_pin(vec![
            (1, Value::from(protocol)),
            (2, Value::from(5)),
            (3, shared.key_agreement.clone()),
            (6, Value::from(shared.pin_hash(PINS[pin]))),
        ]);
        if self.settle(status, plan) {
            self.take_token(&shared, &value);
        }
    }

    fn take_token(&mut self, shared: &Shared, value: &Value) {
        let secret = shared.decrypt(&bytes(value, 2));
        assert_eq!(secret.len(), 32, "a token is as long as a key");
        let token = self.model.volatile.token.as_mut();
        token.expect("just given").secret = secret;
    }
}
