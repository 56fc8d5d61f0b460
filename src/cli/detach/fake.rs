//! A machine's vhci_hcd that is a directory, for tests.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use super::Ports;

/// A directory that is gone with this.
pub(in crate::cli) struct Machine {
    root: PathBuf,
    /// Bus ids by port.
    ports: RefCell<BTreeMap<u16, String>>,
}

impl Machine {
    /// One with free ports.
    pub(in crate::cli) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("roamkey-ports-{}-{number}", std::process::id());
        let machine = Self {
            root: std::env::temp_dir().join(name),
            ports: RefCell::default(),
        };
        machine.write_status();
        machine
    }

    pub(in crate::cli) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    pub(in crate::cli) fn ports(&self) -> Ports {
        Ports::of(self.root.clone())
    }

    fn file(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("one above")).expect("directories");
        fs::write(path, text).expect("a file");
    }

    /// A key of roamkey's at a port.
    pub(in crate::cli) fn key(&self, port: u16, busid: &str, serial: &str) {
        self.device(port, busid, [serial, "roamkey", "1209", "0001"]);
    }

    /// A device: its serial, manufacturer, vendor and product.
    pub(in crate::cli) fn device(&self, port: u16, busid: &str, facts: [&str; 4]) {
        let names = ["serial", "manufacturer", "idVendor", "idProduct"];
        for (name, fact) in names.into_iter().zip(facts) {
            self.file(
                &format!("sys/bus/usb/devices/{busid}/{name}"),
                &format!("{fact}\n"),
            );
        }
        self.ports.borrow_mut().insert(port, busid.to_owned());
        self.write_status();
    }

    fn write_status(&self) {
        let ports = self.ports.borrow();
        let mut text = "hub port sta spd dev      sockfd local_busid\n".to_owned();
        for port in 0..8 {
            text.push_str(&match ports.get(&port) {
                Some(busid) => format!("hs  {port:04} 006 002 00010001 000009 {busid}\n"),
                None => format!("hs  {port:04} 004 000 00000000 000000 0-0\n"),
            });
        }
        self.file("sys/devices/platform/vhci_hcd.0/status", &text);
        self.file("sys/devices/platform/vhci_hcd.0/detach", "");
    }
}

/// What was written to detach.
pub(in crate::cli) fn detached(machine: &Machine) -> String {
    let path: &Path = &machine.path("sys/devices/platform/vhci_hcd.0/detach");
    fs::read_to_string(path).expect("a file")
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root); // what stays is in the way of nobody
    }
}
