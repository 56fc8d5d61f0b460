//! A person at a terminal: commands that ask are run with one, by Python's pty.

use std::{path::Path, process::Command};

use serde_json::json;

use super::{
    home::{Home, text_of},
    process::{Ended, command, end},
};

/// Answers each prompt when it has come; what was written is stdout, the command's status its own.
const SCRIPT: &str = r#"
import json, os, pty, select, sys, time
talk, settings, argv = json.loads(sys.argv[1])
child, terminal = pty.fork()
if child == 0:
    os.environ.update(settings)
    os.execv(argv[0], argv)
seen, at, end = b"", 0, time.monotonic() + 60
def more():
    global seen
    ready, _, _ = select.select([terminal], [], [], max(0, end - time.monotonic()))
    if not ready:
        sys.exit("too late: " + repr(seen))
    try:
        read = os.read(terminal, 4096)
    except OSError: # how Linux says that the other side is closed
        read = b""
    seen += read
    return bool(read)
for prompt, answer in talk:
    while prompt.encode() not in seen[at:]:
        if not more():
            sys.exit("no " + repr(prompt) + " in " + repr(seen))
    at = len(seen)
    # A prompt is written before the echo is off.
    time.sleep(0.1)
    os.write(terminal, answer.encode() + b"\n")
while more():
    pass
sys.stdout.buffer.write(seen)
sys.stdout.flush()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"#;

impl Home {
    /// Runs to the end at a terminal where a person answers these prompts.
    pub(super) fn talk(&self, args: &[&str], talk: &[(&str, &str)]) -> Ended {
        let program = text_of(Path::new(command(&[]).get_program()));
        let argv: Vec<_> = std::iter::once(program.as_str())
            .chain(args.iter().copied())
            .collect();
        // The interpreter itself lives where it was.
        let settings = json!({
            "HOME": text_of(&self.path("")),
            "XDG_DATA_HOME": text_of(&self.path("data")),
            "XDG_STATE_HOME": text_of(&self.path("state")),
            "DBUS_SESSION_BUS_ADDRESS": "",
        });
        let parameters = json!([talk, settings, argv]).to_string();
        end(Command::new("python3").args(["-c", SCRIPT, &parameters]))
    }
}
