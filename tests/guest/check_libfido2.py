"""libfido2's own tools, as Debian ships them (package fido2-tools)."""

import base64
import os
import tempfile
from pathlib import Path

from fido2 import cbor
from fido2.webauthn import AuthenticatorData

from fido import VERSIONS, Credential
from harness import check, equal, require, run, run_on_terminal
from pins import PIN, fresh, secret, secret_pin


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
    equal(facts.get("version strings"), ", ".join(VERSIONS), "version strings")
    extensions = "credBlob, credProtect, hmac-secret, hmac-secret-mc, largeBlobKey, minPinLength"
    extensions += ", pinComplexityPolicy, thirdPartyPayment"
    equal(facts.get("extension strings"), extensions, "extension strings")
    # This version of the tool has no names for ES256K and ES512.
    algorithms = [line.split()[0] for line in facts.get("algorithms", "").split(", ")]
    equal(algorithms, ["es256", "eddsa", "es384", "unknown", "unknown", "rs256"], "algorithms")
    options = set(facts.get("options", "").split(", "))
    expected = {"rk", "up", "noplat", "noclientPin", "credMgmt", "authnrCfg", "setMinPINLength"}
    expected |= {"pinUvAuthToken", "noalwaysUv", "credentialMgmtPreview", "nomakeCredUvNotRqd"}
    expected |= {"largeBlobs", "perCredMgmtRO"}
    equal(options, expected, "options")
    equal(facts.get("pin protocols"), "2, 1", "pin protocols")
    equal(facts.get("pin retries"), "undefined", "pin retries without a PIN")
    equal(facts.get("minpinlen"), "4", "minpinlen")
    equal(facts.get("maxlargeblob"), "16384", "maxlargeblob")
    require(int(facts["maxrpids in minpinlen"]) >= 1, "no site may hear of minPINLength", said)
    require(int(facts["remaining rk(s)"]) > 0, "there is no room for credentials", said)
    equal(facts.get("pin change required"), "false", "pin change required")
    # proto 2 is CTAPHID's version; the three capabilities follow from what works.
    require("wink" in said and "cbor" in said and "msg" in said, "a capability is missing", said)


@check("fido2-cred and fido2-assert")
def plain(key):
    Tools(key, "plain.tools.example").both()


@check("fido2-cred and fido2-assert, resident")
def resident(key):
    Tools(key, "resident.tools.example", resident=True).both()


@check("fido2-cred and fido2-assert, rs256 with a PIN", keys=["pin/1-7"], kind="rs256")
@check("fido2-cred and fido2-assert, es384 with a PIN", keys=["pin/1-7"], kind="es384")
@check("fido2-cred and fido2-assert, eddsa with a PIN", keys=["pin/1-7"], kind="eddsa")
@check("fido2-cred and fido2-assert, es256 with a PIN", keys=["pin/1-7"], kind="es256")
def with_pin(key, kind):
    fresh(key, PIN)
    for is_resident in (False, True):
        rp_id = f"resident-{is_resident}.tools.example".lower()
        Tools(key, rp_id, is_resident, kind, PIN).both()


@check("fido2-cred and fido2-assert, credProtect levels", keys=["pin/1-7"])
def levels(key):
    fresh(key, PIN)
    for level in (1, 2, 3):
        tools = Tools(key, f"level{level}.tools.example", resident=True, pin=PIN)
        tools.both(protect=level)
        # Without the PIN only the first level is found without its id.
        tools.pin, tools.uv = None, False
        if level == 1:
            tools.assertion()
        else:
            said = tools.get(expect=1)
            require("FIDO_ERR_NO_CREDENTIALS" in said, "another error", said)


@check("fido2-cred and fido2-assert, hmac-secret", keys=["pin/1-7"])
def hmac_secret(key):
    fresh(key, PIN)
    salts = [os.urandom(32) for _ in range(2)]
    for is_resident in (False, True):
        tools = Tools(key, f"hmac-{is_resident}.tools.example".lower(), is_resident, pin=PIN)
        tools.make("-h")
        found = [tools.assertion(salt) for salt in (*salts, salts[0])]
        equal(found[2], found[0], "the secret of the same salt")
        tools.pin, tools.uv = None, False
        found += [tools.assertion(salt) for salt in salts]
        equal(len(set(found)), 4, "different secrets of two salts, with and without UV")


def encoded(data):
    return base64.b64encode(data).decode()


class Tools:
    """One credential, made and used with libfido2's tools."""

    def __init__(self, key, rp_id, resident=False, kind="es256", pin=None):
        self.key, self.rp_id, self.kind, self.pin = key, rp_id, kind, pin
        self.user_id = os.urandom(16)
        self.id = None
        # Whether a person is verified: with the PIN, or without one by the key itself.
        self.uv = pin is not None
        # Of the last assertion.
        self.counter = None
        self.flags = ["-r"] if resident else []
        self._folder = tempfile.TemporaryDirectory()  # pylint: disable=consider-using-with
        self.here = Path(self._folder.name)

    def _run(self, *command, **expected):
        """With the PIN typed at its prompt, or without any prompt."""
        answers = [secret_pin(self.pin)] if self.pin else []
        return run_on_terminal(*command, answers=answers, **expected)

    def both(self, protect=None):
        """Makes, verifies, asserts, verifies; then a spoilt signature must fail."""
        self.make(*(["-c", protect] if protect else []))
        self.assertion()

    def make(self, *flags):
        """Makes the credential and verifies its attestation."""
        uv = ["-v"] if self.uv else []
        ask = [encoded(os.urandom(32)), self.rp_id, "tester", encoded(self.user_id)]
        self._write("make", ask)
        files = ["-i", self.here / "make", "-o", self.here / "made"]
        self._run("fido2-cred", "-M", *self.flags, *uv, *flags, *files, self.key.node, self.kind)
        files = ["-i", self.here / "made", "-o", self.here / "credential"]
        run("fido2-cred", "-V", *uv, *flags, *files, self.kind)
        self.id, *public_key = (self.here / "credential").read_text().splitlines()
        self._write("public.pem", public_key)

    def get(self, salt=None, expect=0):
        """Gets an assertion; returns what the tool says."""
        # With -v it asks for a PIN, whatever the key can do.
        uv = [] if not self.uv else ["-v"] if self.pin else ["-t", "uv=true"]
        hmac = ["-h"] if salt else []
        ask = [encoded(os.urandom(32)), self.rp_id]
        ask += [] if self.flags else [self.id]
        ask += [encoded(salt)] if salt else []
        self._write("ask", ask)
        files = ["-i", self.here / "ask", "-o", self.here / "answer"]
        command = ["fido2-assert", "-G", "-p", *self.flags, *uv, *hmac, *files, self.key.node]
        return self._run(*command, expect=expect)

    def assertion(self, salt=None):
        """Gets an assertion and verifies it; returns the secret of hmac-secret."""
        self.get(salt)
        verify = ["fido2-assert", "-V", "-p", *(["-v"] if self.uv else [])]
        verify += ["-h"] if salt else []
        verify += ["-i", self.here / "answer", self.here / "public.pem", self.kind]
        run(*verify)
        answer = (self.here / "answer").read_text().splitlines()
        if self.flags:
            equal(base64.b64decode(answer[4]), self.user_id, "user id of the resident credential")
        answer[0] = encoded(os.urandom(32))
        self._write("answer", answer)
        run(*verify, expect=1)
        self.counter = AuthenticatorData(cbor.decode(base64.b64decode(answer[2]))).counter
        return secret("an hmac-secret", base64.b64decode(answer[-1])) if salt else None

    def noted(self):
        """The credential as python-fido2's checks know one."""
        return Credential(self.rp_id, self.user_id, base64.b64decode(self.id), None, self.counter)

    def _write(self, name, lines):
        (self.here / name).write_text("\n".join(lines) + "\n")
