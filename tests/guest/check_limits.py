"""What a host that vanished, and one that floods, cannot do to others."""

import subprocess
import sys
from contextlib import contextmanager

from check_control import OTHER, as_user
from check_users import IMPORT, ST_OK, USBIP_PORT
from harness import check, equal, run
from inside import Server
from machine import wait_until

# Found after 15 + 3 x 5 s; without keepalives after two hours.
VANISHED_LIMIT_S = 60
NAMESPACE = "peer"
NEAR, FAR = "10.77.0.1", "10.77.0.2"
# Imports the key of a server, says the status, and keeps the connection.
KEEP = """
import socket, struct, sys, time
peer = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)
peer.sendall(struct.pack(">HHI32s", 0x0111, 0x8003, 0, b"1-1"))
print(struct.unpack(">HHI", peer.recv(8, socket.MSG_WAITALL))[2], flush=True)
time.sleep(3600)
"""
# Opens connections that say nothing, again and again, and says when the first hundreds are there.
FLOOD = """
import socket, sys
kept = []
while True:
    try:
        kept.append(socket.create_connection(("127.0.0.1", int(sys.argv[1])), 10))
    except OSError:
        pass
    if len(kept) == 300:
        print("flooding", flush=True)
    del kept[:-600]
"""


@contextmanager
def program(*words, **options):
    """A program that runs meanwhile; its first line is there already."""
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, **options)
    try:
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@contextmanager
def cable():
    """A machine beside this one: a network namespace at the other end of a cable."""
    run("ip", "netns", "add", NAMESPACE)
    try:
        ends = "near type veth peer name far netns".split()
        run("ip", "link", "add", *ends, NAMESPACE)
        run("ip", "address", "add", f"{NEAR}/24", "dev", "near")
        run("ip", "link", "set", "near", "up")
        run("ip", "-n", NAMESPACE, "address", "add", f"{FAR}/24", "dev", "far")
        run("ip", "-n", NAMESPACE, "link", "set", "far", "up")
        yield
    finally:
        run("ip", "netns", "delete", NAMESPACE)


@check("limits: the key of a host whose cable is pulled is free again", keys=(), limit_s=150)
def half_open():
    options = f"--listen {NEAR}:{USBIP_PORT} --allow-from {NEAR}/24 --ephemeral --touch auto"
    keeps = [sys.executable, "-c", KEEP, NEAR, str(USBIP_PORT)]
    with cable(), Server("limits", options) as server:

        def host():
            return server.ask("GET", "keys/1-1")["host"]

        with program("ip", "netns", "exec", NAMESPACE, *keeps) as status:
            equal(int(status), ST_OK, "status of the import")
            equal(host().rsplit(":", 1)[0], FAR, "who has the key")
            run("ip", "-n", NAMESPACE, "link", "set", "far", "down")
            wait_until(lambda: host() is None, "the key is free", VANISHED_LIMIT_S)
            # Another host has it at once, while the one that vanished believes that it does.
            with program(*keeps) as status:
                equal(int(status), ST_OK, "status of another host's import")
                equal(host().rsplit(":", 1)[0], NEAR, "who has the key")


@check("limits: silent connections of another user keep no import out", keys=())
def flood():
    options = f"--listen 127.0.0.1:{USBIP_PORT} --ephemeral --touch auto"
    flooder = [sys.executable, "-c", FLOOD, str(USBIP_PORT)]
    other = {"user": OTHER, "group": OTHER, "extra_groups": [], "cwd": "/"}
    with Server("flood", options) as server:
        with program(*flooder, **other) as said:
            equal(said, "flooding", "what the other user does")
            for _ in range(10):
                equal(int(as_user(0, IMPORT, USBIP_PORT)), ST_OK, "status of an import")
                free = lambda: server.ask("GET", "keys/1-1")["host"] is None
                wait_until(free, "the key is free")
