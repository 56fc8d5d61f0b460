"""A systemd that is PID 1, in namespaces of its own within this guest.

The guest's own init is a script. This systemd is the real one nevertheless: it has the first
process of a PID namespace, the whole of a cgroup tree, and knows no units but those it is given.
The network and the devices are the guest's, so that keys come to its kernel.
"""

import os
import shutil
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path

from check_control import OWNER
from harness import Failure, run
from inside import install
from machine import SHARED, servers_used, wait_until

CGROUPS = Path("/sys/fs/cgroup")
OURS = CGROUPS / "systemd-check"
UNITS = Path("/run/systemd-check")
NAME = "inside-systemd"
LOG = SHARED / "servers" / f"{NAME}.log"
# What units of Debian bring is not what is checked here.
TARGETS = ("check", "sysinit", "basic", "shutdown", "multi-user")
INSIDE = f"""
set -e
mount -t proc proc /proc
umount {CGROUPS}
mount -t cgroup2 cgroup2 {CGROUPS}
mount --bind {UNITS} /mnt
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/systemd/system
cp -r /mnt/. /run/systemd/system/
umount /mnt
touch /etc/machine-id
echo 5b1c5dbf4f6f4f0c8a6a3a0f6d0b7a11 >/run/machine-id
(cat /etc/passwd; echo owner:x:{OWNER}:{OWNER}::/run/user/{OWNER}:/bin/sh) >/run/passwd
(cat /etc/group; echo owner:x:{OWNER}:) >/run/group
for file in machine-id passwd group; do
    mount --bind /run/$file /etc/$file
done
exec env -i container=roamkey-check SYSTEMD_UNIT_PATH=/run/systemd/system \
    PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --system --unit=check.target --log-target=console --show-status=no
"""
# A group with processes of its own gives those below it no resources: only systemd is in this one.
BEGIN = f"""
exec unshare --pid --fork --mount --uts --ipc --kill-child sh -c '
    echo 0 >{OURS}/cgroup.procs
    exec unshare --cgroup sh {UNITS}/begin'
"""


def group_of(name):
    """A control group of its."""
    return OURS / name.lstrip("/")


def status_of(process):
    """/proc/PID/status as names and values."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return {name: value.strip() for name, value in (line.split(":", 1) for line in lines)}


class Systemd:
    """It runs, and `first` is its process as the guest numbers it."""

    def __init__(self, first):
        self.first = first

    def enter(self, *command, expect=0, limit_s=40):
        """Runs a program where it and its services are, and returns its output."""
        nsenter = ("nsenter", f"--target={self.first}", "--mount", "--pid", "--cgroup", "--ipc")
        return run(*nsenter, *command, expect=expect, limit_s=limit_s)

    def systemctl(self, *words, expect=0):
        """Asks it."""
        return self.enter("systemctl", *words, expect=expect)

    def property(self, unit, name):
        """What it knows of a unit."""
        return self.systemctl("show", "--value", f"--property={name}", unit).strip()

    def process(self, unit):
        """The main process of a unit as the guest numbers it."""
        group = self.property(unit, "ControlGroup")
        main = self.property(unit, "MainPID")
        for process in (group_of(group) / "cgroup.procs").read_text().split():
            # As the guest and as systemd numbers it.
            if status_of(process)["NSpid"].split()[1:] == [main]:
                return int(process)
        raise Failure(f"{unit} has no process {main}")

    def start(self, unit):
        """Starts a unit; where it does not, its log tells why."""
        self.systemctl("start", unit)
        wait_until(lambda: self.property(unit, "ActiveState") in ("active", "inactive", "failed"), unit)


def add(directory, name, text, more=""):
    """Gives it a unit, and what is edited of that here."""
    (directory / name).write_text(text)
    if more:
        edits = directory / f"{name}.d"
        edits.mkdir(exist_ok=True)
        (edits / "check.conf").write_text(more)


# A user's systemd as logind has it started, without PAM and logind.
USER_MANAGER = f"""[Unit]
Description=systemd of user {OWNER}
[Service]
Type=notify
User={OWNER}
Group={OWNER}
Delegate=pids memory
RuntimeDirectory=user/{OWNER}
RuntimeDirectoryMode=0700
Environment=XDG_RUNTIME_DIR=/run/user/{OWNER} HOME=/run/user/{OWNER}
Environment=SYSTEMD_UNIT_PATH=/run/systemd/system/user
ExecStart=/lib/systemd/systemd --user --unit=check.target
"""


@contextmanager
def booted(units, user_units=()):
    """A systemd that knows these units: (name, text, what is edited of it)."""
    servers_used.add(NAME)
    install()
    shutil.rmtree(UNITS, ignore_errors=True)
    (UNITS / "user").mkdir(parents=True)
    (UNITS / "begin").write_text(INSIDE)
    for directory, those in ((UNITS, units), (UNITS / "user", user_units)):
        for target in TARGETS:
            text = f"[Unit]\nDescription={target}\nDefaultDependencies=no\n"
            add(directory, f"{target}.target", text)
        for unit in those:
            add(directory, *unit)
    if not (CGROUPS / "cgroup.procs").exists():
        run("mount", "-t", "cgroup2", "cgroup2", CGROUPS)
    (CGROUPS / "cgroup.subtree_control").write_text("+memory +pids +cpu")
    OURS.mkdir(exist_ok=True)
    with LOG.open("ab") as log, subprocess.Popen(
        ["sh", "-c", BEGIN], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/"
    ) as began:
        try:
            yield Systemd(wait_until(lambda: _first_of(began), "systemd has started"))
        finally:
            # With it go all that it has started.
            began.send_signal(signal.SIGKILL)
    # The next one finds none of its groups.
    wait_until(_is_clear, "nothing is left of systemd")


def _is_clear():
    for directory, _, _ in os.walk(OURS, topdown=False):
        try:
            os.rmdir(directory)
        except OSError:
            return False
    return True


def _first_of(began):
    """The process that is systemd, once it takes orders."""
    if began.poll() is not None:
        raise Failure("systemd did not start", LOG.read_text(errors="replace")[-2000:])
    children = Path(f"/proc/{began.pid}/task/{began.pid}/children").read_text().split()
    for child in children:
        if os.path.exists(f"/proc/{child}/root/run/systemd/private"):
            return int(child)
    return None
