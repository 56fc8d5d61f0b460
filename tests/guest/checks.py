#!/usr/bin/env python3
"""Runs the checks in the guest whose names stand in /shared/names, in order.

Called as the guest's job by scripts/guest, which reads /shared/report while
it grows: one line a check, fields separated by tabs.
"""

import importlib
import signal
import sys
import time
import traceback
from pathlib import Path

import machine
from desk import Desk
from harness import REGISTRY, Failure

# In the order in which they run; the logs are judged at the very end.
MODULES = (
    "check_usbip",
    "check_libfido2",
    "check_token",
    "check_ssh",
    "check_pam",
    "check_hid",
    "check_ctap2",
    "check_u2f",
    "check_touch",
    "check_pin",
    "check_client",
    "check_manage",
    "check_large_blobs",
    "check_bio",
    "check_ctap23",
    "check_attestation",
    "check_profiles",
    "check_vault",
    "check_uhid",
    "check_attach",
    "check_exec",
    "check_fronts",
    "check_control",
    "check_users",
    "check_limits",
    "check_systemd",
    "check_faults",
    "check_chromium",
    "check_browser",
    "check_restart",
    "check_secrets",
    "check_kernel",
)

REPORT = machine.SHARED / "report"


class TimeIsUp(BaseException):
    """Not an Exception, so that no check can swallow it."""


def on_alarm(_signal, _frame):
    """Ends a check that has taken too long, wherever it is."""
    raise TimeIsUp


def report(*fields):
    """Adds one line in one write, since the host reads while it grows."""
    line = "\t".join(" ".join(str(field).split()) for field in fields) + "\n"
    with open(REPORT, "ab", buffering=0) as file:
        file.write(line.encode())


def why_of(error, check):
    """A failure in one line."""
    if isinstance(error, TimeIsUp):
        return f"it took longer than {check.limit_s} s"
    if isinstance(error, Failure):
        return str(error)
    return f"{type(error).__name__}: {error}"


def evidence(error, check, number):
    """What a person wants to see under the line of a failure."""
    name = f"evidence-{number:03}"
    frames = [
        f"{Path(frame.filename).name}:{frame.lineno} {frame.line}"
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename.startswith(str(machine.SHARED))
    ]
    kernel = machine.kernel_log(f"{machine.MARK} {check.name}")[-20:]
    parts = ["where:", *(f"  {frame}" for frame in frames[-4:])]
    if details := str(getattr(error, "details", "")).strip():
        parts += ["details:", *(f"  {line}" for line in details.splitlines()[-20:])]
    parts += ["the guest's dmesg:", *(f"  {line}" for line in kernel)]
    (machine.SHARED / name).write_text("\n".join(parts) + "\n")
    return name


def perform(check, desk, number):
    """Runs one check and reports it."""
    machine.servers_used.clear()
    started = time.monotonic()
    machine.mark(check.name)
    signal.alarm(check.limit_s)
    try:
        check.run(desk.set_out(check.keys))
        signal.alarm(0)
        report("ok", check.name, f"{time.monotonic() - started:.1f}")
        return
    except (Exception, TimeIsUp) as error:  # pylint: disable=broad-exception-caught
        signal.alarm(0)
        seconds = f"{time.monotonic() - started:.1f}"
        servers = ",".join(sorted(machine.servers_used)) or "-"
        file = evidence(error, check, number)
        report("FAIL", check.name, seconds, file, servers, why_of(error, check))
    try:
        desk.clear()
    except Failure as error:
        print(f"after {check.name}: {error}", flush=True)


def main():
    """Runs what was asked for; what cannot be found, the host misses itself."""
    signal.signal(signal.SIGALRM, on_alarm)
    wanted = set((machine.SHARED / "names").read_text().splitlines())
    for name in MODULES:
        importlib.import_module(name)

    desk = Desk()
    number = 0
    for check in REGISTRY:
        if check.name in wanted:
            number += 1
            perform(check, desk, number)
    desk.clear()
    (machine.SHARED / "dmesg").write_text("\n".join(machine.kernel_log()) + "\n")
    report("end", number)


if __name__ == "__main__":
    sys.exit(main())
