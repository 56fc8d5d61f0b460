//! Events in, events out.

use super::*;

fn after(machine: &mut Machine, event: KernelEvent) -> Vec<Event> {
    assert_eq!(machine.handle(event), Ok(None));
    std::iter::from_fn(|| machine.poll_event()).collect()
}

#[test]
fn programs_come_and_go_between_start_and_stop() {
    let mut machine = Machine::default();
    assert_eq!(after(&mut machine, KernelEvent::Start), [Event::PowerOn]);
    for _ in 0..2 {
        assert!(!machine.is_open());
        let opened = after(&mut machine, KernelEvent::Open);
        assert_eq!(opened, [Event::ReportWanted]);
        assert!(machine.is_open());
        let sent = after(&mut machine, KernelEvent::Output([1; 64]));
        assert_eq!(sent, [Event::Report([1; 64])]);
        let closed = after(&mut machine, KernelEvent::Close);
        assert_eq!(closed, [Event::ReportUnwanted]);
    }
    assert_eq!(machine.handle(KernelEvent::Stop), Err(Ended::PeerClosed));
}

#[test]
fn events_that_the_kernel_dropped_are_made_up_for() {
    let mut machine = Machine::default();
    let sent = after(&mut machine, KernelEvent::Output([1; 64]));
    let all = [Event::PowerOn, Event::ReportWanted, Event::Report([1; 64])];
    assert_eq!(sent, all);
    assert_eq!(after(&mut machine, KernelEvent::Start), []);
    assert_eq!(
        after(&mut machine, KernelEvent::Open),
        [],
        "its close is lost"
    );
    after(&mut machine, KernelEvent::Close);
    assert_eq!(after(&mut machine, KernelEvent::Close), []);
}

#[test]
fn control_reports_are_refused_and_change_nothing() {
    let mut machine = Machine::default();
    let get = machine.handle(KernelEvent::GetReport(3));
    assert_eq!(get, Ok(Some(get_report_refused(3))));
    let set = machine.handle(KernelEvent::SetReport(4));
    assert_eq!(set, Ok(Some(set_report_refused(4))));
    assert_eq!(machine.handle(KernelEvent::Other), Ok(None));
    assert_eq!(machine.poll_event(), None);
    assert!(!machine.is_open());
}
