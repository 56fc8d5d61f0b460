"""The control plane of a run on a browser's own virtual authenticators, with a real browser.

Run by `roamkey exec --backend browser --webdriver …`: what a test makes through
the front is seen and changed by HTTP, and what no browser can do is refused.
"""

import json
import os
import subprocess
import urllib.error
import urllib.request

DRIVER = os.environ["WEBDRIVER_URL"]
CONTROL = os.environ["ROAMKEY_URL"]


def ask(method, url, body=None, **headers):
    """The status and the JSON of an answer."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers, method=method)
    if data is not None:
        request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def driver(method, path, body=None):
    """A command of WebDriver, which has to succeed."""
    status, answer = ask(method, f"{DRIVER}/session{path}", body)
    assert status == 200, (path, status, answer)
    return answer["value"]


def control(method, path, body=None, expect=200):
    """A request to the control plane."""
    token = os.environ["ROAMKEY_TOKEN"]
    status, answer = ask(method, f"{CONTROL}/{path}", body, Authorization=f"Bearer {token}")
    assert status == expect, (method, path, status, answer)
    return answer


def main():
    """One session from its beginning to its end."""
    assert os.environ["ROAMKEY_BACKEND"] == "browser"
    assert control("GET", "server")["backend"] == "browser"
    assert "test has a session" in control("POST", "keys", {}, expect=409)["detail"]

    arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"]
    options = {"goog:chromeOptions": {"args": arguments}}
    session = driver("POST", "", {"capabilities": {"alwaysMatch": options}})["sessionId"]
    configuration = {"protocol": "ctap2", "transport": "usb", "hasResidentKey": True}
    mine = driver("POST", f"/{session}/webauthn/authenticator", configuration)

    keys = control("GET", "keys")["keys"]
    assert [key["bus_id"] for key in keys] == [mine], keys
    made = subprocess.run(
        "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256".split(),
        capture_output=True, text=True, check=True,
    )
    passkey = {
        "rp_id": "example.com", "user_handle": "01", "private_key": made.stdout, "id": "0a0b",
        "counter": 7,
    }
    control("POST", f"keys/{mine}/passkeys", passkey, expect=201)
    shown = driver("GET", f"/{session}/webauthn/authenticator/{mine}/credentials")
    assert [(one["credentialId"], one["signCount"]) for one in shown] == [("Cgs", 7)], shown
    listed = control("GET", f"keys/{mine}/passkeys")["passkeys"]
    assert [(one["id"], one["rp_id"]) for one in listed] == [("0a0b", "example.com")], listed
    control("DELETE", f"keys/{mine}/passkeys/0a0b")
    assert driver("GET", f"/{session}/webauthn/authenticator/{mine}/credentials") == []

    policy = {"touch": "auto", "verify": "fail"}
    assert control("PUT", f"keys/{mine}/touch-policy", policy)["verify"] == "fail"
    for method, path, body in (
        ("PUT", f"keys/{mine}/pin", {"new_pin": "2468"}),
        ("POST", f"keys/{mine}/faults", {"fault": "drop-report", "always": True}),
        ("POST", f"keys/{mine}/replug", {}),
        ("PUT", f"keys/{mine}/touch-policy", {"touch": "deny"}),
        ("POST", "keys", {"profile": "enterprise"}),
        ("GET", "attestation-root", None),
    ):
        said = control(method, path, body, expect=501)["detail"]
        assert said.startswith("unsupported:"), said

    other = control("POST", "keys", {"profile": "fido-2.0"}, expect=201)["bus_id"]
    assert len(control("GET", "keys")["keys"]) == 2
    control("DELETE", f"keys/{other}")
    driver("DELETE", f"/{session}")
    assert control("GET", "keys")["keys"] == []
    print("control plane of the browser backend: as it should be")


main()
