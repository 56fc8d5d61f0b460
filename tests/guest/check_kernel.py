"""What the guest's kernel said about all of it."""

import re

from harness import check, require
from machine import kernel_log

# Lines of vhci_hcd and of the USB and HID layers about a peer that broke the
# protocol or a device that did not answer. What a detach or a killed server
# makes them say ("connection closed", "disconnect device") is not among them.
COMPLAINTS = re.compile(
    r"unknown seqnum|cannot find (a|the) urb|unknown pdu|received pdu size|unhandled|"
    r"device descriptor read|device not accepting|unable to (read|enumerate)|"
    r"config index|can't set config|can't read configurations|string descriptor|"
    r"usb_submit_urb|control queue full|timeout initializing|"
    r"invalid report|item fetching failed|parsing report|"
    r"BUG:|WARNING:|Oops|Call Trace|hung task"
)


@check("the guest's kernel has no complaint", keys=())
def kernel():
    lines = [line for line in kernel_log() if COMPLAINTS.search(line)]
    require(not lines, f"{len(lines)} complaints, the first: {lines[:1]}", "\n".join(lines))
