"""PINs and what they unlock, for all checks that need user verification.

Whatever no log may show is noted here as it comes to be known: PINs, tokens,
shared secrets; and whatever no vault may show beside them: whose the accounts
are. check_secrets has the host look for all of it.
"""

import functools
from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha256

from fido2.client import DefaultClientDataCollector, Fido2Client, UserInteraction
from fido2.ctap import CtapError
from fido2.ctap2 import ClientPin
from fido2.ctap2.pin import PinProtocol, PinProtocolV1, PinProtocolV2

from harness import equal
from machine import SHARED, replug

PERMISSION = ClientPin.PERMISSION
PROTOCOLS = {1: PinProtocolV1, 2: PinProtocolV2}

# One text in it that no log has by chance.
PIN = "kestrel-4170"
OTHER_PIN = "osprey-93-38"
WRONG_PIN = "buzzard-555"

SECRETS = SHARED / "secrets"
PRIVATE = SHARED / "private"
# A dump that is cut short still shows this much.
HEAD_BYTES = 12

_noted = set()
_used = set()


def secret(what, value):
    """Notes something that no log may show, in every form a log might use."""
    _note(SECRETS, what, value)
    return value


def private(credential):
    """Notes what only its owner may learn of an account: logs tell, a vault does not."""
    _note(PRIVATE, "an RP id", credential.rp_id)
    _note(PRIVATE, "the hash of an RP id", sha256(credential.rp_id.encode()).digest())
    _note(PRIVATE, "a user id", credential.user_id)
    _note(PRIVATE, "a credential id", credential.id)


def private_name(name):
    """The same of a name that an account has."""
    _note(PRIVATE, "a name", name)


def _note(noted, what, value):
    """Adds a value to a file of what was noted."""
    data = value.encode() if isinstance(value, str) else bytes(value)
    if (noted, data) not in _noted:
        _noted.add((noted, data))
        head = data[:HEAD_BYTES]
        forms = {head.hex(), head.hex(" "), ", ".join(str(byte) for byte in head)}
        if isinstance(value, str):
            forms.add(value)
        if len(head) == HEAD_BYTES:
            forms.add(b64encode(head).decode())
        with noted.open("a") as file:
            file.writelines(f"{what}\t{form}\n" for form in sorted(forms))


def secret_pin(pin):
    """Notes a PIN, and the hash of it that keys keep and programs send."""
    secret("a PIN", pin)
    secret("the hash of a PIN", sha256(pin.encode()).digest()[:16])
    return pin


def _noting(name, pins, note):
    """Has a method of ClientPin note its PINs and its result, whoever calls it."""
    method = getattr(ClientPin, name)

    @functools.wraps(method)
    def noted(self, *arguments, **options):
        for pin in arguments[:pins]:
            secret_pin(pin)
        result = method(self, *arguments, **options)
        note(result)
        return result

    setattr(ClientPin, name, noted)


def _note_shared(result):
    # Protocol 2 has two keys in it.
    secret("a shared secret", result[1][:32])
    secret("a shared secret", result[1][-32:])


_noting("set_pin", 1, lambda _result: None)
_noting("change_pin", 2, lambda _result: None)
_noting("get_uv_token", 0, lambda result: secret("a token", result))
_noting("get_pin_token", 1, lambda result: secret("a token", result))
_noting("_get_shared_secret", 0, _note_shared)


@dataclass(frozen=True)
class Token:
    """A pinUvAuthToken, and how to use it."""

    protocol: PinProtocol
    value: bytes

    def over(self, message):
        """The parameters of a command that carry this token's authority."""
        return {
            "pin_uv_param": self.protocol.authenticate(self.value, message),
            "pin_uv_protocol": self.protocol.VERSION,
        }


def client_pin(ctap2, protocol=2):
    """python-fido2's ClientPin over this PIN protocol."""
    return ClientPin(ctap2, PROTOCOLS[protocol]())


def token(ctap2, permissions, rp_id=None, pin=PIN, protocol=2):
    """A token for these permissions; None asks as CTAP 2.0 does."""
    client = client_pin(ctap2, protocol)
    return Token(client.protocol, client.get_pin_token(pin, permissions, rp_id))


def replug_and_reset(key, attempts=3):
    """Resets a key in the seconds after a replug, which a slow guest may miss."""
    replug(key)
    with key.ctap2() as ctap2:
        try:
            ctap2.reset()
            return
        except CtapError as error:
            if error.code != CtapError.ERR.NOT_ALLOWED or attempts == 1:
                raise
    replug_and_reset(key, attempts - 1)


def fresh(key, pin=None):
    """Makes the key as new, and sets its PIN if there is to be one."""
    if key.name in _used:
        replug_and_reset(key)
    # Whatever the check does with it, the next one begins with a reset.
    _used.add(key.name)
    if pin:
        with key.ctap2() as ctap2:
            equal(ctap2.info.options.get("clientPin"), False, "clientPin of a new key")
            ClientPin(ctap2).set_pin(pin)


def retries(ctap2):
    """How often a PIN may still be tried, as the key says."""
    return ClientPin(ctap2).get_pin_retries()[0]


class Person(UserInteraction):
    """Types the PIN whenever python-fido2's client asks for it."""

    def __init__(self, pin=PIN):
        self.pin = pin
        self.asked = 0

    def request_pin(self, permissions, rp_id):
        self.asked += 1
        return self.pin


def client_of(device, rp_id, person):
    """python-fido2's client at a site, with all of its extensions."""
    collector = DefaultClientDataCollector(f"https://{rp_id}")
    return Fido2Client(device, collector, person)
