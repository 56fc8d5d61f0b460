"""fido2-token as a person uses it: PIN, resident credentials, settings, reset."""

import base64
import re
import time

from fido2.ctap2 import ClientPin

from check_libfido2 import encoded
from fido import ERR, get, make
from harness import check, equal, require, run_on_terminal, status
from machine import replug
from pins import OTHER_PIN, PERMISSION, PIN, WRONG_PIN, fresh, secret_pin, token

RESET_WINDOW_S = 10


def fido2_token(key, *flags, pins=(), error=None):
    """Runs it on the key and types these PINs at its prompts.

    With an `error` it must end in that one.
    """
    for pin in pins:
        secret_pin(pin)
    expect = 1 if error else 0
    said = run_on_terminal("fido2-token", *flags, key.node, answers=pins, expect=expect)
    if error:
        require(f"FIDO_ERR_{error}" in said, f"another error than {error}", said)
    return said


def facts(key):
    """What -I says, as a dictionary; it asks for nothing."""
    lines = fido2_token(key, "-I").splitlines()
    return dict(line.split(": ", 1) for line in lines if ": " in line)


def options(key):
    """The options of -I, where a "no" in front is a false."""
    return facts(key)["options"].split(", ")


@check("fido2-token -S and -C: set and change the PIN", keys=["pin/1-8"])
def set_and_change(key):
    fresh(key)
    require("noclientPin" in options(key), "a new key has a PIN")
    fido2_token(key, "-S", pins=[PIN, PIN])
    found = facts(key)
    require("clientPin" in found["options"].split(", "), "the key has no PIN", found)
    equal(found["pin retries"], "8", "pin retries")
    fido2_token(key, "-C", pins=[WRONG_PIN, OTHER_PIN, OTHER_PIN], error="PIN_INVALID")
    equal(facts(key)["pin retries"], "7", "pin retries after a wrong PIN")
    fido2_token(key, "-C", pins=[PIN, OTHER_PIN, OTHER_PIN])
    equal(facts(key)["pin retries"], "8", "pin retries after the change")
    with key.ctap2() as ctap2:
        token(ctap2, PERMISSION.GET_ASSERTION, "tool.example", pin=OTHER_PIN)


@check("fido2-token -L and -D: resident credentials", keys=["pin/1-8"])
def residents(key):
    fresh(key)
    with key.ctap2() as ctap2:
        made = [make(ctap2, "tool.example", user, resident=True) for user in (b"ann", b"bob")]
        made.append(make(ctap2, "second.example", b"cid", resident=True))
        ClientPin(ctap2).set_pin(PIN)

    said = fido2_token(key, "-I", "-c", pins=[PIN])
    equal(re.findall(r"existing rk\(s\): (\d+)", said), ["3"], "existing credentials")
    said = fido2_token(key, "-L", "-r", pins=[PIN])
    sites = {line.split()[2] for line in said.splitlines()}
    equal(sites, {"tool.example", "second.example"}, "sites")
    said = fido2_token(key, "-L", "-k", "tool.example", pins=[PIN])
    found = {line.split()[1]: line.split()[2:4] for line in said.splitlines()}
    expected = {
        encoded(credential.id): [credential.user_id.decode(), encoded(credential.user_id)]
        for credential in made[:2]
    }
    equal(found, expected, "credentials of tool.example")
    said = fido2_token(key, "-I", "-k", "tool.example", "-i", encoded(made[0].id), pins=[PIN])
    require("BEGIN PUBLIC KEY" in said, "the public key is not shown", said)

    names = ["-n", "new-name", "-p", "new-display-name"]
    which = ["-i", encoded(made[0].id), "-k", encoded(b"ann")]
    fido2_token(key, "-S", "-c", *which, *names, pins=[PIN])
    said = fido2_token(key, "-L", "-k", "tool.example", pins=[PIN])
    require("new-display-name" in said, "the new name is not shown", said)

    fido2_token(key, "-D", "-i", encoded(made[0].id), pins=[PIN])
    said = fido2_token(key, "-L", "-k", "tool.example", pins=[PIN])
    equal([base64.b64decode(line.split()[1]) for line in said.splitlines()], [made[1].id], "rest")
    with key.ctap2() as ctap2, status(ERR.NO_CREDENTIALS, "the deleted credential"):
        get(ctap2, "tool.example", [], allow=[made[0]])
    fido2_token(key, "-D", "-i", encoded(made[0].id), pins=[PIN], error="NO_CREDENTIALS")


@check("fido2-token -S -l, -f and -m: PIN rules", keys=["pin/1-8"])
def pin_rules(key):
    fresh(key, PIN)
    equal(facts(key)["minpinlen"], "4", "minpinlen of a new key")
    fido2_token(key, "-S", "-l", "8", pins=[PIN])
    equal(facts(key)["minpinlen"], "8", "minpinlen")
    fido2_token(key, "-S", "-l", "7", pins=[PIN], error="PIN_POLICY_VIOLATION")
    fido2_token(key, "-C", pins=[PIN, "teal-77", "teal-77"], error="PIN_POLICY_VIOLATION")

    fido2_token(key, "-S", "-m", "tool.example", pins=[PIN])
    with key.ctap2() as ctap2:
        auth = token(ctap2, PERMISSION.MAKE_CREDENTIAL, "tool.example")
        made = make(ctap2, "tool.example", auth=auth, extensions={"minPinLength": True})
        equal(made.extensions, {"minPinLength": 8}, "what the site hears")

    equal(facts(key)["pin change required"], "false", "whether a change is required")
    fido2_token(key, "-S", "-f", pins=[PIN])
    equal(facts(key)["pin change required"], "true", "whether a change is required")
    fido2_token(key, "-L", "-r", pins=[PIN], error="PIN_POLICY_VIOLATION")
    fido2_token(key, "-C", pins=[PIN, OTHER_PIN, OTHER_PIN])
    equal(facts(key)["pin change required"], "false", "whether a change is required")
    with key.ctap2() as ctap2:
        token(ctap2, PERMISSION.CREDENTIAL_MGMT, pin=OTHER_PIN)


@check("fido2-token -S -u and -D -u: always-UV", keys=["pin/1-8"])
def always_uv(key):
    fresh(key, PIN)
    require("noalwaysUv" in options(key), "alwaysUv is on in a new key")
    fido2_token(key, "-S", "-u", pins=[PIN])
    found = facts(key)
    require("alwaysUv" in found["options"].split(", "), "alwaysUv is not on", found)
    require("U2F_V2" not in found["version strings"], "U2F_V2 is announced beside it", found)
    fido2_token(key, "-D", "-u", pins=[PIN])
    found = facts(key)
    require("noalwaysUv" in found["options"].split(", "), "alwaysUv is still on", found)
    require("U2F_V2" in found["version strings"], "U2F_V2 did not come back", found)


@check("fido2-token -R inside and outside of the window", keys=["pin/1-8"])
def reset(key):
    fresh(key, PIN)
    replug(key)
    time.sleep(RESET_WINDOW_S + 1)
    fido2_token(key, "-R", error="NOT_ALLOWED")
    require("clientPin" in options(key), "the PIN is gone after a reset that was refused")
    replug(key)
    fido2_token(key, "-R")
    require("noclientPin" in options(key), "the PIN is still there after the reset")
    fido2_token(key, "-S", pins=[OTHER_PIN, OTHER_PIN])
