"""Passkeys of a site, tested with Selenium's virtual authenticators. No line here knows roamkey.

Run it against any WebDriver:

    pip install -r requirements.txt
    chromedriver --port=9515 &
    pytest test_passkeys.py

Environment:
  WEBDRIVER_URL   the WebDriver          (http://127.0.0.1:9515)
  BROWSER         chrome or firefox      (chrome; firefox goes with geckodriver)
  BROWSER_BINARY  the browser's program  (what the driver finds)
  BROWSER_ARGS    more arguments for it  (a container run as root wants --no-sandbox)
  FIREFOX_PREFS   its prefs, as JSON     (FIREFOX_PREFS below: its own virtual authenticators)

Selenium's client refuses virtual authenticators with Firefox, though
geckodriver has them, so for Firefox the same commands go out by `execute`.
Firefox uses either its own virtual authenticators or keys on USB, never both:
its pref webauthn_enable_usbtoken says which, and wins.
"""

import json
import os
import time

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from selenium import webdriver
from selenium.webdriver.common.virtual_authenticator import (
    Credential,
    Protocol,
    Transport,
    VirtualAuthenticatorOptions,
)
from selenium.webdriver.remote.client_config import ClientConfig
from selenium.webdriver.remote.command import Command
from webauthn.helpers import encode_cbor

import relying_party
from relying_party import RP_ID, base64url

BROWSER = os.environ.get("BROWSER", "chrome")
URL = os.environ.get("WEBDRIVER_URL", "http://127.0.0.1:9515")
# An emulated machine takes its time, most of all to start a browser.
START_LIMIT_S = 300
SCRIPT_LIMIT_S = 120
FIREFOX_PREFS = """{
    "security.webauth.webauthn_enable_softtoken": true,
    "security.webauth.webauthn_enable_usbtoken": false
}"""


def browser_options():
    """A headless browser, as the environment wants it."""
    if BROWSER == "firefox":
        options = webdriver.FirefoxOptions()
        options.add_argument("-headless")
        for name, value in json.loads(os.environ.get("FIREFOX_PREFS", FIREFOX_PREFS)).items():
            options.set_preference(name, value)
    else:
        options = webdriver.ChromeOptions()
        for argument in ("--headless=new", "--disable-gpu", "--no-first-run"):
            options.add_argument(argument)
    for argument in os.environ.get("BROWSER_ARGS", "").split():
        options.add_argument(argument)
    if os.environ.get("BROWSER_BINARY"):
        options.binary_location = os.environ["BROWSER_BINARY"]
    return options


class Options(VirtualAuthenticatorOptions):
    """Selenium's options, with WebAuthn's list of extensions that it lacks."""

    def __init__(self, extensions=(), **options):
        super().__init__(**options)
        self.extensions = list(extensions)

    def to_dict(self):
        said = super().to_dict()
        return said | {"extensions": self.extensions} if self.extensions else said


class FirefoxAuthenticator:
    """Selenium's six functions, as they are for Chromium."""

    def __init__(self, driver, options):
        self.driver = driver
        self.id = driver.execute(Command.ADD_VIRTUAL_AUTHENTICATOR, options.to_dict())["value"]

    def _execute(self, command, **more):
        return self.driver.execute(command, {"authenticatorId": self.id, **more})["value"]

    def add_credential(self, credential):
        # Selenium pads base64url, which WebAuthn does not and Firefox refuses.
        said = credential.to_dict().items()
        unpadded = {name: v.rstrip("=") if isinstance(v, str) else v for name, v in said}
        self._execute(Command.ADD_CREDENTIAL, **unpadded)

    def get_credentials(self):
        return [Credential.from_dict(one) for one in self._execute(Command.GET_CREDENTIALS)]

    def remove_credential(self, credential_id):
        self._execute(Command.REMOVE_CREDENTIAL, credentialId=credential_id)

    def remove_all_credentials(self):
        self._execute(Command.REMOVE_ALL_CREDENTIALS)

    def set_user_verified(self, verified):
        self._execute(Command.SET_USER_VERIFIED, isUserVerified=verified)

    def remove_virtual_authenticator(self):
        self._execute(Command.REMOVE_VIRTUAL_AUTHENTICATOR)


@pytest.fixture(scope="module", name="driver")
def _driver():
    config = ClientConfig(remote_server_addr=URL, timeout=START_LIMIT_S)
    driver = webdriver.Remote(command_executor=URL, options=browser_options(), client_config=config)
    driver.set_script_timeout(SCRIPT_LIMIT_S)
    yield driver
    driver.quit()


@pytest.fixture(name="site")
def _site(driver):
    """A relying party without accounts, its page in the browser."""
    party, server = relying_party.start()
    driver.get(f"{party.origin}/")
    yield party
    server.shutdown()
    server.server_close()


@pytest.fixture(name="add_authenticator")
def _add_authenticator(driver, site):  # pylint: disable=unused-argument
    """Adds a virtual authenticator, which goes with the test."""
    added = []

    def add(**differing):
        options = {
            "protocol": Protocol.CTAP2,
            "transport": Transport.USB,
            "has_resident_key": True,
            "has_user_verification": True,
            "is_user_verified": True,
        }
        options = Options(**options | differing)
        if BROWSER == "firefox":
            added.append(FirefoxAuthenticator(driver, options))
        else:
            driver.add_virtual_authenticator(options)
            added.append(driver)
        return added[-1]

    yield add
    for authenticator in added:
        authenticator.remove_virtual_authenticator()


@pytest.fixture(name="authenticator")
def _authenticator(add_authenticator):
    return add_authenticator()


def call(driver, function, **wish):
    """What a function of the page resolves to."""
    done = driver.execute_async_script(
        "const [name, wish, done] = arguments;"
        "window[name](wish).then(done, (error) => done({ok: false, by: 'page', error: error.name,"
        " message: String(error)}));",
        function,
        wish,
    )
    print(f"{function}({wish}) -> {done}")
    return done


def register(driver, user, resident="required", verification="required", extensions=None):
    return call(
        driver,
        "register",
        user=user,
        residentKey=resident,
        userVerification=verification,
        extensions=extensions or {},
    )


def sign_in(driver, user=None, verification="required", extensions=None):
    return call(
        driver,
        "signIn",
        user=user,
        userVerification=verification,
        extensions=extensions or {},
    )


def accepted(done, what):
    assert done[
        "ok"
    ], f"{what}: the {done.get('by')} said {done.get('error')}: {done.get('message')}"
    return done


def refused(done, what, by, error):
    assert not done["ok"], f"{what} was accepted: {done}"
    said = f"{what}: refused, but not as expected by the {by} with {error}: {done}"
    assert (done["by"], done["error"]) == (by, error), said
    return done["message"]


def new_key():
    """A private key on P-256: as PKCS#8, and its public half as a COSE_Key."""
    private = ec.generate_private_key(ec.SECP256R1())
    pkcs8 = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    point = private.public_key().public_numbers()
    cose = {1: 2, 3: -7, -1: 1, -2: point.x.to_bytes(32, "big"), -3: point.y.to_bytes(32, "big")}
    return pkcs8, encode_cbor(cose)


def test_registration_is_verified_and_is_on_the_authenticator(driver, site, authenticator):
    done = accepted(register(driver, "alice"), "registration")
    assert done["userVerified"], "the authenticator did not say that it verified the user"
    held = authenticator.get_credentials()
    assert len(held) == 1, f"the authenticator holds {len(held)} credentials, not the one just made"
    assert held[0].id.rstrip("=") == base64url(site.accounts["alice"].credential_id)
    assert held[0].is_resident_credential, "a passkey was asked for, and is not discoverable"
    assert held[0].rp_id == RP_ID


def test_discoverable_login_finds_the_user(driver, authenticator):
    accepted(register(driver, "alice"), "registration")
    first = accepted(sign_in(driver), "sign-in without a user name")
    assert first["user"] == "alice"
    second = accepted(sign_in(driver), "second sign-in")
    assert second["signCount"] > first["signCount"], "the signature counter stands still"
    # Firefox's counts after it has signed, others before.
    held = authenticator.get_credentials()[0].sign_count
    assert held in (second["signCount"], second["signCount"] + 1), f"its counter is {held}"


def test_second_factor_needs_no_passkey_and_no_verification(driver, site, add_authenticator):
    add_authenticator(has_resident_key=False, has_user_verification=False, is_user_verified=False)
    done = accepted(register(driver, "bob", "discouraged", "discouraged"), "registration")
    assert not done["userVerified"], "the user was verified by what cannot verify"
    accepted(sign_in(driver, "bob", "discouraged"), "sign-in")
    assert site.accounts["bob"].credential_id


def test_prf_is_the_same_for_the_same_salt(driver, add_authenticator):
    add_authenticator(extensions=["prf"])
    salts = {name: base64url(name.encode() * 8) for name in ("salt", "mine")}
    made = accepted(register(driver, "alice", extensions={"prf": {}}), "registration")
    assert made["extensions"].get("prf", {}).get("enabled"), f"no PRF at registration: {made}"
    found = []
    for name in ("salt", "salt", "mine"):
        asked = {"prf": {"eval": {"first": salts[name]}}}
        done = sign_in(driver, "alice", extensions=asked)
        if BROWSER == "firefox" and "malformed" in done.get("message", ""):
            pytest.skip("Firefox's own virtual authenticator says it has PRF and answers nonsense")
        accepted(done, "sign-in with PRF")
        found.append(done["extensions"]["prf"]["results"]["first"])
    assert len(found[0]) == 43, f"32 bytes in base64url have 43 digits, this is {found[0]}"
    assert found[0] == found[1], "the same salt gives two outputs"
    assert found[0] != found[2], "two salts give one output"


def test_wrong_signature_is_refused_by_the_site(driver, site, authenticator):
    # The site knows another public key than the one that belongs to what signs.
    _, public = new_key()
    private, _ = new_key()
    site.know("carol", b"\x01\x02\x03\x04" * 8, public)
    account = site.accounts["carol"]
    authenticator.add_credential(
        Credential.create_resident_credential(
            account.credential_id, RP_ID, account.user_id, private, 1
        )
    )
    for user in ("carol", None):
        said = refused(
            sign_in(driver, user),
            "a signature of another key",
            "site",
            "InvalidAuthenticationResponse",
        )
        assert "signature" in said, f"the site refused for another reason: {said}"


def test_counter_that_goes_back_is_refused_by_the_site(driver, site, authenticator):
    private, public = new_key()
    account = site.know("dave", b"dave's credential 0123456789abcd", public, sign_count=10)

    def put_in(sign_count):
        authenticator.add_credential(
            Credential.create_resident_credential(
                account.credential_id, RP_ID, account.user_id, private, sign_count
            )
        )

    put_in(40)
    before = accepted(sign_in(driver), "sign-in while the counter rises")["signCount"]
    assert before >= 40, f"the counter of what was put in with 40 is {before}"
    authenticator.remove_credential(base64url(account.credential_id))
    # A clone of it, made earlier.
    put_in(20)
    said = refused(
        sign_in(driver), "a counter that went back", "site", "InvalidAuthenticationResponse"
    )
    assert "count" in said, f"the site refused for another reason: {said}"
    assert site.accounts["dave"].sign_count == before


def test_injected_credential_with_a_short_id_signs_in(driver, site, authenticator):
    private, public = new_key()
    site.know("erin", b"\x2a", public)
    authenticator.add_credential(
        Credential.create_non_resident_credential(b"\x2a", RP_ID, private, 7)
    )
    held = authenticator.get_credentials()
    assert [one.id.rstrip("=") for one in held] == [base64url(b"\x2a")]
    assert not held[0].is_resident_credential
    done = accepted(sign_in(driver, "erin"), "sign-in with what was put in")
    # A browser that probes first uses it more than once.
    assert done["signCount"] >= 7, f"7 was put in, and after a use it is {done['signCount']}"


def test_credentials_are_removed_by_one_and_all(driver, site, authenticator):
    for user in ("alice", "bob", "carol"):
        accepted(register(driver, user), f"registration of {user}")
    assert len(authenticator.get_credentials()) == 3
    bob = base64url(site.accounts["bob"].credential_id)
    authenticator.remove_credential(bob)
    left = {one.id.rstrip("=") for one in authenticator.get_credentials()}
    assert len(left) == 2 and bob not in left, f"bob's was removed, and left is {left}"
    authenticator.remove_all_credentials()
    assert authenticator.get_credentials() == []


def test_unverified_user_is_refused_by_the_browser(driver, authenticator):
    accepted(register(driver, "alice"), "registration")
    authenticator.set_user_verified(False)
    started = time.monotonic()
    refused(sign_in(driver, "alice"), "a user who is not verified", "browser", "NotAllowedError")
    print(f"refused after {time.monotonic() - started:.1f} s")
    authenticator.set_user_verified(True)
    accepted(sign_in(driver, "alice"), "sign-in of a user who is verified again")
