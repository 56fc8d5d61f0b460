"""The systemd units: what they start works, and what they forbid does not."""

import json
import re
import threading
from pathlib import Path

from check_control import ASK, OTHER, OWNER, as_user
from check_users import IMPORT, ST_NA, ST_OK
from fido import get, make
from harness import check, equal, require, run
from inside import BINARY
from machine import SHARED, attach_from, detach, ports_in_use, wait_until
from systemd import LOG, USER_MANAGER, booted, group_of, status_of

UNIT = (SHARED / "systemd" / "roamkey.service").read_text()
USER_UNIT = (SHARED / "systemd" / "user" / "roamkey.service").read_text()
PORT = 3240
# What it logs is searched for secrets with the rest; systemd opens the file.
LOGGED = f"""[Service]
Environment=RUST_LOG=trace
StandardOutput=append:{LOG}
StandardError=append:{LOG}
"""
# Of what may happen to a service that was taken over; each line is the name of a try and what
# came of it.
PROBE = """
import ctypes, json, mmap, os, pathlib, socket, sys
def write(path):
    return lambda: pathlib.Path(path).write_text("x")
def bind(port):
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
def dump():
    import resource
    if resource.getrlimit(resource.RLIMIT_CORE)[1] == 0:
        raise OSError("no core dumps")
def call(name, *arguments):
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) == -1:
        raise OSError(ctypes.get_errno(), name)
def bind_mount(directory):
    call("mount", directory, directory, None, 4096, None)
    call("umount2", directory, 0)
tries = {
    "write below /etc": write("/etc/roamkey-probe"),
    "write below /usr": write("/usr/local/roamkey-probe"),
    "write below /root": write("/root/roamkey-probe"),
    "write to a kernel setting": lambda: open("/proc/sys/kernel/core_pattern", "r+"),
    "list root's home": lambda: os.listdir("/root"),
    "see another process": lambda: os.stat(f"/proc/{sys.argv[1]}/status"),
    "see a block device": lambda: os.stat("/dev/vda"),
    "open /dev/uhid": lambda: open("/dev/uhid", "r+b", buffering=0),
    "reach another machine": lambda: socket.create_connection(("10.0.2.2", int(sys.argv[2])), 5),
    "listen on another port": lambda: bind(3241),
    "make a raw socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW),
    "ask netlink": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
    "trace itself": lambda: call("ptrace", 0, 0, 0, 0),
    "run what it wrote": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC),
    "mount": lambda: bind_mount(sys.argv[3].encode()),
    "leave a core dump": dump,
    "write its state": write(sys.argv[3] + "/probe"),
    "listen on its port": lambda: bind(3240),
    # Last, since it gives up root's rights.
    "make a namespace": lambda: call("unshare", 0x10000000),
}
came = {}
for name, attempt in tries.items():
    try:
        attempt()
        came[name] = "done"
    except OSError as error:
        came[name] = str(error)
pathlib.Path(sys.argv[3], "came.json").write_text(json.dumps(came))
"""
ALLOWED = {"write its state", "listen on its port"}


def approve_when_asked(systemd, work):
    """Does something that waits for a touch, which root gives by the command."""
    done = []
    thread = threading.Thread(target=lambda: done.append(work()))
    thread.start()

    def approved():
        command = ("env", "XDG_RUNTIME_DIR=/run", "HOME=/root", BINARY, "touch", "list", "--format", "json")
        said = json.loads(systemd.enter(*command))
        if said["touches"]:
            systemd.enter("env", "XDG_RUNTIME_DIR=/run", "HOME=/root", BINARY, "touch", "approve")
        return done or None

    wait_until(approved, "the touch that was approved")
    thread.join()
    return done[0]


@check("systemd: the unit serves a key that outlives a restart", keys=(), limit_s=180)
def serves():
    with booted([("roamkey.service", UNIT, LOGGED)]) as systemd:
        systemd.start("roamkey")
        equal(systemd.property("roamkey", "SubState"), "running", "the unit")
        key = wait_until(attach_when_listening, "the key is attached")
        serial = key.serial
        with key.ctap2() as ctap2:
            made = approve_when_asked(systemd, lambda: make(ctap2, "unit.example", resident=True))

        # Other users get neither the key nor the socket.
        detach(key)
        equal(int(as_user(OTHER, IMPORT, PORT)), ST_NA, "another user's import")
        place = f"/proc/{systemd.first}/root/run/roamkey"
        [socket] = Path(place).glob("*.sock")
        equal(as_user(OTHER, ASK, socket), "PermissionError", "another user at the socket")

        systemd.systemctl("restart", "roamkey")
        key = wait_until(attach_when_listening, "the key is attached again")
        equal(key.serial, serial, "serial number after the restart")
        with key.ctap2() as ctap2:
            approve_when_asked(systemd, lambda: get(ctap2, "unit.example", [made]))
        systemd.systemctl("stop", "roamkey")
        equal(systemd.property("roamkey", "Result"), "success", "how it ended")
        wait_until(lambda: not ports_in_use(), "its end detaches the key")


def attach_when_listening():
    """The key of the unit; nothing while it does not listen yet."""
    listening = run("ss", "-Hltn", f"sport = :{PORT}")
    return attach_from("127.0.0.1", PORT, "1-1", "unit/1-1") if listening else None


@check("systemd: the sandbox of the unit is in force", keys=(), limit_s=120)
def sandbox():
    with booted([("roamkey.service", UNIT, LOGGED)]) as systemd:
        systemd.start("roamkey")
        wait_until(lambda: run("ss", "-Hltn", f"sport = :{PORT}"), "it listens")
        process = systemd.process("roamkey")
        status = status_of(process)
        equal((status["Seccomp"], status["NoNewPrivs"]), ("2", "1"), "Seccomp and NoNewPrivs")
        for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            equal(int(status[name], 16), 0, name)
        users = set(status["Uid"].split())
        require(len(users) == 1 and 61184 <= int(users.pop()) <= 65519, "no dynamic user", status["Uid"])
        limits = Path(f"/proc/{process}/limits").read_text()
        require(re.search(r"Max core file size +0 +0 ", limits), "core dumps", limits)
        group = group_of(systemd.property("roamkey", "ControlGroup"))
        equal((group / "memory.swap.max").read_text().strip(), "0", "swap")
        equal((group / "pids.max").read_text().strip(), "1024", "tasks")
        state = Path(f"/proc/{systemd.first}/root/var/lib/private/roamkey")
        modes = {path.name: f"{path.stat().st_mode & 0o777:o}" for path in state.iterdir()}
        require("vault.redb" in modes, "there is no vault", modes)
        require(all(mode in ("600", "700") for mode in modes.values()), "others may read", modes)
        said = systemd.enter("systemd-analyze", "security", "roamkey", "--threshold=15")
        require("exposure level" in said, "systemd-analyze security says nothing", said)


@check("systemd: what a service in the unit's sandbox cannot do", keys=(), limit_s=120)
def forbidden():
    (SHARED / "probe.py").write_text(PROBE)
    # The host's port, where there is somebody to answer.
    port = re.search(r'"listen":"127\.0\.0\.1:(\d+)"', (SHARED / "servers" / "auto.events").read_text())[1]
    outside = Path("/run/systemd-probe")
    outside.mkdir(exist_ok=True)
    command = ("/usr/bin/python3", SHARED / "probe.py")

    def words(state):
        return " ".join(str(word) for word in (*command, 1, port, state))

    probe = re.sub(r"(?m)^ExecStart=.*$", f"ExecStart={words('%S/roamkey')}", UNIT)
    probe = probe.replace("Type=exec", "Type=oneshot").replace("Restart=on-failure", "Restart=no")
    with booted([("probe.service", probe, LOGGED)]) as systemd:
        systemd.start("probe")
        equal(systemd.property("probe", "Result"), "success", "the probe")
        root = Path(f"/proc/{systemd.first}/root")
        came = json.loads((root / "var/lib/private/roamkey/came.json").read_text())
    did = {name for name, result in came.items() if result == "done"}
    if "-BPF_FRAMEWORK" in run("systemctl", "--version"):
        # Debian 12's systemd was built without what SocketBindDeny= takes.
        did.discard("listen on another port")
    equal(did, ALLOWED, "what could be done")
    # Outside it all of that can be done, so that it is the sandbox that forbids it.
    run(*words(outside).split())
    free = json.loads((outside / "came.json").read_text())
    cannot = {name: result for name, result in free.items() if result != "done"}
    equal(cannot, {}, "what root cannot do outside")


@check("systemd: a user's unit serves the user and root alone", keys=(), limit_s=120)
def of_a_user():
    runtime = Path(f"/run/user/{OWNER}")
    # Where the user's own systemd may write.
    logged = LOGGED.replace(str(LOG), f"{runtime}/log")
    manager = ("user.service", USER_MANAGER, LOGGED)
    with booted([manager], [("roamkey.service", USER_UNIT, logged)]) as systemd:
        systemd.start("user")
        as_owner = ("setpriv", f"--reuid={OWNER}", f"--regid={OWNER}", "--clear-groups", "env")
        as_owner += (f"XDG_RUNTIME_DIR={runtime}", f"HOME={runtime}")
        systemd.enter(*as_owner, "systemctl", "--user", "start", "roamkey")
        key = wait_until(attach_when_listening, "the key is attached")
        with key.open() as device:
            equal(device.ping(b"hello"), b"hello", "PING")
        detach(key)
        equal(int(as_user(OTHER, IMPORT, PORT)), ST_NA, "another user's import")
        equal(int(as_user(OWNER, IMPORT, PORT)), ST_OK, "the owner's import")
        [socket] = Path(f"/proc/{systemd.first}/root{runtime}/roamkey").glob("*.sock")
        equal(as_user(OTHER, ASK, socket), "PermissionError", "another user at the socket")
        process = next(int(word) for word in run("pgrep", "-x", "roamkey", "-u", OWNER).split())
        status = status_of(process)
        equal((status["Seccomp"], status["NoNewPrivs"]), ("2", "1"), "Seccomp and NoNewPrivs")
        limits = Path(f"/proc/{process}/limits").read_text()
        require(re.search(r"Max core file size +0 +0 ", limits), "core dumps", limits)
        systemd.enter(*as_owner, "systemctl", "--user", "stop", "roamkey")
        said = systemd.enter(*as_owner, "systemctl", "--user", "show", "--value", "--property=Result", "roamkey")
        equal(said.strip(), "success", "how it ended")
        with LOG.open("ab") as log:
            log.write(Path(f"/proc/{systemd.first}/root{runtime}/log").read_bytes())
