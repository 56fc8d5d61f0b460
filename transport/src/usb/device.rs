//! The control pipe: standard requests (USB 2.0 §9.4) and HID class requests (HID 1.11 §7.2).
//!
//! A request that makes no sense is stalled, never ignored and never an error of the session.
//! Absent: queues. Which transfers wait for a report is the session's matter.

use super::descriptor::{self, CONFIGURATION_VALUE, ENDPOINT_IN, ENDPOINT_OUT, Strings, kind};
use super::{Direction, Identity, Setup};
use crate::REPORT_LEN;

/// bmRequestType: direction, type and recipient in one (USB 2.0 table 9-2).
mod request_type {
    pub(super) const OUT_STANDARD_DEVICE: u8 = 0x00;
    pub(super) const OUT_STANDARD_INTERFACE: u8 = 0x01;
    pub(super) const OUT_STANDARD_ENDPOINT: u8 = 0x02;
    pub(super) const OUT_CLASS_INTERFACE: u8 = 0x21;
    pub(super) const IN_STANDARD_DEVICE: u8 = 0x80;
    pub(super) const IN_STANDARD_INTERFACE: u8 = 0x81;
    pub(super) const IN_STANDARD_ENDPOINT: u8 = 0x82;
    pub(super) const IN_CLASS_INTERFACE: u8 = 0xa1;
}

/// bRequest of the standard requests that the device answers (USB 2.0 table 9-4).
mod standard {
    pub(super) const GET_STATUS: u8 = 0;
    pub(super) const CLEAR_FEATURE: u8 = 1;
    pub(super) const SET_FEATURE: u8 = 3;
    pub(super) const SET_ADDRESS: u8 = 5;
    pub(super) const GET_DESCRIPTOR: u8 = 6;
    pub(super) const GET_CONFIGURATION: u8 = 8;
    pub(super) const SET_CONFIGURATION: u8 = 9;
    pub(super) const GET_INTERFACE: u8 = 10;
    pub(super) const SET_INTERFACE: u8 = 11;
}

/// bRequest of the class requests (HID 1.11 §7.2).
mod hid {
    pub(super) const GET_REPORT: u8 = 0x01;
    pub(super) const GET_IDLE: u8 = 0x02;
    pub(super) const GET_PROTOCOL: u8 = 0x03;
    pub(super) const SET_REPORT: u8 = 0x09;
    pub(super) const SET_IDLE: u8 = 0x0a;
    pub(super) const SET_PROTOCOL: u8 = 0x0b;
}

/// The feature ENDPOINT_HALT (USB 2.0 table 9-6).
const ENDPOINT_HALT: u16 = 0;
/// The only interface.
const INTERFACE: u16 = 0;
/// wValue of GET_REPORT and SET_REPORT: the report type, and report id 0 for "no ids".
const INPUT_REPORT: u16 = 0x0100;
const OUTPUT_REPORT: u16 = 0x0200;

/// What the device answers to a control request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// The data stage of an IN request; never longer than wLength.
    Data(&'a [u8]),
    /// Done; there is no data to return.
    Done,
    /// Refused.
    Stall,
}

/// What else a control request brought about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// SET_CONFIGURATION: every endpoint but 0 begins anew, so transfers that wait there end.
    /// True if the device is configured now.
    Configured(bool),
    /// The IN endpoint was halted: transfers that wait there stall.
    HaltedIn,
    /// A report came by SET_REPORT.
    Report([u8; REPORT_LEN]),
}

/// The outcome of a control request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Control<'a> {
    /// What the host gets.
    pub answer: Answer<'a>,
    /// What the session has to do.
    pub effect: Effect,
}

impl<'a> Control<'a> {
    const STALL: Self = Self {
        answer: Answer::Stall,
        effect: Effect::None,
    };
    const DONE: Self = Self {
        answer: Answer::Done,
        effect: Effect::None,
    };

    fn data(data: &'a [u8]) -> Self {
        Self {
            answer: Answer::Data(data),
            effect: Effect::None,
        }
    }

    fn done(effect: Effect) -> Self {
        Self {
            answer: Answer::Done,
            effect,
        }
    }
}

/// The device's side of the bus during one attachment.
#[derive(Clone, Debug)]
pub struct Device {
    device_descriptor: [u8; 18],
    configuration_descriptor: [u8; 41],
    strings: Strings,
    configuration: u8,
    /// Whether the host ever sent SET_CONFIGURATION.
    configured_by_host: bool,
    halted_in: bool,
    halted_out: bool,
    idle_rate: u8,
    protocol: u8,
}

impl Device {
    /// A device that was just plugged in.
    #[must_use]
    pub fn new(identity: &Identity) -> Self {
        Self {
            device_descriptor: descriptor::device(identity),
            configuration_descriptor: descriptor::configuration(identity),
            strings: Strings::new(identity),
            configuration: 0,
            configured_by_host: false,
            halted_in: false,
            halted_out: false,
            idle_rate: 0,
            protocol: 1, // HID 1.11 §7.2.6: report protocol
        }
    }

    /// Answers a control request; `data` is the data stage of an OUT request.
    pub fn control(&mut self, setup: Setup, data: &[u8]) -> Control<'_> {
        let outcome = match setup.direction() {
            Direction::In => self.control_in(setup),
            Direction::Out if data.len() == usize::from(setup.length) => {
                self.control_out(setup, data)
            }
            Direction::Out => Control::STALL,
        };
        match outcome.answer {
            // USB 2.0 §9.3.5: never more than the host has room for.
            Answer::Data(data) => Control {
                answer: Answer::Data(data.get(..usize::from(setup.length)).unwrap_or(data)),
                effect: outcome.effect,
            },
            Answer::Done | Answer::Stall => outcome,
        }
    }

    /// Whether a transfer on an interrupt endpoint may go ahead; if not, it stalls.
    ///
    /// Deviation: USB 2.0 §9.1.1.5 wants SET_CONFIGURATION first. Some releases of usbip-win2
    /// complete it on their own, because a device exported by usbipd comes configured; so the
    /// first transfer of a host that never sent it stands for it. The effect says so.
    pub fn open_endpoint(&mut self, direction: Direction) -> (bool, Effect) {
        let mut effect = Effect::None;
        if self.configuration == 0 && !self.configured_by_host {
            self.configured_by_host = true;
            self.configuration = CONFIGURATION_VALUE;
            effect = Effect::Configured(true);
        }
        let halted = match direction {
            Direction::In => self.halted_in,
            Direction::Out => self.halted_out,
        };
        (self.configuration != 0 && !halted, effect)
    }

    fn control_in(&self, setup: Setup) -> Control<'_> {
        match (setup.request_type, setup.request) {
            (request_type::IN_STANDARD_DEVICE, standard::GET_DESCRIPTOR) => {
                self.device_descriptor(setup)
            }
            (request_type::IN_STANDARD_INTERFACE, standard::GET_DESCRIPTOR) => {
                Self::interface_descriptor(setup)
            }
            (request_type::IN_STANDARD_DEVICE, standard::GET_CONFIGURATION) => {
                Control::data(std::slice::from_ref(&self.configuration))
            }
            (request_type::IN_STANDARD_INTERFACE, standard::GET_INTERFACE)
                if self.addresses_interface(setup) =>
            {
                Control::data(&[0])
            }
            // Bus-powered, no remote wakeup (USB 2.0 figure 9-4).
            (request_type::IN_STANDARD_DEVICE, standard::GET_STATUS) => Control::data(&[0, 0]),
            (request_type::IN_STANDARD_INTERFACE, standard::GET_STATUS)
                if self.addresses_interface(setup) =>
            {
                Control::data(&[0, 0])
            }
            (request_type::IN_STANDARD_ENDPOINT, standard::GET_STATUS) => {
                self.endpoint_status(setup)
            }
            (request_type::IN_CLASS_INTERFACE, request) if setup.index == INTERFACE => {
                self.class_in(request, setup)
            }
            // Also SYNCH_FRAME: for isochronous endpoints only.
            _ => Control::STALL,
        }
    }

    fn control_out(&mut self, setup: Setup, data: &[u8]) -> Control<'static> {
        match (setup.request_type, setup.request) {
            // The host controller of the client gives the address; ours knows none.
            (request_type::OUT_STANDARD_DEVICE, standard::SET_ADDRESS) => Control::DONE,
            (request_type::OUT_STANDARD_DEVICE, standard::SET_CONFIGURATION) => {
                self.set_configuration(setup)
            }
            (request_type::OUT_STANDARD_INTERFACE, standard::SET_INTERFACE)
                if self.addresses_interface(setup) && setup.value == 0 =>
            {
                self.halted_in = false;
                self.halted_out = false;
                Control::DONE
            }
            (request_type::OUT_STANDARD_ENDPOINT, standard::CLEAR_FEATURE)
                if setup.value == ENDPOINT_HALT =>
            {
                self.set_halt(setup.index, false)
            }
            (request_type::OUT_STANDARD_ENDPOINT, standard::SET_FEATURE)
                if setup.value == ENDPOINT_HALT =>
            {
                self.set_halt(setup.index, true)
            }
            (request_type::OUT_CLASS_INTERFACE, request) if setup.index == INTERFACE => {
                self.class_out(request, setup, data)
            }
            // Also remote wakeup, test mode and SET_DESCRIPTOR: the device has none of them.
            _ => Control::STALL,
        }
    }

    fn device_descriptor(&self, setup: Setup) -> Control<'_> {
        let [index, descriptor_type] = setup.value.to_le_bytes();
        let descriptor = match (descriptor_type, index) {
            (kind::DEVICE, 0) => Some(self.device_descriptor.as_slice()),
            (kind::CONFIGURATION, 0) => Some(self.configuration_descriptor.as_slice()),
            // Any language: there is one of each string.
            (kind::STRING, index) => self.strings.at(index),
            // Also device qualifier and other-speed configuration, which a full-speed-only
            // device stalls (USB 2.0 §9.6.2), and BOS.
            _ => None,
        };
        descriptor.map_or(Control::STALL, Control::data)
    }

    fn interface_descriptor(setup: Setup) -> Control<'static> {
        let [index, descriptor_type] = setup.value.to_le_bytes();
        match (descriptor_type, index, setup.index) {
            (kind::HID, 0, INTERFACE) => Control::data(&descriptor::HID_DESCRIPTOR),
            (kind::REPORT, 0, INTERFACE) => Control::data(&descriptor::REPORT_DESCRIPTOR),
            _ => Control::STALL,
        }
    }

    /// USB 2.0 §9.4.5: an interface exists in the configured state only.
    fn addresses_interface(&self, setup: Setup) -> bool {
        self.configuration != 0 && setup.index == INTERFACE
    }

    fn endpoint_status(&self, setup: Setup) -> Control<'static> {
        let halted = match Endpoint::at(setup.index) {
            Some(Endpoint::Control) => false,
            Some(Endpoint::In) if self.configuration != 0 => self.halted_in,
            Some(Endpoint::Out) if self.configuration != 0 => self.halted_out,
            Some(Endpoint::In | Endpoint::Out) | None => return Control::STALL,
        };
        Control::data(if halted { &[1, 0] } else { &[0, 0] })
    }

    fn set_halt(&mut self, index: u16, halted: bool) -> Control<'static> {
        match Endpoint::at(index) {
            // The control pipe clears its own stall with the next request, and is never halted
            // by one (USB 2.0 §9.4.9: neither required nor recommended).
            Some(Endpoint::Control) if !halted => Control::DONE,
            Some(Endpoint::In) if self.configuration != 0 => {
                self.halted_in = halted;
                Control::done(if halted {
                    Effect::HaltedIn
                } else {
                    Effect::None
                })
            }
            Some(Endpoint::Out) if self.configuration != 0 => {
                self.halted_out = halted;
                Control::DONE
            }
            Some(Endpoint::Control | Endpoint::In | Endpoint::Out) | None => Control::STALL,
        }
    }

    fn set_configuration(&mut self, setup: Setup) -> Control<'static> {
        // The upper byte of wValue is reserved (USB 2.0 §9.4.7).
        let [value, _] = setup.value.to_le_bytes();
        if value != 0 && value != CONFIGURATION_VALUE {
            return Control::STALL;
        }
        self.configured_by_host = true;
        self.configuration = value;
        self.halted_in = false;
        self.halted_out = false;
        Control::done(Effect::Configured(value != 0))
    }

    fn class_in(&self, request: u8, setup: Setup) -> Control<'_> {
        /// What a host gets that asks for the current input report instead of waiting for one.
        /// HID 1.11 §7.2.1 makes the request mandatory, CTAPHID has no current report, and
        /// every client ignores channel 0.
        const NO_REPORT: [u8; REPORT_LEN] = [0; REPORT_LEN];
        match (request, setup.value) {
            (hid::GET_REPORT, INPUT_REPORT) => Control::data(&NO_REPORT),
            (hid::GET_IDLE, _) => Control::data(std::slice::from_ref(&self.idle_rate)),
            (hid::GET_PROTOCOL, _) => Control::data(std::slice::from_ref(&self.protocol)),
            _ => Control::STALL,
        }
    }

    fn class_out(&mut self, request: u8, setup: Setup, data: &[u8]) -> Control<'static> {
        let [low, high] = setup.value.to_le_bytes();
        match (request, setup.value) {
            // As on the interrupt endpoint, which does not exist before the configuration.
            (hid::SET_REPORT, OUTPUT_REPORT) if self.configuration != 0 && !data.is_empty() => {
                match report(data) {
                    Some(report) => Control::done(Effect::Report(report)),
                    None => Control::STALL,
                }
            }
            (hid::SET_IDLE, _) => {
                self.idle_rate = high; // kept for GET_IDLE: there is no report to repeat
                Control::DONE
            }
            (hid::SET_PROTOCOL, 0 | 1) => {
                self.protocol = low;
                Control::DONE
            }
            _ => Control::STALL,
        }
    }
}

/// The endpoint that wIndex names (USB 2.0 figure 9-2).
enum Endpoint {
    Control,
    In,
    Out,
}

impl Endpoint {
    fn at(index: u16) -> Option<Self> {
        let [address, reserved] = index.to_le_bytes();
        match (address, reserved) {
            (0x00 | 0x80, 0) => Some(Self::Control),
            (ENDPOINT_IN, 0) => Some(Self::In),
            (ENDPOINT_OUT, 0) => Some(Self::Out),
            _ => None,
        }
    }
}

/// A report from what the host sent: a shorter one is filled with zeros, since all of ours have
/// one size; a longer one is none.
fn report(data: &[u8]) -> Option<[u8; REPORT_LEN]> {
    let mut report = [0; REPORT_LEN];
    report.get_mut(..data.len())?.copy_from_slice(data);
    Some(report)
}
