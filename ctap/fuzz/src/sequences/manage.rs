//! authenticatorCredentialManagement, authenticatorLargeBlobs and authenticatorConfig (CTAP 2.1
//! §6.8, §6.10, §6.11).

use ciborium::Value;

use super::{Auth, Plan, Walk};
use crate::{
    key::TINY_ROOM,
    model::{PINS, array, permission, status},
    pin::{bytes, emit, map, member, sha256},
};

fn number(number: usize) -> Value {
    Value::from(u64::try_from(number).expect("64 bits"))
}

impl Plan {
    /// What is about all sites takes a token that is bound to none.
    fn read_all(&mut self, now: u64, auth: Auth) -> Result<(), u8> {
        self.manage(now, auth, permission::CM)?;
        let token = self.after.volatile.token.as_ref();
        match token.and_then(|token| token.site) {
            Some(_) => Err(status::PIN_AUTH_INVALID),
            None => Ok(()),
        }
    }

    fn delete(&mut self, now: u64, auth: Auth, id: &[u8]) -> Result<(), u8> {
        self.manage(now, auth, permission::CM)?;
        let mut passkeys = self.after.durable.passkeys.iter();
        let found = passkeys.find(|(_, passkey)| passkey.id == id);
        let account = *found.ok_or(status::NO_CREDENTIALS)?.0;
        let token = self.after.volatile.token.as_ref();
        let bound = token.and_then(|token| token.site);
        if bound.is_some_and(|bound| bound != account.0) {
            return Err(status::PIN_AUTH_INVALID);
        }
        self.after.durable.passkeys.remove(&account);
        self.commit();
        Ok(())
    }

    fn is_protected(&self) -> bool {
        self.after.durable.pin.is_some()
    }

    fn configure(&mut self) {
        // A PIN that must be changed ends what it has opened (§6.11.4).
        if self.after.durable.force_pin_change {
            self.after.volatile.token = None;
        }
        self.commit();
    }

    fn set_min_pin_length(&mut self, length: u8, force: bool) -> Result<(), u8> {
        let durable = &mut self.after.durable;
        if length < durable.min_pin_length || length > 63 {
            return Err(status::PIN_POLICY_VIOLATION);
        }
        if force && durable.pin.is_none() {
            return Err(status::PIN_NOT_SET);
        }
        durable.min_pin_length = length;
        let too_short = |pin: usize| PINS[pin].chars().count() < usize::from(length);
        durable.force_pin_change |= force || durable.pin.is_some_and(too_short);
        self.configure();
        Ok(())
    }
}

impl Walk {
    /// A management command, authenticated behind `front`.
    fn management(
        &mut self,
        (command, front): (u8, &[u8]),
        subcommand: u8,
        params: Option<Value>,
        auth: Auth,
    ) -> (u8, Value) {
        let mut message = [front, &[subcommand]].concat();
        message.extend(params.as_ref().map(emit).unwrap_or_default());
        let mut members = vec![(1, Value::from(subcommand))];
        members.extend(params.map(|params| (2, params)));
        if let Some((param, protocol)) = self.auth(auth, &message) {
            members.push((3, Value::from(protocol)));
            members.push((4, Value::from(param)));
        }
        self.ctap2(command, Some(&map(members)))
    }

    pub(super) fn metadata(&mut self, auth: Auth) {
        let mut plan = self.plan();
        plan.status = plan.read_all(self.rig.now, auth).err().unwrap_or_default();
        let (status, value) = self.management((0x0a, &[]), 1, None, auth);
        if self.settle(status, plan) {
            let count = self.model.durable.passkeys.len();
            assert_eq!(member(&value, 1), Some(&number(count)));
            assert_eq!(member(&value, 2), Some(&number(TINY_ROOM - count)));
        }
    }

    pub(super) fn rps(&mut self, auth: Auth) {
        let mut plan = self.plan();
        let mut sites: Vec<_> = plan
            .after
            .durable
            .passkeys
            .keys()
            .map(|key| key.0)
            .collect();
        sites.dedup();
        let planned = plan.read_all(self.rig.now, auth);
        plan.status = match planned {
            Ok(()) if sites.is_empty() => status::NO_CREDENTIALS,
            Ok(()) => status::OK,
            Err(status) => status,
        };
        let (status, value) = self.management((0x0a, &[]), 2, None, auth);
        if self.settle(status, plan) {
            assert_eq!(member(&value, 5), Some(&number(sites.len())), "totalRPs");
        }
    }

    pub(super) fn delete(&mut self, by: u8, auth: Auth) {
        let (_, id) = self.pick(by);
        let mut plan = self.plan();
        let planned = plan.delete(self.rig.now, auth, &id);
        plan.status = planned.err().unwrap_or_default();
        let descriptor = super::sign::descriptor(id);
        let params = map([(2, descriptor)]);
        let (status, _) = self.management((0x0a, &[]), 6, Some(params), auth);
        self.settle(status, plan);
    }

    /// Writes an array in one fragment or in two, now and then with a wrong hash, and reads what
    /// is there.
    pub(super) fn write_blobs(
        &mut self,
        (length, seed): (u8, u8),
        cut: Option<u8>,
        spoil: bool,
        auth: Auth,
    ) {
        let mut whole = array(17 + usize::from(length), seed);
        if spoil {
            *whole.last_mut().expect("a hash") ^= 1;
        }
        let first = match cut {
            Some(cut) => 1 + usize::from(cut) % (whole.len() - 1),
            None => whole.len(),
        };
        let (head, tail) = whole.split_at(first);
        let wrote = self.write(head, 0, &whole, spoil, auth);
        if wrote && !tail.is_empty() {
            self.write(tail, first, &whole, spoil, auth);
        }
        let members = map([(1, number(7_000)), (3, number(0))]);
        let (status, value) = self.ctap2(0x0c, Some(&members));
        let plan = self.plan();
        if self.settle(status, plan) {
            assert_eq!(bytes(&value, 1), self.model.durable.blobs, "what is read");
        }
    }

    fn write(
        &mut self,
        part: &[u8],
        offset: usize,
        whole: &[u8],
        spoilt: bool,
        auth: Auth,
    ) -> bool {
        let mut plan = self.plan();
        let planned = if plan.is_protected() || plan.after.durable.always_uv {
            plan.manage(self.rig.now, auth, permission::LBW)
        } else {
            Ok(())
        };
        let ends = offset + part.len() == whole.len();
        plan.status = match planned {
            Ok(()) if ends && spoilt => status::INTEGRITY_FAILURE,
            Ok(()) => {
                if ends {
                    plan.after.durable.blobs = whole.to_vec();
                    plan.commit();
                }
                status::OK
            }
            Err(status) => status,
        };
        let mut message = vec![0xff; 32];
        message.extend([0x0c, 0]);
        message.extend(u32::try_from(offset).expect("small").to_le_bytes());
        message.extend(sha256(part));
        let mut members = vec![(2, Value::from(part)), (3, number(offset))];
        if offset == 0 {
            members.push((4, number(whole.len())));
        }
        if let Some((param, protocol)) = self.auth(auth, &message) {
            members.push((5, Value::from(param)));
            members.push((6, Value::from(protocol)));
        }
        let (status, _) = self.ctap2(0x0c, Some(&map(members)));
        self.settle(status, plan)
    }

    fn config(&mut self, subcommand: u8, params: Option<Value>, auth: Auth) -> u8 {
        let front = [&[0xff; 32][..], &[0x0d]].concat();
        self.management((0x0d, &front), subcommand, params, auth).0
    }

    pub(super) fn toggle_always_uv(&mut self, auth: Auth) {
        let mut plan = self.plan();
        let planned = if plan.is_protected() {
            plan.manage(self.rig.now, auth, permission::ACFG)
        } else {
            Ok(())
        };
        match planned {
            Ok(()) => {
                plan.after.durable.always_uv ^= true;
                plan.configure();
            }
            Err(status) => plan.status = status,
        }
        let status = self.config(2, None, auth);
        self.settle(status, plan);
    }

    pub(super) fn set_min_pin_length(&mut self, length: u8, force: bool, auth: Auth) {
        // Most are near what PINs have.
        let length = if length < 0xf0 { length % 14 } else { length };
        let mut plan = self.plan();
        let planned = if plan.is_protected() || plan.after.durable.always_uv {
            plan.manage(self.rig.now, auth, permission::ACFG)
        } else {
            Ok(())
        };
        let planned = planned.and_then(|()| plan.set_min_pin_length(length, force));
        plan.status = planned.err().unwrap_or_default();
        let params = map([(1, Value::from(length)), (3, Value::from(force))]);
        let status = self.config(3, Some(params), auth);
        self.settle(status, plan);
    }
}
