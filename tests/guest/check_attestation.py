"""Attestation with certificates, judged by PyPI's webauthn against the exported root.

The keys are those of servers in this guest, whose control plane gives away the
root certificate of the vault's test authority.
"""

import json
import os
from hashlib import sha256

import webauthn
from cryptography import x509
from cryptography.x509.oid import NameOID
from fido2.ctap2 import ClientPin, Config, Ctap2
from fido2.ctap2.base import AttestationResponse, args
from fido2.utils import websafe_decode, websafe_encode
from webauthn.helpers import structs
from webauthn.helpers.exceptions import InvalidRegistrationResponse

from check_token import fido2_token, options
from fido import ERR, ES256_ONLY
from harness import Failure, check, equal, require, status
from inside import key as inside_key
from pins import PERMISSION, PIN, fresh, replug_and_reset, token

KEY_AAGUID = x509.ObjectIdentifier("1.3.6.1.4.1.45724.1.1.4")
KEY_SERIAL = x509.ObjectIdentifier("1.3.6.1.4.1.45724.1.1.2")
# A site for which the key itself decides, as its profile says, and another.
LISTED, UNLISTED = "enterprise.example", "other.example"
VENDOR, PLATFORM = 1, 2


class Registration:
    """A registration as the key answers it."""

    def __init__(self, ctap2, rp_id, enterprise=None, formats=None):
        self.rp_id = rp_id
        client_data = {
            "type": "webauthn.create",
            "challenge": websafe_encode(os.urandom(32)),
            "origin": f"https://{rp_id}",
            "crossOrigin": False,
        }
        self.client_data = json.dumps(client_data).encode()
        self.hash = sha256(self.client_data).digest()
        user = {"id": b"user", "name": "user"}
        nothing = [None] * 5
        self.response = AttestationResponse.from_dict(
            ctap2.send_cbor(
                Ctap2.CMD.MAKE_CREDENTIAL,
                args(self.hash, {"id": rp_id}, user, ES256_ONLY, *nothing, enterprise, formats),
            )
        )

    @property
    def is_enterprise(self):
        """Whether the key says so of its statement."""
        return bool(self.response.ep_att)

    def certificate(self):
        """The certificate that attests, which must come alone."""
        [one] = self.response.att_stmt["x5c"]
        return x509.load_der_x509_certificate(one)

    def verify(self, root):
        """webauthn's verdict, with this root as the only authority of packed statements."""
        data = self.response.auth_data
        identifier = websafe_encode(data.credential_data.credential_id)
        attested = {"fmt": self.response.fmt, "attStmt": self.response.att_stmt, "authData": data}
        challenge = json.loads(self.client_data)["challenge"]
        return webauthn.verify_registration_response(
            credential={
                "id": identifier,
                "rawId": identifier,
                "type": "public-key",
                "response": {
                    "clientDataJSON": websafe_encode(self.client_data),
                    "attestationObject": websafe_encode(webauthn.helpers.encode_cbor(attested)),
                },
            },
            expected_challenge=websafe_decode(challenge),
            expected_rp_id=self.rp_id,
            expected_origin=f"https://{self.rp_id}",
            pem_root_certs_bytes_by_fmt={structs.AttestationFormat.PACKED: [root]},
        )


def root_of(key):
    """The root certificate that the key's server exports, in PEM."""
    root = key.server.ask("GET", "attestation-root")["pem"].encode()
    parsed = x509.load_pem_x509_certificate(root)
    require(parsed.extensions.get_extension_for_class(x509.BasicConstraints).value.ca, "no CA")
    return root


def verify_certificate(certificate, root, aaguid):
    """What WebAuthn §8.2.1 asks of a packed attestation certificate."""
    authority = x509.load_pem_x509_certificate(root)
    certificate.verify_directly_issued_by(authority)
    equal(certificate.version, x509.Version.v3, "version of the certificate")
    named = {one.oid: one.value for one in certificate.subject}
    equal(len(named[NameOID.COUNTRY_NAME]), 2, "length of the subject's country")
    require(named[NameOID.ORGANIZATION_NAME], "the subject has no organization")
    unit = named[NameOID.ORGANIZATIONAL_UNIT_NAME]
    equal(unit, "Authenticator Attestation", "the subject's unit")
    require(named[NameOID.COMMON_NAME], "the subject has no common name")
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    equal(constraints.value.ca, False, "CA of the basic constraints")
    extension = certificate.extensions.get_extension_for_oid(KEY_AAGUID)
    equal(extension.critical, False, "whether id-fido-gen-ce-aaguid is critical")
    equal(extension.value.value, b"\x04\x10" + bytes(aaguid), "id-fido-gen-ce-aaguid")


@check("packed attestation of a batch, to the exported root", keys=["uhid-enterprise/1-1"])
def batch(key):
    fresh(key)
    root = root_of(key)
    with key.ctap2() as ctap2:
        made = Registration(ctap2, LISTED)
        equal((made.response.fmt, made.is_enterprise), ("packed", False), "format and epAtt")
        verify_certificate(made.certificate(), root, ctap2.info.aaguid)
        verdict = made.verify(root)
        equal(verdict.fmt, structs.AttestationFormat.PACKED, "format as webauthn has it")
        equal(verdict.aaguid, str(ctap2.info.aaguid), "AAGUID as webauthn has it")
        again = Registration(ctap2, UNLISTED)
        equal(again.certificate(), made.certificate(), "the certificate of the next registration")
        # An authority that did not issue it does not vouch for it.
        other = root_of(key_of_another_vault())
        try:
            made.verify(other)
        except InvalidRegistrationResponse:
            pass
        else:
            raise Failure("webauthn took the certificate of another vault's authority")
        made = Registration(ctap2, LISTED, formats=["tpm", "none", "packed"])
        equal((made.response.fmt, made.response.att_stmt), ("none", {}), "statement, none first")
        made = Registration(ctap2, LISTED, formats=["tpm", "packed", "none"])
        equal(made.response.fmt, "packed", "format, packed first")
        made.verify(root)


def key_of_another_vault():
    """A key of another server, whose vault has an authority of its own."""
    return inside_key("uhid-full/1-1")


@check("python-fido2's Config: enterprise attestation", keys=["uhid-enterprise/1-1"])
def enterprise(key):
    fresh(key, PIN)
    root = root_of(key)
    with key.ctap2() as ctap2:
        equal(ctap2.get_info().options.get("ep"), False, "ep of a new key")
        held = token(ctap2, PERMISSION.AUTHENTICATOR_CFG)
        Config(ctap2, held.protocol, held.value).enable_enterprise_attestation()
        equal(ctap2.get_info().options.get("ep"), True, "ep")
    replug_and_reset(key)
    with key.ctap2() as ctap2:
        equal(ctap2.get_info().options.get("ep"), False, "ep after a reset")
        with status(ERR.INVALID_PARAMETER, "enterprise attestation that is not enabled"):
            Registration(ctap2, LISTED, VENDOR)
        # Without a PIN nothing is needed to enable it.
        Config(ctap2).enable_enterprise_attestation()
        ordinary = Registration(ctap2, LISTED).certificate()
        for rp_id, kind, expected in (
            (LISTED, VENDOR, True),
            (UNLISTED, VENDOR, False),
            (LISTED, PLATFORM, True),
            (UNLISTED, PLATFORM, True),
        ):
            made = Registration(ctap2, rp_id, kind)
            what = f"{rp_id}, enterpriseAttestation {kind}"
            equal(made.is_enterprise, expected, f"epAtt of {what}")
            made.verify(root)
            equal(made.certificate() == ordinary, not expected, f"the ordinary one, for {what}")
            if expected:
                verify_certificate(made.certificate(), root, ctap2.info.aaguid)
                serial = made.certificate().extensions.get_extension_for_oid(KEY_SERIAL)
                require(key.serial.encode() in serial.value.value, "another serial number")
        with status(ERR.INVALID_OPTION, "enterpriseAttestation 3"):
            Registration(ctap2, LISTED, 3)
    replug_and_reset(key)
    with key.ctap2() as ctap2:
        made = Registration(ctap2, LISTED)
        equal(made.certificate(), ordinary, "the certificate after a reset")


@check("fido2-token -S -a: enterprise attestation", keys=["enterprise/1-1"])
def tool(key):
    fresh(key)
    require("noep" in options(key), "ep is on in a new key")
    with key.ctap2() as ctap2:
        ClientPin(ctap2).set_pin(PIN)
    fido2_token(key, "-S", "-a", pins=[PIN])
    require("ep" in options(key), "ep is not on")


@check("a key whose registrations attest nothing of it", keys=["auto/1-1"])
def no_enterprise(key):
    with key.ctap2() as ctap2:
        require("ep" not in ctap2.info.options, "the option ep")
        with status(ERR.INVALID_PARAMETER, "enterpriseAttestation"):
            Registration(ctap2, LISTED, VENDOR)
        made = Registration(ctap2, LISTED)
        require("x5c" not in made.response.att_stmt, "a certificate in a self attestation")
