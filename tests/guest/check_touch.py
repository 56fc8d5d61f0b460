"""A person who approves, denies, or is asked by a program that went away."""

import subprocess
import sys
import time

from fido import ERR, VERSIONS, Held, get, make
from harness import Failure, check, equal, require, run, status
from machine import ask_host, events

# The key takes a program for gone after 2 s in which nobody reads from it.
GONE_AFTER_S = 3

# A program of its own, since it is to be killed: it asks for a touch and waits.
WAITING_PROGRAM = """
import sys
from fido2 import hid
from fido2.ctap2 import Ctap2
Ctap2(hid.open_device(sys.argv[1])).make_credential(
    bytes(32), {"id": "killed.example"}, {"id": b"user", "name": "user"},
    [{"type": "public-key", "alg": -7}], on_keepalive=lambda status: print(status, flush=True))
"""


def approved(function, *arguments, **options):
    """A request that the person at the host approves."""
    held = Held(function, *arguments, **options)
    held.wait_for_touch()
    ask_host("say", "ask", "y")
    return held.outcome()


@check("a prompt approved", keys=["ask/1-1"])
def prompt_approved(key):
    with key.ctap2() as ctap2:
        credential = approved(make, ctap2, "approve.example")
        approved(get, ctap2, "approve.example", [credential], allow=[credential])
        approved(ctap2.selection)


@check("a prompt denied", keys=["ask/1-1"])
def prompt_denied(key):
    with key.ctap2() as ctap2:
        held = Held(make, ctap2, "deny.example")
        held.wait_for_touch()
        ask_host("say", "ask", "n")
        with status(ERR.OPERATION_DENIED, "makeCredential that the person denied"):
            held.outcome()
        equal(ctap2.device.ping(b"next"), b"next", "PING after it")


@check("--touch deny", keys=["deny/1-1"])
def touch_deny(key):
    with key.ctap2() as ctap2, status(ERR.OPERATION_DENIED, "makeCredential"):
        make(ctap2, "deny.example")


@check("--rp refuses other sites", keys=["narrow/1-1"])
def narrow(key):
    with key.ctap2() as ctap2:
        credential = make(ctap2, "good.example")
        get(ctap2, "good.example", [credential], allow=[credential])
        with status(ERR.OPERATION_DENIED, "makeCredential for another site"):
            make(ctap2, "evil.example")


@check("key 2 works while key 1 awaits a touch", keys=["ask/1-1", "ask/1-2"])
def other_key_works(first, second):
    with first.ctap2() as one, second.ctap2() as two:
        credential = approved(make, two, "second.example")
        held = Held(make, one, "first.example")
        held.wait_for_touch()
        equal(two.get_info().versions, VERSIONS, "versions of key 2")
        equal(two.device.ping(bytes(1024)), bytes(1024), "PING on key 2")
        get(two, "second.example", [credential], allow=[credential], up=False)
        require(held.pending(), "key 1's request ended meanwhile")
        held.cancel()
        with status(ERR.KEEPALIVE_CANCEL, "key 1's request after its CANCEL"):
            held.outcome()


def start_and_kill(node):
    """Kills a program with SIGKILL while the key waits for a touch for it."""
    with subprocess.Popen(
        [sys.executable, "-c", WAITING_PROGRAM, node], stdout=subprocess.PIPE, text=True
    ) as program:
        said = program.stdout.readline().strip()
        program.kill()
    require(said, "the program ended before the key asked for a touch")


@check("a program killed while it waits, the next one later", keys=["ask/1-1"])
def killed_then_later(key):
    start_and_kill(key.node)
    time.sleep(GONE_AFTER_S)
    touches = [event for event in events("ask") if event["event"] == "touch"]
    asked = [event["id"] for event in touches if event.get("rp") == "killed.example"]
    withdrawn = [event["id"] for event in touches if event["state"] == "withdrawn"]
    require(asked[-1] in withdrawn, "the prompt of the killed program was not withdrawn", touches)
    require(info_works(key), "fido2-token -I does not work after a killed program")
    # A prompt that had stayed would take these approvals for itself.
    approve_both(key, "later.example")


@check("a program killed while it waits, the next one at once", keys=["ask/1-1"])
def killed_then_at_once(key):
    start_and_kill(key.node)
    # The person tries again at once, may be told that the key is busy, and
    # tries once more: that has to work.
    if not info_works(key):
        time.sleep(GONE_AFTER_S)
        require(info_works(key), "the key is still busy for a program that is gone")
    approve_both(key, "at-once.example")


def info_works(key):
    """Whether a fresh program gets an answer; libfido2 makes U2F of a busy key."""
    try:
        return "FIDO_2_0" in run("fido2-token", "-I", key.node, limit_s=10)
    except Failure:
        return False


def approve_both(key, rp_id):
    """A registration and a sign-in, each approved by the person."""
    with key.ctap2() as ctap2:
        credential = approved(make, ctap2, rp_id)
        approved(get, ctap2, rp_id, [credential], allow=[credential])
