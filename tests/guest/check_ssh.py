"""OpenSSH's security key support, through its own libfido2 middleware."""

import tempfile
from pathlib import Path

from harness import check, require, run


@check("ssh-keygen -t ecdsa-sk, sign, verify")
def ssh_keygen(_key):
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        private, message, signers = here / "id", here / "message", here / "signers"
        run("ssh-keygen", "-q", "-t", "ecdsa-sk", "-N", "", "-C", "tester", "-f", private)
        public = (here / "id.pub").read_text()
        require(public.startswith("sk-ecdsa-sha2-nistp256@openssh.com "), "not an sk key", public)
        signers.write_text(f"tester {public}")

        message.write_text("signed with a touch\n")
        run("ssh-keygen", "-Y", "sign", "-f", private, "-n", "file", message)
        verify = ["ssh-keygen", "-Y", "verify", "-f", signers, "-I", "tester", "-n", "file"]
        verify += ["-s", here / "message.sig"]
        run(*verify, text=message.read_text())
        run(*verify, text="signed by nobody\n", expect=1)
