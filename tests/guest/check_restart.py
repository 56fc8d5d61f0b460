"""The server stopped, killed and started again under an attached key."""

from fido import ERR, get, make
from harness import check, equal, status
from machine import ask_host, attach, detach, wait_gone


@check("server killed and started again", keys=["auto/1-1"])
def killed(key):
    with key.ctap2() as ctap2:
        lost = make(ctap2, "killed.example")
    ask_host("kill", "auto")
    wait_gone(key)
    ask_host("start", "auto")
    again = attach(key.name)
    with again.ctap2() as ctap2:
        with status(ERR.NO_CREDENTIALS, "a credential of the ephemeral key that is gone"):
            get(ctap2, "killed.example", [], allow=[lost])
        credential = make(ctap2, "killed.example")
        get(ctap2, "killed.example", [credential], allow=[credential])
    detach(again)


@check("server with --seed killed, its credential works again", keys=["seeded/1-1"])
def seeded(key):
    serial = key.serial
    with key.ctap2() as ctap2:
        credential = make(ctap2, "seed.example")
    ask_host("kill", "seeded")
    wait_gone(key)
    ask_host("start", "seeded")
    again = attach(key.name)
    equal(again.serial, serial, "serial number after the restart")
    # The counter lived in the memory of the process that was killed.
    credential.counter = -1
    with again.ctap2() as ctap2:
        get(ctap2, "seed.example", [credential], allow=[credential])
    detach(again)


@check("server stopped by SIGTERM while attached", keys=["auto/1-1"])
def stopped(key):
    with key.open() as device:
        device.ping(b"in use")
        said = ask_host("stop", "auto")
    equal(said, "status 0", "how the server ended")
    wait_gone(key)
    ask_host("start", "auto")
    again = attach(key.name)
    with again.open() as device:
        device.ping(b"back")
    detach(again)
