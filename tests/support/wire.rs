//! USB/IP as a host writes and reads it: headers of 48 bytes, big-endian but for the setup packet.
//!
//! Written from the protocol's description and not from our codec, so that a mistake there shows.

/// Bytes in every URB header.
pub(crate) const HEADER_LEN: usize = 48;
/// -EPIPE: the endpoint stalled.
pub(crate) const STALL: i32 = -32;
/// -ECONNRESET: unlinked before it was answered.
pub(crate) const UNLINKED: i32 = -104;

/// A USBIP_CMD_SUBMIT. What is not here is 0.
pub(crate) struct Submit {
    pub(crate) seqnum: u32,
    pub(crate) devid: u32,
    /// 1 is device to host.
    pub(crate) direction: u32,
    pub(crate) ep: u32,
    pub(crate) flags: u32,
    pub(crate) length: u32,
    pub(crate) number_of_packets: u32,
    pub(crate) interval: u32,
    pub(crate) setup: [u8; 8],
}

impl Submit {
    pub(crate) fn header(&self) -> Vec<u8> {
        let mut bytes = words(&[
            1,
            self.seqnum,
            self.devid,
            self.direction,
            self.ep,
            self.flags,
            self.length,
            0,
            self.number_of_packets,
            self.interval,
        ]);
        bytes.extend(self.setup);
        bytes
    }
}

/// A USBIP_CMD_UNLINK.
pub(crate) fn unlink(seqnum: u32, devid: u32, target: u32) -> Vec<u8> {
    words(&[2, seqnum, devid, 0, 0, target, 0, 0, 0, 0, 0, 0])
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// What a server answers.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) seqnum: u32,
    pub(crate) status: i32,
    pub(crate) body: Body,
}

#[derive(Debug)]
pub(crate) enum Body {
    /// USBIP_RET_SUBMIT; `data` is there for IN only.
    Submit { actual_length: u32, data: Vec<u8> },
    /// USBIP_RET_UNLINK.
    Unlink,
}

/// The header of a reply, before its payload.
pub(crate) struct Head {
    pub(crate) is_submit: bool,
    pub(crate) seqnum: u32,
    pub(crate) status: i32,
    pub(crate) actual_length: u32,
}

impl Head {
    /// Reads a header; what a host would choke on fails the test.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let word = |at: usize| {
            let bytes = bytes[at * 4..][..4].try_into().expect("four bytes");
            u32::from_be_bytes(bytes)
        };
        let is_submit = match word(0) {
            3 => true,
            4 => false,
            other => panic!("a reply with command {other:#x}"),
        };
        for (name, at) in [("devid", 2), ("direction", 3), ("ep", 4)] {
            assert_eq!(word(at), 0, "{name} in a reply");
        }
        if is_submit {
            assert_eq!(word(8), 0, "number_of_packets in a reply");
            assert_eq!(word(9), 0, "error_count in a reply");
        }
        Self {
            is_submit,
            seqnum: word(1),
            status: word(5).cast_signed(),
            actual_length: if is_submit { word(6) } else { 0 },
        }
    }
}

/// The eight bytes of a control request (USB 2.0 §9.3), little-endian.
pub(crate) fn setup(request_type: u8, request: u8, value: u16, index: u16, length: u16) -> [u8; 8] {
    let ([v0, v1], [i0, i1]) = (value.to_le_bytes(), index.to_le_bytes());
    let [l0, l1] = length.to_le_bytes();
    [request_type, request, v0, v1, i0, i1, l0, l1]
}
