"""`roamkey run --attach`: keys at this guest's vhci, without usbip and without a listener."""

from pathlib import Path

from check_control import OWNER
from fido import get, make
from harness import check, equal, require, run
from inside import BINARY, KeyHere, Server
from machine import ports_in_use, wait_until


def listening(process):
    """The TCP sockets of a process that listen, by ss and by the kernel's own table."""
    by_ss = [line for line in run("ss", "-Hltnp").splitlines() if f"pid={process}," in line]
    inodes = set()
    for descriptor in Path(f"/proc/{process}/fd").iterdir():
        target = str(descriptor.readlink())
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    rows = []
    for table in ("tcp", "tcp6"):
        lines = Path(f"/proc/{process}/net/{table}").read_text().splitlines()[1:]
        # Its state is the fourth word, where 0A is LISTEN, and its inode the tenth.
        rows += [line.split() for line in lines]
    return by_ss + [row[1] for row in rows if row[3] == "0A" and row[9] in inodes]


@check("--attach: the key works and nothing listens", keys=())
def attached():
    with Server("attach", "--attach --ephemeral --touch auto") as server:
        key = KeyHere("attach/1-1", server, "1-1")
        equal(len(ports_in_use()), 1, "vhci ports in use")
        with key.ctap2() as ctap2:
            credential = make(ctap2, "attach.example", resident=True)
            equal(ctap2.device.ping(bytes(7609)), bytes(7609), "what came back")
        equal(listening(server.process.pid), [], "sockets that listen")
        equal(server.ready.get("listen"), None, "listen in the ready event")

        key.unplug()
        equal(ports_in_use(), {}, "vhci ports in use while it is unplugged")
        key.plug()
        with key.ctap2() as ctap2:
            get(ctap2, "attach.example", [credential])
        equal(listening(server.process.pid), [], "sockets that listen after the replug")
    wait_until(lambda: not ports_in_use() and key.node is None, "its end detaches the key")


@check("--attach: with --listen there is a listener", keys=())
def both():
    # The proof that the search of the check above finds what is there.
    with Server("both", "--attach --listen 127.0.0.1:0 --ephemeral --touch auto") as server:
        key = KeyHere("both/1-1", server, "1-1")
        with key.open() as device:
            device.ping(b"works")
        require(len(listening(server.process.pid)) == 2, "the listener is not found")


@check("roamkey attach: root gives this machine the key of a user's roamkey", keys=())
def by_command():
    # That roamkey may not write to vhci itself: root takes its connection over and hands it on.
    options = "--listen 127.0.0.1:0 --ephemeral --touch auto"
    with Server("command", options, user=OWNER) as server:
        control = ("--control", server.ready["control"]["socket"])
        run(BINARY, "attach", "1-1", *control)
        key = KeyHere("command/1-1", server, "1-1")
        with key.ctap2() as ctap2:
            make(ctap2, "command.example", resident=True)
            equal(ctap2.device.ping(bytes(1024)), bytes(1024), "what came back")
        run(BINARY, "detach", "1-1", *control)
        wait_until(lambda: not ports_in_use() and key.node is None, "it is detached")
