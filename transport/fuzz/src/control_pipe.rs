//! Setup packets of all kinds into a USB device: an answer is data within wLength for IN, done or a
//! stall for OUT; a stall changes nothing; and what the device says of itself is what was set.
//!
//! Input: for each step a byte, a setup packet and a byte that says how many bytes of data follow.
//! Deliberately absent: which transfers wait for a report (`session`).

use roamkey_transport::{
    REPORT_LEN,
    usb::{Answer, Device, Direction, Effect, Identity, IdentityFields, SETUP_LEN, Setup},
};

/// Standard requests that set what the model keeps (USB 2.0 table 9-4).
const SET_CONFIGURATION: [u8; 2] = [0x00, 9];

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Model {
    configuration: u8,
    /// Whether the host ever chose one: else its first transfer stands for that.
    chosen: bool,
}

/// Runs one input.
pub fn run(data: &[u8]) {
    let fields = IdentityFields {
        serial: "SN0001".to_owned(),
        ..IdentityFields::default()
    };
    let identity = Identity::new(fields).expect("it fits");
    let mut device = Device::new(&identity);
    let mut model = Model::default();
    let mut rest = data;
    while let Some(([step, setup @ .., count], behind)) = rest.split_first_chunk::<10>() {
        let count = usize::from(*count).min(behind.len());
        let (data, behind) = behind.split_at(count);
        rest = behind;
        let setup: [u8; SETUP_LEN] = *setup;
        match step % 8 {
            0 => transfer(&mut device, &mut model, Direction::In),
            1 => transfer(&mut device, &mut model, Direction::Out),
            // A host that sends what it announces, as most do.
            2..=4 => {
                let mut setup = Setup::parse(&setup);
                if setup.direction() == Direction::Out {
                    setup.length = u16::try_from(count).expect("a byte");
                }
                control(&mut device, &mut model, setup, data);
            }
            _ => control(&mut device, &mut model, Setup::parse(&setup), data),
        }
        assert_eq!(own_configuration(&mut device), model.configuration);
    }
}

fn transfer(device: &mut Device, model: &mut Model, direction: Direction) {
    let (open, effect) = device.open_endpoint(direction);
    let first = !model.chosen && model.configuration == 0;
    if first {
        *model = Model {
            configuration: 1,
            chosen: true,
        };
        assert_eq!(effect, Effect::Configured(true));
    } else {
        assert_eq!(effect, Effect::None);
    }
    let address = match direction {
        Direction::In => 0x81,
        Direction::Out => 0x01,
    };
    let halted = ask(device, [0x82, 0, 0, 0, address, 0, 2, 0]);
    let halted = halted.is_none_or(|status| status != [0, 0]);
    assert_eq!(open, model.configuration != 0 && !halted);
}

/// What the device answers to an IN request; `None` for a stall.
fn ask(device: &mut Device, setup: [u8; SETUP_LEN]) -> Option<Vec<u8>> {
    let outcome = device.control(Setup::parse(&setup), &[]);
    assert_eq!(outcome.effect, Effect::None, "asking changes nothing");
    match outcome.answer {
        Answer::Data(data) => Some(data.to_vec()),
        Answer::Stall => None,
        Answer::Done => panic!("IN is done"),
    }
}

fn own_configuration(device: &mut Device) -> u8 {
    let configuration = ask(device, [0x80, 8, 0, 0, 0, 0, 1, 0]);
    let [configuration] = configuration.expect("GET_CONFIGURATION")[..] else {
        panic!("one byte")
    };
    configuration
}

/// All that the device says of its state.
fn state(device: &mut Device) -> [Option<Vec<u8>>; 6] {
    [
        [0x80, 8, 0, 0, 0, 0, 1, 0],
        [0x82, 0, 0, 0, 0x81, 0, 2, 0],
        [0x82, 0, 0, 0, 0x01, 0, 2, 0],
        [0xa1, 2, 0, 0, 0, 0, 1, 0],
        [0xa1, 3, 0, 0, 0, 0, 1, 0],
        [0x81, 10, 0, 0, 0, 0, 1, 0],
    ]
    .map(|setup| ask(device, setup))
}

fn control(device: &mut Device, model: &mut Model, setup: Setup, data: &[u8]) {
    let before = state(device);
    let is_in = setup.direction() == Direction::In;
    let outcome = device.control(setup, data);
    let effect = outcome.effect;
    let answer = match outcome.answer {
        Answer::Data(data) => {
            assert!(is_in, "data for OUT: {setup:?}");
            assert!(data.len() <= usize::from(setup.length), "more than wLength");
            Some(data.to_vec())
        }
        Answer::Done => {
            assert!(!is_in, "done for IN: {setup:?}");
            assert_eq!(data.len(), usize::from(setup.length), "the data stage");
            None
        }
        Answer::Stall => {
            assert_eq!(effect, Effect::None, "a stall with an effect");
            assert_eq!(state(device), before, "a stall that changes something");
            return;
        }
    };
    if let Some(answer) = answer {
        assert_eq!(effect, Effect::None);
        // The same with all the room there is begins with it.
        let whole = device.control(
            Setup {
                length: 0xffff,
                ..setup
            },
            &[],
        );
        let Answer::Data(whole) = whole.answer else {
            panic!("more room stalls: {setup:?}")
        };
        assert!(whole.starts_with(&answer));
        let cut = whole.len() > answer.len();
        assert!(!cut || answer.len() == usize::from(setup.length));
    }
    match effect {
        Effect::Configured(on) => {
            assert_eq!([setup.request_type, setup.request], SET_CONFIGURATION);
            let [value, _] = setup.value.to_le_bytes();
            assert!(value <= 1 && on == (value == 1), "{setup:?}");
            *model = Model {
                configuration: value,
                chosen: true,
            };
        }
        Effect::HaltedIn => assert_eq!(setup.index, 0x81),
        Effect::Report(report) => {
            assert_ne!(model.configuration, 0, "a report before SET_CONFIGURATION");
            assert!((1..=REPORT_LEN).contains(&data.len()));
            assert!(report.starts_with(data));
            assert!(report[data.len()..].iter().all(|byte| *byte == 0));
        }
        Effect::None => {}
    }
}
