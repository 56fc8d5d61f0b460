//! A directory with files like those of sysfs; what is written there stays to be read.

use std::future::poll_fn;
use std::io::Write;
use std::net::TcpStream;
use std::num::NonZeroU16;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::usb::{Identity, IdentityFields};
use crate::usbip::AttachError;
use crate::usbip::urb::DevId;
use crate::{Attachments, Ended, Event};

const HEADING: &str = "hub port sta spd dev      sockfd local_busid\n";

/// Files of vhci_hcd, removed at the end.
struct Sysfs(PathBuf);

impl Sysfs {
    fn new(status: &[&str]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("roamkey-vhci-{}-{count}", std::process::id());
        let sysfs = Self(std::env::temp_dir().join(name));
        fs::create_dir(&sysfs.0).unwrap();
        for (controller, lines) in status.iter().enumerate() {
            let name = match controller {
                0 => "status".to_owned(),
                _ => format!("status.{controller}"),
            };
            sysfs.write(&name, &[HEADING, lines].concat());
        }
        for name in ["attach", "detach"] {
            sysfs.write(name, "");
        }
        sysfs
    }

    fn vhci(&self) -> Vhci {
        Vhci {
            sysfs: self.0.clone(),
        }
    }

    async fn attach(&self, exports: &Exports, busid: &BusId) -> Result<Port, VhciError> {
        let vhci = self.vhci();
        attach_with(exports, busid, |socket, attached| {
            vhci.hand_over(socket, attached)
        })
        .await
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap()
    }
}

impl Drop for Sysfs {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn busid(n: u16) -> BusId {
    BusId::nth(NonZeroU16::new(n).unwrap())
}

fn one_key(n: u16) -> (Exports, Attachments) {
    let exports = Exports::new();
    let identity = Identity::new(IdentityFields::default()).unwrap();
    let attachments = exports.add(busid(n), identity).unwrap();
    (exports, attachments)
}

/// Begins to wait for a report.
fn submit_in(host: &mut impl Write) {
    let mut submit = [0; 48];
    submit[3] = 1; // USBIP_CMD_SUBMIT
    submit[7] = 5; // seqnum
    submit[9..12].copy_from_slice(&[1, 0, 1]); // devid
    submit[15] = 1; // in
    submit[19] = 1; // endpoint
    submit[27] = 64; // transfer_buffer_length
    host.write_all(&submit).unwrap();
}

#[tokio::test]
async fn key_goes_to_the_first_free_port_of_any_controller() {
    let sysfs = Sysfs::new(&[
        "hs  0000 006 002 00010001 000009 3-1\nss  0015 004 000 00000000 000000 0-0\n",
        "hs  0030 005 000 00000000 000000 0-0\nhs  0031 004 000 00000000 000000 0-0\n",
    ]);
    let (exports, mut attachments) = one_key(2);
    let port = sysfs.attach(&exports, &busid(2)).await;
    assert_eq!(port.unwrap().number(), 31);
    let written = sysfs.read("attach");
    let words: Vec<u32> = written
        .split(' ')
        .map(|word| word.parse().unwrap())
        .collect();
    assert!(
        matches!(words[..], [31, _, 0x0001_0002, 2]),
        "PORT SOCKFD DEVID SPEED: {written}"
    );
    let mut transport = attachments.next().await.unwrap();
    assert_eq!(transport.peer(), Peer::Vhci(31));
    // This kernel did not keep its end.
    let ended = poll_fn(|cx| transport.poll_event(cx)).await;
    assert_eq!(ended, Err(Ended::PeerClosed));
}

#[tokio::test]
async fn kernel_speaks_to_the_key_through_the_socket() {
    let sysfs = Sysfs::new(&["hs  0000 004 000 00000000 000000 0-0\n"]);
    let (ours, kernels) = socket::unix_pair().unwrap();
    let attached = Attached {
        devid: DevId::new(1, 1),
        speed: 2,
    };
    let port = sysfs.vhci().hand_over(kernels.as_fd(), attached).unwrap();
    let expected = format!("0 {} 65537 2", kernels.as_raw_fd());
    assert_eq!(sysfs.read("attach"), expected);

    let (exports, mut attachments) = one_key(1);
    let peer = Peer::Vhci(port.number());
    assert_eq!(exports.attach(&busid(1), ours, peer).await, Ok(attached));
    let mut transport = attachments.next().await.unwrap();
    let mut kernels: UnixStream = kernels;
    submit_in(&mut kernels);
    let event = poll_fn(|cx| transport.poll_event(cx)).await;
    assert_eq!(event, Ok(Event::PowerOn));
}

#[tokio::test]
async fn kernel_that_takes_no_unix_socket_gets_tcp() {
    let (exports, mut attachments) = one_key(1);
    let kept = std::cell::RefCell::new(None);
    let kernel = |socket: BorrowedFd<'_>, attached: Attached| {
        let address = socket2::SockRef::from(&socket).local_addr().unwrap();
        if !address.is_ipv4() {
            let refusal = io::Error::from_raw_os_error(EINVAL);
            return Err(VhciError::Io("refused", refusal));
        }
        *kept.borrow_mut() = Some(TcpStream::from(socket.try_clone_to_owned().unwrap()));
        let Attached { devid, .. } = attached;
        Ok(Port { number: 4, devid })
    };
    let port = attach_with(&exports, &busid(1), kernel).await.unwrap();
    assert_eq!(port.number(), 4);
    submit_in(kept.borrow_mut().as_mut().unwrap());
    let mut transport = attachments.next().await.unwrap();
    assert_eq!(transport.peer(), Peer::Vhci(4));
    let event = poll_fn(|cx| transport.poll_event(cx)).await;
    assert_eq!(event, Ok(Event::PowerOn));
}

#[tokio::test]
async fn refused_attach_leaves_the_key_free() {
    let (exports, _attachments) = one_key(1);
    let full = |_: BorrowedFd<'_>, _| Err(VhciError::NoFreePort);
    let refused = attach_with(&exports, &busid(1), full).await;
    assert!(matches!(refused, Err(VhciError::NoFreePort)));
    let (ours, _host) = tokio::io::duplex(64);
    exports.attach(&busid(1), ours, Peer::Local).await.unwrap();
}

#[tokio::test]
async fn key_that_cannot_be_had_is_not_attached() {
    let sysfs = Sysfs::new(&["hs  0000 004 000 00000000 000000 0-0\n"]);
    let refused = sysfs.attach(&Exports::new(), &busid(1)).await;
    assert!(matches!(
        refused,
        Err(VhciError::Key(AttachError::NoSuchKey))
    ));
    assert_eq!(sysfs.read("attach"), "");
}

#[test]
fn port_that_another_program_took_is_passed_over() {
    let mut tried = Vec::new();
    let number = first_taken([0, 1, 2, 3].into_iter(), |number| {
        tried.push(number);
        match number {
            0 | 1 => Err(io::Error::from_raw_os_error(16)), // EBUSY
            _ => Ok(()),
        }
    });
    assert_eq!(number.unwrap(), 2);
    assert_eq!(tried, [0, 1, 2]);
}

#[test]
fn no_free_port_is_said() {
    let busy = |_| Err(io::Error::from_raw_os_error(16));
    for free in [vec![], vec![0, 1]] {
        let outcome = first_taken(free.into_iter(), busy);
        assert!(matches!(outcome, Err(VhciError::NoFreePort)));
    }
}

#[test]
fn other_refusal_ends_the_search() {
    let refused = first_taken([0, 1].into_iter(), |number| {
        assert_eq!(number, 0);
        Err(io::Error::from_raw_os_error(EINVAL))
    });
    assert!(matches!(refused, Err(VhciError::Io(..))));
    let denied = first_taken([0].into_iter(), |_| {
        Err(io::ErrorKind::PermissionDenied.into())
    });
    assert!(matches!(denied, Err(VhciError::NotRoot)));
}

#[test]
fn detach_writes_the_port_only_while_the_device_is_there() {
    let sysfs = Sysfs::new(&[
        "hs  0000 006 002 00010001 000009 3-1\nhs  0001 006 002 00010007 000009 3-1\nhs  0002 004 000 00000000 000000 0-0\n",
    ]);
    let devid = DevId::new(1, 1);
    for number in [1, 2, 9] {
        sysfs.vhci().detach_port(&Port { number, devid }).unwrap();
        assert_eq!(sysfs.read("detach"), "", "{number}");
    }
    let port = Port { number: 0, devid };
    sysfs.vhci().detach_port(&port).unwrap();
    assert_eq!(sysfs.read("detach"), "0");
}

#[test]
fn error_says_what_to_do() {
    let vhci = Vhci {
        sysfs: "/nonexistent/vhci_hcd.0".into(),
    };
    let said = vhci.status().unwrap_err().to_string();
    assert!(said.contains("sudo modprobe vhci-hcd"), "{said}");

    let with = |modules: Option<&'static str>| {
        missing(move |path| match path {
            "/proc/sys/kernel/osrelease" => Some("6.8.0-azure\n".to_owned()),
            "/lib/modules/6.8.0-azure/modules.dep" => modules.map(str::to_owned),
            other => panic!("{other}"),
        })
    };
    let there =
        "kernel/drivers/usb/usbip/vhci-hcd.ko.zst: kernel/drivers/usb/usbip/usbip-core.ko\n";
    assert!(matches!(with(Some(there)), VhciError::NotLoaded));
    assert!(matches!(with(None), VhciError::NotLoaded));
    let absent = with(Some("kernel/drivers/hid/uhid.ko:\n")).to_string();
    for hint in [
        "linux-modules-extra-6.8.0-azure",
        "-cloud-",
        "--backend uhid",
    ] {
        assert!(absent.contains(hint), "{absent}");
    }
    assert!(VhciError::NotRoot.to_string().contains("sudo"));
}
