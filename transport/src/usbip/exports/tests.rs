//! Keys that are given to a stream, without a server.

use std::future::poll_fn;
use std::num::NonZeroU16;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;
use crate::Event;
use crate::usb::{Direction, IdentityFields};
use crate::usbip::urb::{Basic, Command, Reply, SeqNum, Status, Submit};

fn busid(n: u16) -> BusId {
    BusId::nth(NonZeroU16::new(n).unwrap())
}

fn key(exports: &Exports, n: u16) -> Attachments {
    let identity = Identity::new(IdentityFields::default()).unwrap();
    exports.add(busid(n), identity).unwrap()
}

/// Asks for the device descriptor, whose answer is longer than the question.
fn descriptor_request(devid: DevId) -> Vec<u8> {
    let command = Command::Submit(Submit {
        basic: Basic {
            seqnum: SeqNum(1),
            devid,
            direction: Direction::In,
            ep: 0,
        },
        transfer_flags: 0,
        transfer_buffer_length: 64,
        start_frame: 0,
        number_of_packets: 0,
        interval: 0,
        setup: [0x80, 6, 0, 1, 0, 0, 64, 0],
    });
    command.emit().to_vec()
}

/// Sends a report to the device, and waits for its acknowledgement.
async fn send_report(host: &mut DuplexStream, devid: DevId, transport: &mut dyn Transport) {
    let command = Command::Submit(Submit {
        basic: Basic {
            seqnum: SeqNum(7),
            devid,
            direction: Direction::Out,
            ep: 1,
        },
        transfer_flags: 0,
        transfer_buffer_length: 64,
        start_frame: 0,
        number_of_packets: 0,
        interval: 0,
        setup: [0; 8],
    });
    host.write_all(&command.emit()).await.unwrap();
    host.write_all(&[9; 64]).await.unwrap();
    for expected in [Event::PowerOn, Event::Report([9; 64])] {
        assert_eq!(poll_fn(|cx| transport.poll_event(cx)).await, Ok(expected));
    }
    let mut got = [0; 48];
    tokio::select! {
        end = poll_fn(|cx| transport.poll_event(cx)) => panic!("{end:?}"),
        read = host.read_exact(&mut got) => assert_eq!(read.unwrap(), 48),
    }
    let expected = Reply::Submit {
        seqnum: SeqNum(7),
        status: Status::OK,
        actual_length: 64,
    };
    assert_eq!(Reply::parse(&got), Ok(expected));
}

#[tokio::test(start_paused = true)]
async fn stream_gets_a_key_without_an_import() {
    let exports = Exports::new();
    let mut attachments = key(&exports, 3);
    let (ours, mut host) = duplex(4096);
    let attached = exports.attach(&busid(3), ours, Peer::Local).await.unwrap();
    let expected = Attached {
        devid: DevId::new(1, 3),
        speed: 2,
    };
    assert_eq!(attached, expected);
    let mut transport = attachments.next().await.unwrap();
    assert_eq!(transport.peer(), Peer::Local);
    send_report(&mut host, attached.devid, &mut *transport).await;
    drop(host);
    let ended = poll_fn(|cx| transport.poll_event(cx)).await;
    assert_eq!(ended, Err(Ended::PeerClosed));
}

#[tokio::test(start_paused = true)]
async fn attach_fails_as_an_import_does() {
    let exports = Exports::new();
    let mut attachments = key(&exports, 1);
    let attach = async |n| {
        let (ours, theirs) = duplex(64);
        let outcome = exports.attach(&busid(n), ours, Peer::Local).await;
        outcome.map(|_| theirs)
    };
    assert_eq!(attach(2).await.unwrap_err(), AttachError::NoSuchKey);
    let _host = attach(1).await.unwrap();
    assert_eq!(attach(1).await.unwrap_err(), AttachError::Busy);
    drop(attachments.next().await.unwrap());
    let _host = attach(1).await.unwrap();
    exports.close();
    assert_eq!(attach(1).await.unwrap_err(), AttachError::NoSuchKey);
    let mut transport = attachments.next().await.unwrap();
    let ended = poll_fn(|cx| transport.poll_event(cx)).await;
    assert_eq!(ended, Err(Ended::ServerClosed));
}

#[tokio::test(start_paused = true)]
async fn key_is_free_at_once_after_every_end_of_a_session() {
    let exports = Exports::new();
    let mut attachments = key(&exports, 1);
    let mut attach = async || {
        let (ours, host) = duplex(64);
        let asked = Instant::now();
        exports.attach(&busid(1), ours, Peer::Local).await.unwrap();
        assert_eq!(asked.elapsed(), Duration::ZERO, "nothing had to end");
        (host, attachments.next().await.unwrap())
    };
    // The host goes.
    let (host, mut transport) = attach().await;
    drop(host);
    let ended = poll_fn(|cx| transport.poll_event(cx)).await;
    assert_eq!(ended, Err(Ended::PeerClosed));
    drop(transport);
    // It breaks the protocol, and stays.
    let (mut bad, mut transport) = attach().await;
    bad.write_all(&[0xff; 48]).await.unwrap();
    let ended = poll_fn(|cx| transport.poll_event(cx)).await;
    assert!(matches!(ended, Err(Ended::Violation(_))), "{ended:?}");
    drop(transport);
    // It reads nothing, and stays: as one that vanished, where no keepalive finds it.
    let (mut slow, mut transport) = attach().await;
    let started = Instant::now();
    let ended = loop {
        let request = descriptor_request(DevId::new(1, 1));
        tokio::select! {
            biased;
            sent = slow.write_all(&request) => sent.unwrap(),
            ended = poll_fn(|cx| transport.poll_event(cx)) => break ended,
        }
    };
    assert_eq!(ended, Err(Ended::SlowReader));
    assert_eq!(started.elapsed(), crate::limits::STUCK_LIMIT);
    drop(transport);
    attach().await;
}
