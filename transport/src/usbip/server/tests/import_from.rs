//! Imports by this process, and by a program of another user.

use std::os::unix::process::CommandExt;
use std::process::Command as Program;

use super::*;

const ALLOWED: u32 = 0;
const REFUSED: u32 = 1;
/// nobody, on most systems; no matter who, if it is not us.
const OTHER_USER: u32 = 65534;

fn rig(from: ImportFrom) -> Rig {
    let rig = Rig::of(loopback().import_from(from).unwrap());
    rig.echo(1);
    rig
}

/// Imports 1-1 with a program, as this user or another; returns the status.
async fn import_by_program(rig: &Rig, uid: u32) -> u32 {
    let request = [&Request::Import.emit()[..], &busid(1).emit()].concat();
    let request: String = request
        .iter()
        .map(|byte| format!("\\x{byte:02x}"))
        .collect();
    let script = format!(
        "exec 3<>/dev/tcp/127.0.0.1/{} && printf '{request}' >&3 && head -c 8 <&3 | od -An -tx1",
        rig.address.port(),
    );
    let mut program = Program::new("bash");
    program.args(["-c", &script]).current_dir("/");
    if uid != rustix::process::geteuid().as_raw() {
        program.uid(uid);
    }
    let output = tokio::task::spawn_blocking(move || program.output().unwrap());
    let output = timeout(PATIENCE, output).await.unwrap().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let words: Vec<_> = text.split_whitespace().collect();
    match words[..] {
        ["01", "11", "00", "03", "00", "00", "00", status] => status.parse().unwrap(),
        _ => panic!("{text} {}", String::from_utf8_lossy(&output.stderr)),
    }
}

#[tokio::test]
async fn this_process_imports_by_default() {
    let rig = Rig::new();
    rig.echo(1);
    rig.attach(1).await.exchange(1).await;
}

#[tokio::test]
async fn program_imports_where_its_user_may() {
    let me = rustix::process::geteuid().as_raw();
    let mut users = vec![me];
    // Only root can be another user; the next test does without.
    users.extend((me == 0).then_some(OTHER_USER));
    for uid in users {
        for (from, allowed) in [
            (ImportFrom::Root, uid == 0),
            (ImportFrom::Me, uid == me),
            (ImportFrom::Anyone, true),
        ] {
            let expected = if allowed { ALLOWED } else { REFUSED };
            let status = import_by_program(&rig(from), uid).await;
            assert_eq!(status, expected, "{from} {uid}");
        }
    }
}

#[tokio::test]
async fn refused_user_is_told_na_and_may_still_list() {
    let gate = Gate::told(ImportFrom::Me, |_, _| Some(7), 1000);
    let rig = Rig::of(Server { gate, ..loopback() });
    rig.echo(1);
    let (mut host, status) = rig.import(1).await;
    assert_eq!(status, REFUSED);
    assert!(host.is_closed().await);
    // Not even whether it is there.
    let (_, status) = rig.import(9).await;
    assert_eq!(status, REFUSED);

    let mut stream = rig.connect().await;
    stream.write_all(&Request::DevList.emit()).await.unwrap();
    let mut got = Vec::new();
    let read = stream.read_to_end(&mut got);
    timeout(PATIENCE, read).await.unwrap().unwrap();
    assert_eq!(got.len(), HEADER_LEN + 4 + op::RECORD_LEN + 4);
}
