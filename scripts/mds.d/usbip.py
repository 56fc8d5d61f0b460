"""A host without a kernel: python-fido2 speaks to a key over USB/IP.

Only what a CTAPHID device needs: OP_REQ_IMPORT, one control transfer, and the
two interrupt endpoints (Documentation/usb/usbip_protocol.rst of Linux).
"""

import socket
import struct

from fido2.hid import CtapHidDevice
from fido2.hid.base import CtapHidConnection, HidDescriptor

VERSION, OP_REQ_IMPORT = 0x0111, 0x8003
CMD_SUBMIT, RET_SUBMIT = 1, 3
OUT, IN = 0, 1
ENDPOINT = 1
REPORT = 64
# SET_CONFIGURATION of the first, after which a key answers.
SET_CONFIGURATION = bytes([0x00, 9, 1, 0, 0, 0, 0, 0])
PATIENCE_S = 20


class Connection(CtapHidConnection):
    """The interrupt endpoints of an imported device."""

    def __init__(self, address, bus_id):
        self._socket = socket.create_connection(address, PATIENCE_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sequence = 0
        head = struct.pack(">HHI", VERSION, OP_REQ_IMPORT, 0)
        self._socket.sendall(head + bus_id.encode().ljust(32, b"\0"))
        _, _, status = struct.unpack(">HHI", self._read(8))
        if status:
            raise OSError(f"the import of {bus_id} is refused: {status}")
        record = self._read(312)
        bus, device = struct.unpack_from(">II", record, 288)
        self._device = bus << 16 | device
        self._submit(OUT, 0, b"", setup=SET_CONFIGURATION)

    def _read(self, length):
        data = b""
        while len(data) < length:
            part = self._socket.recv(length - len(data))
            if not part:
                raise OSError("the server ended the connection")
            data += part
        return data

    def _submit(self, direction, endpoint, data, length=0, setup=bytes(8)):
        """One transfer to its end; what came in."""
        self._sequence += 1
        head = struct.pack(
            ">5I", CMD_SUBMIT, self._sequence, self._device, direction, endpoint
        )
        # No flags, no isochronous packets; asked for at each frame.
        transfer = struct.pack(">IIIiI", 0, length or len(data), 0, 0, 1)
        self._socket.sendall(head + transfer + setup + data)
        reply = self._read(48)
        command, sequence = struct.unpack_from(">II", reply)
        status, actual = struct.unpack_from(">iI", reply, 20)
        if (command, sequence, status) != (RET_SUBMIT, self._sequence, 0):
            raise OSError(f"transfer {self._sequence} ended with {status}")
        return self._read(actual) if direction == IN else b""

    def write_packet(self, data):
        self._submit(OUT, ENDPOINT, bytes(data))

    def read_packet(self):
        return self._submit(IN, ENDPOINT, b"", length=REPORT)

    def close(self):
        self._socket.close()


def attach(address, bus_id):
    """The key of this bus id, as python-fido2 knows devices."""
    descriptor = HidDescriptor(bus_id, 0, 0, REPORT, REPORT, None, None)
    return CtapHidDevice(descriptor, Connection(address, bus_id))
