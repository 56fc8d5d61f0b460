use super::{
    fake::{Machine, detached},
    *,
};

#[test]
fn ports_with_keys_are_freed_and_no_other_device_is() {
    let machine = Machine::new();
    machine.device(0, "3-1", ["00FF", "A mouse maker", "046d", "c077"]);
    machine.key(1, "3-2", "0123456789ABCDEF");
    machine.device(2, "3-3", ["not-ours", "Somebody", "1209", "0001"]);
    let freed = free_ports(&machine.ports(), &[]).expect("detached");
    assert_eq!(freed, [1]);
    assert_eq!(detached(&machine), "1");
}

#[test]
fn key_with_a_name_of_its_own_is_known_by_its_serial() {
    let machine = Machine::new();
    machine.device(3, "3-1", ["0123456789ABCDEF", "Acme", "abcd", "0001"]);
    machine.device(4, "3-2", ["FEDCBA9876543210", "Acme", "1209", "0001"]);
    let devices = machine.ports().devices().expect("a status");
    let known: Vec<_> = devices.iter().map(|device| device.is_roamkey).collect();
    assert_eq!(known, [false, true]);
    let running = ["0123456789ABCDEF".to_owned()];
    assert_eq!(
        free_ports(&machine.ports(), &running).expect("detached"),
        [3, 4]
    );
}

#[test]
fn machine_without_vhci_has_no_ports_to_free() {
    let ports = Ports::of(std::env::temp_dir().join("roamkey-no-such-machine"));
    assert_eq!(
        free_ports(&ports, &[]).expect("nothing to do"),
        Vec::<u16>::new()
    );
}

#[test]
fn port_that_may_not_be_freed_is_told() {
    let machine = Machine::new();
    machine.key(5, "3-1", "0123456789ABCDEF");
    let detach = machine.path("sys/devices/platform/vhci_hcd.0/detach");
    std::fs::remove_file(detach).expect("it was there");
    let Err(Failure::Failed(text)) = free_ports(&machine.ports(), &[]) else {
        panic!("it is refused");
    };
    assert!(text.contains("vhci port 5"), "{text}");
}
