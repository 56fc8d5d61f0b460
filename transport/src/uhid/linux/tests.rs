//! The transport over a pair of datagram sockets, where one read is one event, as with the
//! kernel's file. What differs there: the kernel's file is always writable.

use std::future::poll_fn;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;

use tokio::time::{Instant, advance, timeout};

use super::*;
use crate::uhid::codec::tests::{plain, report};
use crate::uhid::codec::{get_report_refused, set_report_refused};
use crate::usb::IdentityFields;

const INTERVAL: Duration = Duration::from_millis(5);

struct Rig {
    key: UhidTransport,
    kernel: UnixDatagram,
}

/// A key that was just plugged in.
fn rig() -> Rig {
    let (ours, kernel) = UnixDatagram::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    kernel.set_nonblocking(true).unwrap();
    let identity = Identity::new(IdentityFields::default()).unwrap();
    let file = File::from(OwnedFd::from(ours));
    let key = UhidTransport::new(file, &identity).unwrap();
    let rig = Rig { key, kernel };
    assert_eq!(rig.written().as_deref(), Some(&create(&identity)[..]));
    rig
}

/// A key that a program has open.
async fn open() -> Rig {
    let mut rig = rig();
    rig.says(KernelEvent::Start);
    rig.says(KernelEvent::Open);
    assert_eq!(rig.event().await, Ok(Event::PowerOn));
    assert_eq!(rig.event().await, Ok(Event::ReportWanted));
    rig
}

impl Rig {
    fn says(&self, event: KernelEvent) {
        self.kernel.send(&plain(event)).unwrap();
    }

    async fn event(&mut self) -> Result<Event, Ended> {
        poll_fn(|cx| self.key.poll_event(cx)).await
    }

    /// Polls until nothing can happen any more.
    async fn settles(&mut self) -> bool {
        timeout(Duration::from_millis(1), self.event())
            .await
            .is_err()
    }

    /// The next thing that the key wrote.
    fn written(&self) -> Option<Vec<u8>> {
        let mut buffer = vec![0; EVENT_LEN];
        let count = self.kernel.recv(&mut buffer).ok()?;
        buffer.truncate(count);
        Some(buffer)
    }
}

#[tokio::test]
async fn reports_cross_while_a_program_has_it_open() {
    let mut rig = open().await;
    assert_eq!(rig.key.peer(), Peer::Uhid);
    for byte in 0..40 {
        rig.kernel.send(&report(byte)).unwrap();
        assert_eq!(rig.event().await, Ok(Event::Report([byte; 64])));
        assert!(rig.key.send_report(&[!byte; 64]));
        assert_eq!(rig.written().as_deref(), Some(&input(&[!byte; 64])[..]));
    }
    rig.says(KernelEvent::Close);
    assert_eq!(rig.event().await, Ok(Event::ReportUnwanted));
    assert!(!rig.key.wants_report());
    assert!(!rig.key.send_report(&[1; 64]));
    assert_eq!(rig.written(), None);
}

#[tokio::test]
async fn nothing_is_wanted_before_a_program_opens_it() {
    let mut rig = rig();
    assert!(!rig.key.wants_report());
    rig.says(KernelEvent::Start);
    assert_eq!(rig.event().await, Ok(Event::PowerOn));
    assert!(!rig.key.wants_report());
    assert!(!rig.key.send_report(&[1; 64]));
}

#[tokio::test]
async fn queued_reports_are_read_without_a_pause() {
    /// A socket holds fewer datagrams than the kernel events.
    const QUEUED: u8 = 9;
    let mut rig = open().await;
    for byte in 0..QUEUED {
        rig.kernel.send(&report(byte)).unwrap();
    }
    assert_eq!(rig.event().await, Ok(Event::Report([0; 64])));
    for byte in 1..QUEUED {
        let event = poll_fn(|cx| Poll::Ready(rig.key.poll_event(cx))).await;
        assert_eq!(event, Poll::Ready(Ok(Event::Report([byte; 64]))));
    }
}

#[tokio::test]
async fn control_reports_are_refused_at_once() {
    let mut rig = open().await;
    rig.says(KernelEvent::GetReport(5));
    rig.says(KernelEvent::SetReport(6));
    rig.says(KernelEvent::Other);
    rig.kernel.send(&report(1)).unwrap();
    assert_eq!(rig.event().await, Ok(Event::Report([1; 64])));
    let refused = [get_report_refused(5), set_report_refused(6)];
    for expected in refused {
        assert_eq!(rig.written().as_deref(), Some(&expected[..]));
    }
}

#[tokio::test]
async fn stop_ends_it() {
    let mut rig = open().await;
    rig.says(KernelEvent::Stop);
    rig.kernel.send(&report(1)).unwrap();
    assert_eq!(rig.event().await, Err(Ended::PeerClosed));
    assert_eq!(rig.event().await, Err(Ended::PeerClosed));
    assert!(!rig.key.wants_report());
}

#[tokio::test]
async fn failed_write_ends_it() {
    let Rig { mut key, kernel } = open().await;
    drop(kernel);
    assert!(key.wants_report());
    assert!(!key.send_report(&[1; 64]));
    assert!(!key.wants_report());
    let ended = poll_fn(|cx| key.poll_event(cx)).await;
    assert!(matches!(ended, Err(Ended::Io(_))), "{ended:?}");
}

#[tokio::test]
async fn dropped_key_closes_its_file() {
    let Rig { key, kernel } = open().await;
    drop(key);
    assert!(kernel.send(&report(1)).is_err());
}

#[tokio::test(start_paused = true)]
async fn long_answer_goes_at_the_pace_of_a_bus() {
    let mut rig = open().await;
    let send_all = |rig: &mut Rig| {
        let sent = (0..).take_while(|_| {
            let sent = rig.key.wants_report() && rig.key.send_report(&[7; 64]);
            assert_eq!(rig.written().is_some(), sent);
            sent
        });
        sent.count()
    };
    assert_eq!(send_all(&mut rig), 16, "at once");
    let start = Instant::now();
    for nth in 1..=4 {
        assert_eq!(rig.event().await, Ok(Event::ReportWanted));
        assert_eq!(start.elapsed(), INTERVAL * nth);
        assert_eq!(send_all(&mut rig), 1);
    }
    rig.says(KernelEvent::Close);
    let closed = loop {
        match rig.event().await {
            Ok(Event::ReportWanted) => {} // the pause may end first
            other => break other,
        }
    };
    assert_eq!(closed, Ok(Event::ReportUnwanted));
    advance(INTERVAL).await;
    assert!(
        rig.settles().await,
        "nobody waits for what the pause held back"
    );
    assert!(!rig.key.wants_report());
}

#[test]
fn missing_file_is_told_from_a_closed_one() {
    let missing = open_error("/nonexistent/uhid");
    assert!(matches!(missing, UhidError::Missing));
    assert!(missing.to_string().contains("sudo modprobe uhid"));
    assert!(
        missing
            .to_string()
            .contains("linux-modules-extra-$(uname -r)")
    );
    // Nobody may write into a directory, root not either.
    assert!(matches!(open_error("/"), UhidError::Io(_)));
    let said = UhidError::NotAllowed.to_string();
    assert!(said.contains("scripts/udev/70-roamkey.rules"), "{said}");
}

fn open_error(path: &str) -> UhidError {
    super::open(path.as_ref()).unwrap_err()
}

#[test]
fn what_was_read_is_not_shown() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let _entered = runtime.enter();
    assert_eq!(format!("{:?}", rig().key), "UhidTransport");
}
