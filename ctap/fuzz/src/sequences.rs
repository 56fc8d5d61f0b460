//! Typed requests into a key, with a model beside it that says what each has to answer: which
//! credentials there are, that counters rise, what is left of PIN attempts, what a token permits,
//! which large-blob array was written last. After each request the vault holds what the model does.
//!
//! A commit fails now and then, stored or not; then the key goes on from what is durable, and so
//! does the model. Input: [`Op`]s, as `arbitrary` reads them. Deliberately absent: wrong bytes
//! (`requests`), other clients (`reports`), signatures and extensions (the scenarios in tests/).

mod manage;
mod pin;
mod sign;

use arbitrary::{Arbitrary, Unstructured};
use ciborium::Value;

use crate::{
    hid::command,
    model::{Durable, Model, Token, Volatile, permission, status},
    pin::authenticate,
    rig::{Commit, Rig, Touch},
};

/// Steps of one input: enough for a PIN, a token, passkeys and their end.
const MOST_STEPS: usize = 48;

/// How a request proves that a person was verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Arbitrary)]
enum Auth {
    None,
    /// With the last token that was given, which may have ended since.
    Token,
    /// With what no token gives.
    Wrong,
}

/// Numbers name sites, PINs and credentials, round and round.
#[derive(Clone, Copy, Debug, Arbitrary)]
enum Op {
    Make {
        site: u8,
        user: u8,
        rk: bool,
        auth: Auth,
        exclude: Option<u8>,
    },
    Get {
        site: u8,
        by: Option<u8>,
        silent: bool,
        auth: Auth,
    },
    GetNext,
    U2fRegister {
        site: u8,
    },
    U2fSign {
        by: u8,
        enforce: bool,
    },
    PinRetries,
    SetPin {
        pin: u8,
        two: bool,
    },
    ChangePin {
        old: u8,
        new: u8,
        two: bool,
    },
    Token {
        pin: u8,
        two: bool,
        permissions: u8,
        site: Option<u8>,
    },
    PinToken {
        pin: u8,
        two: bool,
    },
    Metadata {
        auth: Auth,
    },
    Rps {
        auth: Auth,
    },
    Delete {
        by: u8,
        auth: Auth,
    },
    WriteBlobs {
        length: u8,
        seed: u8,
        cut: Option<u8>,
        spoil: bool,
        auth: Auth,
    },
    ToggleAlwaysUv {
        auth: Auth,
    },
    SetMinPinLength {
        length: u8,
        force: bool,
        auth: Auth,
    },
    Select,
    Reset,
    Wait {
        ms: u16,
    },
    WaitLong,
    Replug,
    Restart,
    Touch(Touch),
    FailCommit {
        after: u8,
        stored: bool,
    },
}

/// What a request has to answer, and what becomes of the key.
struct Plan {
    status: u8,
    /// The model as each of its commits leaves it.
    steps: Vec<Model>,
    after: Model,
    /// Whether a counter's lease may be committed first.
    lease: bool,
}

impl Plan {
    /// A commit makes durable what the model is now.
    fn commit(&mut self) {
        self.steps.push(self.after.clone());
    }

    /// §6.1.2 step 11 and its like: right, for this permission, this site, and a person.
    fn authorize(&mut self, now: u64, auth: Auth, permission: u8, site: usize) -> Result<(), u8> {
        self.manage(now, auth, permission)?;
        let token = self.after.volatile.token(now);
        let token = token.ok_or(status::PIN_AUTH_INVALID)?;
        if token.site.is_some_and(|bound| bound != site) || !token.verified {
            return Err(status::PIN_AUTH_INVALID);
        }
        token.site = Some(site);
        Ok(())
    }

    /// The same of a management command, whose site is looked at later.
    fn manage(&mut self, now: u64, auth: Auth, permission: u8) -> Result<(), u8> {
        if auth == Auth::None {
            return Err(status::PUAT_REQUIRED);
        }
        let token = self.after.volatile.token(now);
        let token = token.ok_or(status::PIN_AUTH_INVALID)?;
        if auth == Auth::Wrong {
            return Err(status::PIN_AUTH_INVALID);
        }
        token.used = true;
        if token.permissions & permission == 0 {
            return Err(status::PIN_AUTH_INVALID);
        }
        Ok(())
    }

    /// A touch was used with the token: it serves large blobs alone.
    fn spend_token(&mut self) {
        if let Some(token) = &mut self.after.volatile.token {
            token.verified = false;
            token.permissions &= permission::LBW;
        }
    }
}

struct Walk {
    rig: Rig,
    model: Model,
    /// The highest value of the key's own counter, which not even a reset sets back.
    shared: u32,
    /// Makes each U2F request another one.
    challenge: u8,
}

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut walk = Walk {
        rig: Rig::new(),
        model: Model {
            durable: Durable::new(),
            volatile: Volatile::at_power_on(0),
        },
        shared: 0,
        challenge: 0,
    };
    let mut input = Unstructured::new(data);
    for _ in 0..MOST_STEPS {
        let Some(op) = next(&mut input) else { break };
        walk.step(op);
        walk.model.durable.agree(&walk.rig.vault);
    }
}

fn next(input: &mut Unstructured<'_>) -> Option<Op> {
    if input.is_empty() {
        return None;
    }
    Op::arbitrary(input).ok()
}

impl Walk {
    fn step(&mut self, op: Op) {
        match op {
            Op::Make {
                site,
                user,
                rk,
                auth,
                exclude,
            } => self.make((usize::from(site % 3), user % 3), rk, auth, exclude),
            Op::Get {
                site,
                by,
                silent,
                auth,
            } => self.get(usize::from(site % 3), by, silent, auth),
            Op::GetNext => self.get_next(),
            Op::U2fRegister { site } => self.u2f_register(usize::from(site % 3)),
            Op::U2fSign { by, enforce } => self.u2f_sign(by, enforce),
            Op::PinRetries => self.pin_retries(),
            Op::SetPin { pin, two } => self.set_pin(pin, two),
            Op::ChangePin { old, new, two } => self.change_pin(old, new, two),
            Op::Token {
                pin,
                two,
                permissions,
                site,
            } => self.token(pin, two, permissions, site),
            Op::PinToken { pin, two } => self.pin_token(pin, two),
            Op::Metadata { auth } => self.metadata(auth),
            Op::Rps { auth } => self.rps(auth),
            Op::Delete { by, auth } => self.delete(by, auth),
            Op::WriteBlobs {
                length,
                seed,
                cut,
                spoil,
                auth,
            } => self.write_blobs((length, seed), cut, spoil, auth),
            Op::ToggleAlwaysUv { auth } => self.toggle_always_uv(auth),
            Op::SetMinPinLength {
                length,
                force,
                auth,
            } => self.set_min_pin_length(length, force, auth),
            Op::Select => self.select(),
            Op::Reset => self.reset(),
            Op::Wait { ms } => self.rig.pass(u64::from(ms)),
            Op::WaitLong => self.rig.pass(300_000),
            Op::Replug => {
                self.rig.replug();
                self.model.volatile = Volatile::at_power_on(self.rig.now);
            }
            Op::Restart => {
                self.rig.restart();
                self.model.volatile = Volatile::at_power_on(self.rig.now);
            }
            Op::Touch(touch) => return self.rig.touch = touch,
            Op::FailCommit { after, stored } => {
                return self.rig.failure = Some((after % 3, stored));
            }
        }
        self.rig.touch = Touch::Approve;
    }

    /// Nothing changes but that another command ends an enumeration (§6.3).
    fn plan(&self) -> Plan {
        let mut after = self.model.clone();
        after.volatile.enumeration = None;
        Plan {
            status: status::OK,
            steps: Vec::new(),
            after,
            lease: false,
        }
    }

    /// What a touch leads to.
    fn touched(&self) -> Result<(), u8> {
        match self.rig.touch {
            Touch::Approve => Ok(()),
            Touch::Deny => Err(status::OPERATION_DENIED),
            Touch::Ignore => Err(status::USER_ACTION_TIMEOUT),
            Touch::Cancel => Err(status::KEEPALIVE_CANCEL),
        }
    }

    /// pinUvAuthParam and pinUvAuthProtocol for a message.
    fn auth(&self, auth: Auth, message: &[u8]) -> Option<(Vec<u8>, u8)> {
        let none = Token {
            secret: Vec::new(),
            protocol: 2,
            permissions: 0,
            site: None,
            verified: false,
            issued_at: 0,
            used: false,
        };
        let token = self.model.volatile.token.as_ref().unwrap_or(&none);
        let secret = match auth {
            Auth::None => return None,
            Auth::Token => &token.secret[..],
            Auth::Wrong => b"another secret",
        };
        let param = authenticate(token.protocol, secret, message);
        Some((param, token.protocol))
    }

    /// Sends a command; its status and value.
    fn ctap2(&mut self, command: u8, parameters: Option<&Value>) -> (u8, Value) {
        let mut payload = vec![command];
        payload.extend(parameters.map(crate::pin::emit).unwrap_or_default());
        let answer = self.rig.call(command::CBOR, &payload);
        let (status, body) = answer.split_first().expect("a status");
        let value = match body {
            [] => Value::Null,
            body => ciborium::from_reader(body).expect("CBOR"),
        };
        (*status, value)
    }

    /// Holds an answer against the plan, and takes the model to where its commits came. True
    /// where all went as planned and the plan was success.
    fn settle(&mut self, status: u8, plan: Plan) -> bool {
        let commits = std::mem::take(&mut self.rig.commits);
        let failed = commits.iter().position(|commit| *commit != Commit::Done);
        let Some(at) = failed else {
            assert_eq!(status, plan.status, "the answer");
            let leases = commits.len().checked_sub(plan.steps.len());
            let most = usize::from(plan.lease);
            assert!(leases.is_some_and(|leases| leases <= most), "{commits:?}");
            self.model = plan.after;
            return status == status::OK;
        };
        assert_eq!(status, status::OTHER, "a commit failed");
        assert_eq!(at + 1, commits.len(), "it goes on after a failure");
        match plan.steps.get(at) {
            Some(step) => {
                let stored = commits[at] == (Commit::Failed { stored: true });
                let before = at.checked_sub(1).map(|at| &plan.steps[at]);
                if stored {
                    self.model.durable = step.durable.clone();
                } else if let Some(before) = before {
                    self.model.durable = before.durable.clone();
                }
                self.model.volatile = step.volatile.clone();
            }
            None => {
                assert!(plan.lease && at == 0, "a commit that nobody expected");
                self.model.volatile = plan.after.volatile;
            }
        }
        self.model.volatile.enumeration = None;
        false
    }

    fn select(&mut self) {
        let mut plan = self.plan();
        plan.status = self.touched().err().unwrap_or_default();
        let (status, _) = self.ctap2(0x0b, None);
        self.settle(status, plan);
    }

    /// §6.6: within ten seconds of power-on, after a touch, everything is gone.
    fn reset(&mut self) {
        let mut plan = self.plan();
        let on = plan.after.volatile.powered_on_at;
        let allowed = if self.rig.now <= on + 10_000 {
            self.touched()
        } else {
            Err(status::NOT_ALLOWED)
        };
        match allowed {
            Ok(()) => {
                plan.after.durable = Durable::new();
                plan.after.volatile = Volatile::at_power_on(on);
                plan.commit();
            }
            Err(status) => plan.status = status,
        }
        let (status, _) = self.ctap2(0x07, None);
        self.settle(status, plan);
    }
}
