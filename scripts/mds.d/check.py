"""Whether relying parties take roamkey's metadata for what it says.

Keys of a vault register at python-fido2's server, which looks them up in the
BLOB; the same registrations then go to @simplewebauthn/server.
"""

import base64
import json
import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificate
from fido2.attestation import InvalidSignature, UntrustedAttestation
from fido2.client import DefaultClientDataCollector, Fido2Client, UserInteraction
from fido2.mds3 import AuthenticatorStatus, MdsAttestationVerifier, parse_blob
from fido2.server import Fido2Server
from fido2.webauthn import Aaguid, AttestationConveyancePreference, UserVerificationRequirement

from usbip import attach

HERE = Path(__file__).parent
RP_ID, ORIGIN = "example.com", "https://example.com"
ENTERPRISE = "78d59ee3-1b33-429c-ab4f-989852b02598"
STRANGER = "00000000-0000-4000-8000-0000000000ff"
# Each key of the vault: its name, and its profile.
KEYS = (
    ("work", "enterprise"),
    ("stranger", "stranger.toml"),
    ("old", "u2f-only"),
    ("plain", "default"),
)


def require(holds, what):
    if not holds:
        sys.exit(f"mds: {what}")


class Vault:
    """A home with a vault in it, and what the command says there."""

    def __init__(self, binary, home):
        self.binary = binary
        self.home = home
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "XDG_RUNTIME_DIR": str(home),
        }

    def command(self, *args):
        return [self.binary, *args]

    def run(self, *args):
        done = subprocess.run(
            self.command(*args),
            env=self.environment,
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=60,
        )
        require(done.returncode == 0, f"roamkey {' '.join(args)}: {done.stderr}")
        return done.stdout

    def export(self, name, *args):
        """The BLOB that is written to this file."""
        document = self.run(
            "attestation", "export", "--mds", name, "--format", "json", *args
        )
        require(json.loads(document)["mds_file"] == name, f"the document {document}")
        return (self.home / name).read_bytes().strip()

    def root(self):
        """The root certificate that was exported, DER."""
        pem = (self.home / "root.pem").read_bytes()
        return load_pem_x509_certificate(pem).public_bytes(Encoding.DER)

    def serve(self):
        """The keys run until the process is ended; the ready event."""
        run = "run --touch auto --any-site --listen 127.0.0.1:0 --format json".split()
        process = subprocess.Popen(
            self.command(*run),
            env=self.environment,
            cwd=self.home,
            stdout=subprocess.PIPE,
            text=True,
        )
        ready = json.loads(process.stdout.readline() or "null")
        require(ready and ready["event"] == "ready", f"roamkey said {ready}")
        return process, ready


def site(verifier=None):
    """A relying party that wants attestation, without which it would verify none."""
    direct = AttestationConveyancePreference.DIRECT
    rp = {"id": RP_ID, "name": "Example"}
    return Fido2Server(rp, attestation=direct, verify_attestation=verifier)


class Registration:
    """What a key made for a site that wants to know what it is."""

    def __init__(self, address, bus_id):
        server = site()
        # No PIN is set, so nobody can be verified.
        options, self.state = server.register_begin(
            {"id": b"user", "name": "user"},
            user_verification=UserVerificationRequirement.DISCOURAGED,
        )
        collector = DefaultClientDataCollector(ORIGIN)
        device = attach(address, bus_id)
        client = Fido2Client(device, collector, UserInteraction())
        self.made = client.make_credential(options.public_key)
        device.close()

    def verify(self, blob, **filters):
        """python-fido2's verdict: the entry that vouches for the key."""
        verifier = MdsAttestationVerifier(blob, **filters)
        site(verifier).register_complete(self.state, self.made)
        attestation = self.made.response.attestation_object
        client_data = self.made.response.client_data
        return verifier.find_entry(attestation, sha256(client_data).digest())

    def refused(self, blob, **filters):
        try:
            self.verify(blob, **filters)
        except UntrustedAttestation:
            return True
        return False

    def to_json(self):
        return {"challenge": self.state["challenge"], "response": dict(self.made)}


def parsed(blob, root):
    """The BLOB, whose signature leads to the root, and one that does not is none."""
    payload = parse_blob(blob, root)
    head, body, signature = blob.split(b".")
    other = bytearray(base64.urlsafe_b64decode(signature + b"=="))
    other[0] ^= 1
    forged = b".".join((head, body, base64.urlsafe_b64encode(other).rstrip(b"=")))
    try:
        parse_blob(forged, root)
    except Exception:
        return payload
    sys.exit("mds: python-fido2 took a forged BLOB")


def check_fido2(made, blobs, root):
    """python-fido2, with the filters that it has by itself."""
    good, revoked, compromised = (
        parsed(blobs[name], root) for name in ("good", "revoked", "compromised")
    )
    work, stranger = made["work"], made["stranger"]
    entry = work.verify(good)
    require(entry and entry.aaguid == Aaguid.parse(ENTERPRISE), f"the entry {entry}")
    statement = entry.metadata_statement
    require(statement.attestation_root_certificates == [root], "another root")
    print("mds: python-fido2 accepts the enterprise's registration")
    require(stranger.refused(good), "python-fido2 took an unknown AAGUID")
    require(work.refused(revoked), "python-fido2 took a revoked model")
    require(work.verify(revoked, entry_filter=None), "revoked is not all that is wrong")
    require(work.refused(compromised), "python-fido2 took a compromised key")
    require(work.verify(compromised, attestation_filter=None), "another refusal")
    print("mds: python-fido2 refuses it revoked, compromised, and unknown")

    everything = parsed(blobs["everything"], root)
    known = {str(entry.aaguid) for entry in everything.entries if entry.aaguid}
    require({ENTERPRISE, STRANGER} < known and len(known) == 3, f"AAGUIDs {known}")
    entry = stranger.verify(everything)
    require(entry.aaguid == Aaguid.parse(STRANGER), f"the entry {entry}")
    entry = made["old"].verify(everything)
    require(entry.metadata_statement.protocol_family == "u2f", f"the entry {entry}")
    require(made["old"].refused(good), "python-fido2 took an unknown U2F key")
    print("mds: python-fido2 accepts every attested key once they are in the BLOB")
    # What a BLOB says survives python-fido2's types.
    require(
        [report.status for report in parsed(blobs["history"], root).entries[0].status_reports]
        == [AuthenticatorStatus.FIDO_CERTIFIED_L1, AuthenticatorStatus.UPDATE_AVAILABLE],
        "another history",
    )


def check_other_authority(vault, made):
    """Another vault's BLOB has the same AAGUID and another root."""
    other = vault.home / "other"
    other.mkdir()
    other = Vault(vault.binary, other)
    other.run("vault", "init")
    blob = other.export("good.jwt", "--profile", "enterprise", "--root", "root.pem")
    payload = parse_blob(blob, other.root())
    require(made["work"].refused(payload), "python-fido2 took another vault's root")
    try:
        parse_blob(blob, vault.root())
    except InvalidSignature:
        return
    sys.exit("mds: python-fido2 took a BLOB under another root")


def main(binary, libraries, work):
    vault = Vault(str(Path(binary).resolve()), Path(work))
    profile = f'aaguid = "{STRANGER}"\nattestation = "batch"\n'
    (vault.home / "stranger.toml").write_text(profile)
    vault.run("vault", "init")
    for name, profile in KEYS:
        vault.run("key", "add", name, "--profile", profile)
    process, ready = vault.serve()
    try:
        host, port = ready["listen"].rsplit(":", 1)
        made = {}
        for name, key in zip((name for name, _ in KEYS), ready["keys"], strict=True):
            made[name] = Registration((host, int(port)), key["busid"])
        # The process has the vault, so it is asked.
        only = ("--profile", "enterprise")
        blobs = {
            "good": vault.export("good.jwt", *only, "--root", "root.pem"),
            "revoked": vault.export("revoked.jwt", *only, "--status", "REVOKED"),
            "compromised": vault.export(
                "compromised.jwt", *only, "--status", "ATTESTATION_KEY_COMPROMISE"
            ),
            "bypass": vault.export("bypass.jwt", *only, "--status", "USER_VERIFICATION_BYPASS"),
            "history": vault.export(
                "history.jwt",
                *only,
                *("--status", "FIDO_CERTIFIED_L1", "--status", "UPDATE_AVAILABLE"),
            ),
            "everything": vault.export("everything.jwt"),
        }
    finally:
        process.terminate()
        process.wait(20)
    check_fido2(made, blobs, vault.root())
    check_other_authority(vault, made)

    registrations = {name: one.to_json() for name, one in made.items()}
    (vault.home / "registrations.json").write_text(json.dumps(registrations))
    # Both write to the same stdout.
    sys.stdout.flush()
    node = Path(libraries) / "venv/bin/node"
    done = subprocess.run([node, HERE / "relying_party.mjs", libraries, work], timeout=60)
    require(done.returncode == 0, "@simplewebauthn/server: see above")


main(*sys.argv[1:])
