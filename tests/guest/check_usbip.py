"""The kernel's and the usbip tool's view of the keys."""

import re

from fido2 import hid
from fido2.ctap import CtapError

from fido import VERSIONS, get, make
from harness import check, equal, require, run, status
from machine import HOST, attach, detach, ports_in_use, replug, tcp_port


@check("usbip list", keys=())
def usbip_list():
    said = run("usbip", "--tcp-port", tcp_port("auto"), "list", "-r", HOST)
    equal(re.findall(r"^\s+(1-\d+): ", said, re.MULTILINE), ["1-1", "1-2"], "bus ids in the list")
    equal(said.count("(1209:0001)"), 2, "how often 1209:0001 is in the list")


@check("usbip attach", keys=())
def usbip_attach():
    key = attach("auto/1-1")
    equal((key.sysfs / "idVendor").read_text().strip(), "1209", "idVendor")
    equal((key.sysfs / "idProduct").read_text().strip(), "0001", "idProduct")
    equal((key.sysfs / "speed").read_text().strip(), "12", "speed in Mbit/s")
    require(key.serial, "the key has no serial number")
    said = run("usbip", "port")
    require(f"Port {key.port:02}:" in said, f"usbip port does not show port {key.port:02}", said)
    detach(key)


@check("udev gives the hidraw node to the user")
def udev_tags(key):
    said = run("udevadm", "info", "--query=property", f"--name={key.node}").splitlines()
    require("ID_FIDO_TOKEN=1" in said, "udev has no ID_FIDO_TOKEN=1", "\n".join(said))
    require("ID_SECURITY_TOKEN=1" in said, "udev has no ID_SECURITY_TOKEN=1", "\n".join(said))
    tags = next((line for line in said if line.startswith("TAGS=")), "")
    require(":uaccess:" in tags, "udev does not tag the node uaccess", "\n".join(said))


@check("open and close 50 times")
def open_and_close(key):
    for _ in range(50):
        with key.ctap2() as ctap2:
            equal(ctap2.info.versions, VERSIONS, "versions")


@check("detach and attach 10 times", limit_s=120)
def detach_and_attach(key):
    with key.ctap2() as ctap2:
        credential = make(ctap2, "replug.example")
    serial = key.serial
    for _ in range(10):
        replug(key)
        equal(key.serial, serial, "serial number after a replug")
        with key.ctap2() as ctap2:
            get(ctap2, "replug.example", [credential], allow=[credential])


@check("a key in use cannot be attached twice", keys=["auto/1-1"])
def in_use(key):
    before = ports_in_use()
    run("usbip", "--tcp-port", tcp_port("auto"), "attach", "-r", HOST, "-b", "1-1", expect=1)
    equal(ports_in_use(), before, "ports in use")
    with key.open() as device:
        equal(device.ping(b"still here"), b"still here", "PING")


@check("two keys at once", keys=["auto/1-1", "auto/1-2"])
def two_keys(first, second):
    found = {descriptor.serial_number: descriptor.path for descriptor in hid.list_descriptors()}
    equal(found, {first.serial: first.node, second.serial: second.node}, "keys that are listed")
    with first.ctap2() as one, second.ctap2() as two:
        ours = make(one, "two.example", b"one")
        theirs = make(two, "two.example", b"two")
        get(one, "two.example", [ours], allow=[ours, theirs])
        get(two, "two.example", [theirs], allow=[ours, theirs])
        with status(CtapError.ERR.NO_CREDENTIALS, "the second key's credential on the first key"):
            get(one, "two.example", [], allow=[theirs])
        with status(CtapError.ERR.NO_CREDENTIALS, "the first key's credential on the second key"):
            get(two, "two.example", [], allow=[ours])
