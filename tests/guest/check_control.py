"""The control plane: keys made and told apart by it, and who may speak to it."""

import sys
from pathlib import Path

from fido import ERR, get, make
from harness import check, equal, require, run, status
from inside import KeyHere, Problem, Server
from pins import secret

OWNER, OTHER = 1001, 1002
# Prints the status of an answer, or the name of the error.
ASK = """
import http.client, socket, sys
connection = http.client.HTTPConnection("localhost", timeout=10)
connection.sock = socket.socket(socket.AF_UNIX)
try:
    connection.sock.connect(sys.argv[1])
    connection.request("GET", "/v1/keys")
    print(connection.getresponse().status)
except OSError as error:
    print(type(error).__name__)
"""


def as_user(user, script, *arguments):
    """What a script of Python prints that another user runs."""
    words = [sys.executable, "-c", script, *arguments]
    return run(*words, user=user, group=user, extra_groups=[], cwd="/").strip()


@check("two keys of different profiles and touch policies at once", keys=())
def two_profiles():
    with Server("two", "--attach --ephemeral --keys 0 --touch auto") as server:
        denying = {"profile": "fido-2.0", "name": "old", "touch": {"touch": "deny"}}
        made = [server.ask("POST", "keys", new) for new in (denying, {"name": "new"})]
        old, new = (KeyHere(f"two/{one['bus_id']}", server, one["bus_id"]) for one in made)
        equal([one["profile"] for one in made], ["fido-2.0", "default"], "profiles")
        require(old.node != new.node, "both keys have one node")
        with old.ctap2() as first, new.ctap2() as second:
            require("FIDO_2_1" not in first.info.versions, "the key of CTAP 2.0 has 2.1")
            require("FIDO_2_1" in second.info.versions, "the default key has no CTAP 2.1")
            with status(ERR.OPERATION_DENIED, "a touch that the policy denies"):
                make(first, "policy.example")
            credential = make(second, "policy.example")
            # The other way round, while both programs stay.
            for one, touch in ((old, "auto"), (new, "deny")):
                one.ask("PUT", "/touch-policy", {"touch": touch})
            make(first, "policy.example")
            with status(ERR.OPERATION_DENIED, "a touch that the new policy denies"):
                get(second, "policy.example", [credential], allow=[credential])


@check("control plane: another user is refused", keys=())
def other_user():
    options = "--listen 127.0.0.1:0 --control 127.0.0.1:0 --ephemeral --touch auto"
    with Server("owned", options, user=OWNER) as server:
        path = Path(server.ready["control"]["socket"])
        equal(as_user(OTHER, ASK, path), "PermissionError", "what another user gets")
        equal(as_user(OWNER, ASK, path), "200", "what its owner gets")
        equal(as_user(0, ASK, path), "200", "what root gets")
        token = Path(server.ready["control"]["token_file"])
        equal(token.stat().st_uid, OWNER, "owner of the token file")
        equal(f"{token.stat().st_mode & 0o777:o}", "600", "mode of the token file")
        secret("the control plane's token", token.read_text().strip())

        # Even where the files let everyone in, the kernel tells who asks.
        path.parent.chmod(0o755)
        path.chmod(0o666)
        equal(as_user(OTHER, ASK, path), "403", "what another user gets at an open socket")
        equal(as_user(OWNER, ASK, path), "200", "what its owner gets then")


@check("control plane: what is not there is a problem", keys=["uhid/1-1"])
def no_such_key(key):
    for method, path, body, code in (
        ("GET", "keys/7-7", None, 404),
        ("POST", "keys/1-1/faults", {"fault": "none-such"}, 400),
        ("POST", "keys", {"profile": "none-such"}, 400),
    ):
        try:
            key.server.ask(method, path, body)
        except Problem as problem:
            equal(problem.status, code, f"status of {method} {path}")
        else:
            require(False, f"{method} {path} succeeded")
