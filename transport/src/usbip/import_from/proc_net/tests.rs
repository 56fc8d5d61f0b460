//! Lines as a little-endian Linux 6.1 writes them, and the sockets of this process.

use std::net::{TcpListener, TcpStream};

use super::*;

const HEADING: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode                                                     \n";
const HEADING_6: &str = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

/// The address fields of a line, on a processor of either byte order.
fn address(text: &str) -> String {
    let (ip, port) = text.rsplit_once(':').unwrap();
    let port: u16 = port.parse().unwrap();
    let ip: IpAddr = ip.trim_matches(['[', ']']).parse().unwrap();
    let octets = match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let words = octets
        .chunks(4)
        .map(|word| u32::from_ne_bytes(word.try_into().unwrap()));
    let words: String = words.map(|word| format!("{word:08X}")).collect();
    format!("{words}:{port:04X}")
}

fn line(own: &str, remote: &str, state: &str, uid: u32, inode: u32) -> String {
    let (own, remote) = (address(own), address(remote));
    format!(
        "   1: {own} {remote} {state} 00000000:00000000 02:000A7214 00000000 {uid:5}        0 {inode} 2 0000000000000000 20 4 30 10 -1\n"
    )
}

fn find_in(text: &str, own: &str, remote: &str) -> Option<u32> {
    let (own, remote) = (own.parse().unwrap(), remote.parse().unwrap());
    find(text.as_bytes(), own, remote).unwrap()
}

#[test]
#[cfg(target_endian = "little")]
fn line_of_linux_is_read() {
    let text = format!(
        "{HEADING}   0: 0100007F:0CA8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 21417 1 0000000000000000 100 0 0 10 0\n   1: 0100007F:D2F4 0100007F:0CA8 01 00000000:00000000 00:00000000 00000000  1000        0 31337 1 0000000000000000 20 4 30 10 -1\n"
    );
    let found = find_in(&text, "127.0.0.1:54004", "127.0.0.1:3240");
    assert_eq!(found, Some(1000));
    assert_eq!(
        find_in(&text, "127.0.0.1:3240", "0.0.0.0:0"),
        None,
        "it listens"
    );
}

#[test]
fn both_ends_must_match() {
    let text = [
        HEADING.to_owned(),
        line("127.0.0.1:3240", "127.0.0.1:50000", "01", 1, 11),
        line("127.0.0.1:50000", "127.0.0.1:3241", "01", 2, 12),
        line("127.0.0.2:50000", "127.0.0.1:3240", "01", 3, 13),
        line("127.0.0.1:50000", "127.0.0.1:3240", "01", 4, 14),
    ]
    .concat();
    assert_eq!(find_in(&text, "127.0.0.1:50000", "127.0.0.1:3240"), Some(4));
    assert_eq!(find_in(&text, "127.0.0.1:50001", "127.0.0.1:3240"), None);
}

#[test]
fn mapped_and_plain_ipv4_are_one() {
    let mapped = [
        HEADING_6.to_owned(),
        line("[::1]:50000", "[::1]:3240", "01", 5, 11),
        line(
            "[::ffff:127.0.0.1]:50000",
            "[::ffff:127.0.0.1]:3240",
            "01",
            6,
            12,
        ),
    ]
    .concat();
    let plain = line("127.0.0.1:50000", "127.0.0.1:3240", "01", 7, 11);
    let (own, remote) = ("[::ffff:127.0.0.1]:50000", "[::ffff:127.0.0.1]:3240");
    assert_eq!(find_in(&mapped, "[::1]:50000", "[::1]:3240"), Some(5));
    assert_eq!(
        find_in(&mapped, "127.0.0.1:50000", "127.0.0.1:3240"),
        Some(6)
    );
    assert_eq!(find_in(&mapped, own, remote), Some(6));
    assert_eq!(find_in(&plain, own, remote), Some(7));
}

#[test]
fn closed_connection_is_nobodys() {
    // As its user closed it: the kernel then says 0.
    for (state, inode) in [("06", 0), ("05", 0), ("01", 0), ("04", 14), ("08", 14)] {
        let text = line("127.0.0.1:50000", "127.0.0.1:3240", state, 0, inode);
        let found = find_in(&text, "127.0.0.1:50000", "127.0.0.1:3240");
        assert_eq!(found, None, "{state} {inode}");
    }
}

#[test]
fn what_is_no_line_is_skipped() {
    let good = line("127.0.0.1:50000", "127.0.0.1:3240", "01", 8, 11);
    for bad in [
        "\n",
        "   0:\n",
        "   0: 0100007F 0100007F:0CA8 01 0:0 0:0 0 1 0 1\n",
        "   0: 0100007F:CA8x 0100007F:0CA8 01 0:0 0:0 0 1 0 1\n",
        "   0: \u{e9}\u{e9}\u{e9}\u{e9}:0CA8 0100007F:0CA8 01 0:0 0:0 0 1 0 1\n",
        "   0: 0000000000000000\u{e9}0000000000000:0CA8 0100007F:0CA8 01 0:0 0:0 0 1 0 1\n",
        "   0: 0100007F:C350 0100007F:0CA8 01 0:0\n",
    ] {
        let text = [bad, &good].concat();
        let found = find_in(&text, "127.0.0.1:50000", "127.0.0.1:3240");
        assert_eq!(found, Some(8), "{bad}");
    }
    assert_eq!(
        find_in(good.trim_end(), "127.0.0.1:50000", "127.0.0.1:3240"),
        Some(8)
    );
}

#[test]
fn thousands_of_sockets_are_read_in_time() {
    let mut text = HEADING.to_owned();
    for port in 1..=u16::MAX {
        text += &line(
            &format!("127.0.0.1:{port}"),
            "127.0.0.1:3240",
            "01",
            port.into(),
            9,
        );
    }
    let started = std::time::Instant::now();
    assert_eq!(
        find_in(&text, "127.0.0.1:65535", "127.0.0.1:3240"),
        Some(65535)
    );
    assert!(started.elapsed() < std::time::Duration::from_secs(5));
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
        assert_eq!(owner(own, remote), Some(me), "{listen}");
        drop(peer);
        assert_eq!(owner(own, remote), None, "{listen}");
    }
}
