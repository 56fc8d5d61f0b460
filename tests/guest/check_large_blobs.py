"""Large blobs: python-fido2's LargeBlobs and client, and fido2-token."""

import os
import re
import tempfile
from hashlib import sha256
from pathlib import Path

from fido2.ctap2 import ClientPin, CredentialManagement, LargeBlobs

from check_client import Site
from check_libfido2 import encoded
from check_token import fido2_token
from fido import ERR, get, make
from harness import Failure, check, equal, require, status
from machine import replug
from pins import PERMISSION, PIN, PROTOCOLS, fresh, replug_and_reset, secret, token

RESULT = CredentialManagement.RESULT
WRITE = PERMISSION.LARGE_BLOB_WRITE
KEY = {"largeBlobKey": True}
# The array of a new key: an empty one, and the first half of its hash.
INITIAL = bytes.fromhex("8076be8b528d0075f7aae98d6fa57a6d3c")
# Does not shrink when it is compressed, so that a few of them are several messages.
BLOB_BYTES = 3_000
# libfido2 1.12 encrypts nothing that is shorter than 16 bytes when it is compressed.
SHORT = bytes(range(32))


def writer(ctap2, protocol=2, permission=WRITE):
    """The class with a token of its own."""
    held = token(ctap2, permission, protocol=protocol)
    return LargeBlobs(ctap2, held.protocol, held.value)


def make_with_key(ctap2, rp_id, user_id=b"user", auth=None):
    """A discoverable credential that has a largeBlobKey."""
    made = make(ctap2, rp_id, user_id, resident=True, auth=auth, extensions=KEY)
    equal(made.extensions, {}, "what the authenticator data say of the extension")
    equal(len(made.large_blob_key or b""), 32, "length of the largeBlobKey")
    secret("a largeBlobKey", made.large_blob_key)
    return made


def serialized(content):
    """An array with its hash, whatever is in it."""
    return content + sha256(content).digest()[:16]


def read_raw(ctap2):
    """The serialized array as it is."""
    array, most = b"", ctap2.info.max_msg_size - 64
    while True:
        part = ctap2.large_blobs(len(array), get=most)[1]
        array += part
        if len(part) < most:
            return array


@check("LargeBlobs over PIN protocol 2", keys=["pin/1-5"], protocol=2)
@check("LargeBlobs over PIN protocol 1", keys=["pin/1-5"], protocol=1)
def blobs(key, protocol):
    fresh(key)
    with key.ctap2() as ctap2:
        equal(read_raw(ctap2), INITIAL, "the array of a new key")
        made = [make_with_key(ctap2, "blob.example", user) for user in (b"ann", b"bob", b"cid")]
        keys = [credential.large_blob_key for credential in made]
        equal(len(set(keys)), 3, "number of different keys")
        ClientPin(ctap2).set_pin(PIN)
        data = [os.urandom(BLOB_BYTES) for _ in keys]
        for blob_key, blob in zip(keys, data, strict=True):
            writer(ctap2, protocol).put_blob(blob_key, blob)
        # Reading needs no PIN, and no token.
        found = [LargeBlobs(ctap2).get_blob(blob_key) for blob_key in keys]
        require(found == data, "what is read is not what was written")
        require(len(read_raw(ctap2)) > ctap2.info.max_msg_size, "one message was enough")

        writer(ctap2, protocol).put_blob(keys[0], b"another")
        writer(ctap2, protocol).delete_blob(keys[1])
    replug(key)
    with key.ctap2() as ctap2:
        found = [LargeBlobs(ctap2).get_blob(blob_key) for blob_key in keys]
        require(found == [b"another", None, data[2]], "what is read after a replug")
        for blob_key in keys:
            writer(ctap2, protocol).delete_blob(blob_key)
        equal(read_raw(ctap2), INITIAL, "the array when everything is deleted")
        writer(ctap2, protocol).put_blob(keys[0], data[0])
    replug_and_reset(key)
    with key.ctap2() as ctap2:
        equal(read_raw(ctap2), INITIAL, "the array after a reset")


@check("largeBlobKey is told to those who ask", keys=["pin/1-5"])
def blob_key(key):
    fresh(key)
    with key.ctap2() as ctap2:
        made = make_with_key(ctap2, "blob.example", b"ann")
        bare = make(ctap2, "blob.example", b"bob", resident=True)
        equal(bare.large_blob_key, None, "largeBlobKey that nobody asked for")
        for allow, credential in (([made], made), ([bare], bare)):
            for asked in (None, KEY):
                _, answer = get(ctap2, "blob.example", [made, bare], allow=allow, extensions=asked)
                expected = credential.large_blob_key if asked else None
                require(answer.large_blob_key == expected, "another largeBlobKey in the assertion")
        answers = ctap2.get_assertions("blob.example", os.urandom(32), extensions=KEY)
        told = {answer.credential["id"]: answer.large_blob_key for answer in answers}
        expected = {made.id: made.large_blob_key, bare.id: None}
        require(told == expected, "other keys in the assertions of both")

        ClientPin(ctap2).set_pin(PIN)
        held = token(ctap2, PERMISSION.CREDENTIAL_MGMT)
        manager = CredentialManagement(ctap2, held.protocol, held.value)
        results = manager.enumerate_creds(sha256(b"blob.example").digest())
        told = {
            result[RESULT.CREDENTIAL_ID]["id"]: result.get(RESULT.LARGE_BLOB_KEY)
            for result in results
        }
        require(told == expected, "other keys in the credential management")


@check("largeBlobKey wants a discoverable credential", keys=["pin/1-5"])
def blob_key_refused(key):
    fresh(key)
    with key.ctap2() as ctap2:
        with status(ERR.INVALID_OPTION, "a key for a credential that is not discoverable"):
            make(ctap2, "blob.example", extensions=KEY)
        with status(ERR.INVALID_OPTION, "largeBlobKey: false"):
            make(ctap2, "blob.example", resident=True, extensions={"largeBlobKey": False})
        made = make_with_key(ctap2, "blob.example")
        with status(ERR.INVALID_OPTION, "largeBlobKey: false in an assertion"):
            get(ctap2, "blob.example", [made], extensions={"largeBlobKey": False})


@check("LargeBlobs wants the right token", keys=["pin/1-5"])
def tokens(key):
    fresh(key, PIN)
    with key.ctap2() as ctap2:
        with status(ERR.PUAT_REQUIRED, "a write without a token"):
            LargeBlobs(ctap2).write_blob_array([])
        with status(ERR.PIN_AUTH_INVALID, "a token for credential management"):
            writer(ctap2, permission=PERMISSION.CREDENTIAL_MGMT).write_blob_array([])
        with status(ERR.PIN_AUTH_INVALID, "a token that nobody gave out"):
            LargeBlobs(ctap2, PROTOCOLS[2](), bytes(32)).write_blob_array([])
        equal(read_raw(ctap2), INITIAL, "the array that nobody could write")
        # A touch takes other permissions away, and leaves this one.
        both = PERMISSION.MAKE_CREDENTIAL | WRITE
        held = token(ctap2, both, "blob.example")
        made = make_with_key(ctap2, "blob.example", auth=held)
        with status(ERR.PIN_AUTH_INVALID, "the same token for a second credential"):
            make(ctap2, "blob.example", b"bob", resident=True, auth=held)
        LargeBlobs(ctap2, held.protocol, held.value).put_blob(made.large_blob_key, b"written")
        equal(LargeBlobs(ctap2).get_blob(made.large_blob_key), b"written", "what is read")


@check("large blobs fill the key exactly", keys=["pin/1-5"])
def capacity(key):
    fresh(key)
    with key.ctap2() as ctap2:
        most, fragment = ctap2.info.max_large_blob, ctap2.info.max_msg_size - 64
        require(most >= 1024, f"maxSerializedLargeBlobArray is {most}")
        with status(ERR.LARGE_BLOB_STORAGE_FULL, "one byte more than fits"):
            ctap2.large_blobs(0, set=b"\x80", length=most + 1)
        # What is in it is the platform's matter.
        full = serialized(os.urandom(most - 16))
        for offset in range(0, most, fragment):
            length = None if offset else most
            ctap2.large_blobs(offset, set=full[offset : offset + fragment], length=length)
        require(read_raw(ctap2) == full, "what is read is not what was written")
        with status(ERR.INVALID_LENGTH, "reading more than maxMsgSize allows"):
            ctap2.large_blobs(0, get=fragment + 1)
        with status(ERR.INVALID_PARAMETER, "reading behind the end"):
            ctap2.large_blobs(most + 1, get=1)
        equal(ctap2.large_blobs(most, get=1)[1], b"", "what is at the end")


@check("large blobs that are not whole", keys=["pin/1-5"])
def not_whole(key):
    fresh(key)
    with key.ctap2() as ctap2:
        old, new = serialized(b"\x81\x01"), serialized(b"\x81\x02")
        ctap2.large_blobs(0, set=old, length=len(old))
        with status(ERR.INTEGRITY_FAILURE, "a wrong hash"):
            ctap2.large_blobs(0, set=new[:-1] + b"\0", length=len(new))
        with status(ERR.INVALID_SEQ, "a second part without a first"):
            ctap2.large_blobs(5, set=new[5:])
        ctap2.large_blobs(0, set=new[:5], length=len(new))
        with status(ERR.INVALID_SEQ, "a part that is left out"):
            ctap2.large_blobs(6, set=new[6:])
        ctap2.get_info()
        with status(ERR.INVALID_SEQ, "a part after another command"):
            ctap2.large_blobs(5, set=new[5:])
        ctap2.large_blobs(0, set=new[:5], length=len(new))
    replug(key)
    with key.ctap2() as ctap2:
        with status(ERR.INVALID_SEQ, "a part after a replug"):
            ctap2.large_blobs(5, set=new[5:])
        equal(read_raw(ctap2), old, "the array that is stored")


@check("Fido2Client writes and reads a largeBlob", keys=["pin/1-5"])
def client(key):
    fresh(key, PIN)
    data = os.urandom(500)
    with key.open() as device:
        site = Site(device, "blob.example")
        _register_and_use(site, data)


@check("profile passkey-provider, largeBlob", keys=["passkey-provider/1-1"])
def provider(key):
    fresh(key, PIN)
    with key.open() as device:
        _register_and_use(Site(device, "blob.example"), b"of a provider")


def _register_and_use(site, data):
    """Registers, writes a blob, reads it, all as a site asks a browser to."""
    made, results = site.register("required", extensions={"largeBlob": {"support": "required"}})
    equal(results.large_blob.supported, True, "largeBlob.supported")

    def use(**what):
        answer = site.sign_in(made.credential_data, True, extensions={"largeBlob": what})
        return answer.client_extension_results.large_blob

    equal(use(read=True).blob, None, "the blob before one is written")
    equal(use(write=data).written, True, "largeBlob.written")
    require(use(read=True).blob == data, "what is read is not what was written")


@check("profiles without large blobs", keys=["tiny/1-1", "fido-2.1-pin/1-1"])
def without(*keys):
    for key in keys:
        fresh(key, PIN)
        with key.ctap2() as ctap2:
            info = ctap2.info
            require("largeBlobs" not in info.options, f"{key.name} has the option")
            require("largeBlobKey" not in info.extensions, f"{key.name} has the extension")
            equal(info.max_large_blob, 0, f"{key.name}, maxSerializedLargeBlobArray")
            with status(ERR.INVALID_COMMAND, "authenticatorLargeBlobs"):
                ctap2.large_blobs(0, get=17)
            with status(ERR.UNAUTHORIZED_PERMISSION, "the permission to write"):
                token(ctap2, WRITE)


class Blobs:
    """fido2-token's large-blob commands on a key, with files of its own."""

    def __init__(self, key):
        self.key = key
        self._folder = tempfile.TemporaryDirectory()  # pylint: disable=consider-using-with
        self.here = Path(self._folder.name)
        self._number = 0

    def file(self, data=b""):
        """A file with this in it; without anything it is only a name."""
        self._number += 1
        path = self.here / f"blob-{self._number}"
        if data:
            path.write_bytes(data)
        return path

    def set(self, which, data, **expected):
        """-S -b: writes the blob."""
        fido2_token(self.key, "-S", "-b", *which, self.file(data), **expected)

    def get(self, which, **expected):
        """-G -b: what the blob is."""
        path = self.file()
        said = fido2_token(self.key, "-G", "-b", *which, path, **expected)
        if not expected.get("error") and not path.exists():
            raise Failure("fido2-token wrote no file", said)
        return path.read_bytes() if path.exists() else None

    def delete(self, which, **expected):
        """-D -b: deletes the blob."""
        fido2_token(self.key, "-D", "-b", *which, **expected)

    def listed(self, **expected):
        """-L -b: each blob's uncompressed length.

        Version 1.12 cannot tell whose they are: it looks for the zlib header
        that its own library leaves out, as the standard has it.
        """
        said = fido2_token(self.key, "-L", "-b", **expected)
        lines = [line.split() for line in said.splitlines() if re.match(r"\d\d: ", line)]
        return sorted(int(line[2]) for line in lines)


@check("fido2-token -S, -G, -L and -D -b: large blobs of a site", keys=["pin/1-8"])
def tool(key):
    fresh(key)
    with key.ctap2() as ctap2:
        one = make_with_key(ctap2, "one.example")
        two = [make_with_key(ctap2, "two.example", user) for user in (b"ann", b"bob")]
        make(ctap2, "none.example", resident=True)
        ClientPin(ctap2).set_pin(PIN)
    tools, pins = Blobs(key), [PIN]
    of_one = ["-n", "one.example"]
    ann, bob = (["-n", "two.example", "-i", encoded(made.id)] for made in two)
    long = os.urandom(BLOB_BYTES)
    tools.set(of_one, SHORT, pins=pins)
    tools.set(ann, long, pins=pins)
    tools.set(bob, SHORT[::-1], pins=pins)
    equal(tools.get(of_one, pins=pins), SHORT, "the blob of one.example")
    require(tools.get(ann, pins=pins) == long, "the blob of ann is another")
    equal(tools.get(bob, pins=pins), SHORT[::-1], "the blob of bob")
    expected = [len(SHORT), len(SHORT), BLOB_BYTES]
    equal(tools.listed(pins=pins), expected, "what is listed")

    # What one program writes, the other reads.
    with key.ctap2() as ctap2:
        require(LargeBlobs(ctap2).get_blob(two[0].large_blob_key) == long, "ann's blob is another")
        writer(ctap2).put_blob(one.large_blob_key, SHORT * 2)
    equal(tools.get(of_one, pins=pins), SHORT * 2, "the blob that python-fido2 wrote")

    tools.set(bob, SHORT * 3, pins=pins)
    equal(tools.get(bob, pins=pins), SHORT * 3, "the blob of bob, written again")
    for which in (of_one, ann, bob):
        tools.delete(which, pins=pins)
    for which in (of_one, ann, bob):
        tools.get(which, pins=pins, error="NOTFOUND")
    equal(tools.listed(pins=pins), [], "what is listed when everything is deleted")
    with key.ctap2() as ctap2:
        equal(read_raw(ctap2), INITIAL, "the array when everything is deleted")


@check("fido2-token -S, -G and -D -b -k: large blobs of a key", keys=["pin/1-8"])
def tool_with_key(key):
    fresh(key)
    with key.ctap2() as ctap2:
        made = make_with_key(ctap2, "one.example")
        # libfido2 writes with a token only, though without a PIN the key wants none.
        ClientPin(ctap2).set_pin(PIN)
    tools = Blobs(key)
    which = ["-k", tools.file(encoded(made.large_blob_key).encode() + b"\n")]
    # Whoever has the largeBlobKey reads without a PIN.
    tools.get(which, error="NOTFOUND")
    tools.set(which, SHORT, pins=[PIN])
    equal(tools.get(which), SHORT, "the blob")
    tools.delete(which, pins=[PIN])
    tools.get(which, error="NOTFOUND")
