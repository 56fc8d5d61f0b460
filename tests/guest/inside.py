"""Servers in this guest itself, and their control plane.

Where the kernel's own side is the point: /dev/uhid, vhci without usbip, the
users of one machine. What they write lies beside what the host's servers do,
and is searched for secrets with it.
"""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

from harness import Failure, equal, run
from machine import SHARED, Pluggable, servers_used, wait_until

BINARY = Path("/usr/local/bin/roamkey")
HOMES = Path("/run/homes")
# Those that checks name as SERVER/BUSID.
SERVERS = {
    "uhid": "--backend uhid --ephemeral --touch auto",
    "uhid-pin": "--backend uhid --ephemeral --touch auto",
    "uhid-enterprise": "--backend uhid --ephemeral --touch auto --profile enterprise",
    "uhid-full": "--backend uhid --ephemeral --touch auto --profile full",
    "vhci": "--attach --ephemeral --touch auto",
}

_running = {}


class Problem(Exception):
    """The control plane's answer where it is no success."""

    def __init__(self, status, detail):
        super().__init__(f"{status}: {detail}")
        self.status = status


class Control(http.client.HTTPConnection):
    """The control plane of a server, at its Unix socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=20)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)

    def ask(self, method, path, body=None):
        """The JSON that answers a request; what is no success is a Problem."""
        text = None if body is None else json.dumps(body)
        headers = {} if body is None else {"Content-Type": "application/json"}
        try:
            self.request(method, f"/v1/{path}", text, headers)
            answer = self.getresponse()
            said = json.loads(answer.read() or "null")
        finally:
            self.close()
        if answer.status >= 400:
            raise Problem(answer.status, said["detail"])
        return said


def install():
    """roamkey's program, and the kernel's modules that it needs."""
    if not BINARY.exists():
        # Not run from the shared folder, which is slow to page in.
        shutil.copy(SHARED / "roamkey", BINARY)
    for module in ("uhid", "vhci-hcd"):
        run("modprobe", module)
    return BINARY


class Server:
    """`roamkey run` in this guest, as root or as another user."""

    def __init__(self, name, options, user=0):
        self.name = f"inside-{name}"
        servers_used.add(self.name)
        install()
        home = HOMES / self.name
        home.mkdir(parents=True, exist_ok=True)
        # What is in it that others may not have, roamkey itself has to close.
        home.chmod(0o755)
        os.chown(home, user, user)
        places = ("HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR")
        self._events = SHARED / "servers" / f"{self.name}.events"
        log = SHARED / "servers" / f"{self.name}.log"
        begin = self._events.stat().st_size if self._events.exists() else 0
        with self._events.open("ab") as events, log.open("ab") as errors:
            self.process = subprocess.Popen(  # pylint: disable=consider-using-with
                [BINARY, "run", *options.split(), "--format", "json", "-v"],
                stdin=subprocess.DEVNULL,
                stdout=events,
                stderr=errors,
                cwd="/",
                env={"RUST_LOG": "trace", **{place: str(home) for place in places}},
                user=user,
                group=user,
                extra_groups=[],
            )
        _running[name] = self

        def ready():
            if self.process.poll() is not None:
                said = log.read_text(errors="replace").splitlines()
                raise Failure(f"roamkey run {options} ended", "\n".join(said[-10:]))
            said = self._events.read_bytes()[begin:].splitlines(keepends=True)
            return next((json.loads(line) for line in said if line.endswith(b"\n")), None)

        self.ready = wait_until(ready, f"ready: roamkey run {options}")
        self.control = Control(self.ready["control"]["socket"])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def ask(self, method, path, body=None):
        """Asks its control plane."""
        return self.control.ask(method, path, body)

    def end(self):
        """Ends it as an init system would."""
        _running.pop(self.name.removeprefix("inside-"), None)
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired as error:
                self.process.kill()
                self.process.wait()
                raise Failure(f"{self.name} did not end within 10 s of SIGTERM") from error
        equal(self.process.returncode, 0, f"status of {self.name}")


def end_servers(but=()):
    """Ends all servers of this guest, except those of these names."""
    for name, server in list(_running.items()):
        if name not in but:
            server.end()


class KeyHere(Pluggable):
    """A key of a server in this guest."""

    def __init__(self, name, server, busid):
        self.name, self.server, self.busid = name, server, busid
        self.serial = self.view()["serial"]
        self.wait_for_node()

    @property
    def takes_port(self):
        """Whether it is one of vhci's ports that it is plugged in to."""
        return self.server.name == "inside-vhci"

    @property
    def node(self):
        """The key's hidraw node, or None while there is none."""
        for device in Path("/sys/class/hidraw").glob("hidraw*"):
            try:
                facts = (device / "device" / "uevent").read_text()
            except OSError:
                # It went meanwhile.
                continue
            if f"HID_UNIQ={self.serial}" in facts.splitlines():
                return f"/dev/{device.name}"
        return None

    def wait_for_node(self):
        """Waits until programs can open it."""
        wait_until(lambda: self.node and os.path.exists(self.node), f"{self.name} has a node")
        run("udevadm", "settle", "--timeout=20")

    def wait_gone(self):
        """Waits until there is no node of it."""
        wait_until(lambda: self.node is None, f"{self.name} has no node")

    def is_alive(self):
        """Whether programs can open it."""
        return self.server.process.poll() is None and self.node is not None

    def ask(self, method, path="", body=None):
        """Asks the control plane about this key."""
        return self.server.ask(method, f"keys/{self.busid}{path}", body)

    def view(self):
        """The key as the control plane has it."""
        return self.ask("GET")

    def unplug(self):
        """Takes it out, by the control plane."""
        self.ask("POST", "/unplug")
        self.wait_gone()

    def plug(self):
        """Puts it in again, by the control plane."""
        self.ask("POST", "/plug")
        self.wait_for_node()

    def replug(self):
        """Takes it out and puts it in again."""
        self.unplug()
        self.plug()


def key(name):
    """The key SERVER/BUSID, of a server that is started if it does not run."""
    server, busid = name.split("/")
    return KeyHere(name, _running.get(server) or Server(server, SERVERS[server]), busid)
