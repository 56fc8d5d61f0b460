use super::*;
use crate::cli::detach::fake::{Machine, detached};

#[test]
fn keys_of_a_dead_process_are_freed_and_those_of_a_live_one_are_not() {
    let machine = Machine::new();
    machine.key(0, "3-1", "DEAD000000000001");
    machine.key(1, "3-2", "11FE000000000001");
    machine.key(2, "3-3", "0000000000000001");
    let directory = machine.path("run");
    fs::create_dir_all(&directory).unwrap();
    fs::write(
        directory.join("1.exec"),
        "DEAD000000000001\nDEAD000000000002",
    )
    .unwrap();
    let live = Remains::note(Some(&directory), ["11FE000000000001"].into_iter());
    assert_eq!(
        clear_with(std::slice::from_ref(&directory), &machine.ports()),
        1
    );
    assert_eq!(detached(&machine), "0");
    let names = || {
        let entries = fs::read_dir(&directory).unwrap().flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names().len(), 1, "the live one's: {:?}", names());
    live.forget();
    assert_eq!(names().len(), 0);
    assert_eq!(clear_with(&[directory], &machine.ports()), 0);
}

#[test]
fn note_of_a_process_that_ended_without_a_word_is_found() {
    let machine = Machine::new();
    machine.key(0, "3-1", "DEAD000000000001");
    let directory = machine.path("run");
    fs::create_dir_all(&directory).unwrap();
    let killed = Remains::note(Some(&directory), ["DEAD000000000001"].into_iter());
    assert_eq!(
        clear_with(std::slice::from_ref(&directory), &machine.ports()),
        0
    );
    drop(killed); // which closes the file, as the kernel does
    assert_eq!(clear_with(&[directory], &machine.ports()), 1);
}
