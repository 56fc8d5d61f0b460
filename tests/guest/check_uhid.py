"""Keys that this guest's kernel has through /dev/uhid: no USB and no network.

Programs must see no difference, so most of this is what other modules check
with keys on USB/IP.
"""

import os
from contextlib import closing

from fido2.ctap import CtapError
from fido2.ctap2 import Ctap2

import check_client
import check_ctap2
import check_hid
import check_libfido2
import check_ssh
import check_u2f
from fido import ERR, get, make, open_channel, open_impatiently
from harness import check, equal, require

UHID = ["uhid/1-1"]
# For those that set a PIN, which most others cannot bear.
UHID_PIN = ["uhid-pin/1-1"]


# The last decorator registers first.
@check("UHID: a PIN, a passkey", keys=UHID_PIN, same_as=check_client.with_pin, resident=True)
@check("UHID: tools, a PIN", keys=UHID_PIN, same_as=check_libfido2.with_pin, kind="es256")
@check("UHID: ssh-keygen", keys=UHID, same_as=check_ssh.ssh_keygen)
@check("UHID: U2F", keys=UHID, same_as=check_u2f.u2f)
@check("UHID: Fido2Client, discoverable", keys=UHID, same_as=check_ctap2.client_discoverable)
@check("UHID: Fido2Client", keys=UHID, same_as=check_ctap2.client_plain)
@check("UHID: getInfo", keys=UHID, same_as=check_ctap2.info, max_msg_size=1200)
@check("UHID: tools, resident", keys=UHID, same_as=check_libfido2.resident)
@check("UHID: fido2-cred and fido2-assert", keys=UHID, same_as=check_libfido2.plain)
@check("UHID: fido2-token -I", keys=UHID, same_as=check_libfido2.token_info)
@check("UHID: fido2-token -L", keys=UHID, same_as=check_libfido2.token_list)
@check("UHID: LOCK", keys=UHID, same_as=check_hid.lock)
@check("UHID: WINK", keys=UHID, same_as=check_hid.wink)
@check("UHID: PING of 1200 bytes", keys=UHID, same_as=check_hid.ping, size=1200)
@check("UHID: PING of 58 bytes", keys=UHID, same_as=check_hid.ping, size=58)
@check("UHID: PING of 57 bytes", keys=UHID, same_as=check_hid.ping, size=57)
@check("UHID: PING of 0 bytes", keys=UHID, same_as=check_hid.ping, size=0)
def same(key, same_as, **arguments):
    same_as(key, **arguments)


@check("UHID: opened and closed, then by two programs", keys=UHID)
def opened(key):
    for _ in range(2):
        with key.open() as device:
            equal(device.ping(b"alone"), b"alone", "PING")
    with closing(open_channel(key)) as ours, closing(open_channel(key)) as other:
        credential = make(Ctap2(ours), "two.example")
        equal(other.ping(b"beside"), b"beside", "PING of the other program")
        get(Ctap2(other), "two.example", [credential], allow=[credential])
        get(Ctap2(ours), "two.example", [credential], allow=[credential])


@check("UHID: unplugged and plugged in by the control plane", keys=UHID)
def plugged(key):
    with key.ctap2() as ctap2:
        credential = make(ctap2, "plug.example")
    with key.open() as device:
        key.unplug()
        require(not key.view()["plugged"], "the control plane says that it is plugged in")
        try:
            device.ping(b"?")
        except OSError:
            pass
        else:
            require(False, "a program still talks with the key that is unplugged")
    key.plug()
    require(key.view()["plugged"], "the control plane says that it is not plugged in")
    with key.ctap2() as ctap2:
        get(ctap2, "plug.example", [credential], allow=[credential])


@check("UHID: a message that overflows the kernel's queue", keys=UHID)
def too_long(key):
    # The kernel keeps 31 reports for the key, and these are 129. What is lost the key notices by
    # the sequence number, or, of the message's end, by its time-out for packets.
    seen = []
    for _ in range(3):
        with open_impatiently(key) as device:
            data = os.urandom(7609)
            try:
                equal(device.ping(data), data, "what came back")
                seen.append("whole")
            except CtapError as error:
                require(error.code in (ERR.INVALID_SEQ, ERR.TIMEOUT), f"another error: {error}")
                seen.append(error.code.name)
            # The next program finds the key free, while this one is still there.
            with open_impatiently(key) as other:
                equal(other.ping(b"next"), b"next", "PING of the next program")
    print(f"7609 bytes over UHID: {', '.join(seen)}", flush=True)
