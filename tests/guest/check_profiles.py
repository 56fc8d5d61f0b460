"""What each profile is for, and that it is that. A server for each of them."""

import os
from hashlib import sha256

from fido2.attestation import AttestationType, FidoU2FAttestation
from fido2.client import ClientError
from fido2.ctap1 import Ctap1
from fido2.ctap2 import ClientPin, CredentialManagement, Ctap2
from fido2.hid import CAPABILITY, CTAPHID

from check_client import Site, outputs, prf
from check_u2f import touched
from fido import ERR, ES256_ONLY, FLAG, VERSIONS, get, make
from harness import Failure, check, equal, require, status
from pins import PERMISSION, PIN, Person, client_of, fresh, token

MC = PERMISSION.MAKE_CREDENTIAL


@check("profile u2f-only", keys=["u2f-only/1-1"])
def u2f_only(key):
    equal((key.sysfs / "product").read_text().strip(), "roamkey U2F key", "USB product")
    with key.open() as device:
        require(not device.capabilities & CAPABILITY.CBOR, "CBOR is announced")
        require(not device.capabilities & CAPABILITY.NMSG, "U2F is denied")
        with status(ERR.INVALID_COMMAND, "CTAPHID_CBOR"):
            device.call(CTAPHID.CBOR, b"\x04")
        ctap1 = Ctap1(device)
        app, challenge = sha256(b"u2f.example").digest(), os.urandom(32)
        registration = touched(ctap1.register, challenge, app)
        registration.verify(app, challenge)
        answer = touched(ctap1.authenticate, challenge, app, registration.key_handle)
        answer.verify(app, challenge, registration.public_key)


@check("profile u2f-only, Fido2Client falls back", keys=["u2f-only/1-1"])
def u2f_only_client(key):
    with key.open() as device:
        site = Site(device, "u2f.example")
        site.server = type(site.server)(
            site.rp, attestation="direct", verify_attestation=verify_u2f_attestation
        )
        data, _ = site.register(uv="discouraged")
        site.sign_in(data.credential_data, uv="discouraged")
        try:
            site.register("required", uv="discouraged")
        except ClientError as error:
            equal(error.code, ClientError.ERR.CONFIGURATION_UNSUPPORTED, "client's error")
        else:
            raise Failure("a U2F key made a discoverable credential")


def verify_u2f_attestation(attestation, client_data_hash):
    """For Fido2Server: fido-u2f, with whatever certificate the key has."""
    equal(attestation.fmt, "fido-u2f", "attestation format")
    result = FidoU2FAttestation().verify(
        attestation.att_stmt, attestation.auth_data, client_data_hash
    )
    equal(result.attestation_type, AttestationType.BASIC, "attestation type")


@check("profile fido-2.0", keys=["fido-2.0/1-1"])
def fido_2_0(key):
    fresh(key)
    with key.ctap2() as ctap2:
        info = ctap2.info
        equal(info.versions, ["U2F_V2", "FIDO_2_0"], "versions")
        equal(info.pin_uv_protocols, [1], "pinUvAuthProtocols")
        newer = {"pinUvAuthToken", "credMgmt", "authnrCfg", "alwaysUv", "setMinPINLength"}
        newer |= {"largeBlobs"}
        equal(newer & set(info.options), set(), "options that came later")
        equal(list(info.extensions), ["hmac-secret"], "extensions")
        later = (Ctap2.CMD.CREDENTIAL_MGMT, Ctap2.CMD.LARGE_BLOBS, Ctap2.CMD.CONFIG)
        for command in (Ctap2.CMD.SELECTION, *later):
            with status(ERR.INVALID_COMMAND, f"{command.name}, which came later"):
                ctap2.send_cbor(command)
        # CTAP 2.0 has no permissions: the client asks for a token as it did then.
        ClientPin(ctap2).set_pin(PIN)
        site = Site(ctap2.device, "old.example")
        data, results = site.register("required", extensions={"prf": {}})
        equal(results.prf.enabled, True, "prf.enabled")
        # With pinUvAuthProtocol 1, since there is no other.
        found = []
        for salt in (b"one", b"two", b"one"):
            answer = site.sign_in(data.credential_data, True, extensions=prf(salt))
            found += outputs(answer.client_extension_results)
        equal((found[0] == found[2], found[0] == found[1]), (True, False), "equal PRF outputs")
        with status(ERR.INVALID_SUBCOMMAND, "a token with permissions"):
            ctap2.client_pin(1, ClientPin.CMD.GET_TOKEN_USING_PIN, permissions=1)


@check("profile fido-2.1-pin", keys=["fido-2.1-pin/1-1"])
def fido_2_1_pin(key):
    fresh(key, PIN)
    with key.ctap2() as ctap2:
        info = ctap2.get_info()
        equal(info.versions, ["FIDO_2_0", "FIDO_2_1"], "versions")
        require(ctap2.device.capabilities & CAPABILITY.NMSG, "U2F is announced")
        with status(ERR.INVALID_COMMAND, "CTAPHID_MSG"):
            ctap2.device.call(CTAPHID.MSG, bytes.fromhex("00030000000000"))
        site = Site(ctap2.device, "pin.example")
        data, _ = site.register("required")
        site.sign_in(data.credential_data, resident=True)
        held = token(ctap2, PERMISSION.CREDENTIAL_MGMT)
        manager = CredentialManagement(ctap2, held.protocol, held.value)
        count = manager.get_metadata()[CredentialManagement.RESULT.EXISTING_CRED_COUNT]
        equal(count, 1, "existing credentials")


@check("profile no-prf", keys=["no-prf/1-1"])
def no_prf(key):
    fresh(key, PIN)
    with key.ctap2() as ctap2:
        secrets = {"hmac-secret", "hmac-secret-mc"}
        equal(secrets & set(ctap2.info.extensions), set(), "extensions for PRF")
        site = Site(ctap2.device, "prf.example")
        data, results = site.register("required", extensions=prf(b"salt"))
        equal(results.prf, None, "what the client says about PRF")
        answer = site.sign_in(data.credential_data, True, extensions=prf(b"salt"))
        equal(answer.client_extension_results.prf, None, "what it says at the sign-in")
        # An unknown extension is no error.
        auth = token(ctap2, None, protocol=1)
        made = make(ctap2, "prf.example", auth=auth, extensions={"hmac-secret": True})
        equal(made.extensions, {}, "the answer to hmac-secret")


@check("profile uv-not-required", keys=["uv-not-required/1-1"])
def uv_not_required(key):
    fresh(key, PIN)
    with key.ctap2() as ctap2:
        equal(ctap2.info.options.get("makeCredUvNotRqd"), True, "makeCredUvNotRqd")
        made = make(ctap2, "easy.example")
        get(ctap2, "easy.example", [made], allow=[made])
        with status(ERR.PUAT_REQUIRED, "a discoverable credential without a token"):
            make(ctap2, "easy.example", resident=True)
        make(ctap2, "easy.example", resident=True, auth=token(ctap2, MC, "easy.example"))
        site = Site(ctap2.device, "easy.example")
        site.register(uv="discouraged")
        equal(site.person.asked, 0, "how often the PIN was asked for")


@check("profile tiny, its store is full", keys=["tiny/1-1"], limit_s=120)
def tiny_store(key):
    fresh(key)
    with key.ctap2() as ctap2:
        slots = ctap2.info.remaining_disc_creds
        require(0 < slots <= 30, f"remainingDiscoverableCredentials is {slots}")
        made = []
        for number in range(slots):
            user = f"user{number}".encode()
            made.append(make(ctap2, "tiny.example", user, resident=True))
            left = ctap2.get_info().remaining_disc_creds
            equal(left, slots - number - 1, "remaining credentials")
        with status(ERR.KEY_STORE_FULL, "one credential more"):
            make(ctap2, "tiny.example", b"more", resident=True)
        # The same account takes its own place, and others need none.
        made[0] = make(ctap2, "tiny.example", b"user0", resident=True)
        make(ctap2, "tiny.example", b"more")
        equal(len(ctap2.get_assertions("tiny.example", bytes(32))), slots, "number of assertions")

        ClientPin(ctap2).set_pin(PIN)
        held = token(ctap2, PERMISSION.CREDENTIAL_MGMT)
        manager = CredentialManagement(ctap2, held.protocol, held.value)
        manager.delete_cred(made[0].descriptor)
        equal(ctap2.get_info().remaining_disc_creds, 1, "remaining credentials after a deletion")
        auth = token(ctap2, MC, "tiny.example")
        make(ctap2, "tiny.example", b"more", resident=True, auth=auth)


@check("profile tiny, its lists are short", keys=["tiny/1-1"])
def tiny_lists(key):
    fresh(key)
    with key.ctap2() as ctap2:
        most = ctap2.info.max_creds_in_list
        require(0 < most <= 30, f"maxCredentialCountInList is {most}")
        made = make(ctap2, "tiny.example")
        others = [{"type": "public-key", "id": os.urandom(64)} for _ in range(most)]

        def signed(listed):
            return ctap2.get_assertion("tiny.example", bytes(32), [*listed, made.descriptor])

        signed(others[1:])
        with status(ERR.LIMIT_EXCEEDED, "an allowList that is one too long"):
            signed(others)
        with status(ERR.LIMIT_EXCEEDED, "an excludeList that is one too long"):
            ctap2.make_credential(
                bytes(32),
                {"id": "tiny.example"},
                {"id": b"new"},
                ES256_ONLY,
                exclude_list=[*others, made.descriptor],
            )
        # The client asks in pieces, so a site's long list works all the same.
        client = client_of(ctap2.device, "tiny.example", Person())
        selection = client.get_assertion(
            {
                "challenge": os.urandom(32),
                "rpId": "tiny.example",
                "allowCredentials": [*others, *others, made.descriptor],
                "userVerification": "discouraged",
            }
        )
        answer = selection.get_assertions()[0]
        equal(answer.credential["id"], made.id, "credential of a long list")


@check("profile passkey-provider", keys=["passkey-provider/1-1"])
def passkey_provider(key):
    fresh(key, PIN)
    copied = FLAG.BE | FLAG.BS
    with key.ctap2() as ctap2:
        site = Site(ctap2.device, "passkey.example")
        for resident in ("required", "discouraged"):
            data, _ = site.register(resident)
            equal(data.flags & copied, copied, "BE and BS of the new credential")
            equal(data.counter, 0, "its counter")
            for _ in range(2):
                answer = site.sign_in(data.credential_data, resident == "required")
                signed = answer.response.authenticator_data
                equal(signed.flags & copied, copied, "BE and BS of the assertion")
                equal(signed.counter, 0, "its counter")


@check("the default profile is of no provider", keys=["pin/1-3"])
def no_provider(key):
    fresh(key, PIN)
    with key.ctap2() as ctap2:
        data, _ = Site(ctap2.device, "device.example").register("required")
        equal(data.flags & (FLAG.BE | FLAG.BS), FLAG(0), "BE and BS of the new credential")


@check("profile from a file", keys=["file/1-1"])
def from_a_file(key):
    # What scripts/guest wrote into it.
    equal((key.sysfs / "product").read_text().strip(), "a key of our own", "USB product")
    fresh(key, PIN)
    with key.ctap2() as ctap2:
        info = ctap2.info
        equal(info.versions, VERSIONS, "versions, which are left out there")
        equal(info.options.get("noMcGaPermissionsWithClientPin"), True, "the option set there")
        for permission in (MC, PERMISSION.GET_ASSERTION):
            with status(ERR.UNAUTHORIZED_PERMISSION, f"a token for {permission!r}"):
                token(ctap2, permission, "file.example")
        token(ctap2, PERMISSION.CREDENTIAL_MGMT)
