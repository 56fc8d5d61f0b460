//! Clients that send nonsense, too little or nothing, while others are served.

use super::*;

#[tokio::test]
async fn unknown_and_malformed_bus_ids_are_no_device() {
    let rig = Rig::new();
    rig.echo(1);
    for id in ["1-2", "2-1", "1-01", "usb1", "1-1.1"] {
        let mut host = Host {
            stream: rig.connect().await,
            n: 1,
        };
        assert_eq!(host.request_import(id.parse().unwrap()).await, 4, "{id}");
        assert!(host.is_closed().await);
    }
    let mut host = Host {
        stream: rig.connect().await,
        n: 1,
    };
    host.write(&[&Request::Import.emit()[..], &[0xff; 32]].concat())
        .await;
    assert_eq!(host.read(8).await, [1, 0x11, 0, 3, 0, 0, 0, 4]);
    assert!(host.is_closed().await);
}

#[tokio::test]
async fn bad_requests_end_their_connection_only() {
    let rig = Rig::new();
    rig.echo(1);
    rig.echo(2);
    let mut good = rig.attach(1).await;
    let urb = good.submit(1, Direction::In, &[]);
    let garbage: Vec<Vec<u8>> = vec![
        urb, // before an import
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0xff; 4096],
        vec![0; 8],
        [1, 0x10, 0x80, 5, 0, 0, 0, 0].to_vec(), // version
        [1, 0x11, 0x80, 5, 0, 0, 0, 1].to_vec(), // status
        [1, 0x11, 0x80, 9, 0, 0, 0, 0].to_vec(), // code
    ];
    for bytes in garbage {
        let mut bad = Host {
            stream: rig.connect().await,
            n: 1,
        };
        bad.write(&bytes).await;
        assert!(bad.is_closed().await, "{bytes:x?}");
        good.exchange(1).await;
    }
    // Short ones: the client goes away within its request.
    for length in [1, 7, 8, 39] {
        let bytes = [&Request::Import.emit()[..], &busid(2).emit()].concat();
        let mut short = Host {
            stream: rig.connect().await,
            n: 2,
        };
        short.write(&bytes[..length]).await;
        short.stream.shutdown().await.unwrap();
        assert!(short.is_closed().await);
    }
    // Bad URBs after an import.
    for bytes in [vec![0xff; 48], vec![0; 48], vec![0xaa; 5000]] {
        let mut bad = rig.attach(2).await;
        bad.write(&bytes).await;
        assert!(bad.is_closed().await);
        good.exchange(2).await;
    }
    rig.attach(2).await.exchange(3).await;
}

#[tokio::test(start_paused = true)]
async fn slow_request_is_cut_off() {
    let rig = Rig::new();
    rig.echo(1);
    let mut slow = Host {
        stream: rig.connect().await,
        n: 1,
    };
    slow.write(&[1, 0x11]).await;
    let started = tokio::time::Instant::now();
    assert!(slow.is_closed().await);
    assert!(started.elapsed() >= Limits::default().request);
    rig.attach(1).await.exchange(1).await;
}

#[tokio::test]
async fn address_in_use_and_missing_allow_list_are_told_apart() {
    let rig = Rig::new();
    let again = Server::bind(rig.address, AllowList::loopback());
    assert!(matches!(again, Err(BindError::AddressInUse(address)) if address == rig.address));
    for open in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "[::ffff:192.0.2.1]:0"] {
        let open = Server::bind(open.parse().unwrap(), AllowList::loopback());
        assert!(matches!(open, Err(BindError::AllowListNeeded(_))));
    }
    let allow = AllowList::new(["10.0.0.0/8".parse::<ipnet::IpNet>().unwrap()]);
    Server::bind("0.0.0.0:0".parse().unwrap(), allow).unwrap();
}

#[tokio::test]
async fn peer_outside_the_allow_list_gets_nothing() {
    let server = Server::bind("127.0.0.1:0".parse().unwrap(), AllowList::nobody()).unwrap();
    let address = server.local_addr().unwrap();
    tokio::spawn(server.run());
    for n in [1, 2] {
        let stream = TcpStream::connect(address).await.unwrap();
        let mut refused = Host { stream, n };
        // The server may have closed before this arrives.
        let _ = refused.stream.write_all(&Request::DevList.emit()).await;
        assert!(refused.is_closed().await);
    }
}
