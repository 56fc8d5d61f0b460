"""What python-fido2 and libfido2 make of each fault, and that all is well after it.

A fault is armed by the control plane for one sign-in. python-fido2 waits for
ever, so its connection gives up for it; what it raises for reports that are
wrong is ConnectionFailure. libfido2 has one error for all that it reads wrong
or not at all. The reports of an answer that a client gave up on still come:
the next request is on a handle of its own.
"""

import os
import time

from cryptography.exceptions import InvalidSignature
from fido2.ctap import CtapError
from fido2.ctap2 import Ctap2
from fido2.hid import ConnectionFailure

import libfido2
from fido import make, open_impatiently
from harness import check, equal, require

RP_ID = "faults.example"
KEYS = ["vhci/1-1"]
# As libfido2 calls it.
GOOD = "FIDO_ERR_SUCCESS"
# libfido2's "could not read" and "could not write".
RX, TX = "FIDO_ERR_RX", "FIDO_ERR_TX"
DELAY_MS = 400


class Client:
    """One sign-in by python-fido2, and what became of it."""

    def __init__(self, key, credential):
        self.keepalives = 0
        self.error = None
        started = time.monotonic()
        try:
            with open_impatiently(key) as device:
                self._sign_in(device, credential)
        except (OSError, ConnectionFailure, CtapError, InvalidSignature, ValueError) as error:
            self.error = error
        self.seconds = time.monotonic() - started

    def _sign_in(self, device, credential):
        challenge = os.urandom(32)
        try:
            response = Ctap2(device).get_assertion(
                RP_ID, challenge, [credential.descriptor], on_keepalive=self._on_keepalive
            )
        except TimeoutError:
            # As a program does that has waited long enough.
            device._send_cancel()  # pylint: disable=protected-access
            raise
        response.verify(challenge, credential.public_key)

    def _on_keepalive(self, _status):
        self.keepalives += 1

    @property
    def kind(self):
        """The kind of its error, or of a CtapError the status; GOOD without one."""
        if isinstance(self.error, CtapError):
            return self.error.code.name
        return type(self.error).__name__ if self.error else GOOD


class Faulty:
    """A key with a credential, whose sign-ins meet faults."""

    def __init__(self, key):
        self.key = key
        key.ask("PUT", "/touch-policy", {"touch": "auto"})
        key.ask("DELETE", "/faults")
        with key.ctap2() as ctap2:
            self.credential = make(ctap2, RP_ID)

    def arm(self, fault, parameter=None, operation="get-assertion"):
        """Has the next sign-in meet a fault."""
        new = {"fault": fault, "operation": operation, "parameter": parameter}
        self.key.ask("POST", "/faults", new)

    def both(self, expected, *armed, touch=None, **options):
        """Both clients meet a fault, and succeed afterwards; python-fido2's sign-in with it."""
        if touch:
            self.key.ask("PUT", "/touch-policy", {"touch": "delay", "delay_ms": touch})
        found, clients = [], []
        for sign_in in (self._by_python, self._by_libfido2):
            self.arm(*armed, **options)
            kind, client = sign_in()
            found.append(kind)
            clients.append(client)
            equal(self.key.ask("GET", "/faults")["faults"], [], "faults that nobody met")
            if armed[0].startswith("unplug"):
                self.key.wait_gone()
                require(not self.key.view()["plugged"], "the key is still plugged in")
                self.key.plug()
            equal(sign_in()[0], GOOD, f"the sign-in after {kind}")
        for kind, wanted, who in zip(found, expected, ("python-fido2", "libfido2"), strict=True):
            require(kind in wanted, f"{who}: expected {wanted}, got {found}", clients[0].error)
        return clients[0]

    def _by_python(self):
        client = Client(self.key, self.credential)
        return client.kind, client

    def _by_libfido2(self):
        return libfido2.sign_in(self.key.node, self.credential), None


SIGNATURE = (["InvalidSignature"], ["FIDO_ERR_INVALID_SIG"])
TRUNCATED = (["ValueError"], ["FIDO_ERR_RX_NOT_CBOR"])
WRONG = (["ConnectionFailure"], [RX])
SILENT = (["TimeoutError"], [RX])
FINE = ([GOOD], [GOOD])
# Of these the request was taken whole, so the program reads when the key goes: EIO.
GONE = (["OSError"], [RX])
# And here it writes, if it is not too late: ESHUTDOWN, ENODEV.
GONE_EARLY = (["OSError", "BrokenPipeError"], [RX, TX])


# The last decorator registers first.
@check("fault cbor-truncated", keys=KEYS, fault="cbor-truncated", expected=TRUNCATED)
@check("fault bad-signature", keys=KEYS, fault="bad-signature", expected=SIGNATURE)
@check("fault unplug-before-answer", keys=KEYS, fault="unplug-before-answer", expected=GONE)
@check("fault wrong-channel", keys=KEYS, fault="wrong-channel", expected=WRONG)
@check("fault wrong-sequence", keys=KEYS, fault="wrong-sequence", expected=WRONG)
@check("fault reorder-reports", keys=KEYS, fault="reorder-reports", expected=WRONG)
@check("fault corrupt-report", keys=KEYS, fault="corrupt-report", expected=SIGNATURE)
@check("fault duplicate-report", keys=KEYS, fault="duplicate-report", expected=WRONG)
@check("fault drop-report", keys=KEYS, fault="drop-report", expected=SILENT)
def plain(key, fault, expected):
    Faulty(key).both(expected, fault)


@check("fault status", keys=KEYS)
def status(key):
    expected = (["NO_CREDENTIALS"], ["FIDO_ERR_NO_CREDENTIALS"])
    Faulty(key).both(expected, "status", "NO_CREDENTIALS")


@check("fault slow-trickle", keys=KEYS, fault="slow-trickle", parameter="150")
@check("fault delay-report", keys=KEYS, fault="delay-report", parameter="450")
def late(key, fault, parameter):
    client = Faulty(key).both(FINE, fault, parameter)
    # Of four reports three wait for the one before.
    require(client.seconds >= 0.45, f"the answer took {client.seconds:.2f} s")


@check("fault no-keepalives", keys=KEYS)
def no_keepalives(key):
    faulty = Faulty(key)
    client = faulty.both(FINE, "no-keepalives", touch=DELAY_MS)
    equal(client.keepalives, 0, "keepalives")
    require(client.seconds >= DELAY_MS / 1000, f"the answer took {client.seconds:.2f} s")
    client = Client(key, faulty.credential)
    require(client.keepalives > 0, "no keepalives without the fault either")


@check("fault endless-keepalives", keys=KEYS)
def endless_keepalives(key):
    client = Faulty(key).both(SILENT, "endless-keepalives")
    require(client.keepalives > 0, "there were no keepalives")


@check("fault unplug-during-touch", keys=KEYS)
def unplug_during_touch(key):
    client = Faulty(key).both(GONE, "unplug-during-touch", touch=DELAY_MS)
    require(client.keepalives > 0, "the touch was not announced")


@check("fault unplug-between-packets", keys=KEYS, fault="unplug-between-packets")
@check("fault unplug-after-init", keys=KEYS, fault="unplug-after-init")
def unplug_below_commands(key, fault):
    Faulty(key).both(GONE_EARLY, fault, operation=None)


@check("UHID: fault unplug-before-answer", keys=["uhid/1-1"])
def unplug_on_uhid(key):
    Faulty(key).both(GONE, "unplug-before-answer")
