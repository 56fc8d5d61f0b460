//! The status files of vhci_hcd: a heading, then a line for each port, like
//! `hs  0000 004 000 00000000 000000 0-0`.

use crate::usbip::urb::DevId;

/// VDEV_ST_NULL of drivers/usb/usbip/usbip_common.h: nothing is there.
const FREE: u32 = 4;
/// What stands where a device has no address.
const NO_DEVICE: &str = "0-0";
/// The hub of low, full and high speed.
const HIGH_SPEED: &str = "hs";

/// A port that full-speed devices can have.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PortStatus {
    pub(super) number: u16,
    status: u32,
    /// 0 if none is there, or it has no address yet.
    devid: DevId,
    /// What this machine calls the USB device there; `0-0` where it has no address yet.
    busid: String,
}

impl PortStatus {
    pub(super) fn is_free(&self) -> bool {
        self.status == FREE
    }

    /// The USB device there, by this machine's name.
    pub(super) fn device(&self) -> Option<&str> {
        (!self.is_free() && self.busid != NO_DEVICE).then_some(&self.busid)
    }

    /// Whether this device is there, as far as can be seen: one that has no address yet has no
    /// name either.
    pub(super) fn may_have(&self, devid: DevId) -> bool {
        !self.is_free() && (self.devid == devid || self.devid == DevId(0))
    }
}

/// Reads a file; leaves out what is no such port.
pub(super) fn parse(text: &str) -> impl Iterator<Item = PortStatus> {
    text.lines().filter_map(parse_line)
}

fn parse_line(line: &str) -> Option<PortStatus> {
    let mut fields = line.split_ascii_whitespace();
    if fields.next()? != HIGH_SPEED {
        return None;
    }
    let number = fields.next()?.parse().ok()?;
    let status = fields.next()?.parse().ok()?;
    // After the speed.
    let devid = u32::from_str_radix(fields.nth(1)?, 16).ok()?;
    // After the socket.
    let busid = fields.nth(1).unwrap_or(NO_DEVICE).to_owned();
    Some(PortStatus {
        number,
        status,
        devid: DevId(devid),
        busid,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Linux 6.1 writes it, with fewer ports than Debian's 15: a key at port 0, one at port 1
    /// that has no address yet, and what is left of a dead one at port 2.
    const FIRST: &str = "\
hub port sta spd dev      sockfd local_busid
hs  0000 006 002 00010001 000009 3-1
hs  0001 005 000 00000000 000000 0-0
hs  0002 007 000 00000000 000000 0-0
hs  0003 004 000 00000000 000000 0-0
ss  0015 004 000 00000000 000000 0-0
ss  0016 006 005 00020003 000011 4-2
";
    /// Its second controller.
    const SECOND: &str = "\
hub port sta spd dev      sockfd local_busid
hs  0030 004 000 00000000 000000 0-0
ss  0045 004 000 00000000 000000 0-0
";
    /// A controller that is not ready: the socket has as many digits as a pointer.
    const NOT_READY: &str = "\
hub port sta spd dev      sockfd local_busid
hs  0060 005 000 00000000 0000000000000000 0-0
";

    fn ports(text: &str) -> Vec<(u16, bool)> {
        parse(text)
            .map(|port| (port.number, port.is_free()))
            .collect()
    }

    #[test]
    fn only_high_speed_ports_count_and_only_unused_are_free() {
        let first = [(0, false), (1, false), (2, false), (3, true)];
        assert_eq!(ports(FIRST), first);
        assert_eq!(ports(SECOND), [(30, true)]);
        assert_eq!(ports(NOT_READY), [(60, false)]);
    }

    #[test]
    fn device_is_named_once_it_has_an_address() {
        let first = parse(FIRST).map(|port| port.device().map(str::to_owned));
        let expected = [Some("3-1".to_owned()), None, None, None];
        assert_eq!(first.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn device_at_a_port_is_told_from_another() {
        let first: Vec<_> = parse(FIRST).collect();
        assert!(first[0].may_have(DevId::new(1, 1)));
        assert!(!first[0].may_have(DevId::new(1, 2)));
        assert!(first[1].may_have(DevId::new(1, 2)), "no address yet");
        assert!(!first[3].may_have(DevId::new(1, 1)), "free");
    }

    #[test]
    fn what_is_no_line_is_left_out() {
        for text in [
            "",
            "\n\n",
            "hs",
            "hs 0 4",
            "hs 0 4 0",
            "hs  99999 004 000 00000000 000000 0-0",
            "hs  -001 004 000 00000000 000000 0-0",
            "hs  0001 xxx 000 00000000 000000 0-0",
            "hs  0001 004 000 100000000 000000 0-0",
            "0000 004 000 00000000 0000000000000000 0-0",
        ] {
            assert_eq!(ports(text), [], "{text}");
        }
    }
}
