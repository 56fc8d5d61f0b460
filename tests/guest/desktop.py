"""Chromium, headless or on a display in memory, and hands that type there.

Chromium asks for a key's PIN in a dialog of its own, which no script of a
page or of a test can reach: a person types, and so does this. Headless it has
no dialogs. What the browser shows, its log tells.
"""

import os
import re
import struct
import subprocess
import tempfile
import time
import zlib
from pathlib import Path

from harness import run
from machine import SHARED, wait_until
from pins import PIN, secret_pin

DISPLAY = ":7"
WIDTH, HEIGHT = 900, 700

STEP = re.compile(r"UI step: (\w+)")
PIN_STEP = "kClientPinEntry"
TOUCH_STEP = "kUsbInsertAndActivate"
# Longer than a key that is touched takes, under emulation as well.
GIVE_UP_AFTER_S = 20
FAILURE = re.compile("TimedOut|Error|NotRegistered|Missing|Removed")
# The step is in the log a moment before its dialog takes keys; a PIN that
# came too early is typed again.
FIRST_KEYS_AFTER_S = 1
NEXT_KEYS_AFTER_S = 8


class Desktop:
    """The browser with its display, if it has one, and its log."""

    def __init__(self, url, headless, *more):
        self.headless = headless
        self.more = more
        self.folder = Path(tempfile.mkdtemp())
        self.log = self.folder / "chromium.log"
        self.env = os.environ | {"DISPLAY": DISPLAY}
        if not headless:
            self._start(
                *["Xvfb", DISPLAY, "-screen", "0", f"{WIDTH}x{HEIGHT}x24"],
                *["-nolisten", "tcp", "-fbdir", self.folder],
            )
            wait_until(Path(f"/tmp/.X11-unix/X{DISPLAY[1:]}").exists, "Xvfb is there")
        self._read, self._typed_at, self._browser = 0, None, None
        self._closed, self._shown = 0, (0, 0)
        self.browse(url)

    def browse(self, url):
        """Starts Chromium on a page, in place of one that may be there."""
        self.end()
        look = ["--headless"] if self.headless else ["--ozone-platform=x11"]
        profile = tempfile.mkdtemp(dir=self.folder)
        self._browser = self._start(
            *["chromium", *look, "--no-sandbox", "--disable-gpu"],
            *["--disable-quic", "--no-first-run", "--disable-background-networking"],
            *["--disable-component-update", "--disable-sync", "--disable-extensions"],
            *["--password-store=basic", "--window-position=0,0"],
            f"--window-size={WIDTH},{HEIGHT}",
            # What it sends to keys and hears from them, and its dialogs.
            *["--enable-logging=stderr", "--vmodule=device_event_log*=1"],
            *[*self.more, f"--user-data-dir={profile}", url],
        )

    def end(self):
        """Ends Chromium, if it runs."""
        if self._browser:
            self._browser.kill()
            self._browser.wait()
            self._browser = None

    def _start(self, *command):
        """A program whose output goes to the log."""
        with self.log.open("ab") as log:
            return subprocess.Popen(  # pylint: disable=consider-using-with
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env
            )

    def begin(self):
        """Forgets what was shown before."""
        self._read, self._typed_at = self.log.stat().st_size, None

    def serve(self, pin=PIN):
        """Does what the browser asks the person for, if it asks for anything."""
        if self.steps()[-1:] != [PIN_STEP]:
            self._typed_at = None
            return
        now = time.monotonic()
        if self._typed_at is None:
            self._typed_at = now - NEXT_KEYS_AFTER_S + FIRST_KEYS_AFTER_S
        if now - self._typed_at >= NEXT_KEYS_AFTER_S:
            self.enter(secret_pin(pin))
            self._typed_at = time.monotonic()

    def close_failures(self):
        """Closes a dialog that says that it did not work, or that waits for a touch in vain.

        Until then the page hears of nothing, whatever its timeout.
        """
        steps, now = self.steps(), time.monotonic()
        if len(steps) != self._shown[0]:
            self._shown = len(steps), now
        in_vain = steps[-1:] == [TOUCH_STEP] and now - self._shown[1] >= GIVE_UP_AFTER_S
        if len(steps) > self._closed and (in_vain or FAILURE.search(steps[-1])):
            self._closed = len(steps)
            # The step is in the log a moment before its dialog takes keys.
            time.sleep(FIRST_KEYS_AFTER_S)
            # A dialog may be a window of its own, and a page in a second one.
            found = run("xdotool", "search", "--onlyvisible", "--class", "chromium", env=self.env)
            for window in found.split():
                self.hands("windowfocus", window)
                self.hands("key", "Escape")

    def enter(self, text):
        """Types a text in place of what is there, and Enter."""
        # Without a window manager, nobody else gives the browser the focus.
        self.hands("search", "--onlyvisible", "--class", "chromium", "windowfocus")
        self.hands("key", "ctrl+a")
        self.hands("type", "--delay", "40", text)
        self.hands("key", "Return")

    def hands(self, *command):
        """Runs xdotool, which presses keys as a keyboard does."""
        run("xdotool", *command, env=self.env)

    def steps(self):
        """What the browser showed since `begin`, in order."""
        return STEP.findall(self.log.read_bytes()[self._read :].decode(errors="replace"))

    def evidence(self, name):
        """The end of the log; all of it and a picture go to the folder of all logs."""
        text = self.log.read_text(errors="replace")
        (SHARED / f"{name}.log").write_text(text)
        # It complains at length that there is no D-Bus, and tells of every key.
        lines = [line for line in text.splitlines() if not re.search("dbus/|USB: USER", line)]
        lines = [line.split("] ", 2)[-1][:300] for line in lines]
        ending = lines[-15:]
        if not self.headless:
            file = SHARED / f"{name}.png"
            file.write_bytes(picture((self.folder / "Xvfb_screen0").read_bytes()))
            ending.append(f"a picture of the screen is in {file.name}")
        return "\n".join(ending)


def picture(dump):
    """The PNG of what Xvfb keeps in its file, which is an XWD of 32 bits a pixel."""
    header = struct.unpack(">25I", dump[:100])
    size, width, height, stride, colours = (header[at] for at in (0, 4, 5, 12, 19))
    at, rows = size + 12 * colours, []
    for _ in range(height):
        row = bytearray(3 * width)
        # Blue comes first there, and red here.
        for channel in range(3):
            row[channel::3] = dump[at + 2 - channel : at + 4 * width : 4]
        rows.append(b"\0" + row)
        at += stride

    def chunk(kind, data):
        sum_of = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", sum_of)

    form = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(b"".join(rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", form) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
