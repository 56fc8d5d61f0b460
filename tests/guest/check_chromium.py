"""Chromium on a page at http://localhost, judged by PyPI's webauthn.

The page asks this process for what to do; a key is only touched by it when it
has been told to. A browser is started by the first check that wants it: behind
others it would slow them beyond what they allow, and under emulation starve
itself. Headless it does all that needs no PIN.
"""

import functools
import json
import os
import queue
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import webauthn
from fido2.server import Fido2Server
from fido2.utils import websafe_decode, websafe_encode
from fido2.webauthn import PublicKeyCredentialRpEntity
from webauthn.helpers import structs

from desktop import PIN_STEP, Desktop
from fido import Credential
from harness import Failure, check, equal, require
from machine import kill_and_return
from pins import PIN, fresh, private

RP_ID = "localhost"
PAGE = Path(__file__).parent / "page"
START_LIMIT_S = 150
CALL_LIMIT_S = 60


class Browser:
    """A Chromium with one page, and the server of that page."""

    def __init__(self, headless):
        self.tasks, self.results = queue.Queue(), queue.Queue()
        self.ready = threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.origin = f"http://{RP_ID}:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.desktop = Desktop(f"{self.origin}/", headless)
        # Checks after a browser that never came fail at once.
        self.starts = 2

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

    def _wait_ready(self):
        """Waits for the page; a browser that hangs at its start gets a second one."""
        while not self.ready.wait(START_LIMIT_S if self.starts else 0):
            if not self.starts:
                why = f"Chromium did not load the page in {START_LIMIT_S} s, twice"
                raise Failure(why, self.desktop.evidence("chromium-start"))
            self.starts -= 1
            if self.starts:
                print(f"Chromium did not load the page in {START_LIMIT_S} s", flush=True)
                self.desktop.browse(f"{self.origin}/")

    def call(self, action, options):
        """Has the page call navigator.credentials; returns the credential's JSON."""
        self._wait_ready()
        self.desktop.begin()
        self.tasks.put({"action": action, "options": options})
        end = time.monotonic() + CALL_LIMIT_S
        while time.monotonic() < end:
            try:
                result = self.results.get(timeout=0.2)
                break
            except queue.Empty:
                self.desktop.serve()
        else:
            why = f"navigator.credentials.{action} has no answer after {CALL_LIMIT_S} s"
            raise Failure(why, self.desktop.evidence(f"chromium-{action}"))
        if "error" in result:
            why = f"navigator.credentials.{action}: {result['error']}"
            raise Failure(why, self.desktop.evidence(f"chromium-{action}"))
        return result["credential"]


@functools.lru_cache(maxsize=1)
def the_browser(headless):
    """The one that all checks of its kind use; two at once would starve each other."""
    for other in _started:
        other.desktop.end()
    _started.append(Browser(headless))
    return _started[-1]


_started = []


Resident, Verification = structs.ResidentKeyRequirement, structs.UserVerificationRequirement


@check("UHID: headless chromium: create and get", keys=["uhid/1-1"], limit_s=480)
@check("headless chromium: create and get", limit_s=480)
def plain(_key):
    browser = the_browser(headless=True)
    create_and_get(browser, Resident.DISCOURAGED, Verification.DISCOURAGED)


@check("headless chromium: create and get, UV preferred", limit_s=480)
def uv_preferred(_key):
    browser = the_browser(headless=True)
    create_and_get(browser, Resident.DISCOURAGED, Verification.PREFERRED)


@check("chromium: create and get with a PIN", keys=["pin/1-3"], limit_s=480)
def with_pin(key):
    fresh(key, PIN)
    browser = the_browser(headless=False)
    create_and_get(browser, Resident.DISCOURAGED, Verification.REQUIRED)


@check("chromium: a passkey, discoverable and with a PIN", keys=["pin/1-3"], limit_s=480)
def passkey(key):
    fresh(key, PIN)
    browser = the_browser(headless=False)
    create_and_get(browser, Resident.REQUIRED, Verification.REQUIRED)


@check("vault: chromium signs in with a passkey after SIGKILL", keys=["stored/1-3"], limit_s=480)
def stored_passkey(key):
    fresh(key, PIN)
    browser = the_browser(headless=False)
    between = functools.partial(kill_and_return, key)
    create_and_get(browser, Resident.REQUIRED, Verification.REQUIRED, between)


@check("headless chromium: a passkey with a finger", keys=["bio/1-5"], limit_s=480)
def finger(_key):
    browser = the_browser(headless=True)
    create_and_get(browser, Resident.REQUIRED, Verification.REQUIRED, has_pin=False)


def create_and_get(
    browser, resident_key, user_verification, between=lambda: None, has_pin=True
):
    """Both ceremonies, each judged by `webauthn` and by fido2.server."""
    verified = user_verification == Verification.REQUIRED
    asks = verified and has_pin
    user_id = os.urandom(16)
    options = webauthn.generate_registration_options(
        rp_id=RP_ID,
        rp_name="Checks",
        user_name="tester",
        user_id=user_id,
        attestation=structs.AttestationConveyancePreference.NONE,
        authenticator_selection=structs.AuthenticatorSelectionCriteria(
            authenticator_attachment=structs.AuthenticatorAttachment.CROSS_PLATFORM,
            resident_key=resident_key,
            user_verification=user_verification,
        ),
    )
    made = browser.call("create", json.loads(webauthn.options_to_json(options)))
    registration = webauthn.verify_registration_response(
        credential=made,
        expected_challenge=options.challenge,
        expected_rp_id=RP_ID,
        expected_origin=browser.origin,
        require_user_verification=verified,
    )
    second = SecondOpinion(browser.origin, user_verification)
    second.registered(options.challenge, made)
    equal(PIN_STEP in browser.desktop.steps(), asks, "whether create asked for the PIN")
    private(second.credential_of(user_id))
    between()

    # A passkey is found by the site's name alone.
    listed = [structs.PublicKeyCredentialDescriptor(id=registration.credential_id)]
    options = webauthn.generate_authentication_options(
        rp_id=RP_ID,
        allow_credentials=None if resident_key == Resident.REQUIRED else listed,
        user_verification=user_verification,
    )
    answer = browser.call("get", json.loads(webauthn.options_to_json(options)))
    authentication = webauthn.verify_authentication_response(
        credential=answer,
        expected_challenge=options.challenge,
        expected_rp_id=RP_ID,
        expected_origin=browser.origin,
        credential_public_key=registration.credential_public_key,
        credential_current_sign_count=registration.sign_count,
        require_user_verification=verified,
    )
    equal(authentication.credential_id, registration.credential_id, "credential id")
    require(authentication.new_sign_count > registration.sign_count, "the counter did not rise")
    second.authenticated(options.challenge, answer)
    equal(PIN_STEP in browser.desktop.steps(), asks, "whether get asked for the PIN")
    if resident_key == Resident.REQUIRED:
        handle = websafe_decode(answer["response"]["userHandle"])
        equal(handle, user_id, "user handle")


class SecondOpinion:
    """python-fido2's relying party, on the same answers."""

    def __init__(self, origin, user_verification):
        self.verification = user_verification.value
        self.server = Fido2Server(
            PublicKeyCredentialRpEntity(id=RP_ID, name="Checks"),
            verify_origin=lambda seen: seen == origin,
        )
        self.credential = None

    def _state(self, challenge):
        return {"challenge": websafe_encode(challenge), "user_verification": self.verification}

    def registered(self, challenge, response):
        """Judges the answer to create."""
        data = self.server.register_complete(self._state(challenge), response)
        self.credential = data.credential_data

    def credential_of(self, user_id):
        """What was registered, for a user."""
        return Credential(RP_ID, user_id, self.credential.credential_id, None, 0)

    def authenticated(self, challenge, response):
        """Judges the answer to get."""
        self.server.authenticate_complete(self._state(challenge), [self.credential], response)
