//! Attaching: again and again, by two hosts, two keys at once, and hostile neighbours.

use std::io::{Read, Write};

use roamkey_ctap::Decision;

use crate::support::{
    carrier::raw_connection,
    ctap2::{GetAssertion, MakeCredential, SELECTION},
    ctaphid::command,
    host::Host,
    rig::{Options, Place, scenarios, socket_scenarios},
    wire::{STALL, Submit, setup, unlink},
};

scenarios!(
    detached_key_attaches_again_at_once,
    second_host_is_told_busy,
    unknown_key_is_told_missing,
    two_keys_do_not_wait_for_each_other,
    unknown_requests_stall_and_the_session_goes_on,
    hostile_host_ends_its_own_session_only,
    one_report_by_set_report_counts_like_an_out_transfer,
);

socket_scenarios!(
    list_names_every_key,
    hostile_connection_is_closed_and_nothing_else,
    connection_that_says_nothing_holds_nobody_up,
);

fn two_held_keys() -> Options {
    Options {
        keys: 2,
        ..Options::held()
    }
}

fn detached_key_attaches_again_at_once(place: Place) {
    let rig = place.rig();
    let mut kept = None;
    for round in 0..10_u8 {
        let mut platform = rig.attach();
        let channel = platform.init();
        let made = kept.get_or_insert_with(|| {
            let request = MakeCredential::new("example.com", b"alice");
            platform.make(channel, &request).expect("a credential")
        });
        let request = GetAssertion::new("example.com", &[&made.id]);
        let asserted = platform.get(channel, &request).expect("an assertion");
        asserted.verify("example.com", &made.public_key);
        if round % 2 == 0 {
            // Some hosts go without closing anything, others in mid message.
            platform.send(channel, command::PING, &[round; 7000]);
        }
    }
}

fn second_host_is_told_busy(place: Place) {
    const DEV_BUSY: u32 = 2;
    let rig = place.rig();
    let mut platform = rig.attach();
    assert_eq!(rig.import(0).err(), Some(DEV_BUSY));
    let channel = platform.init();
    let answer = platform.call(channel, command::PING, &[1]);
    assert_eq!(answer.message.payload, [1], "the first host has it still");
}

fn unknown_key_is_told_missing(place: Place) {
    const NODEV: u32 = 4;
    let rig = place.rig();
    assert_eq!(rig.import(1).err(), Some(NODEV));
}

fn two_keys_do_not_wait_for_each_other(place: Place) {
    let mut rig = place.rig_with(two_held_keys());
    let (mut one, mut two) = (rig.attach_nth(0), rig.attach_nth(1));
    let (first, second) = (one.init(), two.init());
    one.start(first, SELECTION, None);
    let held = rig.wait_asked(&mut one);
    assert_eq!(held.key, "1-1");

    let answer = two.call(second, command::PING, &[2; 1000]);
    assert_eq!(answer.message.payload, [2; 1000]);
    let request = MakeCredential::discoverable("example.com", b"alice");
    two.start_make(second, &request);
    let asked = rig.wait_asked(&mut two);
    assert_eq!(asked.key, "1-2");
    assert_eq!(rig.pending(), 2, "both wait for a person");
    rig.decide(&asked, Decision::Approved);
    two.finish_make(second, &request).expect("a credential");
    drop(two);

    assert_eq!(rig.pending(), 1);
    rig.decide(&held, Decision::Approved);
    one.finish(first).expect("approved");
    assert_eq!(rig.vaults[0].credentials(), 0);
    assert_eq!(rig.vaults[1].credentials(), 1);
}

fn unknown_requests_stall_and_the_session_goes_on(place: Place) {
    let rig = place.rig();
    let mut platform = rig.attach();
    let host = &mut platform.host;
    for request in [
        setup(0x80, 6, 0x0600, 0, 10),  // device qualifier
        setup(0x80, 6, 0x0f00, 0, 5),   // BOS
        setup(0x80, 6, 0x03ee, 0, 18),  // string 0xEE
        setup(0x80, 6, 0x0309, 9, 255), // a string that is not there
        setup(0x80, 6, 0xff00, 0, 255), // a descriptor that is not there
        setup(0xc0, 0x20, 0, 4, 16),    // Microsoft's OS descriptor
        setup(0xc1, 0x20, 0, 5, 16),
        setup(0x81, 6, 0x2200, 1, 34), // another interface
        setup(0xa1, 0xff, 0, 0, 8),    // an unknown class request
        setup(0x00, 9, 7, 0, 0),       // a configuration that is not there
        setup(0x02, 1, 0, 0x85, 0),    // an endpoint that is not there
        setup(0x00, 3, 1, 0, 0),       // remote wakeup
        setup(0x40, 1, 2, 3, 0),       // a vendor's
    ] {
        assert_eq!(host.control(request, &[]), Err(STALL), "{request:02x?}");
    }
    let known = host.descriptor(1, 0, 18).expect("device descriptor");
    let more = host.descriptor(1, 0, 0xffff).expect("device descriptor");
    assert_eq!(known, more, "never more than there is");
    let less = host.descriptor(2, 0, 9).expect("configuration head");
    assert_eq!(less.len(), 9, "never more than was asked for");
    let channel = platform.init();
    let answer = platform.call(channel, command::PING, &[1]);
    assert_eq!(answer.message.payload, [1]);
}

fn one_report_by_set_report_counts_like_an_out_transfer(place: Place) {
    let rig = place.rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    let packets = crate::support::ctaphid::packets(channel, command::PING, &[3; 20]);
    let done = platform
        .host
        .control(setup(0x21, 9, 0x0200, 0, 64), &packets[0]);
    assert_eq!(done, Ok(Vec::new()));
    assert_eq!(platform.answer(channel).message.payload, [3; 20]);
}

fn submit(devid: u32, ep: u32, length: u32) -> Submit {
    Submit {
        seqnum: 0x7fff_0001,
        devid,
        direction: 0,
        ep,
        flags: 0,
        length,
        number_of_packets: 0,
        interval: 0,
        setup: [0; 8],
    }
}

/// Bytes that end a session.
fn violations(devid: u32) -> Vec<Vec<u8>> {
    let mut unknown_command = submit(devid, 1, 0).header();
    unknown_command[3] = 9;
    let mut unknown_direction = submit(devid, 1, 0).header();
    unknown_direction[15] = 2;
    let iso = Submit {
        number_of_packets: 0xffff_fffe,
        ..submit(devid, 3, 0)
    };
    vec![
        vec![0xff; 48],
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1:3240\r\nAccept: */*\r\n\r\n".to_vec(),
        unknown_command,
        unknown_direction,
        submit(devid ^ 1, 1, 0).header(),
        submit(devid, 1, 0x7fff_ffff).header(),
        submit(devid, 0, 0xffff_ffff).header(),
        unlink(1, devid ^ 0x10000, 0),
        iso.header(),
    ]
}

fn hostile_host_ends_its_own_session_only(place: Place) {
    let mut rig = place.rig_with(two_held_keys());
    let mut platform = rig.attach_nth(0);
    let channel = platform.init();
    platform.start(channel, SELECTION, None);
    let held = rig.wait_asked(&mut platform);
    let devid = rig.host(1).devid();
    for bytes in violations(devid) {
        let mut hostile: Box<dyn Host> = rig.host(1);
        hostile.send_raw(&bytes);
        assert!(hostile.is_gone_within(10_000), "{bytes:02x?}");
        drop(hostile);
        // The key that it had is free again, and works.
        let mut neighbour = rig.attach_nth(1);
        let second = neighbour.init();
        let answer = neighbour.call(second, command::PING, &[1]);
        assert_eq!(answer.message.payload, [1]);
    }
    assert_eq!(rig.pending(), 1, "the touch of the other key waits on");
    // The program read all the while.
    rig.decide(&held, Decision::Approved);
    platform.finish(channel).expect("approved");
}

fn list_names_every_key(place: Place) {
    let rig = place.rig_with(Options {
        keys: 3,
        ..Options::default()
    });
    // A key that is taken is listed all the same.
    let _platform = rig.attach_nth(1);
    let mut stream = raw_connection(rig.sockets().address);
    stream.write_all(&[1, 0x11, 0x80, 5, 0, 0, 0, 0]).unwrap();
    let mut reply = Vec::new();
    stream
        .read_to_end(&mut reply)
        .expect("a list, then the end");
    assert_eq!(reply[..12], [1, 0x11, 0, 5, 0, 0, 0, 0, 0, 0, 0, 3]);
    let (records, rest) = reply[12..].as_chunks::<{ 312 + 4 }>();
    assert!(rest.is_empty() && records.len() == 3);
    for (record, busid) in records.iter().zip(["1-1", "1-2", "1-3"]) {
        assert!(record[256..].starts_with(busid.as_bytes()));
        assert_eq!(record[256 + busid.len()], 0);
        assert_eq!(record[300..304], [0x12, 0x09, 0x00, 0x01], "ids");
        assert_eq!(record[311], 1, "bNumInterfaces");
        assert_eq!(record[312..315], [3, 0, 0], "HID");
    }
}

fn hostile_connection_is_closed_and_nothing_else(place: Place) {
    let rig = place.rig_with(two_held_keys());
    let mut platform = rig.attach_nth(0);
    let channel = platform.init();
    let mut import_without_nul = vec![1, 0x11, 0x80, 3, 0, 0, 0, 0];
    import_without_nul.extend([b'1'; 32]);
    for bytes in [
        submit(0x0001_0001, 1, 64).header(),
        vec![0; 64],
        vec![0xff; 4096],
        b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(),
        vec![1, 6, 0x80, 5, 0, 0, 0, 0],
        vec![1, 0x11, 0x80, 9, 0, 0, 0, 0],
        vec![1, 0x11, 0x80, 5, 0, 0, 0, 1],
        import_without_nul,
    ] {
        let mut stream = raw_connection(rig.sockets().address);
        let _ = stream.write_all(&bytes); // it may be closed by then
        let mut reply = Vec::new();
        let _ = stream.read_to_end(&mut reply); // or reset
        // At most a refusal is said.
        assert!(reply.len() <= 8, "{bytes:02x?} got {reply:02x?}");
        let answer = platform.call(channel, command::PING, &[1]);
        assert_eq!(answer.message.payload, [1]);
    }
    let mut other = rig.attach_nth(1);
    other.init();
}

fn connection_that_says_nothing_holds_nobody_up(place: Place) {
    let rig = place.rig();
    let address = rig.sockets().address;
    let mut silent: Vec<_> = (0..20).map(|_| raw_connection(address)).collect();
    for (length, stream) in silent.iter_mut().enumerate().skip(1) {
        // Some stop in the middle of a request.
        let request = [1, 0x11, 0x80, 3, 0, 0, 0, 0, b'1', b'-', b'1'];
        stream.write_all(&request[..length.min(11)]).unwrap();
    }
    let mut platform = rig.attach();
    let channel = platform.init();
    let answer = platform.call(channel, command::PING, &[1]);
    assert_eq!(answer.message.payload, [1]);
}
