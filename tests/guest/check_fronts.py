"""Third-party tests (tests/recipes) on real keys, through roamkey's fronts.

They know nothing of roamkey: the same files run on a browser's own virtual
authenticators outside this guest (scripts/recipes). Only the address differs.
"""

import json
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from check_exec import NAME, home, nothing_left
from desktop import Desktop
from harness import Failure, check, equal, require
from inside import install
from machine import SHARED

RECIPES = SHARED / "recipes"
LIMIT_S = 420
# All that there is to log, as it comes.
ENVIRONMENT = {"NO_PROXY": "127.0.0.1,localhost", "PYTHONUNBUFFERED": "1", "RUST_LOG": "debug"}
SELENIUM = """
set -e
{driver} & driver=$!
trap 'kill $driver' EXIT
python3 -m pytest -v -p no:cacheprovider {more} {selenium}/test_passkeys.py
"""
PLAYWRIGHT = """
set -e
tries=0
until curl -sf http://127.0.0.1:9222/json/version >/dev/null 2>&1 || [ $tries -ge 150 ]; do
    sleep 1; tries=$((tries + 1))
done
node --test --test-reporter=spec {work}/playwright/passkeys.test.mjs
"""


def executed(options, script, meanwhile=lambda: None, **env):
    """Runs a shell script under `roamkey exec`; what it said, and the report.

    `meanwhile` is done again and again while it runs.
    """
    with tempfile.TemporaryDirectory() as work:
        report = Path(work) / "report.json"
        words = ["exec", *options.split(), "--report", report, "--", "sh", "-c", script]
        said = SHARED / "servers" / f"{NAME}.log"
        begin = said.stat().st_size if said.exists() else 0
        with said.open("a") as log, subprocess.Popen(
            [str(install()), *(str(word) for word in words)],
            env=home() | ENVIRONMENT | env,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
        ) as process:
            status = wait(process, meanwhile)
        output = said.read_bytes()[begin:].decode(errors="replace")
        if status != 0:
            raise Failure(f"status {status}: roamkey exec {options}", output)
        print(output, flush=True)
        return output, json.loads(report.read_text())


def passed(said, tests):
    """pytest's last line: so many tests, and nothing else of them."""
    lines = [line for line in said.splitlines() if re.search(r"=+ .* in [0-9.]+s.* =+$", line)]
    words = lines[-1].strip("= ").split(" in ")[0] if lines else "no last line"
    # Those that a recipe's option left out are none that failed.
    equal(re.sub(", [0-9]+ deselected", "", words), f"{tests} passed", "what pytest counts")


def wait(process, meanwhile):
    """The status of a process, or a text where it does not end."""
    end = time.monotonic() + LIMIT_S
    while time.monotonic() < end:
        try:
            return process.wait(0.5)
        except subprocess.TimeoutExpired:
            meanwhile()
    process.terminate()
    return f"none after {LIMIT_S} s"


def real_keys(report, backend, at_least, notes=0):
    """The report of a run on real keys that browsers spoke to."""
    equal(report["backend"], backend, "backend")
    equal(len(report["notes"]), notes, f"how many notes there are: {report['notes']}")
    require(len(report["keys"]) >= at_least, f"only {len(report['keys'])} keys were made")
    unused = [key["name"] for key in report["keys"] if key["contact"] != "used"]
    equal(unused, [], "keys that no browser used")
    require(report["operations"] > 0, "no operation was served")
    nothing_left()


# The last decorator registers first.
@check("fronts: Chromium in a /dev of its own sees keys that come", keys=(), limit_s=480,
       options="--private", more="-k registration", tests=1)
@check("fronts: Selenium with Chromium on real keys", keys=(), limit_s=480)
def selenium(options="", more="", tests=9):
    driver = "chromedriver --port=9515 --log-level=WARNING"
    script = SELENIUM.format(driver=driver, more=more, selenium=RECIPES / "selenium")
    options += " --require-backend usbip --webdriver http://127.0.0.1:9515"
    said, report = executed(options, script, BROWSER_ARGS="--no-sandbox")
    passed(said, tests)
    real_keys(report, "usbip", at_least=tests)


@check("fronts: Playwright with Chromium on real keys", keys=(), limit_s=480)
def playwright():
    with tempfile.TemporaryDirectory() as work:
        for part in ("playwright", "site"):
            shutil.copytree(RECIPES / part, Path(work) / part)
        modules = Path("/opt/recipes/playwright/node_modules")
        (Path(work) / "playwright" / "node_modules").symlink_to(modules)
        script = PLAYWRIGHT.format(work=work)
        options = "--backend uhid --require-backend uhid --cdp http://127.0.0.1:9222"
        # On a display: where something fails, Chromium wants a person to close its dialog.
        desktop = Desktop("about:blank", False, "--remote-debugging-port=9222")
        try:
            said, report = executed(options, script, desktop.close_failures)
        except Failure as error:
            error.details += desktop.evidence("chromium-playwright")
            raise
        finally:
            desktop.end()
        counts = dict(re.findall(r"^ℹ (\w+) (\d+)$", said, re.MULTILINE))
        found = {name: counts.get(name) for name in ("pass", "fail", "cancelled", "skipped")}
        wanted = {"pass": "13", "fail": "0", "cancelled": "0", "skipped": "0"}
        equal(found, wanted, "what node's test runner counts")
        real_keys(report, "uhid", at_least=8)


@check("fronts: Selenium with Firefox on real keys", keys=(), limit_s=480)
def firefox():
    driver = "geckodriver --port 4447 --log warn"
    script = SELENIUM.format(driver=driver, more="", selenium=RECIPES / "selenium")
    options = "--require-backend usbip --webdriver http://127.0.0.1:4447"
    env = {
        "BROWSER": "firefox",
        "BROWSER_BINARY": "/usr/bin/firefox-esr",
    }
    said, report = executed(options, script, **env)
    passed(said, 9)
    # The test's preferences say that its own virtual authenticators are wanted.
    real_keys(report, "usbip", at_least=9, notes=1)


@check("recipes: pytest and python-fido2 on a key of exec", keys=(), limit_s=180)
def pytest_fido2():
    recipe = RECIPES / "pytest_fido2" / "test_key.py"
    script = f"python3 -m pytest -v -p no:cacheprovider {recipe}"
    said, report = executed("--require-backend usbip --key default", script)
    passed(said, 6)
    real_keys(report, "usbip", at_least=1)


@check("recipes: curl on a key of exec", keys=(), limit_s=180)
def curl():
    script = f"bash {RECIPES}/curl/passkey.sh"
    options = "--backend uhid --require-backend uhid --key default"
    said, report = executed(options, script)
    require("ok   " in said, "the script says of nothing that it is ok", said)
    equal(report["contacted"], False, "whether a program has spoken to the key itself")
    require("no program ever contacted it" in said.splitlines()[-1], "the last line", said)
    nothing_left()
