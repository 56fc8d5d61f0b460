//! The server over real loopback sockets.

mod bad_input;
#[cfg(target_os = "linux")]
mod import_from;
mod limits;

use std::future::poll_fn;
use std::num::NonZeroU16;
use std::time::Instant;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::*;
use crate::usb::{Direction, Identity, IdentityFields};
use crate::usbip::transcript::{self, Line};
use crate::usbip::urb::{
    Basic, Command, DevId, NOT_ISO, Reply, SeqNum, Status as Urb, Submit, Unlink,
};
use crate::usbip::{AddError, Attachments};
use crate::{Ended, Event, Transport};

/// Long enough for anything that does happen.
const PATIENCE: Duration = Duration::from_secs(10);

fn identity() -> Identity {
    Identity::new(IdentityFields {
        serial: "SN0001".to_owned(),
        ..Default::default()
    })
    .unwrap()
}

fn busid(n: u16) -> BusId {
    BusId::nth(NonZeroU16::new(n).unwrap())
}

fn loopback() -> Server {
    Server::bind("127.0.0.1:0".parse().unwrap(), AllowList::loopback()).unwrap()
}

struct Rig {
    address: SocketAddr,
    exports: Exports,
    server: tokio::task::JoinHandle<io::Result<Infallible>>,
}

impl Rig {
    fn new() -> Self {
        Self::of(loopback())
    }

    fn of(server: Server) -> Self {
        let address = server.local_addr().unwrap();
        let exports = server.exports();
        Self {
            address,
            exports,
            server: tokio::spawn(server.run()),
        }
    }

    /// A key that answers each report with its complement.
    fn echo(&self, n: u16) -> tokio::task::JoinHandle<Vec<Ended>> {
        tokio::spawn(echo(self.exports.add(busid(n), identity()).unwrap()))
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn import(&self, n: u16) -> (Host, u32) {
        let mut host = Host {
            stream: self.connect().await,
            n,
        };
        let status = host.request_import(busid(n)).await;
        (host, status)
    }

    async fn attach(&self, n: u16) -> Host {
        let (mut host, status) = self.import(n).await;
        assert_eq!(status, 0);
        host.read(op::RECORD_LEN).await;
        host
    }
}

async fn echo(mut attachments: Attachments) -> Vec<Ended> {
    let mut ends = Vec::new();
    while let Some(mut transport) = attachments.next().await {
        let mut reports = std::collections::VecDeque::new();
        let ended = loop {
            match poll_fn(|cx| transport.poll_event(cx)).await {
                Ok(Event::Report(report)) => reports.push_back(report.map(|byte| !byte)),
                Ok(Event::PowerOn | Event::ReportWanted | Event::ReportUnwanted) => {}
                Err(ended) => break ended,
            }
            while transport.wants_report() {
                let Some(report) = reports.pop_front() else {
                    break;
                };
                assert!(transport.send_report(&report));
            }
        };
        ends.push(ended);
    }
    ends
}

struct Host {
    stream: TcpStream,
    n: u16,
}

impl Host {
    async fn request_import(&mut self, busid: BusId) -> u32 {
        self.write(&[&Request::Import.emit()[..], &busid.emit()].concat())
            .await;
        let header = self.read(HEADER_LEN).await;
        assert_eq!(header[..4], [1, 0x11, 0, 3]);
        u32::from_be_bytes(*header.last_chunk().unwrap())
    }

    async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    async fn read(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        timeout(PATIENCE, self.stream.read_exact(&mut bytes))
            .await
            .unwrap()
            .unwrap();
        bytes
    }

    /// Whether the server closed the connection, with or without a reset.
    async fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        timeout(PATIENCE, self.stream.read_to_end(&mut rest))
            .await
            .is_ok()
            && rest.is_empty()
    }

    fn submit(&self, seqnum: u32, direction: Direction, data: &[u8]) -> Vec<u8> {
        let devid = DevId::new(1, self.n);
        let command = Command::Submit(Submit {
            basic: Basic {
                seqnum: SeqNum(seqnum),
                devid,
                direction,
                ep: 1,
            },
            transfer_flags: 0,
            transfer_buffer_length: 64,
            start_frame: 0,
            number_of_packets: NOT_ISO,
            interval: 0,
            setup: [0; 8],
        });
        [&command.emit()[..], data].concat()
    }

    async fn reply(&mut self) -> Reply {
        Reply::parse(&self.read(48).await.try_into().unwrap()).unwrap()
    }

    /// One report there and back. The acknowledgement comes first.
    async fn exchange(&mut self, byte: u8) {
        let bytes = [
            self.submit(10, Direction::In, &[]),
            self.submit(11, Direction::Out, &[byte; 64]),
        ];
        self.write(&bytes.concat()).await;
        let status = Urb::OK;
        let reply = |seqnum| Reply::Submit {
            seqnum: SeqNum(seqnum),
            status,
            actual_length: 64,
        };
        assert_eq!(self.reply().await, reply(11));
        assert_eq!(self.reply().await, reply(10));
        assert_eq!(self.read(64).await, [!byte; 64]);
    }
}

#[tokio::test]
async fn transcripts_play_over_a_socket() {
    for text in [transcript::LINUX, transcript::WIN2] {
        let rig = Rig::new();
        let mut attachments = rig.exports.add(busid(1), identity()).unwrap();
        // The key says what it got, and sends a report when told to.
        let (ready, told) = unbounded_channel();
        let (got, mut seen) = unbounded_channel();
        let key = tokio::spawn(async move {
            scripted(attachments.next().await.unwrap(), told, got).await;
        });
        let mut host = Host {
            stream: rig.connect().await,
            n: 1,
        };
        let mut is_out = false;
        for line in transcript::parse(text) {
            match line {
                Line::Client(bytes) => {
                    is_out = bytes.len() == 48 + 64;
                    host.write(&bytes).await;
                }
                Line::Report(report) => {
                    // An answer, so it is ready only once the question was read.
                    while is_out {
                        is_out = !matches!(seen.recv().await, Some(Event::Report(_)));
                    }
                    ready.send(report).unwrap();
                }
                Line::Server(bytes) => assert_eq!(host.read(bytes.len()).await, bytes),
            }
        }
        drop(host);
        timeout(PATIENCE, key).await.unwrap().unwrap();
    }
}

async fn scripted(
    mut transport: Box<dyn Transport>,
    mut told: UnboundedReceiver<[u8; 64]>,
    got: UnboundedSender<Event>,
) {
    let mut ready = None;
    loop {
        tokio::select! {
            event = poll_fn(|cx| transport.poll_event(cx)) => match event {
                Ok(event) => got.send(event).unwrap(),
                Err(_) => return,
            },
            Some(report) = told.recv(), if ready.is_none() => ready = Some(report),
        }
        if let Some(report) = ready.take_if(|_| transport.wants_report()) {
            assert!(transport.send_report(&report));
        }
    }
}

#[tokio::test]
async fn list_names_every_key_in_order_and_closes() {
    let rig = Rig::new();
    let kept: Vec<_> = [10, 2, 1]
        .map(|n| rig.exports.add(busid(n), identity()).unwrap())
        .into();
    let mut stream = rig.connect().await;
    stream.write_all(&Request::DevList.emit()).await.unwrap();
    let mut got = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut got))
        .await
        .unwrap()
        .unwrap();
    let records = [1, 2, 10].map(|n| op::Record::new(busid(n), DevId::new(1, n), &identity()));
    let mut expected = Vec::new();
    op::emit_devlist(&records, &mut expected);
    assert_eq!(got, expected);
    drop(kept);
}

#[tokio::test]
async fn key_in_use_is_busy_and_its_host_goes_on() {
    let rig = Rig::new();
    rig.echo(1);
    let mut first = rig.attach(1).await;
    first.exchange(1).await;
    let asked = Instant::now();
    let (mut second, status) = rig.import(1).await;
    assert_eq!(status, 2);
    assert!(
        asked.elapsed() >= Duration::from_millis(900),
        "it waited for a release"
    );
    assert!(second.is_closed().await);
    first.exchange(2).await;
}

#[tokio::test]
async fn key_is_attached_again_at_once() {
    let rig = Rig::new();
    rig.echo(1);
    for turn in 0..20 {
        let mut host = rig.attach(1).await;
        host.exchange(turn).await;
        let asked = Instant::now();
        drop(host);
        let (_host, status) = rig.import(1).await;
        assert_eq!(status, 0);
        assert!(
            asked.elapsed() < Duration::from_millis(900),
            "{:?}",
            asked.elapsed()
        );
    }
}

#[tokio::test]
async fn import_that_waits_gets_the_key_when_it_is_released() {
    let rig = Rig::new();
    rig.echo(1);
    let first = rig.attach(1).await;
    let (second, ()) = tokio::join!(rig.attach(1), async {
        sleep(Duration::from_millis(300)).await;
        drop(first);
    });
    let mut second = second;
    second.exchange(1).await;
}

#[tokio::test]
async fn unlink_is_answered_and_the_key_goes_on() {
    let rig = Rig::new();
    rig.echo(1);
    let mut host = rig.attach(1).await;
    for turn in 0..50 {
        let seqnum = 100 + 2 * turn;
        let waiting = host.submit(seqnum, Direction::In, &[]);
        host.write(&waiting).await;
        let basic = Basic {
            seqnum: SeqNum(seqnum + 1),
            devid: DevId::new(1, 1),
            direction: Direction::Out,
            ep: 0,
        };
        let unlink = Command::Unlink(Unlink {
            basic,
            unlink_seqnum: SeqNum(seqnum),
        });
        host.write(&unlink.emit()).await;
        let status = Urb::UNLINKED;
        assert_eq!(
            host.reply().await,
            Reply::Unlink {
                seqnum: SeqNum(seqnum + 1),
                status
            }
        );
    }
    host.exchange(3).await;
}

#[tokio::test]
async fn removed_key_ends_its_session_and_leaves_the_list() {
    let rig = Rig::new();
    let key = rig.echo(1);
    rig.echo(2);
    let mut host = rig.attach(1).await;
    let mut other = rig.attach(2).await;
    host.exchange(1).await;
    assert!(rig.exports.remove(&busid(1)));
    assert!(!rig.exports.remove(&busid(1)));
    assert!(host.is_closed().await);
    assert_eq!(
        timeout(PATIENCE, key).await.unwrap().unwrap(),
        [Ended::Removed]
    );
    let (_, status) = rig.import(1).await;
    assert_eq!(status, 4);
    other.exchange(2).await;
    // The bus id is free for another key.
    rig.echo(1);
    rig.attach(1).await.exchange(3).await;
}

#[tokio::test]
async fn old_host_of_a_removed_key_does_not_free_the_new_one() {
    let rig = Rig::new();
    let mut old = rig.exports.add(busid(1), identity()).unwrap();
    let (_old_host, old_transport) = tokio::join!(rig.attach(1), async {
        let mut transport = old.next().await.unwrap();
        // The reply to the import leaves with the first poll.
        let idle = poll_fn(|cx| transport.poll_event(cx));
        assert!(timeout(Duration::from_millis(10), idle).await.is_err());
        transport
    });
    assert!(rig.exports.remove(&busid(1)));
    assert!(old.next().await.is_none());
    rig.echo(1);
    let mut host = rig.attach(1).await;
    drop(old_transport);
    let (_, status) = rig.import(1).await;
    assert_eq!(status, 2);
    host.exchange(1).await;
}

#[tokio::test]
async fn bus_id_must_be_a_free_port() {
    let rig = Rig::new();
    let _kept = rig.exports.add(busid(1), identity()).unwrap();
    assert_eq!(
        rig.exports.add(busid(1), identity()).unwrap_err(),
        AddError::Taken
    );
    let usb1 = "usb1".parse().unwrap();
    assert_eq!(
        rig.exports.add(usb1, identity()).unwrap_err(),
        AddError::NotAPort
    );
}

#[tokio::test]
async fn key_without_its_task_is_no_device() {
    let rig = Rig::new();
    drop(rig.exports.add(busid(1), identity()).unwrap());
    let (_, status) = rig.import(1).await;
    assert_eq!(status, 4);
}

#[tokio::test]
async fn stopped_server_ends_every_session_and_frees_its_address() {
    let rig = Rig::new();
    let key = rig.echo(1);
    let mut host = rig.attach(1).await;
    host.exchange(1).await;
    rig.server.abort();
    assert_eq!(
        timeout(PATIENCE, key).await.unwrap().unwrap(),
        [Ended::ServerClosed]
    );
    assert!(host.is_closed().await);
    assert_eq!(
        rig.exports.add(busid(2), identity()).unwrap_err(),
        AddError::ServerClosed
    );
    // At once, although the old connection is still known to the system.
    Server::bind(rig.address, AllowList::loopback()).unwrap();
}

#[tokio::test]
async fn many_keys_serve_at_once() {
    let rig = Rig::new();
    let mut hosts = Vec::new();
    for n in 1..=8 {
        rig.echo(n);
        hosts.push(rig.attach(n).await);
    }
    for turn in 0..10 {
        for host in &mut hosts {
            host.exchange(turn).await;
        }
    }
}

#[tokio::test]
async fn connection_accepted_elsewhere_is_served_like_the_listeners() {
    let exports = Exports::new();
    let mut attachments = exports.add(busid(1), identity()).unwrap();
    let mut hosts = Vec::new();
    let import = [[1, 0x11, 0x80, 3, 0, 0, 0, 0].as_slice(), &busid(1).emit()].concat();
    for (busy, head) in [
        (false, [1, 0x11, 0, 3, 0, 0, 0, 0]),
        (true, [1, 0x11, 0, 3, 0, 0, 0, 2]),
    ] {
        let (mut host, accepted) = tokio::io::duplex(1024);
        let served = exports.clone();
        tokio::spawn(async move { served.serve(accepted, Peer::Local).await });
        host.write_all(&import).await.unwrap();
        if !busy {
            let mut transport = attachments.next().await.unwrap();
            assert_eq!(transport.peer(), Peer::Local);
            tokio::spawn(async move { poll_fn(|cx| transport.poll_event(cx)).await.is_ok() });
        }
        let mut reply = [0; 8];
        host.read_exact(&mut reply).await.unwrap();
        assert_eq!(reply, head);
        hosts.push(host); // it has the key until then
    }
}
