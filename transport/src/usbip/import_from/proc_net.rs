//! The user of a TCP socket, from /proc/self/net/tcp and tcp6: /proc/net is a link there, which a
//! sandbox may hide (ProcSubset= of systemd.exec(5)).
//!
//! Addresses there are 32-bit words as the processor reads them, in hexadecimal, and the port
//! after a colon. Only an established connection that a program still holds counts: the lines of
//! one that was closed say user 0, whoever had it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::limits::SOCKET_LIST_LIMIT;

const FILES: [&str; 2] = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];
/// The kernel lists its sockets in pieces, and may leave one out that others are opened beside.
const TRIES: usize = 3;
/// TCP_ESTABLISHED.
const ESTABLISHED: &str = "01";

/// Who made the socket with this own address and this peer; None if it is not listed.
pub(super) fn owner(own: SocketAddr, remote: SocketAddr) -> Option<u32> {
    let find = |path: &&str| {
        // Without IPv6 there is no tcp6.
        let file = File::open(path).ok()?;
        find(file.take(SOCKET_LIST_LIMIT), own, remote)
            .ok()
            .flatten()
    };
    (0..TRIES).find_map(|_| FILES.iter().find_map(find))
}

/// Looks for a socket in the text of such a file.
fn find(text: impl Read, own: SocketAddr, remote: SocketAddr) -> io::Result<Option<u32>> {
    let wanted = [canonical(own), canonical(remote)];
    let mut text = BufReader::with_capacity(64 * 1024, text);
    let mut line = String::new();
    loop {
        line.clear();
        if text.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        if let Some(socket) = Socket::parse(&line).filter(|socket| socket.ends == wanted) {
            return Ok(Some(socket.uid));
        }
    }
}

/// IPv4 in IPv6 is IPv4: the two ends of one connection may be of either kind.
pub(super) fn canonical(address: SocketAddr) -> (IpAddr, u16) {
    (address.ip().to_canonical(), address.port())
}

/// A connection that a program holds.
struct Socket {
    /// Its own address and its peer's.
    ends: [(IpAddr, u16); 2],
    uid: u32,
}

impl Socket {
    /// Reads a line; None for the heading, and for every other kind of socket.
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let own = parse_address(fields.next()?)?;
        let remote = parse_address(fields.next()?)?;
        if fields.next()? != ESTABLISHED {
            return None;
        }
        // After tx_queue:rx_queue, tr:tm->when and retrnsmt.
        let uid = fields.nth(3)?.parse().ok()?;
        // After timeout.
        let inode: u64 = fields.nth(1)?.parse().ok()?;
        (inode != 0).then_some(Self {
            ends: [own, remote],
            uid,
        })
    }
}

fn parse_address(text: &str) -> Option<(IpAddr, u16)> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |text: &str| Some(u32::from_str_radix(text, 16).ok()?.to_ne_bytes());
    let ip = match ip.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(ip)?)),
        32 => {
            let mut octets = [0; 16];
            for (index, to) in octets.chunks_exact_mut(4).enumerate() {
                to.copy_from_slice(&word(ip.get(index * 8..index * 8 + 8)?)?);
            }
            IpAddr::V6(Ipv6Addr::from(octets)).to_canonical()
        }
        _ => return None,
    };
    Some((ip, port))
}

#[cfg(test)]
mod tests;
