//! What an attached key costs while nobody uses it.

/// One minute is what the product promises; five seconds show a timer of any sensible interval.
#[cfg(target_os = "linux")]
#[test]
fn attached_idle_process_is_not_woken() {
    use std::{fs, thread, time::Duration};

    use super::process::{Process, attach, listen_of};
    use crate::support::{ctap2::MakeCredential, ctaphid::command};

    /// How often the process went to sleep of its own accord, over all its threads.
    fn switches(process: u32) -> u64 {
        let tasks = fs::read_dir(format!("/proc/{process}/task")).expect("a process");
        let of_task = |task: fs::DirEntry| {
            let status = fs::read_to_string(task.path().join("status")).expect("a thread");
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            line.and_then(|count| count.trim().parse::<u64>().ok())
                .expect("a count")
        };
        tasks.map(|task| of_task(task.expect("a thread"))).sum()
    }

    let args = "run --ephemeral --touch auto --listen 127.0.0.1:0 --format json";
    let process = Process::start(&args.split(' ').collect::<Vec<_>>());
    let mut platform = attach(listen_of(&process.event()));
    let channel = platform.init();
    platform.call(channel, command::PING, &[1; 1000]);
    let request = MakeCredential::discoverable("example.com", b"alice");
    platform.make(channel, &request).expect("a credential");
    // Threads that finish what they did are not idle yet.
    thread::sleep(Duration::from_millis(500));
    platform.host.take_reply_count();

    let before = switches(process.id());
    thread::sleep(Duration::from_secs(5));
    let woken = switches(process.id()) - before;
    assert!(woken <= 2, "woken {woken} times in 5 s");

    platform.expect_silence(10);
    assert_eq!(platform.host.take_reply_count(), 0, "USB/IP messages");
    let answer = platform.call(channel, command::PING, &[2]);
    assert_eq!(answer.message.payload, [2], "it still answers");
}
