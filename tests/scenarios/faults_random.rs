//! Random faults in random use: the key bears them all, and what comes after is right.

use rand_chacha::{ChaCha20Rng, rand_core::Rng as _};
use roamkey_ctap::{Fault, FaultLayer, Parameter};

use crate::support::{
    cbor,
    ctap2::{
        CLIENT_PIN, GET_ASSERTION, GET_INFO, GET_NEXT_ASSERTION, GetAssertion, MAKE_CREDENTIAL,
        MakeCredential, Registered, SELECTION, sha256,
    },
    ctaphid::{MAX_MESSAGE_LEN, command},
    faulty::{Faulty, always, once},
    rig::{Place, virtual_scenarios},
    u2f::{Control, authenticate_apdu, register_apdu},
};

const RP: &str = "example.com";
const STEPS: usize = 250;

virtual_scenarios!(random_faults_leave_the_key_as_it_is);

struct Walk {
    key: Faulty,
    rng: ChaCha20Rng,
    /// A discoverable credential and a derived one, with the last counter of a right assertion.
    made: [(Registered, u32); 2],
}

impl Walk {
    fn pick(&mut self, count: usize) -> usize {
        let number = usize::try_from(self.rng.next_u32()).expect("a number");
        number % count
    }

    /// Any fault of an answer.
    fn fault(&mut self) -> Fault {
        let faults = Fault::all().iter();
        let faults: Vec<_> = faults
            .filter(|info| info.layer == FaultLayer::Answer)
            .collect();
        let info = faults[self.pick(faults.len())];
        let parameter = match info.parameter {
            Parameter::Nothing => None,
            Parameter::Status => Some(u32::try_from(self.pick(256)).expect("a byte")),
            Parameter::Milliseconds => panic!("no fault of an answer has a time"),
        };
        Fault::from_name(info.name, parameter).expect("a fault")
    }

    /// An operation of any kind; its answer may be anything that CTAPHID carries.
    fn operate(&mut self) {
        let ids = [0, 1].map(|n| self.made[n].0.id.clone());
        let get = match self.pick(3) {
            0 => GetAssertion::new(RP, &[]),
            1 => GetAssertion::new(RP, &[&ids[0]]).silent(),
            _ => GetAssertion::new(RP, &[&ids[1]]),
        };
        let mut make = MakeCredential::new(RP, b"bob");
        make.options.push(("rk", self.pick(2) == 0));
        if self.pick(4) == 0 {
            make.formats.push("none");
        }
        let key_agreement = cbor::map([(1, 2.into()), (2, 2.into())]);
        let answer = match self.pick(8) {
            0 => self.key.raw(GET_INFO, None),
            1 => self.key.raw(CLIENT_PIN, Some(&key_agreement)),
            2 => self.key.raw(SELECTION, None),
            3 => self.key.raw(MAKE_CREDENTIAL, Some(&make.to_value())),
            4 => self.key.raw(GET_NEXT_ASSERTION, None),
            5 => self.u2f(&ids[1]),
            _ => self.key.raw(GET_ASSERTION, Some(&get.to_value())),
        };
        assert!((1..=MAX_MESSAGE_LEN).contains(&answer.len()));
    }

    /// A few polls, with or without a touch in between.
    fn u2f(&mut self, handle: &[u8]) -> Vec<u8> {
        let application = sha256(RP.as_bytes());
        let challenge = [9; 32];
        let apdu = match self.pick(4) {
            0 => register_apdu(&challenge, &application),
            1 => authenticate_apdu(Control::CheckOnly, &challenge, &application, handle),
            2 => authenticate_apdu(Control::DontEnforce, &challenge, &application, handle),
            _ => authenticate_apdu(Control::Enforce, &challenge, &application, handle),
        };
        let Faulty {
            platform, channel, ..
        } = &mut self.key;
        platform.call(*channel, command::MSG, &apdu);
        let answer = platform.call(*channel, command::MSG, &apdu);
        answer.message.payload
    }

    /// What a key without faults does: it signs well, and its counters rise.
    fn check_right(&mut self) {
        let Faulty {
            platform, channel, ..
        } = &mut self.key;
        for (made, last) in &mut self.made {
            let get = GetAssertion::new(RP, &[&made.id]);
            let signed = platform.get(*channel, &get).expect("an assertion");
            signed.verify(RP, &made.public_key);
            assert_eq!(signed.id, made.id);
            assert!(signed.auth_data.counter > *last);
            *last = signed.auth_data.counter;
        }
    }
}

fn random_faults_leave_the_key_as_it_is(place: Place) {
    let mut key = Faulty::new(place);
    let made = [true, false].map(|rk| {
        let mut make = MakeCredential::new(RP, b"alice");
        make.options.push(("rk", rk));
        let made = key.platform.make(key.channel, &make).expect("a credential");
        let counter = made.counter;
        (made, counter)
    });
    let rng = key.rig.seed.rng("faults", 0);
    let mut walk = Walk { key, rng, made };
    let mut met = 0;
    for _ in 0..STEPS {
        for _ in 0..walk.pick(4) {
            let fault = walk.fault();
            let rule = if walk.pick(2) == 0 {
                once(fault)
            } else {
                always(fault)
            };
            walk.key.arm(rule);
        }
        for _ in 0..=walk.pick(3) {
            walk.operate();
        }
        let world = walk.key.rig.world();
        met += world.take_met(0).len();
        for (id, _) in world.armed(0) {
            assert!(world.disarm(0, id));
        }
        walk.check_right();
        assert_eq!(walk.key.rig.world().take_met(0), []);
    }
    assert!(met > STEPS / 2, "{met} faults in {STEPS} steps");
}
