//! What clients may take: at each bound and one beyond it, over real sockets.

use socket2::SockRef;

use super::*;

/// Connections that wait for nothing but one another: no time limit ends them.
fn limits() -> Limits {
    Limits {
        request: Duration::from_secs(3600),
        grace: Duration::ZERO,
        ..Limits::default()
    }
}

impl Rig {
    fn limited(limits: Limits) -> Self {
        let server = loopback().import_from(ImportFrom::Anyone).unwrap();
        Self::of(server.limits(limits))
    }

    /// Connects, and waits until the server has noticed: it takes connections in their order.
    async fn silent(&self) -> TcpStream {
        self.silent_from("127.0.0.1").await
    }

    async fn silent_from(&self, address: &str) -> TcpStream {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        let from = SocketAddr::new(address.parse().unwrap(), 0);
        socket.bind(from).unwrap();
        socket.connect(self.address).await.unwrap()
    }

    async fn import_from(&self, address: &str, n: u16) -> (Host, u32) {
        let stream = self.silent_from(address).await;
        let mut host = Host { stream, n };
        let status = host.request_import(busid(n)).await;
        (host, status)
    }
}

/// Whether the server has left it open.
fn is_open(stream: &TcpStream) -> bool {
    let mut byte = [0];
    let read = stream.try_read(&mut byte);
    read.is_err_and(|why| why.kind() == io::ErrorKind::WouldBlock)
}

async fn is_closed(stream: TcpStream) -> bool {
    Host { stream, n: 1 }.is_closed().await
}

#[tokio::test]
async fn one_silent_connection_more_than_an_address_may_have_ends_the_oldest() {
    let rig = Rig::limited(Limits {
        requests_per_address: 3,
        ..limits()
    });
    rig.echo(1);
    let mut silent = Vec::new();
    for _ in 0..2 {
        silent.push(rig.silent().await);
    }
    // The third is there while it asks, and none has to go.
    rig.attach(1).await.exchange(1).await;
    silent.push(rig.silent().await);
    assert!(silent.iter().all(is_open));
    let (mut host, status) = rig.import(1).await;
    assert_eq!(status, 0);
    host.read(op::RECORD_LEN).await;
    host.exchange(2).await;
    assert!(is_closed(silent.remove(0)).await);
    assert!(silent.iter().all(is_open));
}

#[tokio::test]
async fn flood_of_silent_connections_keeps_out_no_import_of_the_same_address() {
    let rig = Rig::limited(limits());
    rig.echo(1);
    rig.echo(2);
    let mut attached = rig.attach(2).await;
    let mut silent = Vec::new();
    for turn in 0..8 {
        for _ in 0..Limits::default().requests_per_address {
            silent.push(rig.silent().await);
        }
        rig.attach(1).await.exchange(turn).await;
        attached.exchange(turn).await;
    }
    let left = silent.iter().filter(|stream| is_open(stream)).count();
    assert!(left < Limits::default().requests_per_address, "{left}");
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn full_server_ends_a_connection_of_the_address_that_has_the_most() {
    let rig = Rig::limited(Limits {
        requests: 4,
        ..limits()
    });
    rig.echo(1);
    let honest = rig.silent_from("127.0.0.3").await;
    let mut flood = Vec::new();
    for _ in 0..3 {
        flood.push(rig.silent_from("127.0.0.2").await);
    }
    // At the bound: all are let be until one more comes.
    let (mut host, status) = rig.import_from("127.0.0.4", 1).await;
    assert_eq!(status, 0);
    host.read(op::RECORD_LEN).await;
    assert!(is_closed(flood.remove(0)).await);
    assert!(flood.iter().all(is_open));
    assert!(is_open(&honest), "it was the oldest");
}

#[tokio::test]
async fn slow_readers_of_the_list_give_way_after_silent_connections() {
    let rig = Rig::limited(Limits {
        requests_per_address: 2,
        ..limits()
    });
    // A list that fits into no socket's buffer: 10,000 keys.
    let keys = (1..=10_000).map(|n| rig.exports.add(busid(n), identity()).unwrap());
    let _keys: Vec<_> = keys.collect();
    rig.echo(10_001);
    let mut never_read = Vec::new();
    for _ in 0..2 {
        let mut stream = rig.silent().await;
        SockRef::from(&stream).set_recv_buffer_size(4096).unwrap();
        stream.write_all(&Request::DevList.emit()).await.unwrap();
        stream.readable().await.unwrap(); // it was asked
        never_read.push(stream);
    }
    rig.attach(10_001).await.exchange(1).await;
}

#[tokio::test]
async fn keys_of_an_address_are_bounded_and_others_are_not_held_to_it() {
    let rig = Rig::limited(Limits {
        sessions_per_address: 2,
        ..limits()
    });
    for n in 1..=3 {
        rig.echo(n);
    }
    let mut first = rig.attach(1).await;
    let mut second = rig.attach(2).await;
    let (mut third, status) = rig.import(3).await;
    assert_eq!(status, 1);
    assert!(third.is_closed().await);
    first.exchange(1).await;
    second.exchange(2).await;
    #[cfg(target_os = "linux")]
    {
        let (mut other, status) = rig.import_from("127.0.0.2", 3).await;
        assert_eq!(status, 0);
        other.read(op::RECORD_LEN).await;
        other.exchange(3).await;
        drop(other);
    }
    // A host may have its own key again while its old session is just ending.
    drop(first);
    rig.attach(1).await.exchange(4).await;
}

#[tokio::test]
async fn key_is_free_again_however_its_host_went() {
    let rig = Rig::new();
    let key = rig.echo(1);
    // FIN.
    drop(rig.attach(1).await);
    // RST.
    let host = rig.attach(1).await;
    SockRef::from(&host.stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(host);
    // A violation, by a host that does not go.
    let mut bad = rig.attach(1).await;
    bad.write(&[0xff; 48]).await;
    let mut last = rig.attach(1).await;
    last.exchange(1).await;
    drop(last);
    rig.server.abort();
    let ends = timeout(PATIENCE, key).await.unwrap().unwrap();
    assert_eq!(ends[0], Ended::PeerClosed);
    assert_eq!(ends[1], Ended::Io(io::ErrorKind::ConnectionReset));
    assert!(matches!(ends[2], Ended::Violation(_)), "{}", ends[2]);
}
