"""No PIN, token or private value in what any of the servers wrote.

In the vault of the server `stored`, also nothing of its accounts.
"""

from harness import check, require
from machine import ask_host
from pins import PRIVATE, SECRETS, secret


@check("no secret in the servers' logs and events", keys=())
def no_secret():
    require(SECRETS.exists() and SECRETS.stat().st_size, "no check noted a secret")
    # What --seed of the server `seeded` is: 32 bytes.
    secret("a seed", b"\x5a" * 32)
    said = ask_host("scan", "pin")
    print(f"scan for secrets: {said}", flush=True)


@check("vault: neither secrets nor accounts in its file", keys=())
def sealed():
    # Without them there would be nothing in the vault to find.
    require(PRIVATE.exists() and PRIVATE.stat().st_size, "no check noted an account")
    said = ask_host("scan-vault", "stored")
    print(f"scan of the vault: {said}", flush=True)
