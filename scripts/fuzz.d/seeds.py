#!/usr/bin/env python3
"""Makes seeds for scripts/fuzz of the fixtures: one directory for each target.

The layouts are those that the targets' modules describe; typed ones are as the crate `arbitrary`
reads them.
"""
import hashlib
import pathlib
import re
import struct
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]


def word(text):
    zeros = re.fullmatch(r"00\*(\d+)", text)
    return bytes(int(zeros[1])) if zeros else bytes.fromhex(text)


def transcript(name):
    """The lines of a transcript in fixtures/usbip: (kind, bytes)."""
    lines = []
    for line in (TOP / "fixtures/usbip" / name).read_text().splitlines():
        if line.startswith(" "):
            lines[-1] += line
        elif line and not line.startswith("#"):
            lines.append(line)
    return [(line[0], b"".join(map(word, line[1:].split()))) for line in lines]


def pin_vectors():
    """fixtures/pin/protocols.hex: bytes by name."""
    lines = (TOP / "fixtures/pin/protocols.hex").read_text().splitlines()
    pairs = [line.split() for line in lines if line and not line.startswith("#")]
    return {pair[0]: bytes.fromhex(pair[1]) for pair in pairs if len(pair) == 2}


def head(major, number):
    for info, form in ((24, ">B"), (25, ">H"), (26, ">I"), (27, ">Q")):
        if number < 24:
            return bytes([major << 5 | number])
        if number < 1 << 8 * struct.calcsize(form):
            return bytes([major << 5 | info]) + struct.pack(form, number)
    raise ValueError(number)


def cbor(value):
    """CTAP2 canonical CBOR."""
    if isinstance(value, bool):
        return b"\xf5" if value else b"\xf4"
    if isinstance(value, int):
        return head(0, value) if value >= 0 else head(1, -1 - value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        return head(3, len(value.encode())) + value.encode()
    if isinstance(value, list):
        return head(4, len(value)) + b"".join(map(cbor, value))
    pairs = [(cbor(key), cbor(item)) for key, item in value.items()]
    pairs.sort(key=lambda pair: (pair[0][0] >> 5, len(pair[0]), pair[0]))
    return head(5, len(pairs)) + b"".join(key + item for key, item in pairs)


def requests():
    """A well-formed CTAP2 request of each command, and of each subcommand that is parsed apart."""
    vectors = pin_vectors()
    hash_ = bytes(range(32))
    key = {1: 2, 3: -25, -1: 1, -2: vectors["platform-x"], -3: vectors["platform-y"]}
    one, two = vectors["one-sealed"], vectors["two-sealed"]
    auth = {"one": vectors["one-param"], "two": vectors["two-param"]}
    user = {"id": b"\x01\x02", "name": "alice", "displayName": "Alice"}
    rp = {"id": "example.com", "name": "Example"}
    es256 = [{"alg": -7, "type": "public-key"}]
    listed = [{"id": bytes(64), "type": "public-key"}]
    salts = {1: key, 2: two, 3: auth["two"], 4: 2}
    blob = b"\x80" + hashlib.sha256(b"\x80").digest()[:16]
    make = {1: hash_, 2: rp, 3: user, 4: es256}
    parameters = [
        (0x01, make),
        (0x01, {**make, 5: listed, 7: {"rk": True, "up": True, "uv": False}, 8: auth["two"], 9: 2,
                0x0a: 1, 0x0b: ["packed", "none"]}),
        (0x01, {**make, 6: {"credBlob": b"blob", "credProtect": 2, "hmac-secret": True,
                            "largeBlobKey": True, "minPinLength": True, "thirdPartyPayment": True,
                            "hmac-secret-mc": salts}, 7: {"rk": True}}),
        (0x02, {1: "example.com", 2: hash_}),
        (0x02, {1: "example.com", 2: hash_, 3: listed, 4: {"credBlob": True, "hmac-secret": salts,
                "largeBlobKey": True}, 5: {"up": False}, 6: auth["one"], 7: 1}),
        (0x06, {2: 1}),
        (0x06, {1: 2, 2: 2}),
        (0x06, {1: 1, 2: 3, 3: key, 4: auth["one"], 5: one * 2}),
        (0x06, {1: 2, 2: 4, 3: key, 4: auth["two"], 5: two * 2, 6: two}),
        (0x06, {1: 1, 2: 5, 3: key, 6: one[:16]}),
        (0x06, {1: 2, 2: 6, 3: key, 9: 3, 10: "example.com"}),
        (0x06, {1: 2, 2: 7}),
        (0x06, {1: 2, 2: 9, 3: key, 6: two, 9: 3, 10: "example.com"}),
        (0x09, {1: 1, 2: 1, 3: {3: 10_000}, 4: 2, 5: auth["two"]}),
        (0x09, {1: 1, 2: 5, 3: {1: b"\x01", 2: "left"}, 4: 2, 5: auth["two"]}),
        (0x09, {6: True}),
        (0x0a, {1: 1, 3: 2, 4: auth["two"]}),
        (0x0a, {1: 4, 2: {1: hash_}, 3: 2, 4: auth["two"]}),
        (0x0a, {1: 6, 2: {2: listed[0]}, 3: 2, 4: auth["two"]}),
        (0x0a, {1: 7, 2: {2: listed[0], 3: user}, 3: 2, 4: auth["two"]}),
        (0x0c, {1: 17, 3: 0}),
        (0x0c, {2: blob, 3: 0, 4: 17}),
        (0x0c, {2: blob, 3: 0, 4: 17, 5: auth["two"], 6: 2}),
        (0x0d, {1: 1}),
        (0x0d, {1: 2, 3: 2, 4: auth["two"]}),
        (0x0d, {1: 3, 2: {1: 6, 2: ["example.com"], 3: True}, 3: 2, 4: auth["two"]}),
    ]
    bare = [bytes([command]) for command in (0x04, 0x07, 0x08, 0x0b)]
    return bare + [bytes([command]) + cbor(value) for command, value in parameters]


def apdus():
    """U2F requests, in extended and in short lengths."""
    challenge, application = bytes(range(32)), hashlib.sha256(b"example.com").digest()
    register = challenge + application
    authenticate = register + b"\x40" + bytes(64)
    return [
        b"\0\3\0\0\0\0\0",
        b"\0\3\0\0",
        b"\0\1\0\0\0\0\x40" + register + b"\0\0",
        b"\0\1\0\0\x40" + register + b"\0",
        b"\0\2\7\0\0\0\x81" + authenticate + b"\0\0",
        b"\0\2\3\0\x81" + authenticate,
        b"\0\2\x08\0\0\0\x81" + authenticate + b"\0\0",
    ]


def sessions():
    """Steps, reports that are ready, and what a client sends behind its import."""
    for name in ("linux-attach.hex", "usbip-win2-attach.hex"):
        stream = b"".join(data for kind, data in transcript(name) if kind == ">")
        # OP_REQ_IMPORT has 40 bytes.
        for setup in (b"\xff\xff\xff\x55", b"\x00\x2f\x07\x01"):
            yield setup + stream[40:]


def message(command, payload, channel=0):
    """A step of `reports`: a whole message on one of our channels."""
    return bytes([4, channel, command]) + struct.pack(">H", len(payload)) + payload


APPROVE, COMMIT = b"\x0a\0", b"\x0b\0"


def reports():
    """For each profile: steps that use each request, and those that make things difficult."""
    touched = APPROVE + COMMIT * 3
    for request in requests():
        for profile in (b"\0", b"\1"):
            yield profile + message(0x10, request) + touched
    for apdu in apdus():
        for profile in (b"\0", b"\2"):
            yield profile + message(0x03, apdu) + touched + message(0x03, apdu) + COMMIT
    selection = message(0x10, b"\x0b")
    yield b"\0" + selection + b"\5\0"  # CANCEL
    yield b"\0" + selection + b"\1\0" + selection + b"\7\7\7" + APPROVE  # INIT on the channel
    yield b"\0" + selection + b"\1\xff" + message(0x10, b"\x04", 1) + b"\7" * 8  # another channel
    yield b"\0" + selection + b"\x08\0" + b"\7" * 8  # the reader goes
    yield b"\0" + selection + b"\x09\0\x09\1" + selection  # the power goes
    yield b"\0" + b"\x0e\1" + selection + b"\x0a\2"  # traced, and denied
    yield b"\0" + message(0x01, bytes(300)) + message(0x04, b"\3") + message(0x08, b"")
    yield b"\0" + b"\2\0\x10\0\xff\3abc" + b"\3\0\0\3def" + b"\7"  # a message that stops


def clients():
    """What clients send after their imports, PDU by PDU."""
    for name in ("linux-attach.hex", "usbip-win2-attach.hex"):
        for kind, data in transcript(name):
            if kind == ">" and len(data) >= 48:
                yield data


def ops():
    numbers = bytes(range(20))
    for busid in (b"1-1", b"65535-65535", b"usb1", b"3-2.1:1.0"):
        yield bytes.fromhex("0111800300000000") + busid.ljust(32, b"\0") + numbers
    yield bytes.fromhex("0111800500000000") + b"1-1".ljust(32, b"\0")


def urbs():
    yield from clients()
    for kind in (3, 4):
        yield struct.pack(">12I", kind, 7, 0, 0, 0, 0xffffff98, 8, 0, 0, 0, 0, 0)


def control_pipes():
    """Each setup packet by itself, and all of a client's in a row."""
    steps = []
    for data in clients():
        ep, (setup, payload) = data[16:20], (data[40:48], data[48:])
        if ep == bytes(4) and data[:4] == b"\0\0\0\1":
            steps.append(b"\7" + setup + bytes([len(payload)]) + payload)
    # SET_REPORT, halt and its end, GET_STATUS, SET_IDLE, SET_PROTOCOL, transfers.
    for setup in ("2109000200000800", "0203000081000000", "0201000081000000", "8200000081000200",
                  "210a000700000000", "210b010000000000", "a101000100004000", "010b000000000000"):
        payload = bytes(range(8)) if setup.startswith("2109") else b""
        steps.append(b"\7" + bytes.fromhex(setup) + bytes([len(payload)]) + payload)
    steps += [b"\0" + bytes(9), b"\1" + bytes(9)]
    yield from steps
    yield b"".join(steps)


def strict():
    for request in requests():
        yield b"\0" + request[1:]
    # Firefox's options, a float, undefined, each integer's forms.
    for item in ("a107a2627576f5627570f5", "f97e00", "f7", "1818", "190100", "1a00010000",
                 "1b0000000100000000", "8181818101", "a1418061c3"):
        yield b"\0" + bytes.fromhex(item)
    for spoil in range(7):
        yield bytes([1, spoil]) + bytes(range(64))


def messages():
    for request in requests():
        yield b"\0" + request
    for apdu in apdus():
        yield b"\1" + apdu


# The variants of `Op` in ctap/fuzz/src/sequences.rs, in order.
OPS = ("make get next u2f_register u2f_sign retries set_pin change_pin token pin_token metadata rps"
       " delete write toggle min_length select reset wait wait_long replug restart touch fail").split()


def variant(number, count):
    """An enum's: a number of 32 bits, of which the fraction counts."""
    return struct.pack("<I", ((number << 32) + count - 1) // count)


def op(name, *fields):
    return variant(OPS.index(name), len(OPS)) + b"".join(fields)


def byte(number):
    return bytes([number])


def some(number):
    return b"\1" + byte(number)


NONE, NO, YES = b"\0", b"\0", b"\1"
NO_AUTH, TOKEN, WRONG = (variant(number, 3) for number in range(3))


def make(site, user, rk, auth, exclude=NONE):
    return op("make", byte(site), byte(user), rk, auth, exclude)


def get(site, by, silent, auth):
    return op("get", byte(site), by, silent, auth)


def sequences():
    """What platforms do, and what goes wrong then."""
    def token(permissions, site=NONE, pin=0):
        return op("token", byte(pin), YES, byte(permissions), site)

    def write(auth, cut=NONE, spoil=NO):
        return op("write", byte(40), byte(7), cut, spoil, auth)

    def fail(after, stored):
        return op("fail", byte(after), stored)

    set_pin = op("set_pin", byte(0), YES)
    wrong = op("pin_token", byte(1), NO)
    two = make(0, 0, YES, NO_AUTH) + make(0, 1, YES, NO_AUTH)
    manage = op("metadata", TOKEN) + op("rps", TOKEN) + op("delete", byte(0), TOKEN)
    yield two + get(0, NONE, NO, NO_AUTH) + op("next") + op("next")
    yield two + make(0, 0, YES, NO_AUTH) + make(1, 0, YES, NO_AUTH) + make(2, 0, YES, NO_AUTH) \
        + make(2, 1, YES, NO_AUTH)
    yield make(0, 0, NO, NO_AUTH) + get(0, some(0), YES, NO_AUTH) + make(0, 1, NO, NO_AUTH, some(0))
    yield op("u2f_register", byte(0)) + op("u2f_sign", byte(0), YES) + op("u2f_sign", byte(0), NO)
    yield set_pin + op("retries") + token(3, some(0)) + make(0, 0, YES, TOKEN) \
        + make(0, 1, YES, TOKEN) + token(2, some(0)) + get(0, NONE, NO, TOKEN)
    yield set_pin + wrong * 3 + op("retries") + op("replug") + wrong + op("replug") + wrong * 3 \
        + op("replug") + wrong * 2 + op("retries") + op("restart") + op("reset") + set_pin
    yield two + set_pin + token(4) + manage + op("restart") + token(4, some(1)) + manage
    yield write(NO_AUTH) + set_pin + token(0x10) + write(TOKEN, some(20)) + write(TOKEN, NONE, YES) \
        + write(WRONG)
    yield set_pin + token(0x20) + op("min_length", byte(6), NO, TOKEN) \
        + op("change_pin", byte(0), byte(2), YES) + op("toggle", TOKEN)
    yield op("toggle", NO_AUTH) + make(0, 0, NO, NO_AUTH) + op("u2f_register", byte(0)) \
        + set_pin + op("pin_token", byte(0), NO) + make(0, 0, NO, TOKEN)
    yield set_pin + token(4) + op("wait_long") + op("metadata", TOKEN)
    for stored in (NO, YES):
        for after in (0, 1):
            yield set_pin + fail(after, stored) + op("pin_token", byte(0), YES) + op("retries")
            yield fail(0, stored) + set_pin + fail(after, stored) \
                + op("change_pin", byte(0), byte(1), NO)
        yield fail(0, stored) + make(0, 0, YES, NO_AUTH) + fail(0, stored) + make(0, 0, NO, NO_AUTH) \
            + fail(0, stored) + op("reset") + fail(0, stored) + write(NO_AUTH)
    for number in range(4):
        touch = op("touch", variant(number, 4))
        yield touch + make(0, 0, YES, NO_AUTH) + touch + op("select") + touch + op("reset")
        yield touch + op("u2f_register", byte(1)) + op("wait", b"\0\x30") + op("reset")


TARGETS = {
    "control_pipe": control_pipes,
    "op": ops,
    "reports": reports,
    "requests": messages,
    "sequences": sequences,
    "session": sessions,
    "strict_cbor": strict,
    "urb": urbs,
}


def main():
    corpora = pathlib.Path(sys.argv[1])
    for target, seeds in TARGETS.items():
        directory = corpora / target
        directory.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(seeds()):
            (directory / f"{number:03}").write_bytes(seed)


main()
