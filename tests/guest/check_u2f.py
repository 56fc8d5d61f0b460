"""CTAP1/U2F, and the same credentials on both sides of the fence."""

import os
import time
from hashlib import sha256

from fido2.cose import ES256
from fido2.ctap1 import APDU, ApduError, Ctap1, SignatureData

from fido import Credential, get, make
from harness import Failure, apdu_status, check, equal, require
from machine import ask_host

RP_ID = "u2f.example"
APP = sha256(RP_ID.encode()).digest()
DONT_ENFORCE = 0x08


def touched(function, *arguments, limit_s=10):
    """Asks again while the key wants a touch, as every U2F client does."""
    end = time.monotonic() + limit_s
    while True:
        try:
            return function(*arguments)
        except ApduError as error:
            if error.code != APDU.USE_NOT_SATISFIED:
                raise
            if time.monotonic() > end:
                raise Failure(f"still 6985 after {limit_s} s of asking") from error
        time.sleep(0.2)


def register(ctap1):
    challenge = os.urandom(32)
    registration = touched(ctap1.register, challenge, APP)
    # Against the key of the attestation certificate.
    registration.verify(APP, challenge)
    return registration


@check("U2F register and authenticate")
def u2f(key):
    with key.open() as device:
        ctap1 = Ctap1(device)
        equal(ctap1.get_version(), "U2F_V2", "U2F version")
        registration = register(ctap1)
        counters = []
        for _ in range(2):
            challenge = os.urandom(32)
            answer = touched(ctap1.authenticate, challenge, APP, registration.key_handle)
            answer.verify(APP, challenge, registration.public_key)
            equal(answer.user_presence, 1, "user presence byte")
            counters.append(answer.counter)
        require(counters[0] < counters[1], f"the counter did not rise: {counters}")


@check("U2F check-only and wrong handles")
def u2f_handles(key):
    with key.open() as device:
        ctap1 = Ctap1(device)
        handle = register(ctap1).key_handle
        challenge = os.urandom(32)
        with apdu_status(APDU.USE_NOT_SATISFIED, "check-only of a known handle"):
            ctap1.authenticate(challenge, APP, handle, check_only=True)
        spoilt = handle[:-1] + bytes([handle[-1] ^ 1])
        for wrong, what in ((spoilt, "a spoilt handle"), (os.urandom(64), "a random handle")):
            with apdu_status(APDU.WRONG_DATA, f"check-only of {what}"):
                ctap1.authenticate(challenge, APP, wrong, check_only=True)
            with apdu_status(APDU.WRONG_DATA, f"authenticate with {what}"):
                ctap1.authenticate(challenge, APP, wrong)
        elsewhere = sha256(b"elsewhere.example").digest()
        with apdu_status(APDU.WRONG_DATA, "the handle at another site"):
            ctap1.authenticate(challenge, elsewhere, handle)


@check("U2F authenticate without a touch", keys=["ask/1-1"])
def u2f_dont_enforce(key):
    with key.open() as device:
        ctap1 = Ctap1(device)
        challenge = os.urandom(32)
        with apdu_status(APDU.USE_NOT_SATISFIED, "register before the touch"):
            ctap1.register(challenge, APP)
        ask_host("say", "ask", "y")
        registration = touched(ctap1.register, challenge, APP)
        registration.verify(APP, challenge)

        data = challenge + APP + bytes([len(registration.key_handle)]) + registration.key_handle
        answer = SignatureData(
            ctap1.send_apdu(ins=Ctap1.INS.AUTHENTICATE, p1=DONT_ENFORCE, data=data)
        )
        answer.verify(APP, challenge, registration.public_key)
        equal(answer.user_presence, 0, "user presence byte")


@check("a U2F credential asserted through CTAP2")
def u2f_to_ctap2(key):
    with key.ctap2() as ctap2:
        registration = register(Ctap1(ctap2.device))
        public_key = ES256.from_ctap1(registration.public_key)
        credential = Credential(RP_ID, b"", registration.key_handle, public_key, 0)
        get(ctap2, RP_ID, [credential], allow=[credential])


@check("a CTAP2 credential asserted through U2F")
def ctap2_to_u2f(key):
    with key.ctap2() as ctap2:
        credential = make(ctap2, RP_ID)
        ctap1 = Ctap1(ctap2.device)
        challenge = os.urandom(32)
        answer = touched(ctap1.authenticate, challenge, APP, credential.id)
        signed = APP + bytes(answer[:5]) + challenge
        credential.public_key.verify(signed, answer.signature)
        require(answer.counter > credential.counter, "the counter did not rise")
