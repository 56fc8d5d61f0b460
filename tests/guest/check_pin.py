"""authenticatorClientPIN with python-fido2: PINs, retries, tokens, permissions."""

import os

from fido2.ctap2 import ClientPin, Ctap2
from fido2.ctap2.extensions import CredProtectExtension
from fido2.utils import sha256

from fido import ERR, ES256_ONLY, get, make
from harness import check, equal, require, status
from machine import replug
from pins import (
    OTHER_PIN,
    PERMISSION,
    PIN,
    PROTOCOLS,
    WRONG_PIN,
    Token,
    client_pin,
    fresh,
    replug_and_reset,
    retries,
    secret_pin,
    token,
)

MC, GA = PERMISSION.MAKE_CREDENTIAL, PERMISSION.GET_ASSERTION
RP_ID = "pin.example"


def options(ctap2):
    """The options of a getInfo of now."""
    return ctap2.get_info().options


@check("PIN protocol 2: set and change", keys=["pin/1-1"], protocol=2)
@check("PIN protocol 1: set and change", keys=["pin/1-1"], protocol=1)
def set_and_change(key, protocol):
    fresh(key)
    with key.ctap2() as ctap2:
        pin = client_pin(ctap2, protocol)
        equal(options(ctap2).get("clientPin"), False, "clientPin before there is a PIN")
        for what, ask in (
            ("getPINRetries", pin.get_pin_retries),
            ("getPinToken", lambda: pin.get_pin_token(PIN)),
            ("a token with permissions", lambda: pin.get_pin_token(PIN, GA, RP_ID)),
            ("changePIN", lambda: pin.change_pin(PIN, OTHER_PIN)),
        ):
            with status(ERR.PIN_NOT_SET, f"{what} before there is a PIN"):
                ask()

        pin.set_pin(PIN)
        equal(options(ctap2).get("clientPin"), True, "clientPin when there is a PIN")
        equal(retries(ctap2), 8, "retries of a new PIN")
        with status(ERR.PIN_AUTH_INVALID, "setPIN when there is a PIN"):
            pin.set_pin(OTHER_PIN)
        with status(ERR.PIN_INVALID, "changePIN with a wrong PIN"):
            pin.change_pin(WRONG_PIN, OTHER_PIN)
        equal(retries(ctap2), 7, "retries after it")
        pin.change_pin(PIN, OTHER_PIN)
        equal(retries(ctap2), 8, "retries after the change")
        with status(ERR.PIN_INVALID, "the PIN that was changed"):
            pin.get_pin_token(PIN, GA, RP_ID)
        pin.get_pin_token(OTHER_PIN, GA, RP_ID)
        equal(retries(ctap2), 8, "retries after the right PIN")


@check("PIN lengths are of code points and bytes", keys=["pin/1-1"])
def lengths(key):
    fresh(key)
    with key.ctap2() as ctap2:
        pin = ClientPin(ctap2)
        # Three characters, six bytes; the client pads with zeros by itself.
        with status(ERR.PIN_POLICY_VIOLATION, "a PIN of three characters"):
            pin.set_pin("äöü\0")
        pin.set_pin("äöüß")
        pin.get_pin_token("äöüß", GA, RP_ID)
        longest = "lapwing-" * 7 + "lapwing"
        equal(len(longest), 63, "length of the longest PIN")
        pin.change_pin("äöüß", longest)
        pin.get_pin_token(longest, GA, RP_ID)


@check("PIN protocol 2: wrong PINs lock until a replug", keys=["pin/1-1"], protocol=2)
@check("PIN protocol 1: wrong PINs lock until a replug", keys=["pin/1-1"], protocol=1)
def soft_lock(key, protocol):
    fresh(key, PIN)
    with key.ctap2() as ctap2:
        pin = client_pin(ctap2, protocol)
        for left, answer in ((7, ERR.PIN_INVALID), (6, ERR.PIN_INVALID), (5, ERR.PIN_AUTH_BLOCKED)):
            with status(answer, f"the wrong PIN that leaves {left} retries"):
                pin.get_pin_token(WRONG_PIN, GA, RP_ID)
            equal(retries(ctap2), left, "retries")
        with status(ERR.PIN_AUTH_BLOCKED, "the right PIN while locked"):
            pin.get_pin_token(PIN, GA, RP_ID)
        with status(ERR.PIN_AUTH_BLOCKED, "changePIN while locked"):
            pin.change_pin(PIN, OTHER_PIN)
        equal(retries(ctap2), 5, "retries after what did not count")
        equal(pin.get_pin_retries()[1], True, "powerCycleState while locked")
    replug(key)
    with key.ctap2() as ctap2:
        require(not client_pin(ctap2, protocol).get_pin_retries()[1], "it wants another replug")
        equal(retries(ctap2), 5, "retries after the replug")
        client_pin(ctap2, protocol).get_pin_token(PIN, GA, RP_ID)
        equal(retries(ctap2), 8, "retries after the right PIN")


@check("eight wrong PINs block for good", keys=["pin/1-1"])
def hard_lock(key):
    fresh(key, PIN)
    answers = [ERR.PIN_INVALID, ERR.PIN_INVALID, ERR.PIN_AUTH_BLOCKED] * 2
    answers += [ERR.PIN_INVALID, ERR.PIN_BLOCKED]
    for number, answer in enumerate(answers, 1):
        with key.ctap2() as ctap2:
            with status(answer, f"wrong PIN number {number}"):
                ClientPin(ctap2).get_pin_token(WRONG_PIN, GA, RP_ID)
            equal(retries(ctap2), 8 - number, "retries")
        if answer == ERR.PIN_AUTH_BLOCKED:
            replug(key)
    for when in ("when blocked", "after a replug"):
        with key.ctap2() as ctap2:
            pin = ClientPin(ctap2)
            equal(retries(ctap2), 0, f"retries {when}")
            with status(ERR.PIN_BLOCKED, f"the right PIN {when}"):
                pin.get_pin_token(PIN, GA, RP_ID)
            with status(ERR.PIN_BLOCKED, f"changePIN {when}"):
                pin.change_pin(PIN, OTHER_PIN)
        replug(key)
    # Only a reset helps, and it takes everything.
    replug_and_reset(key)
    with key.ctap2() as ctap2:
        equal(options(ctap2).get("clientPin"), False, "clientPin after the reset")
        ClientPin(ctap2).set_pin(OTHER_PIN)
        equal(retries(ctap2), 8, "retries of the new PIN")


@check("a wrong PIN renews the key agreement", keys=["pin/1-1"])
def key_agreement(key):
    fresh(key, PIN)
    with key.ctap2() as ctap2:
        for protocol in PROTOCOLS:

            def public(protocol=protocol):
                answer = ctap2.client_pin(protocol, ClientPin.CMD.GET_KEY_AGREEMENT)
                return answer[ClientPin.RESULT.KEY_AGREEMENT]

            before = public()
            kind = {name: before[name] for name in (1, 3, -1)}
            equal(kind, {1: 2, 3: -25, -1: 1}, "kind of the COSE key")
            equal(public(), before, "key agreement asked for again")
            with status(ERR.PIN_INVALID, "a wrong PIN"):
                client_pin(ctap2, protocol).get_pin_token(WRONG_PIN, GA, RP_ID)
            require(public() != before, "the key agreement is the same after a wrong PIN")
            client_pin(ctap2, protocol).get_pin_token(PIN, GA, RP_ID)


@check("PIN protocol 2: tokens and permissions", keys=["pin/1-2"], protocol=2)
@check("PIN protocol 1: tokens and permissions", keys=["pin/1-2"], protocol=1)
def permissions(key, protocol):
    fresh(key, PIN)
    with key.ctap2() as ctap2:
        both = token(ctap2, MC | GA, RP_ID, protocol=protocol)
        credential = make(ctap2, RP_ID, resident=True, auth=both)
        # One makeCredential with a touch ends the token's use.
        both = token(ctap2, MC | GA, RP_ID, protocol=protocol)
        get(ctap2, RP_ID, [credential], auth=both)

        wrong = token(ctap2, GA, RP_ID, protocol=protocol)
        with status(ERR.PIN_AUTH_INVALID, "makeCredential with a token for getAssertion"):
            make(ctap2, RP_ID, auth=wrong)
        wrong = token(ctap2, MC, RP_ID, protocol=protocol)
        with status(ERR.PIN_AUTH_INVALID, "getAssertion with a token for makeCredential"):
            get(ctap2, RP_ID, [], allow=[credential], auth=wrong)
        wrong = token(ctap2, MC | GA, "elsewhere.example", protocol=protocol)
        with status(ERR.PIN_AUTH_INVALID, "makeCredential with another site's token"):
            make(ctap2, RP_ID, auth=wrong)
        with status(ERR.PIN_AUTH_INVALID, "getAssertion with another site's token"):
            get(ctap2, RP_ID, [], allow=[credential], auth=wrong)

        stale = token(ctap2, MC | GA, RP_ID, protocol=protocol)
        token(ctap2, MC | GA, RP_ID, protocol=protocol)
        with status(ERR.PIN_AUTH_INVALID, "a token after the next one was given out"):
            get(ctap2, RP_ID, [], allow=[credential], auth=stale)
        invented = Token(stale.protocol, os.urandom(32))
        with status(ERR.PIN_AUTH_INVALID, "a token that nobody gave out"):
            get(ctap2, RP_ID, [], allow=[credential], auth=invented)

        stale = token(ctap2, GA, RP_ID, protocol=protocol)
    replug(key)
    with key.ctap2() as ctap2:
        with status(ERR.PIN_AUTH_INVALID, "a token after a replug"):
            get(ctap2, RP_ID, [], allow=[credential], auth=stale)


@check("PIN protocol 2: a token of CTAP 2.0", keys=["pin/1-2"], protocol=2)
@check("PIN protocol 1: a token of CTAP 2.0", keys=["pin/1-2"], protocol=1)
def legacy_token(key, protocol):
    fresh(key, PIN)
    with key.ctap2() as ctap2:
        # It is for both commands, and for the first site that it is used at.
        legacy = token(ctap2, None, protocol=protocol)
        credential = make(ctap2, RP_ID, auth=legacy)
        legacy = token(ctap2, None, protocol=protocol)
        get(ctap2, RP_ID, [credential], allow=[credential], auth=legacy)
        legacy = token(ctap2, None, protocol=protocol)
        get(ctap2, RP_ID, [credential], allow=[credential], up=False, auth=legacy)
        with status(ERR.PIN_AUTH_INVALID, "the token at a second site"):
            make(ctap2, "second.example", auth=legacy)


@check("permissions that cannot be had", keys=["pin/1-2"])
def wrong_permissions(key):
    fresh(key, PIN)
    with key.ctap2() as ctap2:
        with status(ERR.UNAUTHORIZED_PERMISSION, "permission for an unknown biometric sensor"):
            token(ctap2, PERMISSION.BIO_ENROLL)
        with status(ERR.INVALID_PARAMETER, "no permission at all"):
            token(ctap2, PERMISSION(0), RP_ID)
        equal(retries(ctap2), 8, "retries, since no PIN was wrong")


@check("a key with a PIN asks for it", keys=["pin/1-2"])
def asks_for_it(key):
    fresh(key)
    with key.ctap2() as ctap2:
        level = CredProtectExtension.POLICY.str2int("userVerificationRequired")
        plain = make(ctap2, RP_ID, b"plain", resident=True)
        shy = make(ctap2, RP_ID, b"shy", resident=True, extensions={"credProtect": level})
        ClientPin(ctap2).set_pin(PIN)
        for resident in (False, True):
            with status(ERR.PUAT_REQUIRED, f"makeCredential without a token, rk={resident}"):
                make(ctap2, RP_ID, b"new", resident=resident)
        # Signing in does not need it, unless the credential says so.
        get(ctap2, RP_ID, [plain])
        get(ctap2, RP_ID, [plain], allow=[plain, shy])
        with status(ERR.NO_CREDENTIALS, "the credential that wants user verification"):
            get(ctap2, RP_ID, [], allow=[shy])
        auth = token(ctap2, GA, RP_ID)
        get(ctap2, RP_ID, [shy], allow=[shy], auth=auth)
        # A flag is no proof, and the key has no sensor of its own.
        with status(ERR.INVALID_OPTION, "uv=true without a token"):
            ctap2.get_assertion(RP_ID, os.urandom(32), [plain.descriptor], options={"uv": True})


@check("which key? (an empty pinUvAuthParam)", keys=["pin/1-2"])
def which_key(key):
    fresh(key)
    with key.ctap2() as ctap2:
        for answer, when in ((ERR.PIN_NOT_SET, "without a PIN"), (ERR.PIN_INVALID, "with a PIN")):
            with status(answer, f"makeCredential {when}"):
                ctap2.make_credential(
                    bytes(32),
                    {"id": ".dummy"},
                    {"id": b"user"},
                    ES256_ONLY,
                    pin_uv_param=b"",
                    pin_uv_protocol=2,
                )
            with status(answer, f"getAssertion {when}"):
                ctap2.get_assertion(RP_ID, bytes(32), pin_uv_param=b"", pin_uv_protocol=2)
            if answer == ERR.PIN_NOT_SET:
                ClientPin(ctap2).set_pin(PIN)
        equal(retries(ctap2), 8, "retries, since no PIN was wrong")


@check("bad clientPIN requests", keys=["pin/1-2"])
def bad_requests(key):
    fresh(key, PIN)
    with key.ctap2() as ctap2:
        agreement, shared = client_pin(ctap2)._get_shared_secret()  # pylint: disable=protected-access
        pin_hash = PROTOCOLS[2]().encrypt(shared, sha256(secret_pin(PIN).encode())[:16])
        for answer, what, request in (
            (ERR.MISSING_PARAMETER, "no subcommand", {1: 2}),
            (ERR.INVALID_PARAMETER, "protocol 3", {1: 3, 2: 2}),
            (ERR.MISSING_PARAMETER, "no protocol", {2: 2}),
            (ERR.CBOR_UNEXPECTED_TYPE, "a text as protocol", {1: "2", 2: 2}),
            (ERR.INVALID_SUBCOMMAND, "subcommand 0x7f", {1: 2, 2: 0x7F}),
            (ERR.MISSING_PARAMETER, "no pinHashEnc", {1: 2, 2: 9, 3: agreement, 9: 2, 10: RP_ID}),
            (ERR.MISSING_PARAMETER, "no keyAgreement", {1: 2, 2: 9, 6: pin_hash, 9: 2, 10: RP_ID}),
        ):
            with status(answer, what):
                ctap2.send_cbor(Ctap2.CMD.CLIENT_PIN, request)
        equal(retries(ctap2), 8, "retries, since no PIN was wrong")
