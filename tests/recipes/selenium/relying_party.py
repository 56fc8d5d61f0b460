"""A site with passkeys on http://localhost, judged by PyPI's webauthn.

Serves the page of ../site and four answers: /register/options,
/register/verify, /login/options and /login/verify. Everything is forgotten
with the process. It knows nothing of roamkey, WebDriver or Selenium.
"""

import base64
import json
import os
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import webauthn
from webauthn.helpers import base64url_to_bytes, structs
from webauthn.helpers.exceptions import WebAuthnException

RP_ID = "localhost"
SITE = Path(__file__).parent.parent / "site"
PAGES = {
    "/": ("index.html", "text/html"),
    "/page.js": ("page.js", "text/javascript"),
}
TIMEOUT_MS = 60_000


class Refused(Exception):
    """The site does not accept what the browser sent."""


@dataclass
class Account:
    """One user and the credential the site knows of."""

    user: str
    user_id: bytes
    credential_id: bytes = b""
    public_key: bytes = b""
    sign_count: int = 0


class RelyingParty:
    """The accounts, and what is verified."""

    def __init__(self):
        self.accounts = {}
        self.origin = None
        # The only ceremony that is under way: account, challenge, UV wanted.
        self._pending = None

    def know(self, user, credential_id, public_key, sign_count=0):
        """Makes an account as if it had registered once."""
        account = Account(user, os.urandom(16), credential_id, public_key, sign_count)
        self.accounts[user] = account
        return account

    def _begin(self, account, challenge, verification):
        required = verification == structs.UserVerificationRequirement.REQUIRED
        self._pending = (account, challenge, required)

    def _end(self):
        if self._pending is None:
            raise Refused("no ceremony is under way")
        pending, self._pending = self._pending, None
        return pending

    def register_options(self, wish):
        """PublicKeyCredentialCreationOptionsJSON."""
        account = Account(wish["user"], os.urandom(16))
        verification = structs.UserVerificationRequirement(wish["userVerification"])
        options = webauthn.generate_registration_options(
            rp_id=RP_ID,
            rp_name="Recipes",
            user_name=account.user,
            user_id=account.user_id,
            timeout=TIMEOUT_MS,
            authenticator_selection=structs.AuthenticatorSelectionCriteria(
                resident_key=structs.ResidentKeyRequirement(wish["residentKey"]),
                user_verification=verification,
            ),
        )
        self._begin(account, options.challenge, verification)
        return with_extensions(options, wish)

    def register_verify(self, credential):
        """Keeps the account if the answer is right."""
        account, challenge, verified = self._end()
        done = webauthn.verify_registration_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=RP_ID,
            expected_origin=self.origin,
            require_user_verification=verified,
        )
        account.credential_id = done.credential_id
        account.public_key = done.credential_public_key
        account.sign_count = done.sign_count
        self.accounts[account.user] = account
        return {
            "user": account.user,
            "signCount": done.sign_count,
            "userVerified": done.user_verified,
        }

    def login_options(self, wish):
        """PublicKeyCredentialRequestOptionsJSON."""
        account = self.accounts.get(wish["user"]) if wish.get("user") else None
        if wish.get("user") and account is None:
            raise Refused("nobody has this name")
        known = [structs.PublicKeyCredentialDescriptor(id=account.credential_id)] if account else []
        verification = structs.UserVerificationRequirement(wish["userVerification"])
        options = webauthn.generate_authentication_options(
            rp_id=RP_ID,
            timeout=TIMEOUT_MS,
            allow_credentials=known,
            user_verification=verification,
        )
        self._begin(account, options.challenge, verification)
        return with_extensions(options, wish)

    def login_verify(self, credential):
        """Tells who signed in, or raises."""
        account, challenge, verified = self._end()
        if account is None:
            account = self._account_of(credential)
        done = webauthn.verify_authentication_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=RP_ID,
            expected_origin=self.origin,
            credential_public_key=account.public_key,
            credential_current_sign_count=account.sign_count,
            require_user_verification=verified,
        )
        account.sign_count = done.new_sign_count
        return {
            "user": account.user,
            "signCount": done.new_sign_count,
            "userVerified": done.user_verified,
        }

    def _account_of(self, credential):
        handle = credential["response"].get("userHandle")
        for account in self.accounts.values():
            if handle and base64url_to_bytes(handle) == account.user_id:
                return account
        raise Refused("the user handle belongs to nobody")


def with_extensions(options, wish):
    """The options as JSON, with the extensions that the page asks for."""
    return json.loads(webauthn.options_to_json(options)) | {
        "extensions": wish.get("extensions", {})
    }


def start():
    """A relying party that serves on a free port of 127.0.0.1, and its server."""
    party = RelyingParty()
    answers = {
        "/register/options": party.register_options,
        "/register/verify": party.register_verify,
        "/login/options": party.login_options,
        "/login/verify": party.login_verify,
    }

    class Handler(BaseHTTPRequestHandler):
        """The page, and the four answers."""

        def do_GET(self):  # pylint: disable=invalid-name
            if self.path not in PAGES:
                self.send_error(404)
                return
            name, kind = PAGES[self.path]
            self._answer(200, kind, (SITE / name).read_bytes())

        def do_POST(self):  # pylint: disable=invalid-name
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            try:
                status, said = 200, answers[self.path](asked)
            except (WebAuthnException, Refused) as error:
                status, said = 400, {"error": type(error).__name__, "message": str(error)}
            self._answer(status, "application/json", json.dumps(said).encode())

        def _answer(self, status, kind, body):
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments):  # pylint: disable=arguments-differ
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    party.origin = f"http://{RP_ID}:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return party, server


def base64url(data):
    """Without padding, as in the browser's JSON."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
