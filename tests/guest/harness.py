"""What a check is, and what it takes to write one.

A check is a function with a name, registered by the decorator `check`. Its
line in the output is its name. scripts/guest reads the names from the lines
that begin with `@check("`, so that a check which never ran is noticed: keep
the name on that line, as a plain string.
"""

import os
import select
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field

from fido2.ctap import CtapError
from fido2.ctap1 import ApduError

REGISTRY = []


class Failure(Exception):
    """A check that did not hold; `details` go under its line."""

    def __init__(self, why, details=""):
        super().__init__(why)
        self.details = details


@dataclass
class Check:
    """One named check: `keys` are attached before it, nothing else is."""

    name: str
    function: object
    keys: tuple
    limit_s: int
    arguments: dict = field(default_factory=dict)

    def run(self, attached):
        """Runs the check with the attached keys as its first arguments."""
        return self.function(*attached, **self.arguments)


def check(name, keys=("auto/1-1",), limit_s=60, **arguments):
    """Registers a check; further arguments are handed to the function.

    `keys` are SERVER/BUSID names, where the servers are those of
    scripts/guest; a check that attaches by itself says `keys=()`.
    """

    def register(function):
        REGISTRY.append(Check(name, function, tuple(keys), limit_s, arguments))
        return function

    return register


def require(condition, why, details=""):
    """Fails the check with `why` unless the condition holds."""
    if not condition:
        raise Failure(why, details)


def equal(actual, expected, what):
    """Fails the check unless both are equal, and shows both."""
    if actual != expected:
        raise Failure(f"{what}: expected {shown(expected)}, got {shown(actual)}")


def shown(value):
    """A value as a person wants to read it in one line."""
    if isinstance(value, (bytes, bytearray)):
        value = bytes(value)
        text = value.hex()
        return f"{text[:64]}... ({len(value)} bytes)" if len(value) > 32 else text or "no bytes"
    return repr(value)


@contextmanager
def status(code, what):
    """The block must end in this CTAP or CTAPHID status, and in no other."""
    try:
        yield
    except CtapError as error:
        if error.code != code:
            raise Failure(f"{what}: expected {code!r} (0x{code:02x}), got {error}") from error
    else:
        raise Failure(f"{what}: expected {code!r} (0x{code:02x}), but it succeeded")


@contextmanager
def apdu_status(code, what):
    """The block must end in this U2F status word."""
    try:
        yield
    except ApduError as error:
        equal(f"{error.code:04x}", f"{code:04x}", f"{what}, status word")
    else:
        raise Failure(f"{what}: expected status word {code:04x}, but it succeeded")


def run(*command, text=None, limit_s=40, expect=0, **options):
    """Runs a program and returns its output; its status must be `expect`."""
    command = [str(word) for word in command]
    line = " ".join(command)
    try:
        done = subprocess.run(
            command,
            input=text or "",
            text=True,
            capture_output=True,
            timeout=limit_s,
            check=False,
            **options,
        )
    except subprocess.TimeoutExpired as error:
        said = f"{error.stdout or ''}{error.stderr or ''}"
        raise Failure(f"no end after {limit_s} s: {line}", said) from error
    if (done.returncode == 0) != (expect == 0):
        said = done.stdout + done.stderr
        raise Failure(f"status {done.returncode}: {line}", said)
    return done.stdout


def run_on_terminal(*command, answers, limit_s=40, expect=0):
    """Runs a program that asks a person on its terminal, and returns its output.

    Every prompt gets the next of the answers, and there must be as many
    prompts as answers. What is shown on the terminal is not in the output.
    """
    # Programs that want a PIN open /dev/tty, whatever their stdin is.
    command = ["setsid", "--ctty", *(str(word) for word in command)]
    line = " ".join(command)
    master, slave = os.openpty()
    with tempfile.TemporaryFile("w+") as output:
        with subprocess.Popen(command, stdin=slave, stdout=output, stderr=output) as program:
            try:
                shown_there, why = _answer_prompts(program, master, list(answers), limit_s)
            finally:
                program.kill()
                os.close(master)
                os.close(slave)
        output.seek(0)
        said = output.read()
    if why:
        raise Failure(f"{why}: {line}", f"{said}on the terminal: {shown_there}")
    if (program.returncode == 0) != (expect == 0):
        raise Failure(f"status {program.returncode}: {line}", said)
    return said


def _answer_prompts(program, master, answers, limit_s):
    """Until the program ends; what the terminal showed, and what went wrong."""
    shown_there, prompt = "", ""
    end = time.monotonic() + limit_s
    while program.poll() is None:
        if time.monotonic() > end:
            return shown_there, f"no end after {limit_s} s"
        if not select.select([master], [], [], 0.05)[0]:
            continue
        text = os.read(master, 1024).decode(errors="replace")
        shown_there += text
        prompt += text
        # Only now: what comes before the prompt is thrown away with the echo.
        if prompt.rstrip().endswith(":"):
            if not answers:
                return shown_there, "a prompt too many"
            os.write(master, f"{answers.pop(0)}\n".encode())
            prompt = ""
    return shown_there, f"{len(answers)} prompts too few" if answers else None
