"""A security key tested with pytest and python-fido2, through the kernel.

No line here knows roamkey. Run it as whoever may open the key's /dev/hidraw
node, root for instance:

    pip install -r requirements.txt
    roamkey exec --key default -- pytest test_key.py

It uses the only key there is, and sets a PIN on it if it has none: so never
run it beside a key of your own.

Environment:
  PIN   the key's PIN, or the one to set  (48151623)
"""

import os
import time

import pytest
from fido2.client import ClientError, DefaultClientDataCollector, Fido2Client, UserInteraction
from fido2.ctap import CtapError
from fido2.ctap2 import ClientPin, Ctap2
from fido2.hid import CtapHidDevice
from fido2.server import Fido2Server
from fido2.webauthn import PublicKeyCredentialRpEntity, PublicKeyCredentialUserEntity

RP_ID = "recipes.example"
PIN = os.environ.get("PIN", "48151623")
# A key that was plugged in a moment ago has no node yet.
PLUGGED_WITHIN_S = 10


class Person(UserInteraction):
    """Types a PIN, and hears when a touch is asked for."""

    def __init__(self, pin=PIN):
        self.pin = pin
        self.touches = 0

    def prompt_up(self):
        self.touches += 1

    def request_pin(self, permissions, rp_id):
        return self.pin


@pytest.fixture(name="device")
def _device():
    """The one key of this machine."""
    deadline = time.monotonic() + PLUGGED_WITHIN_S
    while not (found := list(CtapHidDevice.list_devices())) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert found, "no security key: is one attached, and may this user open its /dev/hidraw node?"
    assert (
        len(found) == 1
    ), f"{len(found)} security keys; this test sets a PIN, and wants to be sure on which"
    yield found[0]
    found[0].close()


@pytest.fixture(name="pin_is_set")
def _pin_is_set(device):
    ctap2 = Ctap2(device)
    if not ctap2.info.options.get("clientPin"):
        ClientPin(ctap2).set_pin(PIN)


class Site:
    """A relying party, a person, and a client between them."""

    def __init__(self, device, pin=PIN):
        rp = PublicKeyCredentialRpEntity(id=RP_ID, name="Recipes")
        self.server = Fido2Server(rp)
        self.user = PublicKeyCredentialUserEntity(
            id=os.urandom(16), name="alice", display_name="Alice"
        )
        self.person = Person(pin)
        collector = DefaultClientDataCollector(f"https://{RP_ID}")
        self.client = Fido2Client(device, collector, user_interaction=self.person)

    def register(self, resident="discouraged", verification="discouraged", extensions=None):
        """A registration that the server verifies: what it keeps, and the results of extensions."""
        options, state = self.server.register_begin(
            self.user,
            resident_key_requirement=resident,
            user_verification=verification,
            extensions=extensions,
        )
        answer = self.client.make_credential(options.public_key)
        data = self.server.register_complete(state, answer)
        return data.credential_data, answer.client_extension_results

    def sign_in(self, credential, named=True, verification="discouraged", extensions=None):
        """A sign-in that the server verifies."""
        options, state = self.server.authenticate_begin(
            [credential] if named else None, user_verification=verification, extensions=extensions
        )
        answer = self.client.get_assertion(options.public_key).get_response(0)
        self.server.authenticate_complete(state, [credential], answer)
        return answer


def test_key_says_what_it_is(device):
    info = Ctap2(device).info
    assert "FIDO_2_1" in info.versions, f"the key speaks {info.versions}"
    assert device.ping(b"hello") == b"hello"
    assert info.options.get("rk"), f"the key holds no passkeys: {info.options}"


def test_second_factor_registers_and_signs_in(device):
    site = Site(device)
    credential, _ = site.register()
    counters = [site.sign_in(credential).response.authenticator_data.counter for _ in range(2)]
    assert counters[1] > counters[0], f"the signature counter stands still: {counters}"
    assert site.person.touches == 3, f"{site.person.touches} touches for three ceremonies"


def test_foreign_credential_is_unknown(device):
    site = Site(device)
    credential, _ = site.register()
    options, _ = site.server.authenticate_begin(
        [{"type": "public-key", "id": bytes(len(credential.credential_id))}],
        user_verification="discouraged",
    )
    with pytest.raises(ClientError) as error:
        site.client.get_assertion(options.public_key)
    assert error.value.code == ClientError.ERR.DEVICE_INELIGIBLE, f"refused with {error.value}"


@pytest.mark.usefixtures("pin_is_set")
def test_passkey_signs_in_without_a_name(device):
    site = Site(device)
    credential, _ = site.register("required", "required")
    answer = site.sign_in(credential, named=False, verification="required")
    assert answer.response.user_handle == site.user.id
    assert (
        answer.response.authenticator_data.is_user_verified()
    ), "the PIN was asked for, and UV is not set"


@pytest.mark.usefixtures("pin_is_set")
def test_prf_is_the_same_for_the_same_salt(device):
    site = Site(device)
    credential, results = site.register("required", "required", {"prf": {}})
    assert results.prf.enabled, "no PRF at registration"
    found = []
    for salt in (b"salt", b"salt", b"mine"):
        asked = {"prf": {"eval": {"first": salt}}}
        answer = site.sign_in(credential, verification="required", extensions=asked)
        found.append(bytes(answer.client_extension_results.prf.results.first))
    assert len(found[0]) == 32
    assert found[0] == found[1], "the same salt gives two outputs"
    assert found[0] != found[2], "two salts give one output"


@pytest.mark.usefixtures("pin_is_set")
def test_wrong_pin_is_refused_and_costs_an_attempt(device):
    attempts = ClientPin(Ctap2(device))
    before = attempts.get_pin_retries()[0]
    with pytest.raises(ClientError) as error:
        Site(device, "0" + PIN).register("required", "required")
    assert error.value.cause.code == CtapError.ERR.PIN_INVALID, f"refused with {error.value.cause}"
    assert attempts.get_pin_retries()[0] == before - 1
    Site(device).register("required", "required")
    assert attempts.get_pin_retries()[0] == 8, "the right PIN gives all attempts back"
