//! Both ends of a memory pair.

use std::future::poll_fn;
use std::time::Duration;

use tokio::time::timeout;

use super::*;

async fn event(transport: &mut MemoryTransport) -> Result<Event, Ended> {
    poll_fn(|cx| transport.poll_event(cx)).await
}

/// Whether the future is still waiting after all that can happen has.
async fn waits<F: Future>(future: F) -> bool {
    timeout(Duration::from_secs(1), future).await.is_err()
}

#[tokio::test(start_paused = true)]
async fn attachment_begins_with_power_then_reports_cross() {
    let (mut key, mut host) = pair();
    assert_eq!(event(&mut key).await, Ok(Event::PowerOn));
    assert_eq!(event(&mut key).await, Ok(Event::ReportWanted));
    assert!(waits(event(&mut key)).await);
    host.send_report(&[1; 64]).await.unwrap();
    assert_eq!(event(&mut key).await, Ok(Event::Report([1; 64])));
    assert!(key.wants_report());
    assert!(key.send_report(&[2; 64]));
    assert!(!key.wants_report(), "the host has not taken it");
    assert!(!key.send_report(&[3; 64]));
    assert_eq!(host.recv_report().await, Ok([2; 64]));
    assert_eq!(event(&mut key).await, Ok(Event::ReportWanted));
    assert_eq!(key.peer(), Peer::Memory);
}

#[tokio::test(start_paused = true)]
async fn host_waits_for_a_report_and_is_woken() {
    let (mut key, mut host) = pair();
    let reader = tokio::spawn(async move { host.recv_report().await });
    tokio::task::yield_now().await;
    assert!(key.send_report(&[2; 64]));
    assert_eq!(reader.await.unwrap(), Ok([2; 64]));
}

#[tokio::test(start_paused = true)]
async fn key_that_does_not_read_holds_the_host_up() {
    let (mut key, mut host) = pair();
    for _ in 0..TO_KEY_LIMIT {
        host.send_report(&[1; 64]).await.unwrap();
    }
    assert!(waits(host.send_report(&[2; 64])).await);
    assert_eq!(event(&mut key).await, Ok(Event::PowerOn));
    assert_eq!(event(&mut key).await, Ok(Event::Report([1; 64])));
    assert!(!waits(host.send_report(&[2; 64])).await);
}

#[tokio::test(start_paused = true)]
async fn dropped_host_is_power_off_after_its_reports() {
    let (mut key, mut host) = pair();
    host.send_report(&[1; 64]).await.unwrap();
    drop(host);
    assert_eq!(event(&mut key).await, Ok(Event::PowerOn));
    assert_eq!(event(&mut key).await, Ok(Event::Report([1; 64])));
    assert_eq!(event(&mut key).await, Err(Ended::PeerClosed));
    assert_eq!(event(&mut key).await, Err(Ended::PeerClosed));
    assert!(!key.wants_report());
    assert!(!key.send_report(&[1; 64]));
}

#[tokio::test(start_paused = true)]
async fn dropped_key_ends_the_host_after_its_reports() {
    let (mut key, mut host) = pair();
    assert!(key.send_report(&[1; 64]));
    drop(key);
    assert_eq!(host.send_report(&[1; 64]).await, Err(DeviceGone));
    assert_eq!(host.recv_report().await, Ok([1; 64]));
    assert_eq!(host.recv_report().await, Err(DeviceGone));
}

#[test]
fn event_does_not_show_its_bytes() {
    assert_eq!(format!("{:?}", Event::Report([0xab; 64])), "Report(..)");
}
