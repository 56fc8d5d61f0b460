"""Keys in a vault, whose server is killed and finds them again.

Chromium's part stands with its other checks in check_chromium.py.
"""

import os
import re
import tempfile
from pathlib import Path

from fido2.ctap2 import LargeBlobs

from check_large_blobs import BLOB_BYTES, make_with_key, read_raw, writer
from check_libfido2 import Tools, encoded
from check_ssh import APPLICATION, asking, load_resident, make_resident
from check_token import facts, fido2_token
from fido import ERR, get, make
from harness import check, equal, require, status
from machine import kill_and_return
from pins import PERMISSION, PIN, WRONG_PIN, fresh, private, private_name, retries, token


@check("vault: fido2-assert logs in after SIGKILL", keys=["stored/1-1"], limit_s=120)
def tools(key):
    fresh(key)
    serial = key.serial
    fido2_token(key, "-S", pins=[PIN, PIN])
    resident = Tools(key, "resident.vault.example", resident=True, pin=PIN)
    listed = Tools(key, "listed.vault.example", pin=PIN)
    for credential in (resident, listed):
        credential.make()
        credential.assertion()
        private(credential.noted())
    private_name("tester")
    before = {credential: credential.counter for credential in (resident, listed)}

    kill_and_return(key)
    equal(key.serial, serial, "serial number after the kill")
    found = facts(key)
    require("clientPin" in found["options"].split(", "), "the PIN is gone", found)
    equal(found["pin retries"], "8", "pin retries")
    said = fido2_token(key, "-I", "-c", pins=[PIN])
    equal(re.findall(r"existing rk\(s\): (\d+)", said), ["1"], "existing credentials")
    said = fido2_token(key, "-L", "-r", pins=[PIN])
    equal([line.split()[2] for line in said.splitlines()], [resident.rp_id], "sites")
    said = fido2_token(key, "-L", "-k", resident.rp_id, pins=[PIN])
    shown = [(line.split()[1], line.split()[3]) for line in said.splitlines()]
    equal(shown, [(resident.id, encoded(resident.user_id))], "credentials")

    # One by the site's name alone, one by its id; both verified by -V.
    for credential in (resident, listed):
        credential.assertion()
        went = f"the counter went from {before[credential]} to {credential.counter}"
        require(credential.counter > before[credential], went)


@check("vault: PIN retries are not given back by SIGKILL", keys=["stored/1-2"])
def pin_retries(key):
    fresh(key, PIN)
    for round_number in (1, 2):
        with key.ctap2() as ctap2:
            for _ in range(2):
                with status(ERR.PIN_INVALID, "a wrong PIN"):
                    token(ctap2, PERMISSION.GET_ASSERTION, "vault.example", pin=WRONG_PIN)
        # More than two would lock the key until it is attached again.
        kill_and_return(key)
        with key.ctap2() as ctap2:
            equal(retries(ctap2), 8 - 2 * round_number, "retries after the kill")
    with key.ctap2() as ctap2:
        token(ctap2, PERMISSION.GET_ASSERTION, "vault.example")
    kill_and_return(key)
    with key.ctap2() as ctap2:
        equal(retries(ctap2), 8, "retries after the right PIN and a kill")


@check("vault: credentials and large blobs of python-fido2 after SIGKILL", keys=["stored/1-2"])
def large_blobs(key):
    fresh(key, PIN)
    with key.ctap2() as ctap2:
        permissions = PERMISSION.MAKE_CREDENTIAL
        site = "blob.vault.example"
        made = make_with_key(ctap2, site, b"annabella", token(ctap2, permissions, site))
        listed = make(ctap2, site, b"bartholomew", auth=token(ctap2, permissions, site))
        blob = os.urandom(BLOB_BYTES)
        writer(ctap2).put_blob(made.large_blob_key, blob)
        array = read_raw(ctap2)
    for credential in (made, listed):
        private(credential)

    kill_and_return(key)
    with key.ctap2() as ctap2:
        require(read_raw(ctap2) == array, "another array after the kill")
        require(LargeBlobs(ctap2).get_blob(made.large_blob_key) == blob, "another blob")
        asked = {"extensions": {"largeBlobKey": True}}
        for allow in ([], [made], [listed]):
            auth = token(ctap2, PERMISSION.GET_ASSERTION, site)
            known = allow or [made]
            found, answer = get(ctap2, site, known, allow=allow, auth=auth, **asked)
            require(answer.large_blob_key == found.large_blob_key, "another largeBlobKey")
        # What is rewritten is there after the next kill, and nothing of the old one.
        writer(ctap2).put_blob(made.large_blob_key, b"short")
    kill_and_return(key)
    with key.ctap2() as ctap2:
        equal(LargeBlobs(ctap2).get_blob(made.large_blob_key), b"short", "the blob rewritten")
        require(len(read_raw(ctap2)) < BLOB_BYTES, "the array did not shrink")


@check("vault: ssh-keygen -K after SIGKILL", keys=["stored/1-1"], limit_s=120)
def ssh(key):
    fresh(key, PIN)
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        env = asking(here, PIN)
        _, public = make_resident(here, "ed25519", env)
        private_name(APPLICATION)
        kill_and_return(key)
        load_resident(here, "ed25519", env, public)
