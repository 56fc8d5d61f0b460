//! What the kernel has: modules.dep(5), modules.builtin, /proc/modules, its configuration; then
//! vhci-hcd and uhid.

use roamkey_transport::{uhid::UhidError, vhci, vhci::VhciError};

use super::{Check, INSTALL_RULES, State, System};
use crate::cli::table::count;

/// Where vhci_hcd shows itself.
const VHCI: &str = "/sys/devices/platform/vhci_hcd.0";
const VHCI_OPTION: &str = "CONFIG_USBIP_VHCI_HCD";
const UHID_OPTION: &str = "CONFIG_UHID";

/// How a kernel has a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Module {
    BuiltIn,
    Loaded,
    /// It is a file that can be loaded.
    Available,
    Absent,
    /// Neither the files nor the configuration are in sight, as in a container.
    Unknown,
}

pub(super) struct Kernel {
    release: String,
    /// ID and ID_LIKE of os-release(5).
    distribution: String,
    loaded: String,
    files: Option<String>,
    built_in: Option<String>,
    config: Option<String>,
}

impl Kernel {
    pub(super) fn of(system: &System) -> Self {
        let release = system
            .read("/proc/sys/kernel/osrelease")
            .unwrap_or_default();
        let release = release.trim().to_owned();
        let of_modules = |name| system.read(&format!("/lib/modules/{release}/{name}"));
        let config = system.read(&format!("/boot/config-{release}"));
        let config = config.or_else(|| {
            let packed = system.exists("/proc/config.gz");
            packed.then(|| system.run("gzip", &["-dc", "/proc/config.gz"]))?
        });
        let about = system.read("/etc/os-release").unwrap_or_default();
        let is_id = |line: &&str| line.starts_with("ID=") || line.starts_with("ID_LIKE=");
        Self {
            distribution: about.lines().filter(is_id).collect(),
            loaded: system.read("/proc/modules").unwrap_or_default(),
            files: of_modules("modules.dep"),
            built_in: of_modules("modules.builtin"),
            config,
            release,
        }
    }

    pub(super) fn release(&self) -> &str {
        &self.release
    }

    /// What the configuration says of an option: y, m or nothing; `None` where it is not in sight.
    pub(super) fn option(&self, option: &str) -> Option<char> {
        let config = self.config.as_ref()?;
        let value = config
            .lines()
            .find_map(|line| line.strip_prefix(option)?.strip_prefix('='));
        Some(value.and_then(|value| value.chars().next()).unwrap_or('n'))
    }

    /// How it has a module that this option is for.
    pub(super) fn module(&self, name: &str, option: &str) -> Module {
        let underscored = name.replace('-', "_");
        let mut loaded = self
            .loaded
            .lines()
            .filter_map(|line| line.split(' ').next());
        if loaded.any(|name| name == underscored) {
            return Module::Loaded;
        }
        let lists = |text: &str| {
            text.contains(&format!("/{name}.ko")) || text.contains(&format!("/{underscored}.ko"))
        };
        let configured = self.option(option);
        if configured == Some('y') || self.built_in.as_deref().is_some_and(lists) {
            return Module::BuiltIn;
        }
        match (&self.files, configured) {
            (Some(files), _) if lists(files) => Module::Available,
            (Some(_), _) | (None, Some('n')) => Module::Absent,
            (None, _) => Module::Unknown,
        }
    }

    /// Whether it is one of Debian's -cloud- kernels.
    fn is_debian_cloud(&self) -> bool {
        self.release.contains("-cloud-")
    }

    /// Whether it is the kernel of Azure's x86 machines, which hosted CI runs on.
    fn is_azure(&self) -> bool {
        self.release.ends_with("-azure") && cfg!(target_arch = "x86_64")
    }

    /// Whether modules that were configured and are not there are in Ubuntu's package of more.
    /// WSL2 runs Ubuntu's programs over a kernel of Microsoft's.
    fn is_ubuntu(&self) -> bool {
        self.distribution.contains("ubuntu") && !self.is_microsoft()
    }

    pub(super) fn is_microsoft(&self) -> bool {
        self.release.to_lowercase().contains("microsoft")
    }

    /// A module that is not in it, and how to get one.
    pub(super) fn absent(&self, name: &str, option: &str) -> Check {
        let release = &self.release;
        let found = format!("not in this kernel ({release})");
        let check = Check::new(name, State::Failed, found);
        let is_usb = name != "uhid";
        if self.is_debian_cloud() && is_usb {
            let architecture = release.rsplit('-').next().unwrap_or("amd64");
            return check
                .advice(
                    "Debian's -cloud- kernels have no USB. Use UHID, or install another kernel \
                     and boot it:",
                )
                .command(format!("sudo apt-get install linux-image-{architecture}"));
        }
        if self.is_azure() && is_usb {
            return check.advice(
                "Nothing: this kernel, that of hosted CI, has no package with it. Use UHID \
                 (--backend uhid).",
            );
        }
        if self.is_microsoft() {
            return check
                .advice("WSL2's kernel has vhci-hcd since 6.6. Type this in Windows:")
                .command("wsl.exe --update");
        }
        if self.is_ubuntu() && self.option(option) != Some('n') {
            return check
                .advice("It is in a package of its own:")
                .command(format!(
                    "sudo apt-get install linux-modules-extra-{release} && sudo modprobe {name}"
                ));
        }
        check.advice("Nothing in this kernel: boot one that has the module.")
    }

    /// A module that nothing is known of: whether it is there is found out by loading it.
    fn unknown(&self, name: &str) -> Check {
        let found = format!(
            "not loaded, and the modules of {} are not in sight",
            self.release
        );
        Check::new(name, State::Failed, found)
            .advice("In a container, load it outside:")
            .command(format!("sudo modprobe {name}"))
    }
}

/// USB/IP into this kernel.
pub(super) fn usbip(system: &System, kernel: &Kernel) -> Vec<Check> {
    let module = kernel.module("vhci-hcd", VHCI_OPTION);
    let mut checks = Vec::new();
    if system.exists(&format!("{VHCI}/status")) {
        let how = match module {
            Module::Loaded => "loaded",
            Module::BuiltIn => "built in",
            Module::Available | Module::Absent | Module::Unknown => "there",
        };
        checks.extend([Check::ok("vhci-hcd", how), free_ports(system)]);
    } else {
        checks.push(match module {
            Module::Loaded | Module::BuiltIn => {
                let found = format!("there, but {VHCI} is not in sight");
                Check::new("vhci-hcd", State::Failed, found)
                    .advice("In a container, mount the machine's /sys. Otherwise load it anew:")
                    .command("sudo modprobe -r vhci-hcd && sudo modprobe vhci-hcd")
            }
            Module::Available => Check::failed_by("vhci-hcd", &VhciError::NotLoaded),
            Module::Absent => kernel.absent("vhci-hcd", VHCI_OPTION),
            Module::Unknown => kernel.unknown("vhci-hcd"),
        });
    }
    checks.push(match system.is_root() {
        true => Check::ok("root", "this process may attach"),
        false => Check {
            state: State::Warning,
            ..Check::failed_by("root", &VhciError::NotRoot)
        },
    });
    checks.push(tool(system));
    checks
}

fn free_ports(system: &System) -> Check {
    let name = "free ports";
    match vhci::free_ports(&system.path(VHCI)) {
        Ok(0) => Check::failed_by(name, &VhciError::NoFreePort),
        Ok(free) => Check::ok(name, count(free, "port")),
        Err(why) => Check::new(name, State::Warning, why.to_string()),
    }
}

fn tool(system: &System) -> Check {
    let path = system.env("PATH").unwrap_or_default();
    // A user's PATH may lack what is for root.
    let directories = path.split(':').chain(["/usr/sbin", "/sbin"]);
    let mut files = directories.map(|directory| format!("{directory}/usbip"));
    match files.find(|file| file.starts_with('/') && system.exists(file)) {
        Some(file) => Check::ok("usbip tool", file),
        None => Check::not_applicable(
            "usbip tool",
            "none, and none is needed: roamkey attaches by itself",
        ),
    }
}

/// Keys that are HID devices without USB.
pub(super) fn uhid(system: &System, kernel: &Kernel) -> Vec<Check> {
    let module = kernel.module("uhid", UHID_OPTION);
    let node = system.exists("/dev/uhid");
    let module = match module {
        Module::Loaded => Check::ok("uhid", "loaded"),
        Module::BuiltIn => Check::ok("uhid", "built in"),
        Module::Available if node => Check::ok("uhid", "a module that the first use loads"),
        Module::Available => Check::new("uhid", State::Failed, "a module that is not loaded")
            .command("sudo modprobe uhid"),
        Module::Absent => kernel.absent("uhid", UHID_OPTION),
        Module::Unknown if node => Check::ok("uhid", "there, by its device node"),
        Module::Unknown => kernel.unknown("uhid"),
    };
    let name = "/dev/uhid";
    let may = system.may_write(name);
    let node = match (node, module.state) {
        (_, State::Failed) => Check::not_applicable(name, "without uhid nothing is behind it"),
        (false, _) => Check::new(name, State::Failed, "missing, though the kernel has uhid")
            .advice("In a container, start that with --device /dev/uhid. Otherwise:")
            .command("sudo modprobe uhid && sudo udevadm trigger --settle /dev/uhid"),
        (true, _) if may => Check::ok(name, "this user may open it"),
        (true, _) => not_allowed(system),
    };
    vec![module, node]
}

fn not_allowed(system: &System) -> Check {
    const TRIGGER: &str = "sudo udevadm trigger --settle /dev/uhid";
    let check = Check::failed_by("/dev/uhid", &UhidError::NotAllowed);
    if system.exists("/etc/udev/rules.d/70-roamkey.rules") {
        return check
            .advice(
                "roamkey's udev rules are installed. If this user sits at the machine, apply \
                     them; over ssh, use the lines for a group that they end with:",
            )
            .command(TRIGGER);
    }
    check
        .advice("Install roamkey's udev rules (scripts/udev in its sources), or run it with sudo:")
        .command(format!("{INSTALL_RULES} && {TRIGGER}"))
}
