//! What an idle key costs: nothing is sent, nothing is timed.

use roamkey_ctap::Decision;

use crate::support::{
    ctap2::{MakeCredential, SELECTION, sha256},
    ctaphid::command,
    rig::{Place, scenarios, virtual_scenarios},
    u2f::register_apdu,
};

scenarios!(idle_key_sends_nothing);

virtual_scenarios!(idle_key_arms_no_timer);

fn idle_key_sends_nothing(place: Place) {
    let rig = place.rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    let request = MakeCredential::discoverable("example.com", b"alice");
    platform.make(channel, &request).expect("a credential");
    platform.host.take_reply_count();
    platform.expect_silence(if place.virtual_time { 3_600_000 } else { 500 });
    assert_eq!(platform.host.take_reply_count(), 0, "USB/IP messages");
    platform.close();
    platform.host.take_reply_count();
    platform.idle(if place.virtual_time { 3_600_000 } else { 200 });
    if !place.windows {
        assert_eq!(platform.host.take_reply_count(), 0, "USB/IP messages");
    }
}

fn idle_key_arms_no_timer(place: Place) {
    let mut rig = place.held_rig();
    let idle = |rig: &crate::support::rig::Rig, when: &str| {
        assert_eq!(rig.world().next_timeout(0), None, "{when}");
    };
    idle(&rig, "before a host came");
    let mut platform = rig.attach();
    idle(&rig, "attached");
    let channel = platform.init();
    platform.call(channel, command::PING, &[0; 1000]);
    idle(&rig, "after a PING");
    platform.call(channel, command::LOCK, &[10]);
    idle(&rig, "with a lock, which is looked at when it matters");
    platform.call(channel, command::LOCK, &[0]);
    platform.start(channel, SELECTION, None);
    let asked = rig.wait_asked(&mut platform);
    assert!(rig.world().next_timeout(0).is_some(), "a touch is timed");
    rig.decide(&asked, Decision::Approved);
    platform.finish(channel).expect("approved");
    idle(&rig, "after a touch");
    let apdu = register_apdu(&[1; 32], &sha256(b"example.com"));
    platform.u2f(channel, &apdu).expect_err("touch");
    rig.approve(&mut platform);
    idle(&rig, "with an approval that waits for its poll");
    platform.close();
    idle(&rig, "without a program");
    drop(platform);
    idle(&rig, "without a host");
}
