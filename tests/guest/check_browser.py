"""What a site gets from a key with a sensor through Chromium: PRF, largeBlob, algorithms.

Judged by PyPI's webauthn where it knows the algorithm, and by python-fido2 at
any rate. The finger is the touch policy's word, so no dialog needs a person.
"""

import json
import os

import webauthn
from fido2.cose import ES256, ES256K, ES384, ES512, MLDSA44, MLDSA65, RS256, EdDSA
from fido2.utils import websafe_decode, websafe_encode
from webauthn.helpers import structs
from webauthn.helpers.cose import COSEAlgorithmIdentifier

from check_chromium import RP_ID, Resident, SecondOpinion, Verification, the_browser
from harness import Failure, check, equal, require
from pins import private, secret

# What every browser passes on, and what Chromium says of an answer that it does not.
USUAL = (ES256, EdDSA, RS256)
REJECTED = "rejected CBOR structure"
KNOWN = {algorithm.value for algorithm in COSEAlgorithmIdentifier}


class Passkey:
    """A discoverable credential of the page, made with user verification."""

    def __init__(self, algorithm=ES256, extensions=None):
        self.browser = the_browser(headless=True)
        self.algorithm = algorithm.ALGORITHM
        user_id = os.urandom(16)
        options = webauthn.generate_registration_options(
            rp_id=RP_ID,
            rp_name="Checks",
            user_name="tester",
            user_id=user_id,
            authenticator_selection=structs.AuthenticatorSelectionCriteria(
                authenticator_attachment=structs.AuthenticatorAttachment.CROSS_PLATFORM,
                resident_key=Resident.REQUIRED,
                user_verification=Verification.REQUIRED,
            ),
        )
        asked = json.loads(webauthn.options_to_json(options))
        asked["pubKeyCredParams"] = [{"type": "public-key", "alg": self.algorithm}]
        asked["extensions"] = extensions or {}
        made = self.browser.call("create", asked)
        self.results = made["clientExtensionResults"]
        self.id = websafe_decode(made["id"])
        self.second = SecondOpinion(self.browser.origin, Verification.REQUIRED)
        self.second.registered(options.challenge, made)
        private(self.second.credential_of(user_id))
        self.first = None
        if self.algorithm in KNOWN:
            self.first = webauthn.verify_registration_response(
                credential=made,
                expected_challenge=options.challenge,
                expected_rp_id=RP_ID,
                expected_origin=self.browser.origin,
                require_user_verification=True,
                supported_pub_key_algs=[COSEAlgorithmIdentifier(self.algorithm)],
            )
        equal(self.second.credential.public_key.ALGORITHM, self.algorithm, "algorithm")

    def sign_in(self, extensions=None):
        """Signs in; returns what the extensions said."""
        options = webauthn.generate_authentication_options(
            rp_id=RP_ID,
            allow_credentials=[structs.PublicKeyCredentialDescriptor(id=self.id)],
            user_verification=Verification.REQUIRED,
        )
        asked = json.loads(webauthn.options_to_json(options))
        asked["extensions"] = extensions or {}
        answer = self.browser.call("get", asked)
        self.second.authenticated(options.challenge, answer)
        if self.first:
            webauthn.verify_authentication_response(
                credential=answer,
                expected_challenge=options.challenge,
                expected_rp_id=RP_ID,
                expected_origin=self.browser.origin,
                credential_public_key=self.first.credential_public_key,
                credential_current_sign_count=self.first.sign_count,
                require_user_verification=True,
            )
        return answer["clientExtensionResults"]


def prf(salt):
    """The extension's input with one salt."""
    return {"prf": {"eval": {"first": websafe_encode(salt)}}}


def output(results):
    """The extension's one output, which no log may show."""
    return secret("a PRF output", websafe_decode(results["prf"]["results"]["first"]))


@check("headless chromium: PRF at create and get", keys=["bio/1-5"], limit_s=480)
def prf_twice(_key):
    passkey = Passkey(extensions=prf(b"one"))
    equal(passkey.results["prf"]["enabled"], True, "prf.enabled")
    made = output(passkey.results)
    equal(len(made), 32, "length of the output at create")
    found = [output(passkey.sign_in(prf(salt))) for salt in (b"one", b"two")]
    require(found[0] == made, "get gives another output than create for the same salt")
    require(found[1] != made, "two salts have one output")


@check("headless chromium: largeBlob", keys=["bio/1-5"], limit_s=480)
def large_blob(_key):
    passkey = Passkey(extensions={"largeBlob": {"support": "required"}})
    equal(passkey.results["largeBlob"]["supported"], True, "largeBlob.supported")
    blob = os.urandom(700)
    results = passkey.sign_in({"largeBlob": {"write": websafe_encode(blob)}})
    equal(results["largeBlob"]["written"], True, "largeBlob.written")
    results = passkey.sign_in({"largeBlob": {"read": True}})
    require(websafe_decode(results["largeBlob"]["blob"]) == blob, "another blob is read")


@check("headless chromium: every algorithm", keys=["full/1-1"], limit_s=480)
def algorithms(_key):
    passed = set()
    for algorithm in (ES256, EdDSA, ES384, ES512, ES256K, RS256, MLDSA44, MLDSA65):
        try:
            Passkey(algorithm).sign_in()
            passed.add(algorithm.__name__)
        except Failure as error:
            # A browser may not pass on what it does not know; that it was asked is in its log.
            if algorithm in USUAL or REJECTED not in str(error.details):
                raise
    print(f"Chromium passes on {', '.join(sorted(passed))}", flush=True)
