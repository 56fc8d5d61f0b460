"""`roamkey exec`: a command that has keys of its own, here, while it runs.

The commands are scripts of python-fido2, as a test suite would have them.
"""

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

from harness import Failure, check, equal, require, run
from inside import HOMES, Server, install
from machine import SHARED, ports_in_use, servers_used, wait_until

NAME = "inside-exec"
RP_ID = "exec.example"
# Registers with each key that python-fido2 finds, and tells their nodes and serials.
REGISTER = """
import json, os, sys
from fido2.ctap import CtapError
from fido2.ctap2 import Ctap2
from fido2.hid import CtapHidDevice, list_descriptors

def register(device, rp_id):
    ctap2 = Ctap2(device)
    try:
        ctap2.make_credential(
            os.urandom(32), {"id": rp_id, "name": rp_id}, {"id": b"u", "name": "u"},
            [{"type": "public-key", "alg": -7}],
        )
        return "SUCCESS"
    except CtapError as error:
        return error.code.name

devices = list(CtapHidDevice.list_devices())
told = {
    "found": sorted(str(device.descriptor.path) for device in devices),
    "serials": [device.serial_number for device in devices],
    "keys": json.loads(os.environ["ROAMKEY_KEYS"]),
    "user": os.getuid(),
    "done": [[register(device, rp_id) for rp_id in sys.argv[1:]] for device in devices],
}
print(json.dumps(told))
"""
# Lists the nodes that it can open, and holds its key until it is told to end.
SLEEP = "import os, time; print(os.environ['ROAMKEY_KEYS'], flush=True); time.sleep(600)"


def arguments(options, *command):
    """The words of a `roamkey exec`."""
    return [str(install()), "exec", *options.split(), "--", *(str(word) for word in command)]


def home():
    """What processes here are told of their home."""
    servers_used.add(NAME)
    path = HOMES / NAME
    path.mkdir(parents=True, exist_ok=True)
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(sys.path),
        **{place: str(path) for place in ("HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR")},
    }


def executed(options, *command, expect=0):
    """Runs one to its end; what the command said, and the last line."""
    done = subprocess.run(
        arguments(options, *command),
        env=home(),
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    with (SHARED / "servers" / f"{NAME}.log").open("a") as log:
        log.write(done.stderr)
    if done.returncode != expect:
        raise Failure(f"status {done.returncode}: roamkey exec {options}", done.stderr)
    return done.stdout, done.stderr.strip().splitlines()[-1]


def registered(options, *rp_ids):
    """Runs the script that registers; what it told, and the last line."""
    said, line = executed(options, sys.executable, "-c", REGISTER, *rp_ids)
    return json.loads(said), line


def nodes():
    """The hidraw nodes of this guest."""
    return sorted(str(node) for node in Path("/dev").glob("hidraw*"))


def nothing_left():
    """Waits until no key is here."""
    wait_until(lambda: not ports_in_use() and not nodes(), "no key is left")


@contextmanager
def begun(options, script=SLEEP):
    """One that runs, and the keys that its command has."""
    process = subprocess.Popen(  # pylint: disable=consider-using-with
        arguments(options, sys.executable, "-c", script),
        env=home(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process, json.loads(process.stdout.readline())
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def sleepers():
    """The commands that run."""
    found = []
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = line.read_bytes().split(b"\0")
        except OSError:
            # It ended meanwhile.
            continue
        if SLEEP.encode() in words and b"exec" not in words:
            found.append(line.parent.name)
    return found


# The last decorator registers first.
@check("exec: uhid", keys=(), backend="uhid")
@check("exec: usbip", keys=(), backend="usbip")
def command(backend):
    file = HOMES / "exec-report.json"
    options = f"--backend {backend} --require-backend {backend} --report {file}"
    told, line = registered(options, RP_ID)
    [key] = told["keys"]
    equal(told["found"], [key["hidraw"]], "nodes that python-fido2 found")
    equal(told["serials"], [key["serial"]], "their serials")
    equal(told["done"], [["SUCCESS"]], "what became of the registration")
    report = json.loads(file.read_text())
    count = report["operations"]
    equal(line, f"roamkey: {backend}, 1 key, {count} operations", "the last line")
    equal((report["backend"], report["status"], report["contacted"]), (backend, 0, True), "report")
    made = [event for event in report["events"] if event["event"] == "finished"]
    equal(len(made), count, "operations in the report")
    last = [event for event in made if event["command"] == "make-credential"]
    equal([(event["rp_id"], event["status"]) for event in last], [(RP_ID, "CTAP2_OK")], "the last")
    require(any(event["event"] == "touch" for event in report["events"]), "no touch is reported")
    equal(report["keys"][0]["contact"], "used", "contact")
    nothing_left()
    _, line = executed(f"--backend {backend} --report {file}", "sh", "-c", "exit 5", expect=5)
    equal(line, f"roamkey: {backend}, 1 key, no program ever contacted it", "the last line")
    report = json.loads(file.read_text())
    equal((report["status"], report["contacted"]), (5, False), "report of a run without contact")
    require("No browser has contacted" in report["keys"][0]["contact_text"], "the text of contact")
    nothing_left()


@check("exec: auto takes usbip, and two keys differ", keys=())
def two_keys():
    told, line = registered("--key default --key fido-2.0", RP_ID)
    equal([key["name"] for key in told["keys"]], ["default", "fido-2.0"], "names")
    equal(told["found"], sorted(key["hidraw"] for key in told["keys"]), "nodes that it found")
    equal(told["done"], [["SUCCESS"], ["SUCCESS"]], "registrations")
    require(line.startswith("roamkey: usbip, 2 keys (default, fido-2.0), "), line)
    nothing_left()


@check("exec: killed, it leaves no key and no command", keys=())
def killed():
    for backend in ("usbip", "uhid"):
        with begun(f"--backend {backend}") as (process, [key]):
            equal(nodes(), [key["hidraw"]], "nodes while it runs")
            equal(len(sleepers()), 1, "commands")
            process.kill()
            process.wait()
            wait_until(lambda: not sleepers(), "the command died, too")
            nothing_left()
    told, _ = registered("--backend usbip", RP_ID)
    equal(told["done"], [["SUCCESS"]], "the next one's registration")
    left = list((HOMES / NAME / "roamkey").iterdir())
    equal(left, [], "what is left of the dead ones")


@check("exec: SIGTERM ends the command and takes the key away", keys=())
def terminated():
    file = HOMES / "exec-term.json"
    with begun(f"--backend usbip --report {file}") as (process, _):
        process.send_signal(signal.SIGTERM)
        equal(process.wait(20), 128 + signal.SIGTERM, "status")
    equal(sleepers(), [], "commands")
    equal(json.loads(file.read_text())["status"], 128 + signal.SIGTERM, "status in the report")
    nothing_left()


@check("detach --all takes every key off this machine", keys=())
def detach_all():
    with Server("detach", "--attach --ephemeral --touch auto --keys 2") as server:
        with begun("--backend uhid") as (_, [key]):
            with begun("--backend usbip"):
                equal(len(ports_in_use()), 3, "ports in use")
                require(key["hidraw"] in nodes(), "the key of uhid is not there")
                # Those of the server are in another home: root frees their ports.
                done = subprocess.run(
                    [install(), "detach", "--all", "--stale", "--format", "json"],
                    env=home(), capture_output=True, text=True, check=True, timeout=20,
                )
                equal(json.loads(done.stdout)["ports"], 0, "stale ports")
                equal(len(ports_in_use()), 3, "ports in use after --stale")
                run(install(), "detach", "--all", env=home())
                nothing_left()
        wait_until(lambda: server.ask("GET", "keys/1-2")["host"] is None, "the server's is free")


@check("exec: four workers at once, each with its own key alone", keys=(), limit_s=120)
def workers():
    numbers = range(1, 5)
    started = []
    for number in numbers:
        options = f"--private --backend usbip --rp worker{number}.example"
        rp_ids = [f"worker{number}.example", f"worker{number % 4 + 1}.example"]
        started.append(
            subprocess.Popen(  # pylint: disable=consider-using-with
                arguments(options, sys.executable, "-c", REGISTER, *rp_ids),
                env=home(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    seen = set()
    for number, process in zip(numbers, started):
        said, why = process.communicate(timeout=100)
        if process.returncode:
            raise Failure(f"worker {number} ended with {process.returncode}", why)
        told = json.loads(said)
        [key] = told["keys"]
        equal(told["found"], [key["hidraw"]], f"nodes that worker {number} found")
        equal(told["serials"], [key["serial"]], f"serials that worker {number} found")
        equal(told["done"], [["SUCCESS", "OPERATION_DENIED"]], f"worker {number}'s registrations")
        seen.add(key["serial"])
    equal(len(seen), 4, "serials in all")
    nothing_left()


@check("exec: a private command can open no other key and no way to one", keys=())
def private():
    with begun("--backend usbip") as (_, [other]):
        script = "import json, os; print(json.dumps(sorted(os.listdir('/dev'))))"
        options = "--private --backend uhid --spare 1"
        said, line = executed(options, sys.executable, "-c", script)
        inside = json.loads(said)
        equal(len([name for name in inside if name.startswith("hidraw")]), 1, "its nodes")
        require(Path(other["hidraw"]).name not in inside, "the other's key is there")
        for name in ("uhid", "bus", "vda", "mem"):
            require(name not in inside, f"/dev/{name} is there")
        require("2 keys (default, spare-1)" in line, line)
        equal(nodes(), [other["hidraw"]], "nodes of this guest afterwards")
    # A pty works, and so does what a browser needs.
    script = "import os; a, b = os.openpty(); os.write(b, b'x'); print(os.read(a, 1), os.ttyname(b))"
    said, _ = executed("--private --backend uhid", sys.executable, "-c", script)
    require(said.startswith("b'x' /dev/pts/"), said)
    nothing_left()


@check("exec: --user has the key, and no other user does", keys=())
def as_user():
    for user, private_too in ((1001, ""), (4711, "--private")):
        told, _ = registered(f"--user {user} {private_too} --backend usbip", RP_ID)
        equal(told["user"], user, "user")
        equal(told["done"], [["SUCCESS"]], "what became of the registration")
        script = (
            "import json, os; [key] = json.loads(os.environ['ROAMKEY_KEYS']);"
            "found = os.stat(key['hidraw']); print(found.st_uid, oct(found.st_mode & 0o777))"
        )
        said, _ = executed(f"--user {user} {private_too}", sys.executable, "-c", script)
        equal(said.split(), [str(user), "0o600"], "the node's owner and mode")
    nothing_left()
