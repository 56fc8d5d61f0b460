//! Answers as Linux 6.18 gives them, and the sockets of this process.

use std::net::{TcpListener, TcpStream};

use super::super::find_owner;
use super::*;

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// An answer about this connection.
fn answer(own: &str, remote: &str, state: u8, uid: u32, inode: u32) -> [Word; ANSWERED] {
    let asked = request(at(own), at(remote));
    let mut words = [[0; 4]; ANSWERED];
    words[..2].copy_from_slice(&asked[..2]);
    words[4] = [asked[4][0], state, 0, 0];
    words[5..16].copy_from_slice(&asked[6..17]);
    words[20] = uid.to_ne_bytes();
    words[21] = inode.to_ne_bytes();
    words
}

#[test]
fn answer_about_the_connection_names_its_user() {
    for (own, remote) in [
        ("127.0.0.1:50000", "127.0.0.1:3240"),
        ("[::1]:50000", "[2001:db8::7]:3240"),
    ] {
        let words = answer(own, remote, 1, 1_000, 9);
        assert_eq!(parse(&words, at(own), at(remote)), Some(1_000));
        assert_eq!(parse(&words, at(remote), at(own)), None, "the other end");
        assert_eq!(parse(&words, at("127.0.0.1:1"), at(remote)), None);
    }
}

#[test]
fn mapped_and_plain_ipv4_are_one() {
    let plain = ("127.0.0.1:50000", "127.0.0.1:3240");
    let mapped = ("[::ffff:127.0.0.1]:50000", "[::ffff:127.0.0.1]:3240");
    assert_eq!(
        request(at(mapped.0), at(mapped.1)),
        request(at(plain.0), at(plain.1))
    );
    // A socket of IPv6 is answered as such.
    let mut words = answer(plain.0, plain.1, 1, 7, 9);
    words[4][0] = FAMILIES.1;
    for end in [6, 10] {
        let v4 = words[end];
        words[end..end + 4].copy_from_slice(&[[0; 4], [0; 4], [0, 0, 0xff, 0xff], v4]);
    }
    for (own, remote) in [plain, mapped] {
        assert_eq!(parse(&words, at(own), at(remote)), Some(7));
    }
}

#[test]
fn answer_that_proves_nothing_names_nobody() {
    let (own, remote) = ("127.0.0.1:50000", "127.0.0.1:3240");
    let good = answer(own, remote, 1, 0, 9);
    assert_eq!(parse(&good, at(own), at(remote)), Some(0));
    let closed = answer(own, remote, 1, 0, 0);
    let listens = answer(own, remote, 10, 0, 9);
    let waits = answer(own, remote, 8, 0, 9);
    let mut error = good;
    error[1] = [2, 0, 0, 0];
    let mut family = good;
    family[4][0] = 1;
    for words in [closed, listens, waits, error, family] {
        assert_eq!(parse(&words, at(own), at(remote)), None);
    }
}

#[test]
fn socket_of_this_process_is_ours_until_it_is_closed() {
    let me = rustix::process::geteuid().as_raw();
    for listen in ["127.0.0.1:0", "[::1]:0", "[::]:0"] {
        let Ok(listener) = TcpListener::bind(listen) else {
            assert_ne!(listen, "127.0.0.1:0"); // a machine without IPv6
            continue;
        };
        let port = listener.local_addr().unwrap().port();
        let to = match listen {
            "[::1]:0" => "[::1]",
            _ => "127.0.0.1",
        };
        let peer = TcpStream::connect(format!("{to}:{port}")).unwrap();
        let (here, own) = listener.accept().unwrap();
        let remote = here.local_addr().unwrap();
        // A kernel without it leaves the answer to /proc/net/tcp.
        assert_eq!(find_owner(own, remote), Some(me), "{listen}");
        assert!([None, Some(me)].contains(&owner(own, remote)), "{listen}");
        drop(peer);
        assert_eq!(owner(own, remote), None, "{listen}");
    }
}
