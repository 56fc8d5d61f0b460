"""libfido2's own tools, as Debian ships them (package fido2-tools)."""

import base64
import os
import tempfile
from pathlib import Path

from harness import check, equal, require, run


@check("fido2-token -L")
def token_list(key):
    said = run("fido2-token", "-L")
    lines = said.splitlines()
    equal(len(lines), 1, "number of lines")
    require(lines[0].startswith(f"{key.node}: "), f"the line is not about {key.node}", said)
    require("vendor=0x1209, product=0x0001" in lines[0], "the USB ids are not shown", said)


@check("fido2-token -I")
def token_info(key):
    said = run("fido2-token", "-I", key.node)
    facts = dict(line.split(": ", 1) for line in said.splitlines() if ": " in line)
    equal(facts.get("version strings"), "U2F_V2, FIDO_2_0", "version strings")
    equal(facts.get("algorithms"), "es256 (public-key)", "algorithms")
    options = facts.get("options", "").split(", ")
    require("rk" in options and "up" in options, "rk and up are not among the options", said)
    require("clientPin" not in said.replace("noclientPin", ""), "it claims a PIN", said)
    # proto 2 is CTAPHID's version; the three capabilities follow from what works.
    require("wink" in said and "cbor" in said and "msg" in said, "a capability is missing", said)


@check("fido2-cred and fido2-assert")
def plain(key):
    cred_and_assert(key, resident=False)


@check("fido2-cred and fido2-assert, resident")
def resident(key):
    cred_and_assert(key, resident=True)


def encoded(data):
    return base64.b64encode(data).decode()


def cred_and_assert(key, resident):
    """Makes, verifies, asserts, verifies; then a spoilt signature must fail."""
    rp_id = f"{'resident' if resident else 'plain'}.tools.example"
    user_id = os.urandom(16)
    flags = ["-r"] if resident else []
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        ask = [encoded(os.urandom(32)), rp_id, "tester", encoded(user_id)]
        (here / "make").write_text("\n".join(ask) + "\n")
        run("fido2-cred", "-M", *flags, "-i", here / "make", "-o", here / "made", key.node, "es256")
        run("fido2-cred", "-V", "-i", here / "made", "-o", here / "credential", "es256")
        credential_id, *public_key = (here / "credential").read_text().splitlines()
        (here / "public.pem").write_text("\n".join(public_key) + "\n")

        ask = [encoded(os.urandom(32)), rp_id] + ([] if resident else [credential_id])
        (here / "ask").write_text("\n".join(ask) + "\n")
        run("fido2-assert", "-G", "-p", *flags, "-i", here / "ask", "-o", here / "answer", key.node)
        verify = ["fido2-assert", "-V", "-p", "-i", here / "answer", here / "public.pem", "es256"]
        run(*verify)

        answer = (here / "answer").read_text().splitlines()
        if resident:
            equal(base64.b64decode(answer[4]), user_id, "user id of the resident credential")
        answer[0] = encoded(os.urandom(32))
        (here / "answer").write_text("\n".join(answer) + "\n")
        run(*verify, expect=1)
