"""What users of this machine may do: import a key over USB/IP, look into memory."""

import subprocess

from check_control import OTHER, OWNER, as_user
from harness import check, equal
from inside import Server
from machine import wait_until

USBIP_PORT = 3240
ST_OK, ST_NA = 0, 1
# OP_REQ_IMPORT in 40 bytes; prints the status of the reply.
IMPORT = """
import socket, struct, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1])), 10) as peer:
    peer.sendall(struct.pack(">HHI32s", 0x0111, 0x8003, 0, b"1-1"))
    version, code, status = struct.unpack(">HHI", peer.recv(8, socket.MSG_WAITALL))
    assert (version, code) == (0x0111, 0x0003)
    rest = 0 if status else len(peer.recv(312, socket.MSG_WAITALL))
    assert rest in (0, 312) and (rest == 312) == (status == 0)
    print(status)
"""


# Prints what comes of looking into the memory of a process.
LOOK = """
import sys
try:
    open(f"/proc/{sys.argv[1]}/mem", "rb").close()
    print("open")
except OSError as error:
    print(type(error).__name__)
"""


@check("its user's other programs do not see its memory", keys=())
def memory():
    options = "--listen 127.0.0.1:0 --ephemeral --touch auto"
    with Server("hidden", options, user=OWNER) as server:
        equal(as_user(OWNER, LOOK, server.process.pid), "PermissionError", "what its owner gets")
    # It is roamkey that hides it: another program of the same user is an open book.
    with subprocess.Popen(["sleep", "60"], user=OWNER, group=OWNER, extra_groups=[]) as other:
        try:
            equal(as_user(OWNER, LOOK, other.pid), "open", "what its owner gets of another")
        finally:
            other.kill()


# The last decorator registers first.
@check("--import-from root", keys=(), who="root", refused=[OWNER, OTHER])
@check("--import-from anyone", keys=(), who="anyone", refused=[])
@check("another user's import is refused", keys=(), who=None, refused=[OTHER])
def imports(who, refused):
    options = f"--listen 127.0.0.1:{USBIP_PORT} --ephemeral --touch auto"
    options += f" --import-from {who}" if who else ""
    with Server("users", options, user=OWNER) as server:
        for user in (OTHER, OWNER, 0, OTHER):
            said = int(as_user(user, IMPORT, USBIP_PORT))
            equal(said, ST_NA if user in refused else ST_OK, f"status for user {user}")
            wait_until(lambda: server.ask("GET", "keys/1-1")["host"] is None, "the key is free")
