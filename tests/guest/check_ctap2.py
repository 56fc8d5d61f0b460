"""CTAP2 with python-fido2: its own client and server, and single commands."""

import os
import time

from fido2.attestation import AttestationType, PackedAttestation
from fido2.client import DefaultClientDataCollector, Fido2Client
from fido2.ctap import CtapError
from fido2.ctap2 import Ctap2
from fido2.server import Fido2Server
from fido2.webauthn import PublicKeyCredentialRpEntity, PublicKeyCredentialUserEntity

from fido import ERR, ES256_ONLY, VERSIONS, get, make, verified
from harness import check, equal, require, status
from machine import replug

RESET_WINDOW_S = 10


def verify_self_attestation(attestation, client_data_hash):
    """For Fido2Server, whose own verifier wants a certificate's authority."""
    result = PackedAttestation().verify(
        attestation.att_stmt, attestation.auth_data, client_data_hash
    )
    equal(result.attestation_type, AttestationType.SELF, "attestation type")


@check("getInfo")
def info(key, max_msg_size=7609):
    with key.ctap2() as ctap2:
        said = ctap2.info
        equal(said.versions, VERSIONS, "versions")
        secrets = ["hmac-secret", "hmac-secret-mc"]
        expected = ["credBlob", "credProtect", *secrets, "largeBlobKey", "minPinLength"]
        expected += ["pinComplexityPolicy", "thirdPartyPayment"]
        equal(list(said.extensions), expected, "extensions")
        expected = {
            "rk": True,
            "up": True,
            "plat": False,
            "clientPin": False,
            "credMgmt": True,
            "credentialMgmtPreview": True,
            "largeBlobs": True,
            "authnrCfg": True,
            "setMinPINLength": True,
            "pinUvAuthToken": True,
            "perCredMgmtRO": True,
            "alwaysUv": False,
            "makeCredUvNotRqd": False,
        }
        equal(dict(said.options), expected, "options")
        equal(said.pin_uv_protocols, [2, 1], "pinUvAuthProtocols")
        equal(said.max_msg_size, max_msg_size, "maxMsgSize")
        equal(said.min_pin_length, 4, "minPINLength")
        equal(said.force_pin_change, False, "forcePINChange")
        equal(said.max_cred_blob_length, 32, "maxCredBlobLength")
        equal(said.max_large_blob, 16384, "maxSerializedLargeBlobArray")
        require(said.max_rpids_for_min_pin >= 1, "maxRPIDsForSetMinPINLength is 0")
        require(said.remaining_disc_creds, "remainingDiscoverableCredentials is missing or 0")
        algorithms = [entry["alg"] for entry in said.algorithms]
        equal(algorithms, [-7, -8, -35, -47, -36, -257], "algorithms")


@check("Fido2Client and Fido2Server, plain")
def client_plain(key):
    client_and_server(key, "discouraged")


@check("Fido2Client and Fido2Server, discoverable")
def client_discoverable(key):
    client_and_server(key, "required")


def client_and_server(key, resident_key):
    rp = PublicKeyCredentialRpEntity(id=f"{resident_key}.example", name="Example")
    server = Fido2Server(rp, attestation="direct", verify_attestation=verify_self_attestation)
    user = PublicKeyCredentialUserEntity(id=os.urandom(16), name="tester", display_name="Tester")
    with key.open() as device:
        client = Fido2Client(device, DefaultClientDataCollector(f"https://{rp.id}"))
        options, state = server.register_begin(
            user, resident_key_requirement=resident_key, user_verification="discouraged"
        )
        response = client.make_credential(options.public_key)
        equal(response.response.attestation_object.fmt, "packed", "attestation format")
        credential = server.register_complete(state, response).credential_data

        allow = None if resident_key == "required" else [credential]
        options, state = server.authenticate_begin(allow, user_verification="discouraged")
        selection = client.get_assertion(options.public_key)
        equal(len(selection.get_assertions()), 1, "number of assertions")
        answer = selection.get_response(0)
        server.authenticate_complete(state, [credential], answer)
        if resident_key == "required":
            equal(answer.response.user_handle, user.id, "user handle")


@check("attestation none when asked")
def attestation_none(key):
    with key.ctap2() as ctap2:
        request = {
            0x01: os.urandom(32),
            0x02: {"id": "none.example"},
            0x03: {"id": b"user", "name": "user"},
            0x04: ES256_ONLY,
            0x0B: ["none"],
        }
        answer = ctap2.send_cbor(Ctap2.CMD.MAKE_CREDENTIAL, request)
        equal(answer[1], "none", "attestation format")
        equal(answer[3], {}, "attestation statement")


@check("Selection")
def selection(key):
    with key.ctap2() as ctap2:
        ctap2.selection()


@check("excludeList")
def exclude_list(key):
    with key.ctap2() as ctap2:
        for resident in (False, True):
            there = make(ctap2, "exclude.example", b"there", resident=resident)
            with status(ERR.CREDENTIAL_EXCLUDED, "a credential of this key in the excludeList"):
                make(ctap2, "exclude.example", b"new", exclude=[there])
            make(ctap2, "other.example", b"new", exclude=[there])


@check("silent getAssertion")
def silent(key):
    with key.ctap2() as ctap2:
        credential = make(ctap2, "silent.example")
        get(ctap2, "silent.example", [credential], allow=[credential], up=False)
        stranger = make(ctap2, "elsewhere.example")
        with status(ERR.NO_CREDENTIALS, "another site's credential"):
            get(ctap2, "silent.example", [], allow=[stranger], up=False)


@check("makeCredential without presence is refused")
def make_without_presence(key):
    with key.ctap2() as ctap2, status(ERR.INVALID_OPTION, "up=false in makeCredential"):
        ctap2.make_credential(
            os.urandom(32),
            {"id": "up.example"},
            {"id": b"user"},
            ES256_ONLY,
            options={"up": False},
        )


@check("getNextAssertion over several credentials")
def next_assertion(key):
    rp_id = f"{os.urandom(4).hex()}.several.example"
    with key.ctap2() as ctap2:
        made = [make(ctap2, rp_id, user, resident=True) for user in (b"ann", b"bob", b"cid")]
        # The same account again takes the place of its credential.
        made[0] = make(ctap2, rp_id, b"ann", resident=True)
        newest_first = [made[0], made[2], made[1]]

        challenge = os.urandom(32)
        answers = ctap2.get_assertions(rp_id, challenge)
        equal(answers[0].number_of_credentials, 3, "numberOfCredentials")
        equal(
            [answer.user["id"] for answer in answers],
            [credential.user_id for credential in newest_first],
            "accounts, the newest first",
        )
        for answer, credential in zip(answers, newest_first, strict=True):
            equal(verified(answer, challenge, made), credential, "credential of the assertion")
        with status(ERR.NOT_ALLOWED, "getNextAssertion after the last"):
            ctap2.get_next_assertion()


@check("Reset inside of its window")
def reset(key):
    with key.ctap2() as ctap2:
        plain = make(ctap2, "reset.example", b"plain")
        resident = make(ctap2, "reset.example", b"resident", resident=True)
    replug(key)
    with key.ctap2() as ctap2:
        # Windows makes one credential before it resets.
        make(ctap2, "reset.example", b"before")
        ctap2.reset()
        with status(ERR.NO_CREDENTIALS, "the discoverable credential after the reset"):
            get(ctap2, "reset.example", [])
        with status(ERR.NO_CREDENTIALS, "both credentials after the reset"):
            get(ctap2, "reset.example", [], allow=[plain, resident])
        fresh = make(ctap2, "reset.example", b"fresh", resident=True)
        get(ctap2, "reset.example", [fresh])


@check("Reset outside of its window")
def reset_too_late(key):
    with key.ctap2() as ctap2:
        credential = make(ctap2, "late.example", resident=True)
    replug(key)
    time.sleep(RESET_WINDOW_S + 1)
    with key.ctap2() as ctap2:
        with status(ERR.NOT_ALLOWED, "Reset later than 10 s after power-on"):
            ctap2.reset()
        get(ctap2, "late.example", [credential])


@check("CBOR that is not canonical is refused")
def not_canonical(key):
    with key.ctap2() as ctap2:
        # An empty map with a byte behind it, as getAssertion's parameters.
        answer = ctap2.device.call(0x10, bytes.fromhex("02a000"))
        equal(answer.hex(), f"{CtapError.ERR.INVALID_CBOR:02x}", "status")
        answer = ctap2.device.call(0x10, b"\x02\xa0")
        equal(answer.hex(), f"{CtapError.ERR.MISSING_PARAMETER:02x}", "status")
        require(ctap2.get_info().versions, "getInfo does not work afterwards")
