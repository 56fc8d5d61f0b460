"""What CTAP 2.2 and 2.3 added: the persistent token and what it opens, settings, algorithms."""

import os
from hashlib import sha256

from fido2.cose import ES256, ES256K, ES384, ES512, MLDSA44, MLDSA65, RS256, EdDSA
from fido2.ctap2 import ClientPin, Config, CredentialManagement

from fido import ERR, get, make
from harness import check, equal, require, status
from machine import replug
from pins import OTHER_PIN, PERMISSION, PIN, client_pin, fresh, replug_and_reset, token

RESULT = CredentialManagement.RESULT
READ_ONLY, CFG = PERMISSION.PERSISTENT_CREDENTIAL_MGMT, PERMISSION.AUTHENTICATOR_CFG
SITE = "read.example"


def manager(ctap2, held):
    """python-fido2's credential management with a token."""
    return CredentialManagement(ctap2, held.protocol, held.value)


def config(ctap2):
    """python-fido2's authenticatorConfig, with a new token."""
    held = token(ctap2, CFG)
    return Config(ctap2, held.protocol, held.value)


@check("a persistent token reads, over a replug, and no more", keys=["pin/1-6"])
def persistent_token(key):
    fresh(key)
    with key.ctap2() as ctap2:
        made = [make(ctap2, SITE, user, resident=True) for user in (b"ann", b"bob")]
        ClientPin(ctap2).set_pin(PIN)
        require(CredentialManagement.is_readonly_supported(ctap2.info), "no perCredMgmtRO")
        equal(ctap2.get_info().enc_identifier, None, "encIdentifier without such a token")
        held = token(ctap2, READ_ONLY)
        equal(token(ctap2, READ_ONLY, protocol=1).value, held.value, "the token of protocol 1")
    replug(key)
    with key.ctap2() as ctap2:
        reader = manager(ctap2, held)
        equal(reader.get_metadata()[RESULT.EXISTING_CRED_COUNT], 2, "existing credentials")
        equal([rp[RESULT.RP]["id"] for rp in reader.enumerate_rps()], [SITE], "sites")
        listed = reader.enumerate_creds(sha256(SITE.encode()).digest())
        found = {entry[RESULT.CREDENTIAL_ID]["id"] for entry in listed}
        equal(found, {credential.id for credential in made}, "credentials")
        for what, change in (
            ("deleteCredential", lambda: reader.delete_cred(made[0].descriptor)),
            ("updateUserInformation", lambda: reader.update_user_info(
                made[0].descriptor, {"id": b"ann", "name": "other"})),
        ):
            with status(ERR.PIN_AUTH_INVALID, what):
                change()
        with status(ERR.PIN_AUTH_INVALID, "authenticatorConfig"):
            Config(ctap2, held.protocol, held.value).toggle_always_uv()
        with status(ERR.PIN_AUTH_INVALID, "makeCredential"):
            make(ctap2, SITE, auth=held)
        for others in (PERMISSION.CREDENTIAL_MGMT, PERMISSION.GET_ASSERTION):
            with status(ERR.UNAUTHORIZED_PERMISSION, "pcmr beside another permission"):
                token(ctap2, READ_ONLY | others, SITE)

        client_pin(ctap2).change_pin(PIN, OTHER_PIN)
        with status(ERR.PIN_AUTH_INVALID, "the token after the PIN was changed"):
            reader.get_metadata()
        equal(ctap2.get_info().enc_identifier, None, "encIdentifier after the PIN was changed")


@check("encIdentifier and encCredStoreState", keys=["pin/1-6"])
def identifiers(key):
    fresh(key, PIN)

    def told(ctap2, held):
        """Both ids, as python-fido2 decrypts them, of two getInfo that differ."""
        first, second = ctap2.get_info(), ctap2.get_info()
        require(first.enc_identifier != second.enc_identifier, "the iv of encIdentifier stays")
        require(first.enc_cred_store_state != second.enc_cred_store_state, "the iv stays")
        both = [(i.get_identifier(held), i.get_cred_store_state(held)) for i in (first, second)]
        equal(both[0], both[1], "what two getInfo tell")
        require(all(len(value) == 16 for value in both[0]), "ids that are not of 16 bytes")
        return both[0]

    with key.ctap2() as ctap2:
        held = token(ctap2, READ_ONLY).value
        empty = told(ctap2, held)
    replug(key)
    with key.ctap2() as ctap2:
        equal(told(ctap2, held), empty, "the ids after a replug")
        auth = token(ctap2, PERMISSION.MAKE_CREDENTIAL, SITE)
        made = make(ctap2, SITE, resident=True, auth=auth)
        one = told(ctap2, held)
        equal(one[0], empty[0], "the identifier after a registration")
        require(one[1] != empty[1], "the store's state after a registration is the same")
        auth = token(ctap2, PERMISSION.GET_ASSERTION, SITE)
        get(ctap2, SITE, [made], auth=auth)
        equal(told(ctap2, held), one, "the ids after a sign-in")
        managing = manager(ctap2, token(ctap2, PERMISSION.CREDENTIAL_MGMT))
        managing.update_user_info(made.descriptor, {"id": b"user", "name": "renamed"})
        renamed = told(ctap2, held)
        require(renamed[1] not in (one[1], empty[1]), "the store's state after a new name")
        managing.delete_cred(made.descriptor)
        require(told(ctap2, held)[1] not in (one[1], renamed[1]), "the store's state after a deletion")
    replug_and_reset(key)
    with key.ctap2() as ctap2:
        ClientPin(ctap2).set_pin(PIN)
        again = told(ctap2, token(ctap2, READ_ONLY).value)
    require(again[0] != empty[0], "the identifier is the same after a reset")
    require(again[1] != empty[1], "the store's state is the same after a reset")


@check("Config: pinComplexityPolicy", keys=["pin/1-6"])
def complexity(key):
    weak, strong = "11111111", "heron-204-x"
    fresh(key, weak)
    with key.ctap2() as ctap2:
        equal(ctap2.get_info().pin_complexity_policy, False, "pinComplexityPolicy of a new key")
        held = token(ctap2, CFG, pin=weak)
        Config(ctap2, held.protocol, held.value).set_min_pin_length(pin_complexity_policy=True)
        info = ctap2.get_info()
        equal(info.pin_complexity_policy, True, "pinComplexityPolicy")
        client = client_pin(ctap2)
        with status(ERR.PIN_POLICY_VIOLATION, "another weak PIN"):
            client.change_pin(weak, "12345678")
        client.change_pin(weak, strong)
        equal(ctap2.get_info().force_pin_change, False, "forcePINChange after the change")
        token(ctap2, CFG, pin=strong)
    replug_and_reset(key)
    with key.ctap2() as ctap2:
        equal(ctap2.get_info().pin_complexity_policy, False, "pinComplexityPolicy after a reset")
        ClientPin(ctap2).set_pin(weak)


@check("Config: what getInfo lists, and nothing else", keys=["pin/1-6"])
def config_commands(key):
    fresh(key, PIN)
    with key.ctap2() as ctap2:
        commands = ctap2.info.authenticator_config_commands
        require({2, 3, 4} <= set(commands), f"authenticatorConfigCommands is {commands}")
        for command in set(range(1, 6)) - set(commands) | {0x80}:
            held = token(ctap2, CFG)
            message = b"\xff" * 32 + bytes([0x0D, command])
            with status(ERR.INVALID_PARAMETER, f"the subcommand {command}"):
                ctap2.config(
                    command, None, held.protocol.VERSION,
                    held.protocol.authenticate(held.value, message),
                )


@check("Config: a reset that takes a long touch", keys=["pin/1-6"])
def long_touch(key):
    fresh(key, PIN)
    with key.ctap2() as ctap2:
        equal(ctap2.get_info().long_touch_for_reset, False, "longTouchForReset of a new key")
        equal(list(ctap2.info.transports_for_reset), ["usb"], "transportsForReset")
        held = token(ctap2, CFG)
        message = b"\xff" * 32 + b"\x0d\x04"
        ctap2.config(
            4, None, held.protocol.VERSION, held.protocol.authenticate(held.value, message)
        )
        equal(ctap2.get_info().long_touch_for_reset, True, "longTouchForReset")
    replug_and_reset(key)
    with key.ctap2() as ctap2:
        equal(ctap2.get_info().long_touch_for_reset, False, "longTouchForReset after the reset")
        equal(ctap2.get_info().options.get("clientPin"), False, "clientPin after the reset")


@check("thirdPartyPayment", keys=["pin/1-6"])
def payment(key):
    fresh(key)
    asked = {"thirdPartyPayment": True}
    with key.ctap2() as ctap2:
        for number, resident in enumerate((True, False)):
            pays = make(ctap2, SITE, b"a%d" % number, resident, extensions=asked)
            plain = make(ctap2, SITE, b"b%d" % number, resident)
            for credential, expected in ((pays, True), (plain, False)):
                _, answer = get(ctap2, SITE, [credential], [credential], extensions=asked)
                told = answer.auth_data.extensions
                equal(told, {"thirdPartyPayment": expected}, "what the assertion says")
                _, answer = get(ctap2, SITE, [credential], [credential])
                equal(answer.auth_data.extensions, None, "what it says unasked")
        ClientPin(ctap2).set_pin(PIN)
        reader = manager(ctap2, token(ctap2, READ_ONLY))
        listed = reader.enumerate_creds(sha256(SITE.encode()).digest())
        told = {
            bytes(entry[RESULT.USER]["id"]): entry.get(0x0C) for entry in listed
        }
        equal(told, {b"a0": True, b"b0": False}, "what credential management says")


@check("algorithms of the default profile", keys=["pin/1-6"], limit_s=120)
def algorithms(key):
    fresh(key)
    sign_with(key, ES256, EdDSA, ES384, ES512, ES256K, RS256)


@check("algorithms of the profile pqc", keys=["pqc/1-1"], limit_s=120)
def post_quantum(key):
    fresh(key)
    sign_with(key, MLDSA65, MLDSA44, ES256)


def sign_with(key, *all_of_them):
    """Registers and signs in with each algorithm, discoverable and not."""
    with key.ctap2() as ctap2:
        offered = [entry["alg"] for entry in ctap2.info.algorithms]
        equal(set(offered), {algorithm.ALGORITHM for algorithm in all_of_them}, "algorithms")
        left = ctap2.info.remaining_disc_creds
        for algorithm in all_of_them:
            site = f"{algorithm.__name__.lower()}.example"
            for resident in (True, False):
                user = os.urandom(8).hex().encode()
                made = make(ctap2, site, user, resident, algorithm=algorithm)
                get(ctap2, site, [made], allow=[made])
                with status(ERR.CREDENTIAL_EXCLUDED, "the same key once more"):
                    make(ctap2, site, user, exclude=[made], algorithm=algorithm)
            # One of the two is found by the site's name alone.
            answers = ctap2.get_assertions(site, bytes(32))
            equal(len(answers), 1, f"discoverable credentials of {site}")
        taken = left - ctap2.get_info().remaining_disc_creds
        # An RSA key is too long for a credential id, so it is stored, whatever the site asks for.
        stored = len(all_of_them) + (RS256 in all_of_them)
        equal(taken, stored, "credentials that are stored")
        ClientPin(ctap2).set_pin(PIN)
        reader = manager(ctap2, token(ctap2, PERMISSION.CREDENTIAL_MGMT))
        count = reader.get_metadata()[RESULT.EXISTING_CRED_COUNT]
        equal(count, len(all_of_them), "discoverable credentials")
        for rp in reader.enumerate_rps():
            equal(len(list(reader.enumerate_creds(rp[RESULT.RP_ID_HASH]))), 1, "at each site")
