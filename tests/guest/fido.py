"""Making and checking credentials with python-fido2, for all checks that do."""

import os
import select
import struct
import threading
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from fido2.attestation import AttestationType, PackedAttestation
from fido2.cose import ES256, CoseKey
from fido2.ctap import STATUS, CtapError
from fido2.hid import CTAPHID, TYPE_INIT, CtapHidDevice, get_descriptor
from fido2.hid.linux import LinuxCtapHidConnection
from fido2.webauthn import AuthenticatorData

from harness import Failure, equal, require

ERR = CtapError.ERR
FLAG = AuthenticatorData.FLAG
# What a key of the default profile announces.
VERSIONS = ["U2F_V2", "FIDO_2_0", "FIDO_2_1", "FIDO_2_3"]
ES256_ONLY = [{"type": "public-key", "alg": ES256.ALGORITHM}]


@dataclass
class Credential:
    """A credential as a relying party remembers it."""

    rp_id: str
    user_id: bytes
    id: bytes
    public_key: CoseKey
    counter: int
    # What the key said to the extensions of makeCredential.
    extensions: dict = field(default_factory=dict)
    # Beside them, where it was asked for.
    large_blob_key: bytes | None = None

    @property
    def descriptor(self):
        """The credential as a member of an allow or exclude list."""
        return {"type": "public-key", "id": self.id}


def parameters(*algorithms):
    """The pubKeyCredParams of a site that takes these algorithms, best first."""
    return [{"type": "public-key", "alg": algorithm.ALGORITHM} for algorithm in algorithms]


def make(
    ctap2,
    rp_id,
    user_id=b"user",
    resident=False,
    exclude=None,
    auth=None,
    algorithm=ES256,
    **held,
):
    """Makes a credential and verifies its packed self attestation.

    `auth` is a pins.Token, and makes it one with user verification.
    """
    challenge = os.urandom(32)
    response = ctap2.make_credential(
        challenge,
        {"id": rp_id, "name": rp_id},
        {"id": user_id, "name": f"{user_id.decode()}@{rp_id}", "displayName": user_id.decode()},
        parameters(algorithm),
        exclude_list=[credential.descriptor for credential in exclude or []] or None,
        options={"rk": True} if resident else None,
        **(auth.over(challenge) if auth else {}),
        **held,
    )
    equal(response.fmt, "packed", "attestation format")
    result = PackedAttestation().verify(response.att_stmt, response.auth_data, challenge)
    equal(result.attestation_type, AttestationType.SELF, "attestation type")
    data = response.auth_data
    flags = FLAG.UP | FLAG.AT | (FLAG.UV if auth else 0) | (FLAG.ED if data.extensions else 0)
    equal(data.flags, flags, "flags of the new credential")
    credential = remembered(rp_id, user_id, data, algorithm)
    credential.large_blob_key = response.large_blob_key
    return credential


def remembered(rp_id, user_id, auth_data, algorithm=ES256):
    """What a relying party keeps of a new credential, after looking at it."""
    equal(auth_data.rp_id_hash, sha256(rp_id.encode()).digest(), "RP id hash")
    data = auth_data.credential_data
    equal(len(data.credential_id), 64, "length of the credential id")
    equal(type(data.public_key), algorithm, "kind of the public key")
    return Credential(
        rp_id,
        user_id,
        data.credential_id,
        data.public_key,
        auth_data.counter,
        auth_data.extensions or {},
    )


def get(ctap2, rp_id, known, allow=None, up=True, auth=None, **held):
    """Gets one assertion, verified against the `known` credential that made it."""
    challenge = os.urandom(32)
    response = ctap2.get_assertion(
        rp_id,
        challenge,
        allow_list=[credential.descriptor for credential in allow or []] or None,
        options=None if up else {"up": False},
        **(auth.over(challenge) if auth else {}),
        **held,
    )
    return verified(response, challenge, known, up, bool(auth)), response


def verified(response, challenge, known, up=True, uv=False):
    """The credential of an assertion whose signature and data are all right."""
    by_id = {credential.id: credential for credential in known}
    credential = by_id.get(response.credential["id"])
    require(credential, f"an assertion by an unknown credential {response.credential!r}")
    data = response.auth_data
    equal(data.rp_id_hash, sha256(credential.rp_id.encode()).digest(), "RP id hash")
    flags = (FLAG.UP if up else 0) | (FLAG.UV if uv else 0) | (FLAG.ED if data.extensions else 0)
    equal(data.flags, flags, "flags of the assertion")
    try:
        response.verify(challenge, credential.public_key)
    except InvalidSignature as error:
        raise Failure("the assertion's signature does not verify") from error
    require(
        data.counter > credential.counter,
        f"the signature counter went from {credential.counter} to {data.counter}",
    )
    credential.counter = data.counter
    return credential


class SharedConnection(LinuxCtapHidConnection):
    """One of several users of a hidraw node, each with its own channel.

    hidraw gives every reader all reports, so what is another channel's has to
    be skipped, and what piled up while nobody read has to go before a request.
    """

    def __init__(self, descriptor):
        super().__init__(descriptor)
        self._channel = None

    def write_packet(self, data):
        self._channel, command = struct.unpack_from(">IB", data)
        if command & TYPE_INIT and command != TYPE_INIT | CTAPHID.CANCEL:
            self._drain()
        super().write_packet(data)

    def read_packet(self):
        while True:
            packet = super().read_packet()
            if struct.unpack_from(">I", packet)[0] == self._channel:
                return packet

    def _drain(self):
        os.set_blocking(self.handle, False)
        try:
            while os.read(self.handle, self.descriptor.report_size_in):
                pass
        except BlockingIOError:
            pass
        finally:
            os.set_blocking(self.handle, True)


def open_channel(key):
    """Opens a channel of a key on which others talk at the same time."""
    descriptor = get_descriptor(key.node)
    return CtapHidDevice(descriptor, SharedConnection(descriptor))


class ImpatientConnection(LinuxCtapHidConnection):
    """Gives up on a request after a while, which python-fido2 itself never does."""

    limit_s = 1.5
    _end = 0.0

    def write_packet(self, data):
        if data[4] & TYPE_INIT:
            self._end = time.monotonic() + self.limit_s
        super().write_packet(data)

    def read_packet(self):
        left_s = max(self._end - time.monotonic(), 0)
        if not select.select([self.handle], [], [], left_s)[0]:
            raise TimeoutError(f"no answer within {self.limit_s} s")
        return super().read_packet()


@contextmanager
def open_impatiently(key):
    """Opens a key for requests that may have no answer: these end as TimeoutError."""
    descriptor = get_descriptor(key.node)
    with closing(ImpatientConnection(descriptor)) as connection:
        yield CtapHidDevice(descriptor, connection)


class AtOnce(threading.Event):
    """Has python-fido2 report CHANNEL_BUSY, which it would retry for ever."""

    def wait(self, timeout=None):
        return True

    def is_set(self):
        return False


class Held:
    """A request in a thread of its own that waits for a person's touch."""

    def __init__(self, function, *arguments, **options):
        self._cancel = threading.Event()
        self._touch = threading.Event()
        self._result = self._error = None
        self._thread = threading.Thread(
            target=self._run, args=(function, arguments, options), daemon=True
        )
        self._thread.start()

    def _run(self, function, arguments, options):
        try:
            self._result = function(
                *arguments, **options, event=self._cancel, on_keepalive=self._on_keepalive
            )
        except Exception as error:  # pylint: disable=broad-exception-caught
            self._error = error

    def _on_keepalive(self, value):
        if value == STATUS.UPNEEDED:
            self._touch.set()

    def wait_for_touch(self, limit_s=10):
        """Waits until the key says that it needs a touch."""
        if not self._touch.wait(limit_s):
            raise Failure(f"no UPNEEDED keepalive within {limit_s} s", repr(self._error))

    def cancel(self):
        """Sends CTAPHID_CANCEL, at the next keepalive."""
        self._cancel.set()

    def pending(self):
        """Whether the key has not answered yet."""
        return self._thread.is_alive()

    def outcome(self, limit_s=10):
        """The answer, or its error raised; the key must have come to one."""
        self._thread.join(limit_s)
        if self._thread.is_alive():
            raise Failure(f"the held request has no answer after {limit_s} s")
        if self._error:
            raise self._error
        return self._result
