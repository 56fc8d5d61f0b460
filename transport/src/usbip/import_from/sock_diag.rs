//! The user of a TCP socket, as the kernel finds it by its two ends (sock_diag(7)).
//!
//! One message each way, however many sockets there are: /proc/net/tcp lists all of them each
//! time, which takes minutes where 10,000 keys are attached. Deliberately absent: which of the
//! reasons for no answer it was. A kernel may be built without it or forbid it, and says the same
//! then as where there is no such socket.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType,
    netlink::{SOCK_DIAG, SocketAddrNetlink},
    recvfrom, sendto, socket_with,
};

use super::proc_net::canonical;

/// SOCK_DIAG_BY_FAMILY of linux/sock_diag.h.
const BY_FAMILY: u16 = 20;
/// NLM_F_REQUEST of linux/netlink.h: about one socket.
const REQUEST: u16 = 1;
/// IPPROTO_TCP.
const TCP: u8 = 6;
/// TCP_ESTABLISHED.
const ESTABLISHED: u8 = 1;
/// INET_DIAG_NOCOOKIE of linux/inet_diag.h: the socket with these ends, whichever it is.
const NO_COOKIE: [u8; 4] = [0xff; 4];
/// AF_INET and AF_INET6.
const FAMILIES: (u8, u8) = (2, 10);

type Word = [u8; 4];
/// nlmsghdr and inet_diag_req_v2.
const ASKED: usize = 18;
/// nlmsghdr and inet_diag_msg, without attributes: none is asked for.
const ANSWERED: usize = 22;

/// Who made the socket with this own address and this peer; None if the kernel does not say.
pub(super) fn owner(own: SocketAddr, remote: SocketAddr) -> Option<u32> {
    ask(own, remote).ok().flatten()
}

fn ask(own: SocketAddr, remote: SocketAddr) -> Result<Option<u32>, Errno> {
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        Some(SOCK_DIAG),
    )?;
    let kernel = SocketAddrNetlink::new(0, 0);
    let request = request(own, remote);
    sendto(&socket, request.as_flattened(), SendFlags::empty(), &kernel)?;
    // The answer is there when the question has been sent.
    let mut answer = [0; 512];
    let (_, _, from) = recvfrom(&socket, &mut answer, RecvFlags::DONTWAIT)?;
    let from = from.map(SocketAddrNetlink::try_from).transpose()?;
    if from != Some(kernel) {
        return Ok(None);
    }
    let (words, _) = answer.as_chunks();
    Ok(words
        .first_chunk()
        .and_then(|words| parse(words, own, remote)))
}

fn request(own: SocketAddr, remote: SocketAddr) -> [Word; ASKED] {
    let [own, remote] = [canonical(own), canonical(remote)];
    let family = match own.0 {
        IpAddr::V4(_) => FAMILIES.0,
        IpAddr::V6(_) => FAMILIES.1,
    };
    let length = 4 * u32::try_from(ASKED).unwrap_or(u32::MAX); // it is 72
    let pair = |[a, b]: [u8; 2], [c, d]: [u8; 2]| [a, b, c, d];
    let ([s0, s1, s2, s3], [d0, d1, d2, d3]) = (words_of(own.0), words_of(remote.0));
    [
        length.to_ne_bytes(),
        pair(BY_FAMILY.to_ne_bytes(), REQUEST.to_ne_bytes()),
        [0; 4], // its number: there is no other question
        [0; 4], // the kernel knows whose it is
        [family, TCP, 0, 0],
        (1_u32 << ESTABLISHED).to_ne_bytes(),
        pair(own.1.to_be_bytes(), remote.1.to_be_bytes()),
        s0,
        s1,
        s2,
        s3,
        d0,
        d1,
        d2,
        d3,
        [0; 4], // any interface
        NO_COOKIE,
        NO_COOKIE,
    ]
}

/// The user in an answer, if it is about this connection and a program still holds it: the kernel
/// also finds one that listens there, and of one that was closed it says user 0.
fn parse(words: &[Word; ANSWERED], own: SocketAddr, remote: SocketAddr) -> Option<u32> {
    let [_, kind, _, _, head, ports, rest @ ..] = words;
    let [s0, s1, s2, s3, d0, d1, d2, d3, _, _, _, _, _, _, uid, inode] = rest;
    let [k0, k1, _, _] = *kind;
    let [family, state, _, _] = *head;
    if u16::from_ne_bytes([k0, k1]) != BY_FAMILY || state != ESTABLISHED || *inode == [0; 4] {
        return None;
    }
    let [own_high, own_low, remote_high, remote_low] = *ports;
    let ends = [
        (
            address(family, [*s0, *s1, *s2, *s3])?,
            u16::from_be_bytes([own_high, own_low]),
        ),
        (
            address(family, [*d0, *d1, *d2, *d3])?,
            u16::from_be_bytes([remote_high, remote_low]),
        ),
    ];
    (ends == [canonical(own), canonical(remote)]).then(|| u32::from_ne_bytes(*uid))
}

fn words_of(ip: IpAddr) -> [Word; 4] {
    match ip {
        IpAddr::V4(ip) => [ip.octets(), [0; 4], [0; 4], [0; 4]],
        IpAddr::V6(ip) => {
            let mut words = [[0; 4]; 4];
            words.as_flattened_mut().copy_from_slice(&ip.octets());
            words
        }
    }
}

fn address(family: u8, words: [Word; 4]) -> Option<IpAddr> {
    let [first, ..] = words;
    match family {
        _ if family == FAMILIES.0 => Some(Ipv4Addr::from(first).into()),
        _ if family == FAMILIES.1 => {
            let octets = words.as_flattened().first_chunk::<16>()?;
            Some(Ipv6Addr::from(*octets).to_canonical())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
