"""The two machines: the host with its servers, and this guest's USB/IP ports."""

import itertools
import json
import os
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fido2 import hid
from fido2.ctap2 import Ctap2

from harness import Failure, require, run

SHARED = Path("/shared")
HOST = "10.0.2.2"
VHCI = Path("/sys/devices/platform/vhci_hcd.0")
USB = Path("/sys/bus/usb/devices")
PORT_IN_USE = 6

_numbers = itertools.count(1)
# Servers that the running check had to do with: their logs are shown if it fails.
servers_used = set()


# Stands in the kernel's log before what this run made it say.
MARK = "roamkey check:"


def mark(name):
    """Notes in the kernel's log that a check begins."""
    Path("/dev/kmsg").write_text(f"{MARK} {name}\n")


def kernel_log(since=MARK):
    """The lines of the kernel's log since the first that has this text."""
    lines = run("dmesg").splitlines()
    starts = [number for number, line in enumerate(lines) if since in line]
    return lines[starts[0] :] if starts else lines


def wait_until(condition, what, limit_s=20, pause_s=0.05):
    """Polls until the condition gives something true, and returns that."""
    end = time.monotonic() + limit_s
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise Failure(f"after {limit_s} s still not: {what}")
        time.sleep(pause_s)


def ask_host(action, server, text=""):
    """Has scripts/guest do something to a server, and returns what it says.

    Actions: `kill` (SIGKILL), `stop` (SIGTERM; says the exit status), `start`,
    `say` (a line of text to the server's stdin); `scan` looks for secrets in
    what all servers wrote, and `scan-vault` for more than these in the vault.
    """
    servers_used.add(server)
    number = f"{next(_numbers):04}"
    draft = SHARED / "ask" / f"{number}.new"
    draft.write_text(f"{action} {server} {text}\n")
    draft.rename(SHARED / "ask" / number)
    done = SHARED / "done" / number
    wait_until(done.exists, f"the host did: {action} {server} {text}", limit_s=30)
    answer = done.read_text().strip()
    if answer.startswith("failed"):
        raise Failure(f"{action} {server} on the host {answer}")
    return answer.removeprefix("ok").strip()


def events(server):
    """The JSON objects that a server has printed on stdout since its start."""
    servers_used.add(server)
    lines = (SHARED / "servers" / f"{server}.events").read_text().splitlines()
    return [json.loads(line) for line in lines]


def tcp_port(server):
    """The port the server listens on, as its ready event tells."""
    ready = events(server)[0]
    return int(ready["listen"].rsplit(":", 1)[1])


def ports_in_use():
    """The vhci ports with a device: port number -> bus id in this guest."""
    found = {}
    for file in VHCI.glob("status*"):
        for line in file.read_text().splitlines()[1:]:
            _hub, port, state, _speed, _devid, _socket, busid = line.split()
            if int(state) >= PORT_IN_USE:
                found[int(port)] = busid
    return found


class Pluggable:
    """What programs open, whatever brought it into this guest; it has a `node`."""

    @contextmanager
    def open(self):
        """The key as python-fido2's device, on a channel of its own."""
        device = hid.open_device(self.node)
        try:
            yield device
        finally:
            device.close()

    @contextmanager
    def ctap2(self):
        """The key as python-fido2's Ctap2."""
        with self.open() as device:
            yield Ctap2(device)


@dataclass
class Key(Pluggable):
    """A key of a server on the host that is attached to this guest."""

    name: str
    port: int
    busid: str
    takes_port = True

    @property
    def sysfs(self):
        """The USB device."""
        return USB / self.busid

    @property
    def serial(self):
        """The serial number of the USB device."""
        return (self.sysfs / "serial").read_text().strip()

    @property
    def node(self):
        """The key's hidraw node, or None while there is none."""
        found = list(self.sysfs.glob("*:1.0/*/hidraw/hidraw*"))
        return f"/dev/{found[0].name}" if found else None

    def is_alive(self):
        """Whether it is still attached."""
        return ports_in_use().get(self.port) == self.busid and self.node is not None

    def replug(self):
        """Detaches and attaches it: a power cycle."""
        detach(self)
        fresh = attach(self.name)
        self.port, self.busid = fresh.port, fresh.busid
        require(self.node, f"{self.name} has no hidraw node after the replug")


def attach(name):
    """Attaches SERVER/BUSID and waits until programs can open it."""
    server, remote = name.split("/")
    return attach_from(HOST, tcp_port(server), remote, name)


def attach_from(host, port, remote, name):
    """Attaches what a server at this address has, and waits until programs can open it."""
    before = ports_in_use()
    run("usbip", "--tcp-port", port, "attach", "-r", host, "-b", remote)

    def enumerated():
        new = {port: busid for port, busid in ports_in_use().items() if port not in before}
        # "0-0" stands there until the kernel has given it an address.
        return [(port, busid) for port, busid in new.items() if (USB / busid).exists()]

    [(port, busid)] = wait_until(enumerated, f"{name} has a port and an address")
    key = Key(name, port, busid)
    wait_until(lambda: key.node and os.access(key.node, os.W_OK), f"{name} has a hidraw node")
    run("udevadm", "settle", "--timeout=20")
    return key


def detach(key):
    """Detaches a key and waits until it is gone."""
    run("usbip", "detach", "-p", key.port)
    wait_gone(key)


def wait_gone(key):
    """Waits until nothing of the key is left in this guest."""
    wait_until(
        lambda: key.port not in ports_in_use() and not key.sysfs.exists(),
        f"{key.name} is gone from port {key.port}",
    )


def detach_all():
    """Frees every port, whoever attached what is there."""
    for port in ports_in_use():
        run("usbip", "detach", "-p", port)
    wait_until(lambda: not ports_in_use(), "every port is free")


def replug(key):
    """Takes a key out and puts it in again, as the same object."""
    key.replug()


def kill_and_return(key):
    """Kills the key's server, and attaches the key again when it is back."""
    server = key.name.split("/")[0]
    ask_host("kill", server)
    wait_gone(key)
    ask_host("start", server)
    again = attach(key.name)
    key.port, key.busid = again.port, again.busid
