"""Built-in user verification and fingers: python-fido2's classes and libfido2's tools.

The finger is the touch policy's word: the servers `bio` and `bio-fail` are of
the profile `bio`, and at the second one no finger is one that the key knows.
"""

import base64
import os
import re
from dataclasses import dataclass

from fido2.ctap2 import ClientPin, Config, CredentialManagement, Ctap2, FPBioEnrollment
from fido2.ctap2.bio import CaptureError

from check_client import Site
from check_libfido2 import Tools
from check_token import facts, fido2_token, options
from fido import ERR, ES256_ONLY, FLAG, get, make
from harness import Failure, check, equal, require, status
from machine import replug
from pins import PERMISSION, PIN, Token, client_pin, fresh, replug_and_reset, token

MC, GA = PERMISSION.MAKE_CREDENTIAL, PERMISSION.GET_ASSERTION
BE, CFG = PERMISSION.BIO_ENROLL, PERMISSION.AUTHENTICATOR_CFG
RESULT = FPBioEnrollment.RESULT
# What a finger may fail one after the other, and what a key tells of it.
UV_RETRIES = 5
FINGERPRINT_INTERNAL = 0x02


def uv_token(ctap2, permissions, rp_id=None, protocol=2):
    """A token for these permissions that a finger gave."""
    client = client_pin(ctap2, protocol)
    return Token(client.protocol, client.get_uv_token(permissions, rp_id))


@dataclass
class Fingers:
    """python-fido2's enrollments of a key, with a token of the PIN for each."""

    ctap2: Ctap2
    protocol: int = 2

    def bio(self):
        """A token serves until a touch was used, so each has its own."""
        held = token(self.ctap2, BE, protocol=self.protocol)
        return FPBioEnrollment(self.ctap2, held.protocol, held.value)

    def enroll(self, name=None):
        """Enrolls a finger sample by sample; returns its id and how many samples it took."""
        bio = self.bio()
        context, samples = bio.enroll(), 0
        while True:
            before, found = context.remaining, context.capture()
            samples += 1
            require(samples <= 20, "no end of samples")
            if before is not None:
                equal(context.remaining, before - 1, "samples that remain")
            if found:
                break
        if name:
            bio.set_name(found, name)
        return found, samples

    def all(self):
        """The names by the ids."""
        return dict(self.bio().enumerate_enrollments())


def verification(ctap2):
    """What getInfo says of it now."""
    names = ("uv", "bioEnroll", "userVerificationMgmtPreview", "uvBioEnroll", "uvAcfg")
    said = ctap2.get_info().options
    return {name: said.get(name) for name in names}


def enabled(on):
    """What getInfo says of a key with a finger, or without."""
    always = {"uvBioEnroll": True, "uvAcfg": True}
    return dict.fromkeys(("uv", "bioEnroll", "userVerificationMgmtPreview"), on) | always


@check("bio: a new key has one finger, a reset takes it", keys=["bio/1-1"])
def new_key(key):
    with key.ctap2() as ctap2:
        equal(verification(ctap2), enabled(True), "options of a new key")
        equal(ctap2.info.uv_modality, FINGERPRINT_INTERNAL, "uvModality")
        require(ctap2.info.preferred_platform_uv_attempts >= 1, "preferredPlatformUvAttempts")
        equal(ctap2.info.uv_count_since_pin, 0, "uvCountSinceLastPinEntry")
        equal(client_pin(ctap2).get_uv_retries(), UV_RETRIES, "uvRetries")
    replug_and_reset(key)
    with key.ctap2() as ctap2:
        equal(verification(ctap2), enabled(False), "options after the reset")
        with status(ERR.NOT_ALLOWED, "a token by a finger of which there is none"):
            uv_token(ctap2, MC, "bio.example")
        with status(ERR.INVALID_OPTION, "uv without a finger"):
            make_with_uv(ctap2, "bio.example")
        make(ctap2, "bio.example")


@check("FPBioEnrollment over PIN protocol 2", keys=["bio/1-1"], protocol=2)
@check("FPBioEnrollment over PIN protocol 1", keys=["bio/1-1"], protocol=1)
def enrollment(key, protocol):
    fresh_without_finger(key)
    with key.ctap2() as ctap2:
        fingers = Fingers(ctap2, protocol)
        info = FPBioEnrollment(ctap2, None, None).get_fingerprint_sensor_info()
        equal(info[RESULT.FINGERPRINT_KIND], 1, "fingerprintKind, touch")
        require(info[RESULT.MAX_TEMPLATE_FRIENDLY_NAME] >= 8, "maxTemplateFriendlyName")
        equal(fingers.all(), {}, "fingers of a key without any")
        thumb, samples = fingers.enroll()
        equal(samples, info[RESULT.MAX_SAMPLES_REQUIRED], "samples that it took")
        equal(verification(ctap2), enabled(True), "options with a finger")
        index, _ = fingers.enroll("right index")
        fingers.bio().set_name(thumb, "left thumb")
        expected = {thumb: "left thumb", index: "right index"}
        equal(fingers.all(), expected, "fingers")
    replug(key)
    with key.ctap2() as ctap2:
        fingers = Fingers(ctap2, protocol)
        equal(fingers.all(), expected, "fingers after a replug")
        fingers.bio().remove_enrollment(thumb)
        equal(fingers.all(), {index: "right index"}, "fingers after a removal")
        with status(ERR.INVALID_OPTION, "removing it again"):
            fingers.bio().remove_enrollment(thumb)
        fingers.bio().remove_enrollment(index)
        equal(verification(ctap2), enabled(False), "options without a finger")


def fresh_without_finger(key):
    """A new key of the profile has a finger; after a reset, and with a PIN, it has none."""
    replug_and_reset(key)
    with key.ctap2() as ctap2:
        ClientPin(ctap2).set_pin(PIN)


@check("FPBioEnrollment: cancelled, and more than fit", keys=["bio/1-1"], limit_s=120)
def enrollment_ends(key):
    fresh_without_finger(key)
    with key.ctap2() as ctap2:
        fingers = Fingers(ctap2)
        bio = fingers.bio()
        context = bio.enroll()
        equal(context.capture(), None, "one sample")
        begun = context.template_id
        context.cancel()
        with status(ERR.INVALID_OPTION, "a sample after it was cancelled"):
            bio.enroll_capture_next(begun)
        equal(fingers.all(), {}, "fingers after it was cancelled")
        with status(ERR.PUAT_REQUIRED, "enrolling without a token"):
            ctap2.bio_enrollment(1, FPBioEnrollment.CMD.ENROLL_BEGIN)
        with status(ERR.PIN_AUTH_INVALID, "a token for credential management"):
            held = token(ctap2, PERMISSION.CREDENTIAL_MGMT)
            FPBioEnrollment(ctap2, held.protocol, held.value).enumerate_enrollments()

        for _ in range(5):
            fingers.enroll()
        with status(ERR.FP_DATABASE_FULL, "a finger more than fits"):
            fingers.bio().enroll_begin()
        equal(len(fingers.all()), 5, "fingers that fit")


@check("authenticatorBioEnrollment under its preview number", keys=["bio/1-1"])
def preview(key):
    fresh_without_finger(key)
    with key.ctap2() as ctap2:
        found, _ = Fingers(ctap2).enroll("of the preview")

        class Preview(Ctap2):
            """Sends the older command, as clients of FIDO_2_1_PRE did."""

            def send_cbor(self, cmd, *arguments, **options):
                if cmd == Ctap2.CMD.BIO_ENROLLMENT:
                    cmd = Ctap2.CMD.BIO_ENROLLMENT_PRE
                return super().send_cbor(cmd, *arguments, **options)

        fingers = Fingers(Preview(ctap2.device))
        equal(fingers.all(), {found: "of the preview"}, "fingers")
        second, _ = fingers.enroll()
        fingers.bio().remove_enrollment(second)
        equal(fingers.all(), {found: "of the preview"}, "fingers")


def make_with_uv(ctap2, rp_id, resident=False, algorithms=ES256_ONLY):
    """A credential made with option uv, without a token."""
    return ctap2.make_credential(
        os.urandom(32),
        {"id": rp_id, "name": rp_id},
        {"id": b"user", "name": "user"},
        algorithms,
        options={"uv": True} | ({"rk": True} if resident else {}),
    )


@check("bio: tokens that a finger gives", keys=["bio/1-2"])
def tokens(key):
    with key.ctap2() as ctap2:
        made = make(ctap2, "bio.example", resident=True, auth=uv_token(ctap2, MC, "bio.example"))
        held = uv_token(ctap2, GA, "bio.example", protocol=1)
        get(ctap2, "bio.example", [made], allow=[made], auth=held)
        # Without a PIN there is nothing else that could manage the key.
        held = uv_token(ctap2, PERMISSION.CREDENTIAL_MGMT)
        manager = CredentialManagement(ctap2, held.protocol, held.value)
        count = manager.get_metadata()[CredentialManagement.RESULT.EXISTING_CRED_COUNT]
        equal(count, 1, "credentials")
        held = uv_token(ctap2, BE)
        bio = FPBioEnrollment(ctap2, held.protocol, held.value)
        equal(len(bio.enumerate_enrollments()), 1, "fingers")
        held = uv_token(ctap2, CFG)
        Config(ctap2, held.protocol, held.value).set_min_pin_length(6)
        equal(ctap2.get_info().min_pin_length, 6, "minPINLength")
        require(ctap2.get_info().uv_count_since_pin > 0, "uvCountSinceLastPinEntry is 0")
        with status(ERR.UNAUTHORIZED_PERMISSION, "two permissions of which one stands alone"):
            uv_token(ctap2, PERMISSION.PERSISTENT_CREDENTIAL_MGMT | GA, "bio.example")


@check("bio: option uv without a token", keys=["bio/1-2"])
def option_uv(key):
    with key.ctap2() as ctap2:
        response = make_with_uv(ctap2, "uv.example", resident=True)
        flags = response.auth_data.flags
        equal(flags & (FLAG.UP | FLAG.UV), FLAG.UP | FLAG.UV, "flags of the credential")
        challenge = os.urandom(32)
        answer = ctap2.get_assertion("uv.example", challenge, options={"uv": True})
        answer.verify(challenge, response.auth_data.credential_data.public_key)
        require(answer.auth_data.flags & FLAG.UV, "no UV in the assertion")
        answer = ctap2.get_assertion("uv.example", challenge)
        require(not answer.auth_data.flags & FLAG.UV, "UV in an assertion without")


@check("bio: Fido2Client with a finger, and without a PIN", keys=["bio/1-2"])
def client(key):
    with key.open() as device:
        site = Site(device, "client.example")
        for resident in ("required", "discouraged"):
            data, _ = site.register(resident)
            require(data.is_user_verified(), "the credential was made without UV")
            site.sign_in(data.credential_data, resident == "required")
        equal(site.person.asked, 0, "how often the PIN was asked for")


@check("bio: a wrong finger, until only the PIN is left", keys=["bio-fail/1-1"], limit_s=120)
def wrong_finger(key):
    with key.ctap2() as ctap2:
        client = client_pin(ctap2)
        with status(ERR.OPERATION_DENIED, "option uv with a wrong finger, and no PIN"):
            make_with_uv(ctap2, "bio.example")
        left = client.get_uv_retries()
        require(0 < left < UV_RETRIES, f"uvRetries after wrong fingers is {left}")
        client.set_pin(PIN)
        left = client.get_uv_retries()
        for number in range(left - 1, 0, -1):
            with status(ERR.UV_INVALID, "a token by a wrong finger"):
                uv_token(ctap2, MC, "bio.example")
            equal(client.get_uv_retries(), number, "uvRetries")
        with status(ERR.UV_BLOCKED, "the last attempt"):
            uv_token(ctap2, MC, "bio.example")
    replug(key)
    with key.ctap2() as ctap2:
        client = client_pin(ctap2)
        equal(client.get_uv_retries(), 0, "uvRetries after a replug")
        with status(ERR.UV_BLOCKED, "a token by a finger that is blocked"):
            uv_token(ctap2, MC, "bio.example")
        with status(ERR.PUAT_REQUIRED, "option uv that is blocked"):
            make_with_uv(ctap2, "bio.example")
        require(ctap2.get_info().uv_count_since_pin >= UV_RETRIES, "uvCountSinceLastPinEntry")
        # The right PIN gives the attempts back.
        make(ctap2, "bio.example", auth=token(ctap2, MC, "bio.example"))
        equal(client.get_uv_retries(), UV_RETRIES, "uvRetries after the PIN")
        equal(ctap2.get_info().uv_count_since_pin, 0, "uvCountSinceLastPinEntry after the PIN")


@check("bio: Fido2Client falls back to the PIN", keys=["bio-fail/1-2"], limit_s=120)
def fallback(key):
    with key.ctap2() as ctap2:
        ClientPin(ctap2).set_pin(PIN)
        for _ in range(UV_RETRIES - 1):
            with status(ERR.UV_INVALID, "a token by a wrong finger"):
                uv_token(ctap2, MC, "bio.example")
        site = Site(ctap2.device, "bio.example")
        data, _ = site.register("required")
        require(data.is_user_verified(), "the credential was made without UV")
        equal(site.person.asked, 1, "how often the PIN was asked for")


@check("bio: a wrong finger enrolls nothing", keys=["bio-fail/1-3"])
def wrong_sample(key):
    fresh_without_finger(key)
    with key.ctap2() as ctap2:
        bio = Fingers(ctap2).bio()
        try:
            bio.enroll().capture()
        except CaptureError as error:
            require(error.code != FPBioEnrollment.FEEDBACK.FP_GOOD, "the sample was good")
        else:
            raise Failure("a sample that the policy refuses was good")
        equal(Fingers(ctap2).all(), {}, "fingers")


@check("fido2-token -S, -L and -D -e: fingers", keys=["bio/1-3"], limit_s=120)
def tool(key):
    fresh_without_finger(key)
    pins = [PIN]
    said = facts(key)
    require("nobioEnroll" in said["options"].split(", "), "a finger is enrolled", said)
    fido2_token(key, "-L", "-e", pins=pins, error="INVALID_OPTION")
    fido2_token(key, "-S", "-e", pins=pins)
    require("bioEnroll" in options(key), "no finger is enrolled")
    [(found, _name)] = enrolled(key)
    fido2_token(key, "-S", "-e", "-i", found, "-n", "left thumb", pins=pins)
    equal(enrolled(key), [(found, "left thumb")], "fingers")
    fido2_token(key, "-S", "-e", pins=pins)
    equal(len(enrolled(key)), 2, "number of fingers")
    fido2_token(key, "-D", "-e", "-i", found, pins=pins)
    [(other, _name)] = enrolled(key)
    require(other != found, "the wrong finger was removed")
    with key.ctap2() as ctap2:
        equal(set(Fingers(ctap2).all()), {base64.b64decode(other)}, "what python-fido2 lists")


def enrolled(key):
    """What fido2-token -L -e lists: ids and names."""
    said = fido2_token(key, "-L", "-e", pins=[PIN])
    return re.findall(r"^\d\d: (\S+) ?(.*)$", said, re.MULTILINE)


@check("bio: fido2-cred and fido2-assert with a finger", keys=["bio/1-2"])
def tools(key):
    for resident in (False, True):
        made = Tools(key, f"finger-{resident}.tools.example".lower(), resident)
        made.uv = True
        made.both()


@check("bio: alwaysUv, with a finger in place of a PIN", keys=["bio/1-4"])
def always_uv(key):
    with key.ctap2() as ctap2:
        held = uv_token(ctap2, CFG)
        Config(ctap2, held.protocol, held.value).toggle_always_uv()
        equal(ctap2.get_info().options.get("alwaysUv"), True, "alwaysUv")
        challenge = os.urandom(32)
        # Nobody asks for verification, and a person is verified all the same.
        response = ctap2.make_credential(
            challenge, {"id": "always.example"}, {"id": b"user"}, ES256_ONLY, options={"rk": True}
        )
        require(response.auth_data.flags & FLAG.UV, "a credential without UV")
        data = response.auth_data.credential_data
        answer = ctap2.get_assertion("always.example", challenge)
        answer.verify(challenge, data.public_key)
        require(answer.auth_data.flags & FLAG.UV, "an assertion without UV")
