//! An attachment on a stream that counts its calls, and in paused time.

use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::{Instant, advance, timeout};

use super::*;
use crate::usb::{Direction, Identity, IdentityFields};
use crate::usbip::urb::{Basic, Command, DevId, Reply, SeqNum, Status, Submit};

const DEVID: DevId = DevId(0x0001_0001);
const INTERVAL: Duration = Duration::from_millis(5);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Calls {
    reads: usize,
    writes: usize,
}

/// Counts the calls that moved bytes: the system calls, if it were a socket.
struct Counted {
    stream: DuplexStream,
    calls: Arc<Mutex<Calls>>,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        self.calls.lock().unwrap().reads += 1;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.stream).poll_write(cx, buf))?;
        self.calls.lock().unwrap().writes += 1;
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

struct Rig {
    key: Attachment<Counted>,
    host: DuplexStream,
    end: oneshot::Sender<Ended>,
    calls: Arc<Mutex<Calls>>,
}

fn rig(capacity: usize) -> Rig {
    let (stream, host) = duplex(capacity);
    let calls = Arc::new(Mutex::new(Calls::default()));
    let stream = Counted {
        stream,
        calls: Arc::clone(&calls),
    };
    let product = "x".repeat(126);
    let identity = Identity::new(IdentityFields {
        product,
        ..Default::default()
    })
    .unwrap();
    let (end, ended) = oneshot::channel();
    let session = Session::new(&identity, DEVID);
    Rig {
        key: Attachment::new(stream, session, INTERVAL, Peer::Memory, ended, None),
        host,
        end,
        calls,
    }
}

impl Rig {
    async fn event(&mut self) -> Result<Event, Ended> {
        poll_fn(|cx| self.key.poll_event(cx)).await
    }

    /// Polls until nothing can happen any more.
    async fn settles(&mut self) -> bool {
        timeout(Duration::from_millis(1), self.event())
            .await
            .is_err()
    }

    fn calls(&self) -> Calls {
        std::mem::take(&mut self.calls.lock().unwrap())
    }
}

fn submit(seqnum: u32, direction: Direction, ep: u32, data: &[u8]) -> Vec<u8> {
    let command = Command::Submit(Submit {
        basic: Basic {
            seqnum: SeqNum(seqnum),
            devid: DEVID,
            direction,
            ep,
        },
        transfer_flags: 0,
        transfer_buffer_length: 64,
        start_frame: 0,
        number_of_packets: 0,
        interval: 0,
        setup: [0x80, 6, 0, 1, 0, 0, 64, 0],
    });
    [&command.emit()[..], data].concat()
}

fn ret(seqnum: u32, data: &[u8]) -> Vec<u8> {
    let reply = Reply::Submit {
        seqnum: SeqNum(seqnum),
        status: Status::OK,
        actual_length: 64,
    };
    [&reply.emit()[..], data].concat()
}

#[tokio::test(start_paused = true)]
async fn acknowledgement_and_answer_leave_in_one_write() {
    let mut rig = rig(65536);
    rig.host
        .write_all(&submit(1, Direction::In, 1, &[]))
        .await
        .unwrap();
    assert_eq!(rig.event().await, Ok(Event::PowerOn));
    assert_eq!(rig.event().await, Ok(Event::ReportWanted));
    assert!(rig.settles().await);
    assert_eq!(
        rig.calls(),
        Calls {
            reads: 1,
            writes: 0
        }
    );

    for turn in 1..10 {
        let (out, next) = (2 * turn, 2 * turn + 1);
        rig.host
            .write_all(&submit(out, Direction::Out, 1, &[7; 64]))
            .await
            .unwrap();
        assert_eq!(rig.event().await, Ok(Event::Report([7; 64])));
        assert!(rig.key.send_report(&[8; 64]));
        assert!(rig.settles().await);
        assert_eq!(
            rig.calls(),
            Calls {
                reads: 1,
                writes: 1
            },
            "OUT and its answer"
        );
        let mut got = [0; 48 + 48 + 64];
        rig.host.read_exact(&mut got).await.unwrap();
        assert_eq!(got[..], [ret(out, &[]), ret(out - 1, &[8; 64])].concat());

        rig.host
            .write_all(&submit(next, Direction::In, 1, &[]))
            .await
            .unwrap();
        assert_eq!(rig.event().await, Ok(Event::ReportWanted));
        assert!(rig.settles().await);
        assert_eq!(
            rig.calls(),
            Calls {
                reads: 1,
                writes: 0
            },
            "IN that waits"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn flushed_report_leaves_with_its_acknowledgement_before_the_next_poll() {
    let mut rig = rig(65536);
    let both = [
        submit(1, Direction::In, 1, &[]),
        submit(2, Direction::Out, 1, &[7; 64]),
    ];
    rig.host.write_all(&both.concat()).await.unwrap();
    assert_eq!(rig.event().await, Ok(Event::PowerOn));
    assert_eq!(rig.event().await, Ok(Event::ReportWanted));
    assert_eq!(rig.event().await, Ok(Event::Report([7; 64])));
    assert!(rig.key.send_report(&[8; 64]));
    rig.calls();
    rig.key.flush();
    let mut got = [0; 48 + 48 + 64];
    rig.host.read_exact(&mut got).await.unwrap();
    assert_eq!(got[..], [ret(2, &[]), ret(1, &[8; 64])].concat());
    // Nothing is written twice.
    rig.key.flush();
    assert!(rig.settles().await);
    assert_eq!(rig.calls().writes, 1);
}

#[tokio::test(start_paused = true)]
async fn batch_of_requests_gets_one_write() {
    let mut rig = rig(65536);
    let batch: Vec<u8> = (1..=20)
        .flat_map(|seqnum| submit(seqnum, Direction::In, 0, &[]))
        .collect();
    rig.host.write_all(&batch).await.unwrap();
    assert!(rig.settles().await);
    assert_eq!(
        rig.calls(),
        Calls {
            reads: 1,
            writes: 1
        }
    );
}

#[tokio::test(start_paused = true)]
async fn requests_held_back_by_a_full_output_are_answered_without_more_input() {
    let mut rig = rig(65536);
    // As many as are read at once; their answers are more than the output holds.
    let count = 4096 / 48;
    let mut batch = Vec::new();
    for seqnum in 1..=count {
        let mut request = submit(seqnum, Direction::In, 0, &[]);
        request[24..28].copy_from_slice(&255_u32.to_be_bytes());
        request[40..].copy_from_slice(&[0x80, 6, 2, 3, 9, 4, 255, 0]);
        batch.extend(request);
    }
    rig.host.write_all(&batch).await.unwrap();
    // Once: nothing else would wake it.
    let polled = poll_fn(|cx| Poll::Ready(rig.key.poll_event(cx))).await;
    assert!(polled.is_pending());
    let calls = rig.calls();
    assert_eq!(calls.reads, 1);
    assert!(calls.writes > 1);
    let mut got = vec![0; usize::try_from(count).unwrap() * (48 + 254)];
    timeout(Duration::from_secs(1), rig.host.read_exact(&mut got))
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn report_that_waits_leaves_with_the_next_poll() {
    let mut rig = rig(65536);
    rig.host
        .write_all(&submit(1, Direction::In, 1, &[]))
        .await
        .unwrap();
    assert_eq!(rig.event().await, Ok(Event::PowerOn));
    assert_eq!(rig.event().await, Ok(Event::ReportWanted));
    assert!(rig.settles().await);
    assert!(rig.key.send_report(&[5; 64]));
    assert_eq!(rig.calls().writes, 0);
    assert!(rig.settles().await);
    assert_eq!(rig.calls().writes, 1);
}

#[tokio::test(start_paused = true)]
async fn host_that_never_reads_is_dropped_after_the_limit() {
    let mut rig = rig(4096);
    let started = Instant::now();
    let request = submit(1, Direction::In, 0, &[]);
    let ended = loop {
        // Sends as long as the key takes it.
        let sent = timeout(Duration::from_millis(1), rig.host.write_all(&request)).await;
        if sent.is_err() {
            break rig.event().await;
        }
        let _ = rig.settles().await;
    };
    assert_eq!(ended, Err(Ended::SlowReader));
    assert!(started.elapsed() >= STUCK_LIMIT);
    assert_eq!(rig.event().await, Err(Ended::SlowReader));
    assert!(!rig.key.wants_report());
}

#[tokio::test(start_paused = true)]
async fn timer_is_armed_only_while_output_is_stuck() {
    let mut rig = rig(64);
    rig.host
        .write_all(&submit(1, Direction::In, 0, &[]))
        .await
        .unwrap();
    assert!(rig.settles().await);
    assert!(rig.key.stuck.is_some(), "66 bytes do not fit 64");
    let mut got = [0; 66];
    let (read, settled) = tokio::join!(rig.host.read_exact(&mut got), async {
        timeout(
            Duration::from_millis(1),
            poll_fn(|cx| rig.key.poll_event(cx)),
        )
        .await
        .is_err()
    });
    read.unwrap();
    assert!(settled);
    assert!(rig.key.stuck.is_none());
    // Idle for an hour: nothing happens, and the limit does not count it.
    let idle = timeout(Duration::from_secs(3600), rig.event()).await;
    assert!(idle.is_err());
    assert!(rig.key.stuck.is_none());
    advance(STUCK_LIMIT).await;
    rig.host
        .write_all(&submit(2, Direction::In, 1, &[]))
        .await
        .unwrap();
    assert_eq!(rig.event().await, Ok(Event::PowerOn));
}

#[tokio::test(start_paused = true)]
async fn removal_ends_an_idle_attachment() {
    let mut rig = rig(4096);
    assert!(rig.settles().await);
    let Rig {
        mut key,
        end,
        host: _host,
        ..
    } = rig;
    let waiting = tokio::spawn(async move { poll_fn(|cx| key.poll_event(cx)).await });
    tokio::task::yield_now().await;
    end.send(Ended::Removed).unwrap();
    assert_eq!(waiting.await.unwrap(), Err(Ended::Removed));
}

#[tokio::test(start_paused = true)]
async fn report_seen_before_the_key_is_pulled_out_is_acknowledged() {
    let mut rig = rig(65536);
    let report = [7; REPORT_LEN];
    let transfer = submit(1, Direction::Out, 1, &report);
    rig.host.write_all(&transfer).await.unwrap();
    assert_eq!(rig.event().await, Ok(Event::PowerOn));
    assert_eq!(rig.event().await, Ok(Event::Report(report)));
    drop(rig.key);
    let mut answers = Vec::new();
    rig.host.read_to_end(&mut answers).await.unwrap();
    assert_eq!(answers, ret(1, &[]));
}

#[tokio::test(start_paused = true)]
async fn end_of_the_connection_is_told_after_its_events() {
    let mut rig = rig(4096);
    rig.host
        .write_all(&submit(1, Direction::Out, 1, &[7; 64]))
        .await
        .unwrap();
    rig.host.shutdown().await.unwrap();
    assert_eq!(rig.event().await, Ok(Event::PowerOn));
    assert_eq!(rig.event().await, Ok(Event::Report([7; 64])));
    assert_eq!(rig.event().await, Err(Ended::PeerClosed));
    assert_eq!(rig.event().await, Err(Ended::PeerClosed));
}

#[tokio::test(start_paused = true)]
async fn end_within_a_command_is_a_violation() {
    let command = submit(1, Direction::Out, 1, &[7; 64]);
    for cut in [1, 47, 48, 111] {
        let mut rig = rig(4096);
        rig.host.write_all(&command[..cut]).await.unwrap();
        rig.host.shutdown().await.unwrap();
        assert_eq!(
            rig.event().await,
            Err(Ended::Violation(Violation::Truncated)),
            "{cut}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn answers_before_a_violation_still_leave() {
    let mut rig = rig(4096);
    let mut bytes = submit(1, Direction::In, 0, &[]);
    bytes.extend([0xff; 48]);
    rig.host.write_all(&bytes).await.unwrap();
    assert!(matches!(
        rig.event().await,
        Err(Ended::Violation(Violation::Header(_)))
    ));
    let mut got = [0; 48 + 18];
    rig.host.read_exact(&mut got).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn many_reports_go_at_the_pace_of_a_bus() {
    let mut rig = rig(65536);
    for seqnum in 1..=32 {
        let asked = submit(seqnum, Direction::In, 1, &[]);
        rig.host.write_all(&asked).await.unwrap();
    }
    assert_eq!(rig.event().await, Ok(Event::PowerOn));
    assert_eq!(rig.event().await, Ok(Event::ReportWanted));
    assert!(rig.settles().await);
    let send_all = |rig: &mut Rig| {
        let wanted = (0..).take_while(|_| rig.key.wants_report() && rig.key.send_report(&[7; 64]));
        wanted.count()
    };
    assert_eq!(send_all(&mut rig), 16, "at once");
    assert!(!rig.key.send_report(&[7; 64]), "not before its time");
    let start = Instant::now();
    for nth in 1..=4 {
        assert_eq!(rig.event().await, Ok(Event::ReportWanted));
        assert_eq!(start.elapsed(), INTERVAL * nth);
        assert_eq!(send_all(&mut rig), 1);
    }
    // A pause, and as many may go at once again as it was long.
    advance(INTERVAL * 8).await;
    assert_eq!(rig.event().await, Ok(Event::ReportWanted));
    assert_eq!(send_all(&mut rig), 8);
    assert!(!rig.key.send_report(&[7; 64]), "not before its time");

    // Who sends has read its last answer.
    for seqnum in 33..=64 {
        let asked = submit(seqnum, Direction::In, 1, &[]);
        rig.host.write_all(&asked).await.unwrap();
    }
    let sent = submit(65, Direction::Out, 1, &[9; 64]);
    rig.host.write_all(&sent).await.unwrap();
    let heard = loop {
        match rig.event().await {
            Ok(Event::ReportWanted) => {}
            other => break other,
        }
    };
    assert_eq!(heard, Ok(Event::Report([9; 64])));
    assert_eq!(send_all(&mut rig), 16, "at once again");
}
