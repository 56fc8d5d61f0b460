"""python-fido2's CredentialManagement and Config, as an application uses them."""

from hashlib import sha256

from fido2 import cbor
from fido2.ctap1 import Ctap1
from fido2.ctap2 import ClientPin, Config, CredentialManagement, Ctap2

from fido import ERR, get, make
from harness import apdu_status, check, equal, require, status
from machine import replug
from pins import OTHER_PIN, PERMISSION, PIN, PROTOCOLS, client_pin, fresh, replug_and_reset, token

MC, GA = PERMISSION.MAKE_CREDENTIAL, PERMISSION.GET_ASSERTION
RESULT, CMD = CredentialManagement.RESULT, CredentialManagement.CMD
COMMAND_NOT_ALLOWED = 0x6986


def management(ctap2, protocol=2, rp_id=None, permission=PERMISSION.CREDENTIAL_MGMT):
    """The class with a token of its own."""
    held = token(ctap2, permission, rp_id, protocol=protocol)
    return CredentialManagement(ctap2, held.protocol, held.value)


def config(ctap2, protocol=2, pin=PIN):
    """The class with a token of its own."""
    held = token(ctap2, PERMISSION.AUTHENTICATOR_CFG, pin=pin, protocol=protocol)
    return Config(ctap2, held.protocol, held.value)


def populate(ctap2):
    """Three accounts at two sites, made while there is no PIN."""
    made = [make(ctap2, "two.example", user, resident=True) for user in (b"ann", b"bob")]
    made.append(make(ctap2, "one.example", b"cid", resident=True, extensions={"credProtect": 3}))
    # These are not listed: they are in nobody's store.
    make(ctap2, "none.example")
    ClientPin(ctap2).set_pin(PIN)
    return made


def listed(manager):
    """All that the key has, site by site: {site: {credential id: result}}."""
    found = {}
    for site in manager.enumerate_rps():
        rp_id = site[RESULT.RP]["id"]
        rp_id_hash = site[RESULT.RP_ID_HASH]
        equal(rp_id_hash, sha256(rp_id.encode()).digest(), f"hash of {rp_id}")
        results = manager.enumerate_creds(rp_id_hash)
        found[rp_id] = {result[RESULT.CREDENTIAL_ID]["id"]: result for result in results}
    return found


@check("CredentialManagement over PIN protocol 2", keys=["pin/1-5"], protocol=2)
@check("CredentialManagement over PIN protocol 1", keys=["pin/1-5"], protocol=1)
def manage(key, protocol):
    fresh(key)
    with key.ctap2() as ctap2:
        room = ctap2.info.remaining_disc_creds
        ann, bob, cid = populate(ctap2)
        manager = management(ctap2, protocol)
        metadata = manager.get_metadata()
        equal(metadata[RESULT.EXISTING_CRED_COUNT], 3, "existing credentials")
        equal(metadata[RESULT.MAX_REMAINING_COUNT], room - 3, "remaining credentials")
        equal(ctap2.get_info().remaining_disc_creds, room - 3, "those of getInfo")

        found = listed(manager)
        expected = {"two.example": {ann.id, bob.id}, "one.example": {cid.id}}
        equal({site: set(ids) for site, ids in found.items()}, expected, "what is listed")
        for credential, level in ((ann, 1), (bob, 1), (cid, 3)):
            result = found[credential.rp_id][credential.id]
            name = credential.user_id.decode()
            user = {
                "id": credential.user_id,
                "name": f"{name}@{credential.rp_id}",
                "displayName": name,
            }
            equal(dict(result[RESULT.USER]), user, "its user")
            equal(dict(result[RESULT.PUBLIC_KEY]), dict(credential.public_key), "its public key")
            equal(result[RESULT.CRED_PROTECT], level, "its credProtect")

        manager.delete_cred(bob.descriptor)
        with status(ERR.NO_CREDENTIALS, "deleting it again"):
            manager.delete_cred(bob.descriptor)
        equal(set(listed(manager)["two.example"]), {ann.id}, "what is listed after the deletion")
        metadata = manager.get_metadata()
        equal(metadata[RESULT.EXISTING_CRED_COUNT], 2, "existing credentials then")
        equal(metadata[RESULT.MAX_REMAINING_COUNT], room - 2, "remaining credentials then")
        with status(ERR.NO_CREDENTIALS, "the deleted credential"):
            get(ctap2, "two.example", [], allow=[bob])
        get(ctap2, "two.example", [ann], allow=[ann, bob])
        auth = token(ctap2, GA, "one.example", protocol=protocol)
        get(ctap2, "one.example", [cid], auth=auth)


@check("CredentialManagement renames an account", keys=["pin/1-5"])
def rename(key):
    fresh(key)
    with key.ctap2() as ctap2:
        ann, bob, _ = populate(ctap2)
        manager = management(ctap2)
        user = {"id": ann.user_id, "name": "new name", "displayName": "New Name"}
        manager.update_user_info(ann.descriptor, user)
        found = listed(manager)["two.example"]
        equal(dict(found[ann.id][RESULT.USER]), user, "the account's names")
        equal(found[bob.id][RESULT.USER]["name"], "bob@two.example", "the other account's name")
        with status(ERR.INVALID_PARAMETER, "another account's user id"):
            manager.update_user_info(ann.descriptor, user | {"id": b"somebody"})
        with status(ERR.NO_CREDENTIALS, "an unknown credential"):
            manager.update_user_info({"type": "public-key", "id": bytes(64)}, user)
        # What is left out is taken away.
        manager.update_user_info(ann.descriptor, {"id": ann.user_id})
        found = listed(manager)["two.example"]
        equal(dict(found[ann.id][RESULT.USER]), {"id": ann.user_id}, "the account without names")


@check("CredentialManagement of an empty key", keys=["pin/1-5"])
def empty(key):
    fresh(key, PIN)
    with key.ctap2() as ctap2:
        manager = management(ctap2)
        equal(manager.get_metadata()[RESULT.EXISTING_CRED_COUNT], 0, "existing credentials")
        with status(ERR.NO_CREDENTIALS, "enumerateRPsBegin"):
            manager.enumerate_rps_begin()
        with status(ERR.NO_CREDENTIALS, "enumerateCredentialsBegin"):
            manager.enumerate_creds_begin(bytes(32))


@check("CredentialManagement wants the right token", keys=["pin/1-5"])
def management_tokens(key):
    fresh(key)
    with key.ctap2() as ctap2:
        ann, *_ = populate(ctap2)
        for what in (CMD.GET_CREDS_METADATA, CMD.ENUMERATE_RPS_BEGIN):
            with status(ERR.PUAT_REQUIRED, f"{what.name} without a token"):
                ctap2.credential_mgmt(what)
        wrong = management(ctap2, rp_id="one.example", permission=GA)
        with status(ERR.PIN_AUTH_INVALID, "a token for getAssertion"):
            wrong.get_metadata()
        bound = management(ctap2, rp_id="one.example")
        with status(ERR.PIN_AUTH_INVALID, "getCredsMetadata with a token for one site"):
            bound.get_metadata()
        with status(ERR.PIN_AUTH_INVALID, "another site's credentials with it"):
            bound.enumerate_creds_begin(sha256(b"two.example").digest())
        with status(ERR.PIN_AUTH_INVALID, "deleting another site's credential with it"):
            bound.delete_cred(ann.descriptor)
        site = bound.enumerate_creds(sha256(b"one.example").digest())
        equal(len(site), 1, "credentials of the token's own site")


@check("enumerations that are interrupted", keys=["pin/1-5"])
def interrupted(key):
    fresh(key)
    with key.ctap2() as ctap2:
        populate(ctap2)
        manager = management(ctap2)
        two = sha256(b"two.example").digest()
        with status(ERR.NOT_ALLOWED, "a next without a begin"):
            manager.enumerate_rps_next()
        equal(manager.enumerate_rps_begin()[RESULT.TOTAL_RPS], 2, "number of sites")
        ctap2.get_info()
        with status(ERR.NOT_ALLOWED, "a next after getInfo"):
            manager.enumerate_rps_next()
        manager.enumerate_rps_begin()
        with status(ERR.NOT_ALLOWED, "the next of another enumeration"):
            manager.enumerate_creds_next()
        equal(manager.enumerate_creds_begin(two)[RESULT.TOTAL_CREDENTIALS], 2, "credentials")
        manager.enumerate_creds_next()
        with status(ERR.NOT_ALLOWED, "a next after the last"):
            manager.enumerate_creds_next()


@check("credentialMgmtPreview", keys=["pin/1-5"])
def preview(key):
    fresh(key)
    with key.ctap2() as ctap2:
        populate(ctap2)
        held = token(ctap2, PERMISSION.CREDENTIAL_MGMT)

        def old(subcommand, params=None):
            message = bytes([subcommand]) + (cbor.encode(params) if params else b"")
            auth = held.over(message)
            request = {1: subcommand, 3: auth["pin_uv_protocol"], 4: auth["pin_uv_param"]}
            request |= {2: params} if params else {}
            return ctap2.send_cbor(Ctap2.CMD.CREDENTIAL_MGMT_PRE, request)

        equal(old(CMD.GET_CREDS_METADATA)[RESULT.EXISTING_CRED_COUNT], 3, "existing credentials")
        equal(old(CMD.ENUMERATE_RPS_BEGIN)[RESULT.TOTAL_RPS], 2, "number of sites")
        params = {1: sha256(b"two.example").digest()}
        found = old(CMD.ENUMERATE_CREDS_BEGIN, params)
        equal(found[RESULT.TOTAL_CREDENTIALS], 2, "number of credentials")
        old(CMD.DELETE_CREDENTIAL, {2: dict(found[RESULT.CREDENTIAL_ID])})
        equal(old(CMD.GET_CREDS_METADATA)[RESULT.EXISTING_CRED_COUNT], 2, "existing credentials")


@check("Config sets the minimum PIN length", keys=["pin/1-6"])
def min_pin_length(key):
    fresh(key, PIN)
    with key.ctap2() as ctap2:
        equal(ctap2.info.min_pin_length, 4, "minPINLength of a new key")
        require(ctap2.info.max_rpids_for_min_pin >= 1, "maxRPIDsForSetMinPINLength is 0")
        config(ctap2).set_min_pin_length(10, ["min.example"])
        info = ctap2.get_info()
        equal(info.min_pin_length, 10, "minPINLength")
        equal(info.force_pin_change, False, "forcePINChange, since the PIN is long enough")
        with status(ERR.PIN_POLICY_VIOLATION, "a smaller minimum"):
            config(ctap2).set_min_pin_length(9)
        with status(ERR.PIN_POLICY_VIOLATION, "a PIN of nine characters"):
            ClientPin(ctap2).change_pin(PIN, "swift-999")

        # Only the sites that were named hear of it.
        for rp_id, told in (("min.example", {"minPinLength": 10}), ("other.example", {})):
            auth = token(ctap2, MC, rp_id)
            made = make(ctap2, rp_id, auth=auth, extensions={"minPinLength": True})
            equal(made.extensions, told, f"what {rp_id} hears")
    replug(key)
    with key.ctap2() as ctap2:
        equal(ctap2.info.min_pin_length, 10, "minPINLength after a replug")
    replug_and_reset(key)
    with key.ctap2() as ctap2:
        equal(ctap2.info.min_pin_length, 4, "minPINLength after a reset")


@check("Config forces a PIN change", keys=["pin/1-6"])
def force_change(key):
    fresh(key, PIN)
    with key.ctap2() as ctap2:
        config(ctap2).set_min_pin_length(force_change_pin=True)
        equal(ctap2.get_info().force_pin_change, True, "forcePINChange")
        with status(ERR.PIN_POLICY_VIOLATION, "a token before the PIN is changed"):
            token(ctap2, GA, "force.example")
        with status(ERR.PIN_INVALID, "a token of CTAP 2.0 before the PIN is changed"):
            token(ctap2, None)
        with status(ERR.PIN_POLICY_VIOLATION, "a change to the same PIN"):
            ClientPin(ctap2).change_pin(PIN, PIN)
        ClientPin(ctap2).change_pin(PIN, OTHER_PIN)
        equal(ctap2.get_info().force_pin_change, False, "forcePINChange after the change")
        token(ctap2, GA, "force.example", pin=OTHER_PIN)

        # A minimum that the PIN does not reach forces a change too.
        config(ctap2, pin=OTHER_PIN).set_min_pin_length(len(OTHER_PIN) + 1)
        equal(ctap2.get_info().force_pin_change, True, "forcePINChange after a longer minimum")
        ClientPin(ctap2).change_pin(OTHER_PIN, "bittern-2718281828")
        token(ctap2, GA, "force.example", pin="bittern-2718281828")


@check("Config over PIN protocol 2 toggles always-UV", keys=["pin/1-6"], protocol=2)
@check("Config over PIN protocol 1 toggles always-UV", keys=["pin/1-6"], protocol=1)
def always_uv(key, protocol):
    fresh(key)
    with key.ctap2() as ctap2:
        equal(ctap2.info.options.get("alwaysUv"), False, "alwaysUv of a new key")
        credential = make(ctap2, "always.example")
        ClientPin(ctap2).set_pin(PIN)
        config(ctap2, protocol).toggle_always_uv()
        info = ctap2.get_info()
        equal(info.options.get("alwaysUv"), True, "alwaysUv")
        require("U2F_V2" not in info.versions, "U2F_V2 is announced beside alwaysUv")
        with status(ERR.PUAT_REQUIRED, "getAssertion without a token"):
            get(ctap2, "always.example", [], allow=[credential])
        # Never for a silent one: it says only whose credential it is.
        get(ctap2, "always.example", [credential], allow=[credential], up=False)
        auth = token(ctap2, GA, "always.example", protocol=protocol)
        get(ctap2, "always.example", [credential], allow=[credential], auth=auth)
        # U2F knows no PIN, so it must not be a way around it.
        with apdu_status(COMMAND_NOT_ALLOWED, "U2F register"):
            Ctap1(ctap2.device).register(bytes(32), bytes(32))
        config(ctap2, protocol).toggle_always_uv()
        info = ctap2.get_info()
        equal(info.options.get("alwaysUv"), False, "alwaysUv after the second toggle")
        require("U2F_V2" in info.versions, "U2F_V2 did not come back")
        get(ctap2, "always.example", [credential], allow=[credential])


@check("Config wants the right token", keys=["pin/1-6"])
def config_tokens(key):
    fresh(key, PIN)
    with key.ctap2() as ctap2:
        with status(ERR.PUAT_REQUIRED, "toggleAlwaysUv without a token"):
            Config(ctap2).toggle_always_uv()
        with status(ERR.PUAT_REQUIRED, "setMinPINLength without a token"):
            Config(ctap2).set_min_pin_length(6)
        for protocol in PROTOCOLS:
            held = token(ctap2, GA, "config.example", protocol=protocol)
            with status(ERR.PIN_AUTH_INVALID, "a token for getAssertion"):
                Config(ctap2, held.protocol, held.value).toggle_always_uv()
        forged = client_pin(ctap2).protocol
        with status(ERR.PIN_AUTH_INVALID, "a token that nobody gave out"):
            Config(ctap2, forged, bytes(32)).toggle_always_uv()
        info = ctap2.get_info()
        equal((info.options["alwaysUv"], info.min_pin_length), (False, 4), "what was not changed")
