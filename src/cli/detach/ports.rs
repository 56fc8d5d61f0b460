//! The keys that this machine has through vhci_hcd, whoever attached them: its ports, and what
//! sysfs says of the USB devices there.

use std::path::PathBuf;

/// Where vhci_hcd shows itself.
#[cfg(target_os = "linux")]
const VHCI: &str = "sys/devices/platform/vhci_hcd.0";
#[cfg(target_os = "linux")]
const USB: &str = "sys/bus/usb/devices";

/// A device at a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Device {
    pub(in crate::cli) port: u16,
    pub(in crate::cli) serial: String,
    /// Whether it says that it is one of roamkey's.
    pub(in crate::cli) is_roamkey: bool,
}

/// The ports of a machine.
pub(in crate::cli) struct Ports {
    /// Where its files are.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "there are none"))]
    root: PathBuf,
}

impl Ports {
    /// Of this machine.
    pub(in crate::cli) fn this() -> Self {
        Self::of(PathBuf::from("/"))
    }

    pub(in crate::cli) fn of(root: PathBuf) -> Self {
        Self { root }
    }

    /// What is there.
    #[cfg(target_os = "linux")]
    pub(in crate::cli) fn devices(&self) -> Result<Vec<Device>, String> {
        let ports = roamkey_transport::vhci::devices(&self.root.join(VHCI));
        let ports = ports.map_err(|why| why.to_string())?;
        let devices = ports.into_iter().filter_map(|(port, busid)| {
            let directory = self.root.join(USB).join(&busid);
            let read = |name| {
                let text = std::fs::read_to_string(directory.join(name)).unwrap_or_default();
                text.trim().to_owned()
            };
            let serial = read("serial");
            // pid.codes' test id is other projects' as well; a serial like ours is not.
            let is_test_id = read("idVendor") == "1209" && read("idProduct") == "0001";
            let is_serial = serial.len() == 16
                && serial
                    .bytes()
                    .all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F'));
            let is_roamkey = read("manufacturer") == "roamkey" || is_test_id && is_serial;
            directory.is_dir().then_some(Device {
                port,
                serial,
                is_roamkey,
            })
        });
        Ok(devices.collect())
    }

    /// Takes a device off its port.
    #[cfg(target_os = "linux")]
    pub(in crate::cli) fn detach(&self, device: &Device) -> Result<(), String> {
        let done = roamkey_transport::vhci::detach_in(&self.root.join(VHCI), device.port);
        done.map_err(|why| why.to_string())
    }

    /// There is none.
    #[cfg(not(target_os = "linux"))]
    pub(in crate::cli) fn devices(&self) -> Result<Vec<Device>, String> {
        Ok(Vec::new())
    }

    /// There is none.
    #[cfg(not(target_os = "linux"))]
    pub(in crate::cli) fn detach(&self, _device: &Device) -> Result<(), String> {
        Ok(())
    }
}
