"""pam-u2f: logging in to a Unix account, driven by pamtester."""

import tempfile
from contextlib import contextmanager
from pathlib import Path

from check_libfido2 import encoded
from fido import make
from harness import check, equal, require, run
from machine import attach, detach
from pins import PERMISSION, PIN, WRONG_PIN, fresh, retries, token

SERVICE = Path("/etc/pam.d/roamkey-check")
# The guest has no other account.
USER = "root"
ORIGIN = "pam://guest"


@contextmanager
def service(*options):
    """A PAM service that asks for a key and nothing else; where its keys stand."""
    with tempfile.TemporaryDirectory() as name:
        keys = Path(name) / "keys"
        module = f"pam_u2f.so authfile={keys} origin={ORIGIN} appid={ORIGIN} {' '.join(options)}"
        SERVICE.write_text(f"auth required {module}\naccount required pam_permit.so\n")
        try:
            yield keys
        finally:
            SERVICE.unlink()


def log_in(text=None, expect=0):
    """Logs in with pamtester, which reads answers from its stdin."""
    said = run("pamtester", SERVICE.name, USER, "authenticate", text=text, expect=expect)
    if expect == 0:
        require("successfully authenticated" in said, "pamtester does not say so", said)


def enrolled(credential, options):
    """A line of the key file, as pamu2fcfg writes it.

    Debian 12's pamu2fcfg (1.1.0) takes no self attestation, which is what
    this key gives: it wants a certificate and calls fido_cred_verify with
    nothing. Later versions take it.
    """
    public = credential.public_key
    handle, point = encoded(credential.id), encoded(public[-2] + public[-3])
    return f"{USER}:{handle},{point},es256,{options}\n"


@check("pam-u2f with pamtester")
def plain(key):
    with service("cue") as keys:
        with key.ctap2() as ctap2:
            keys.write_text(enrolled(make(ctap2, ORIGIN), "+presence"))
        log_in()
        # The same account at a key that never saw it.
        detach(key)
        other = attach("auto/1-2")
        log_in(expect=1)
        detach(other)


@check("pam-u2f enrolled by pamu2fcfg, over U2F", keys=["u2f-only/1-1"])
def u2f(_key):
    with service() as keys:
        keys.write_text(run("pamu2fcfg", "-u", USER, "-o", ORIGIN, "-i", ORIGIN) + "\n")
        log_in()


@check("pam-u2f with pinverification=1", keys=["pin/1-9"])
def with_pin(key):
    fresh(key, PIN)
    with service("pinverification=1") as keys:
        with key.ctap2() as ctap2:
            auth = token(ctap2, PERMISSION.MAKE_CREDENTIAL, ORIGIN)
            keys.write_text(enrolled(make(ctap2, ORIGIN, auth=auth), "+presence+pin"))
        log_in(f"{PIN}\n")
        log_in(f"{WRONG_PIN}\n", expect=1)
        with key.ctap2() as ctap2:
            equal(retries(ctap2), 7, "retries after a wrong PIN")
        log_in(f"{PIN}\n")
