"""OpenSSH's security key support, through its own libfido2 middleware."""

import base64
import os
import struct
import tempfile
from pathlib import Path

from harness import check, equal, require, run
from pins import OTHER_PIN, PIN, WRONG_PIN, fresh, retries

FLAG_UP, FLAG_UV = 0x01, 0x04
# Of resident keys; what stands behind the colon is in the name of a loaded file.
APPLICATION = "ssh:checks"


def sign_and_verify(here, private, public, env=None):
    """Signs a message, verifies it, and a wrong one too; the signature's flags."""
    message, signers = here / "message", here / "signers"
    signers.write_text(f"tester {public}")
    message.write_text("signed with a touch\n")
    signature = here / "message.sig"
    signature.unlink(missing_ok=True)
    run("ssh-keygen", "-Y", "sign", "-f", private, "-n", "file", message, env=env)
    verify = ["ssh-keygen", "-Y", "verify", "-f", signers, "-I", "tester", "-n", "file"]
    verify += ["-s", signature]
    run(*verify, text=message.read_text())
    run(*verify, text="signed by nobody\n", expect=1)
    return flags_of(signature.read_text())


def flags_of(armoured):
    """The authenticator's flags in an SSH signature (PROTOCOL.sshsig, PROTOCOL.u2f)."""
    data = base64.b64decode("".join(armoured.splitlines()[1:-1]))
    at, fields = len(b"SSHSIG") + 4, []
    # Key, namespace, reserved, hash; the signature is the last.
    for _ in range(5):
        (length,) = struct.unpack_from(">I", data, at)
        fields.append(data[at + 4 : at + 4 + length])
        at += 4 + length
    # Behind its two strings: one byte of flags, four of counter.
    return fields[-1][-5]


@check("ssh-keygen -t ecdsa-sk, sign, verify")
def ssh_keygen(_key):
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        private = here / "id"
        run("ssh-keygen", "-q", "-t", "ecdsa-sk", "-N", "", "-C", "tester", "-f", private)
        public = (here / "id.pub").read_text()
        require(public.startswith("sk-ecdsa-sha2-nistp256@openssh.com "), "not an sk key", public)
        equal(sign_and_verify(here, private, public), FLAG_UP, "flags of the signature")


def asking(here, pin):
    """An environment in which ssh's programs get this PIN from a window."""
    program = here / "askpass"
    program.write_text(f"#!/bin/sh\necho '{pin}'\n")
    program.chmod(0o700)
    return os.environ | {"SSH_ASKPASS": str(program), "SSH_ASKPASS_REQUIRE": "force"}


def make_resident(here, kind, env):
    """A resident key that wants a PIN, and has signed; its file and its public key."""
    private = here / "id"
    wanted = ["-O", "resident", "-O", "verify-required", "-O", f"application={APPLICATION}"]
    run(
        *["ssh-keygen", "-q", "-t", f"{kind}-sk", *wanted],
        *["-N", "", "-C", "tester", "-f", private],
        env=env,
    )
    public = (here / "id.pub").read_text()
    flags = sign_and_verify(here, private, public, env)
    equal(flags, FLAG_UP | FLAG_UV, "flags of the signature")
    return private, public


def load_resident(here, kind, env, public):
    """Loads the key that was made so, on a machine that has nothing else, and signs."""
    elsewhere = here / "elsewhere"
    elsewhere.mkdir()
    run("ssh-keygen", "-K", "-N", "", env=env, cwd=elsewhere)
    found = sorted(file.name for file in elsewhere.iterdir())
    stem = f"id_{kind}_sk_rk_checks"
    equal(found, [stem, f"{stem}.pub"], "files of ssh-keygen -K")
    loaded = (elsewhere / f"{stem}.pub").read_text()
    equal(loaded.split()[:2], public.split()[:2], "public key of ssh-keygen -K")
    flags = sign_and_verify(here, elsewhere / stem, public, env)
    equal(flags, FLAG_UP | FLAG_UV, "flags of the signature with the loaded key")


@check("ssh-keygen -t ed25519-sk, resident, verify-required", keys=["pin/1-9"], kind="ed25519")
@check("ssh-keygen -t ecdsa-sk, resident, verify-required", keys=["pin/1-9"], kind="ecdsa")
def resident(key, kind):
    fresh(key, PIN)
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        env = asking(here, PIN)
        private, public = make_resident(here, kind, env)
        load_resident(here, kind, env, public)

        sign = ["ssh-keygen", "-Y", "sign", "-f", private, "-n", "file", here / "signers"]
        run(*sign, env=asking(here, WRONG_PIN), expect=1)
        with key.ctap2() as ctap2:
            require(retries(ctap2) < 8, "a wrong PIN was not counted")
        run(*sign, env=asking(here, PIN))


@check("ssh-keygen -K with a wrong PIN", keys=["pin/1-9"])
def wrong_pin(key):
    fresh(key, PIN)
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        run("ssh-keygen", "-K", "-N", "", env=asking(here, OTHER_PIN), cwd=here, expect=1)
        equal([file.name for file in here.iterdir()], ["askpass"], "files")
