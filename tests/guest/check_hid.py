"""CTAPHID itself: messages of every length, wink, lock, channels."""

import os
import time
from contextlib import closing

from fido2.ctap import CtapError
from fido2.ctap2 import Ctap2
from fido2.hid import CAPABILITY, CTAPHID, CtapHidDevice, get_descriptor
from fido2.hid.linux import LinuxCtapHidConnection

from fido import AtOnce, Held, make, open_channel
from harness import check, equal, require, status

BUSY = CtapError.ERR.CHANNEL_BUSY


# The last decorator registers first, so the longest stands at the top.
@check("PING of 7609 bytes", size=7609)
@check("PING of 1024 bytes", size=1024)
@check("PING of 58 bytes", size=58)
@check("PING of 57 bytes", size=57)
@check("PING of 1 byte", size=1)
@check("PING of 0 bytes", size=0)
def ping(key, size):
    data = os.urandom(size)
    with key.open() as device:
        equal(device.ping(data), data, "what came back")


class LateReader(LinuxCtapHidConnection):
    """Is kept from reading for a while, as a busy machine keeps its programs."""

    late_s = 0

    def read_packet(self):
        time.sleep(self.late_s)
        self.late_s = 0
        return super().read_packet()


@check("PING of 7609 bytes, read late", limit_s=20)
def ping_read_late(key):
    # Linux keeps 63 reports for a program and drops what comes then, and these are 129.
    descriptor = get_descriptor(key.node)
    connection = LateReader(descriptor)
    with closing(CtapHidDevice(descriptor, connection)) as device:
        for _ in range(3):
            connection.late_s = 0.1
            data = os.urandom(7609)
            equal(device.ping(data), data, "what came back")


@check("PING of 7610 bytes is refused")
def ping_too_long(key):
    with key.open() as device:
        with status(CtapError.ERR.INVALID_LENGTH, "a message that is one byte too long"):
            device.ping(bytes(7610))
        equal(device.ping(b"after"), b"after", "PING afterwards")


@check("WINK")
def wink(key):
    with key.open() as device:
        require(CAPABILITY.WINK.supported(device.capabilities), "WINK is not announced")
        device.wink()


@check("LOCK")
def lock(key):
    with closing(open_channel(key)) as ours, closing(open_channel(key)) as other:
        ours.lock(10)
        with status(BUSY, "PING on another channel while locked"):
            other.call(CTAPHID.PING, b"?", AtOnce())
        equal(ours.ping(b"mine"), b"mine", "PING on the channel that locked")
        ours.lock(0)
        equal(other.ping(b"free"), b"free", "PING on the other channel when released")

        ours.lock(1)
        with status(BUSY, "PING on another channel while locked for 1 s"):
            other.call(CTAPHID.PING, b"?", AtOnce())
        time.sleep(1.5)
        equal(other.call(CTAPHID.PING, b"!", AtOnce()), b"!", "PING when the lock has run out")


@check("two channels, BUSY", keys=["ask/1-1"])
def two_channels(key):
    with closing(open_channel(key)) as ours, closing(open_channel(key)) as other:
        held = Held(make, Ctap2(ours), "busy.example")
        held.wait_for_touch()
        with status(BUSY, "PING on another channel while a touch is awaited"):
            other.call(CTAPHID.PING, b"?", AtOnce())
        # INIT is served at any time; opening a channel is one.
        with closing(open_channel(key)) as third:
            with status(BUSY, "PING on a channel made meanwhile"):
                third.call(CTAPHID.PING, b"?", AtOnce())
        require(held.pending(), "the held request was disturbed")
        held.cancel()
        with status(CtapError.ERR.KEEPALIVE_CANCEL, "the held request after its CANCEL"):
            held.outcome()
        equal(other.call(CTAPHID.PING, b"!", AtOnce()), b"!", "PING on the other channel then")


@check("CANCEL of a held request", keys=["ask/1-1"])
def cancel(key):
    with key.ctap2() as ctap2:
        for _ in range(3):
            held = Held(make, ctap2, "cancel.example")
            held.wait_for_touch()
            held.cancel()
            with status(CtapError.ERR.KEEPALIVE_CANCEL, "makeCredential after CANCEL"):
                held.outcome(limit_s=3)
            equal(ctap2.device.ping(b"next"), b"next", "PING after it")


@check("CANCEL of nothing is answered by nothing")
def cancel_of_nothing(key):
    with key.open() as device:
        device._send_cancel()  # pylint: disable=protected-access
        time.sleep(0.3)
        equal(device.ping(b"first answer"), b"first answer", "the next answer")
