"""User verification, extensions and algorithms with python-fido2's client."""

import os

from fido2.client import ClientError
from fido2.cose import ES256, ES256K, ES384, ES512, RS256, EdDSA
from fido2.ctap2 import ClientPin
from fido2.ctap2.extensions import CredProtectExtension
from fido2.server import Fido2Server
from fido2.webauthn import PublicKeyCredentialRpEntity, PublicKeyCredentialUserEntity

from check_ctap2 import verify_self_attestation
from fido import ERR, get, make, parameters
from harness import Failure, check, equal, require, status
from pins import PERMISSION, PIN, WRONG_PIN, Person, client_of, fresh, retries, secret, token

ALGORITHMS = (ES256, EdDSA, ES384, ES256K, ES512, RS256)
# What the COSE key of each has beside its algorithm: RFC 9053, RFC 8812 and RFC 8230.
COSE = {
    ES256: {1: 2, -1: 1, -2: 32, -3: 32},
    ES384: {1: 2, -1: 2, -2: 48, -3: 48},
    ES256K: {1: 2, -1: 8, -2: 32, -3: 32},
    ES512: {1: 2, -1: 3, -2: 66, -3: 66},
    RS256: {1: 3, -1: 256, -2: 3},
    EdDSA: {1: 1, -1: 6, -2: 32},
}


class Site:
    """A relying party, a person with a PIN, and a client between them."""

    def __init__(self, device, rp_id, pin=PIN):
        self.rp = PublicKeyCredentialRpEntity(id=rp_id, name="Example")
        self.server = Fido2Server(
            self.rp, attestation="direct", verify_attestation=verify_self_attestation
        )
        self.user = PublicKeyCredentialUserEntity(
            id=os.urandom(16), name="tester", display_name="Tester"
        )
        self.person = Person(pin)
        self.client = client_of(device, rp_id, self.person)

    def register(self, resident="discouraged", uv="required", extensions=None):
        """A registration that the server verifies: its data, and its results."""
        options, state = self.server.register_begin(
            self.user,
            resident_key_requirement=resident,
            user_verification=uv,
            extensions=extensions,
        )
        response = self.client.make_credential(options.public_key)
        return self.server.register_complete(state, response), response.client_extension_results

    def sign_in(self, credential, resident=False, uv="required", extensions=None):
        """A sign-in that the server verifies, as the client gives it."""
        options, state = self.server.authenticate_begin(
            None if resident else [credential], user_verification=uv, extensions=extensions
        )
        selection = self.client.get_assertion(options.public_key)
        equal(len(selection.get_assertions()), 1, "number of assertions")
        answer = selection.get_response(0)
        self.server.authenticate_complete(state, [credential], answer)
        if resident:
            equal(answer.response.user_handle, self.user.id, "user handle")
        return answer


@check("Fido2Client with a PIN, plain", keys=["pin/1-3"], resident=False)
@check("Fido2Client with a PIN, discoverable", keys=["pin/1-3"], resident=True)
def with_pin(key, resident):
    fresh(key, PIN)
    with key.open() as device:
        site = Site(device, "uv.example")
        data, _ = site.register("required" if resident else "discouraged")
        site.sign_in(data.credential_data, resident)
        equal(site.person.asked, 2, "how often the PIN was asked for")
        # Nobody asked for verification, so the client does not ask for a PIN.
        answer = site.sign_in(data.credential_data, resident, uv="discouraged")
        require(not answer.response.authenticator_data.is_user_verified(), "UV without a PIN")
        equal(site.person.asked, 2, "how often the PIN was asked for")


@check("Fido2Client with a wrong PIN", keys=["pin/1-3"])
def with_wrong_pin(key):
    fresh(key, PIN)
    with key.ctap2() as ctap2:
        site = Site(ctap2.device, "uv.example", WRONG_PIN)
        try:
            site.register()
        except ClientError as error:
            equal(error.cause.code, ERR.PIN_INVALID, "status that the client reports")
        else:
            raise Failure("a registration with a wrong PIN succeeded")
        equal(retries(ctap2), 7, "retries after it")
        site.person.pin = PIN
        site.register()
        equal(retries(ctap2), 8, "retries after the right PIN")


def prf(first, second=None):
    """The extension's input with one salt or two."""
    return {"prf": {"eval": {"first": first} | ({"second": second} if second else {})}}


def outputs(results):
    """The extension's one or two outputs, which no log may show."""
    values = results.prf.results
    found = [secret("a PRF output", value) for value in (values.first, values.second) if value]
    for value in found:
        equal(len(value), 32, "length of a PRF output")
    return found


@check("PRF with one and two salts, with and without UV", keys=["pin/1-3"])
def prf_salts(key):
    fresh(key, PIN)
    first, second = b"the first salt", b"the second salt"
    with key.open() as device:
        site = Site(device, "prf.example")
        data, results = site.register("required", extensions={"prf": {}})
        equal(results.prf.enabled, True, "prf.enabled at the registration")
        equal(results.prf.results, None, "PRF outputs that nobody asked for")
        credential = data.credential_data

        def evaluated(salts, uv):
            answer = site.sign_in(credential, resident=True, uv=uv, extensions=prf(*salts))
            return outputs(answer.client_extension_results)

        found = {uv: evaluated((first, second), uv) for uv in ("required", "discouraged")}
        different = {value for values in found.values() for value in values}
        equal(len(different), 4, "different outputs of two salts, with and without UV")
        for uv, (one, two) in found.items():
            equal(evaluated((first,), uv), [one], f"output of the first salt alone, UV {uv}")
            equal(evaluated((second,), uv), [two], f"output of the second salt alone, UV {uv}")

        other, _ = site.register("discouraged", extensions={"prf": {}})
        answer = site.sign_in(other.credential_data, extensions=prf(first))
        strange = outputs(answer.client_extension_results)
        require(strange[0] not in different, "another credential has the same PRF output")


@check("PRF at the registration (hmac-secret-mc)", keys=["pin/1-3"])
def prf_at_once(key):
    fresh(key, PIN)
    salts = b"the first salt", b"the second salt"
    with key.open() as device:
        site = Site(device, "prf.example")
        for resident in ("required", "discouraged"):
            data, results = site.register(resident, extensions=prf(*salts))
            equal(results.prf.enabled, True, "prf.enabled at the registration")
            answer = site.sign_in(
                data.credential_data, resident == "required", extensions=prf(*salts)
            )
            later = outputs(answer.client_extension_results)
            equal(outputs(results), later, "PRF outputs at the registration and at the sign-in")
            equal(len(later), 2, "number of outputs")


@check("credBlob", keys=["pin/1-3"])
def cred_blob(key):
    fresh(key, PIN)
    blob = os.urandom(32)
    with key.ctap2() as ctap2:
        equal(ctap2.info.max_cred_blob_length, len(blob), "maxCredBlobLength")
        site = Site(ctap2.device, "blob.example")
        data, _ = site.register("required", extensions={"credBlob": blob})
        equal(data.extensions.get("credBlob"), True, "credBlob at the registration")
        answer = site.sign_in(data.credential_data, True, extensions={"getCredBlob": True})
        got = answer.response.authenticator_data.extensions["credBlob"]
        equal(got, blob, "credBlob at the sign-in")

        # The client keeps these to itself, so they are sent by hand.
        for resident, length, stored in ((True, 33, False), (False, 32, False), (True, 1, True)):
            auth = token(ctap2, PERMISSION.MAKE_CREDENTIAL, "byte.example")
            held = {"extensions": {"credBlob": bytes(length)}}
            made = make(ctap2, "byte.example", resident=resident, auth=auth, **held)
            what = f"credBlob of {length} bytes, rk={resident}"
            equal(made.extensions.get("credBlob"), stored, what)
            held = {"extensions": {"credBlob": True}}
            _, response = get(ctap2, "byte.example", [made], allow=[made], **held)
            kept = bytes(length) if stored else b""
            equal(response.auth_data.extensions.get("credBlob"), kept, f"{what}, later")


@check("credProtect of three levels", keys=["pin/1-3"])
def cred_protect(key):
    fresh(key, PIN)
    with key.ctap2() as ctap2:
        made = {}
        for level, policy in enumerate(CredProtectExtension.POLICY, 1):
            site = Site(ctap2.device, f"level{level}.example")
            data, _ = site.register(
                "required", extensions={"credentialProtectionPolicy": policy.value}
            )
            equal(data.extensions.get("credProtect"), level, "credProtect of the answer")
            made[level] = site, data.credential_data
        for level, (site, data) in made.items():
            rp_id = site.rp.id
            listed = [{"type": "public-key", "id": data.credential_id}]
            for allow, least, what in ((None, 1, "without a list"), (listed, 2, "with a list")):
                for up in (True, False):
                    if level <= least:
                        ctap2.get_assertion(rp_id, bytes(32), allow, options={"up": up})
                        continue
                    with status(ERR.NO_CREDENTIALS, f"level {level} {what}, up={up}, no UV"):
                        ctap2.get_assertion(rp_id, bytes(32), allow, options={"up": up})
            site.sign_in(data, resident=True)
            site.sign_in(data)
        # An excluded credential of level 3 is not betrayed to who has no PIN;
        # with it, the registration is refused.
        site, data = made[3]
        auth = token(ctap2, PERMISSION.MAKE_CREDENTIAL, site.rp.id)
        with status(ERR.CREDENTIAL_EXCLUDED, "a level 3 credential in the excludeList"):
            ctap2.make_credential(
                bytes(32),
                {"id": site.rp.id},
                {"id": b"new"},
                parameters(ES256),
                [{"type": "public-key", "id": data.credential_id}],
                **auth.over(bytes(32)),
            )


@check("names of accounts only after UV", keys=["pin/1-3"])
def names(key):
    fresh(key, PIN)
    rp_id = "names.example"
    with key.ctap2() as ctap2:
        for user in (b"ann", b"bob"):
            auth = token(ctap2, PERMISSION.MAKE_CREDENTIAL, rp_id)
            make(ctap2, rp_id, user, resident=True, auth=auth)
        answers = ctap2.get_assertions(rp_id, bytes(32))
        users = [answer.user for answer in answers]
        equal(users, [{"id": b"bob"}, {"id": b"ann"}], "accounts without UV")
        auth = token(ctap2, PERMISSION.GET_ASSERTION, rp_id)
        answers = ctap2.get_assertions(rp_id, bytes(32), **auth.over(bytes(32)))
        users = [(answer.user["id"], answer.user.get("name")) for answer in answers]
        expected = [(b"bob", "bob@names.example"), (b"ann", "ann@names.example")]
        equal(users, expected, "accounts with UV")


@check("algorithm RS256", keys=["pin/1-4"], algorithm=RS256)
@check("algorithm ES512", keys=["pin/1-4"], algorithm=ES512)
@check("algorithm ES256K", keys=["pin/1-4"], algorithm=ES256K)
@check("algorithm ES384", keys=["pin/1-4"], algorithm=ES384)
@check("algorithm EdDSA", keys=["pin/1-4"], algorithm=EdDSA)
@check("algorithm ES256", keys=["pin/1-4"], algorithm=ES256)
def one_algorithm(key, algorithm):
    fresh(key)
    with key.ctap2() as ctap2:
        for resident in (False, True):
            credential = make(ctap2, "alg.example", resident=resident, algorithm=algorithm)
            seen = {
                name: len(value) if isinstance(value, bytes) else value
                for name, value in credential.public_key.items()
            }
            expected = COSE[algorithm] | {3: algorithm.ALGORITHM}
            equal(seen, expected, "the COSE key, with lengths for its coordinates")
            allow = None if resident else [credential]
            get(ctap2, "alg.example", [credential], allow=allow)
        ClientPin(ctap2).set_pin(PIN)
        auth = token(ctap2, PERMISSION.GET_ASSERTION, "alg.example")
        get(ctap2, "alg.example", [credential], auth=auth)


@check("the site's order of algorithms decides", keys=["pin/1-4"])
def order(key):
    fresh(key)
    with key.ctap2() as ctap2:
        offered = [entry["alg"] for entry in ctap2.info.algorithms]
        equal(offered, [algorithm.ALGORITHM for algorithm in ALGORITHMS], "algorithms of getInfo")

        def chosen(wanted):
            answer = ctap2.make_credential(
                bytes(32), {"id": "alg.example"}, {"id": b"user"}, wanted
            )
            return type(answer.auth_data.credential_data.public_key)

        for first in ALGORITHMS:
            others = [algorithm for algorithm in ALGORITHMS if algorithm is not first]
            equal(chosen(parameters(first, *others)), first, "the first of all")
        unknown = [{"type": "public-key", "alg": -65535}]
        equal(chosen(unknown + parameters(ES384, ES256)), ES384, "the first that is known")
        with status(ERR.UNSUPPORTED_ALGORITHM, "an unknown algorithm alone"):
            chosen(unknown)
