"""Headless Chromium on a page at http://localhost, judged by PyPI's webauthn.

Under emulation the browser takes minutes to start, so `warm_up` starts it
behind the other checks. The page asks this process for what to do; a key is
only touched by it when it has been told to.
"""

import json
import os
import queue
import subprocess
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import webauthn
from fido2.server import Fido2Server
from fido2.utils import websafe_encode
from fido2.webauthn import PublicKeyCredentialRpEntity
from webauthn.helpers import structs

from harness import Failure, check, equal, require

RP_ID = "localhost"
PAGE = Path(__file__).parent / "page"
START_LIMIT_S = 300
CALL_LIMIT_S = 60


class Browser:
    """A Chromium with one page, and the server of that page."""

    def __init__(self):
        self.tasks, self.results = queue.Queue(), queue.Queue()
        self.ready = threading.Event()
        self.log = Path(tempfile.mkdtemp()) / "chromium.log"
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.origin = f"http://{RP_ID}:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        with self.log.open("wb") as log:
            # Nice, since the checks that run meanwhile are the ones being timed.
            self.process = subprocess.Popen(  # pylint: disable=consider-using-with
                ["nice", "chromium", "--headless", "--no-sandbox", "--disable-gpu"]
                + ["--disable-quic", "--no-first-run", "--disable-background-networking"]
                + ["--disable-component-update", "--disable-sync", "--disable-extensions"]
                # What it sends to keys and hears from them, for _log_end.
                + ["--enable-logging=stderr", "--vmodule=device_event_log*=1"]
                + [f"--user-data-dir={self.log.parent}/profile", f"{self.origin}/"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _handler(self):
        browser = self

        class Handler(BaseHTTPRequestHandler):
            """Gives the page, then tasks; takes results."""

            def do_GET(self):  # pylint: disable=invalid-name
                if self.path == "/task":
                    browser.ready.set()
                    try:
                        task = browser.tasks.get(timeout=5)
                    except queue.Empty:
                        task = None
                    self.answer("application/json", json.dumps(task).encode())
                elif self.path in ("/", "/page.js"):
                    name = "index.html" if self.path == "/" else "page.js"
                    kind = "text/html" if self.path == "/" else "text/javascript"
                    self.answer(kind, (PAGE / name).read_bytes())
                else:
                    self.send_error(404)

            def do_POST(self):  # pylint: disable=invalid-name
                length = int(self.headers["Content-Length"])
                browser.results.put(json.loads(self.rfile.read(length)))
                self.answer("text/plain", b"thanks")

            def answer(self, kind, body):
                """One whole answer."""
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_arguments):  # pylint: disable=arguments-differ
                """Says nothing."""

        return Handler

    def _log_end(self):
        lines = self.log.read_text(errors="replace").splitlines()
        # It complains at length that there is no D-Bus.
        lines = [line.split("] ", 2)[-1][:300] for line in lines if "dbus/" not in line]
        return "\n".join(lines[-15:])

    def call(self, action, options):
        """Has the page call navigator.credentials; returns the credential's JSON."""
        if not self.ready.wait(START_LIMIT_S):
            raise Failure(f"Chromium did not load the page in {START_LIMIT_S} s", self._log_end())
        self.tasks.put({"action": action, "options": options})
        try:
            result = self.results.get(timeout=CALL_LIMIT_S)
        except queue.Empty as error:
            why = f"navigator.credentials.{action} has no answer after {CALL_LIMIT_S} s"
            raise Failure(why, self._log_end()) from error
        if "error" in result:
            raise Failure(f"navigator.credentials.{action}: {result['error']}", self._log_end())
        return result["credential"]


_browser = None


def warm_up():
    """Starts the browser, long before it is needed."""
    global _browser  # pylint: disable=global-statement
    _browser = Browser()


@check("chromium: create and get", limit_s=480)
def plain(_key):
    create_and_get(
        structs.ResidentKeyRequirement.DISCOURAGED,
        structs.UserVerificationRequirement.DISCOURAGED,
    )


@check("chromium: create and get, UV preferred", limit_s=480)
def uv_preferred(_key):
    create_and_get(
        structs.ResidentKeyRequirement.DISCOURAGED,
        structs.UserVerificationRequirement.PREFERRED,
    )


# Discoverable credentials wait for the PIN. Chromium insists on user
# verification for them (residentKey required, or preferred with a key that
# says rk; get without allowCredentials), and to a key with neither PIN nor UV
# it shows a dialog that nobody can click here.


def create_and_get(resident_key, user_verification):
    """Both ceremonies, each judged by `webauthn` and by fido2.server."""
    options = webauthn.generate_registration_options(
        rp_id=RP_ID,
        rp_name="Checks",
        user_name="tester",
        user_id=os.urandom(16),
        attestation=structs.AttestationConveyancePreference.NONE,
        authenticator_selection=structs.AuthenticatorSelectionCriteria(
            authenticator_attachment=structs.AuthenticatorAttachment.CROSS_PLATFORM,
            resident_key=resident_key,
            user_verification=user_verification,
        ),
    )
    made = _browser.call("create", json.loads(webauthn.options_to_json(options)))
    registration = webauthn.verify_registration_response(
        credential=made,
        expected_challenge=options.challenge,
        expected_rp_id=RP_ID,
        expected_origin=_browser.origin,
    )
    second = SecondOpinion(_browser.origin)
    second.registered(options.challenge, made)

    options = webauthn.generate_authentication_options(
        rp_id=RP_ID,
        allow_credentials=[structs.PublicKeyCredentialDescriptor(id=registration.credential_id)],
        user_verification=user_verification,
    )
    answer = _browser.call("get", json.loads(webauthn.options_to_json(options)))
    authentication = webauthn.verify_authentication_response(
        credential=answer,
        expected_challenge=options.challenge,
        expected_rp_id=RP_ID,
        expected_origin=_browser.origin,
        credential_public_key=registration.credential_public_key,
        credential_current_sign_count=registration.sign_count,
    )
    equal(authentication.credential_id, registration.credential_id, "credential id")
    require(authentication.new_sign_count > registration.sign_count, "the counter did not rise")
    second.authenticated(options.challenge, answer)


class SecondOpinion:
    """python-fido2's relying party, on the same answers."""

    def __init__(self, origin):
        self.server = Fido2Server(
            PublicKeyCredentialRpEntity(id=RP_ID, name="Checks"),
            verify_origin=lambda seen: seen == origin,
        )
        self.credential = None

    @staticmethod
    def _state(challenge):
        return {"challenge": websafe_encode(challenge), "user_verification": None}

    def registered(self, challenge, response):
        """Judges the answer to create."""
        data = self.server.register_complete(self._state(challenge), response)
        self.credential = data.credential_data

    def authenticated(self, challenge, response):
        """Judges the answer to get."""
        self.server.authenticate_complete(self._state(challenge), [self.credential], response)
