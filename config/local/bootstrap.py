"""Create .venv and install a locked set of requirements into it: `python3 -I config/local/bootstrap.py run|dev`.

The sets `load` and `clients` go into .venv-load and .venv-clients, so that their packages affect nothing else.

Uses only the standard library and the syntax of Python 3.6, so that an old Python can report that it is too old. If
everything is installed, it only compares a stamp and starts no process. After an interrupted run it repairs the venv.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile

OLDEST = (3, 11)
VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"
PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
VENV = os.path.join(PROJECT, {"load": ".venv-load", "clients": ".venv-clients"}.get(sys.argv[-1], ".venv"))
PYTHON = os.path.join(VENV, "bin", "python")
STAMP = os.path.join(VENV, "installed")
# The development set contains the others, from the same lock.
SETS = {
    "run": ["requirements-embedded.txt"],
    "dev": ["requirements-dev.txt", "requirements-embedded.txt"],
    "load": ["requirements-load.txt"],
    "clients": ["requirements-clients.txt"],
}


class BootstrapError(Exception):
    """One sentence that says what is missing on this machine and how to fix it."""


def main(wanted: str) -> None:
    """Install the wanted set into .venv, unless it is installed."""
    if sys.version_info < OLDEST:
        raise BootstrapError(
            f"Opsroom needs Python {OLDEST[0]}.{OLDEST[1]} or newer, this is {VERSION}: make PYTHON=python3.12 run"
        )
    # A lock on the folder, so that concurrent `make run` and `make test` do not install over each other.
    lock = os.open(PROJECT, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_installed(wanted):
            if not is_sound():
                say(f"Creating {os.path.basename(VENV)}")
                create()
            say(f"Installing {SETS[wanted][0]}")
            install(wanted)
    finally:
        os.close(lock)


def stamp_of(requirements: str) -> str:
    """Return the stamp of a finished installation: the version of Python, and the hash of the requirements."""
    with open(os.path.join(PROJECT, requirements), "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    return f"{VERSION} {requirements} {digest}"


def is_installed(wanted: str) -> bool:
    """Return whether the stamp matches and the venv's Python still exists on the machine."""
    try:
        with open(STAMP) as file:
            return os.path.exists(PYTHON) and stamp_of(SETS[wanted][0]) in file.read().splitlines()
    except OSError:
        return False


def is_sound() -> bool:
    """Return whether .venv has a working Python of the same version as this one."""
    try:
        question = "import sys; print('%d.%d' % sys.version_info[:2])"
        said = subprocess.check_output([PYTHON, "-c", question], stderr=subprocess.DEVNULL)  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return False
    return said.decode().strip() == VERSION


def create() -> None:
    """Create .venv anew, with uv if available, else with Python's own module."""
    shutil.rmtree(VENV, ignore_errors=True)
    uv = shutil.which("uv")
    if uv and attempt([uv, "venv", "--quiet", "--python", sys.executable, VENV]):
        return
    try:
        import ensurepip  # noqa: F401  Debian's python3 lacks it without python3-venv
        import venv  # noqa: F401
    except ImportError:
        raise BootstrapError(
            f"Python's venv module is missing: install it (Debian, Ubuntu: apt install python{VERSION}-venv), or uv."
        ) from None
    if not attempt([sys.executable, "-m", "venv", "--clear", VENV]):
        raise BootstrapError("Python could not create .venv (see above): is the folder read-only or the disk full?")


def install(wanted: str) -> None:
    """Install the set with uv or else pip, with required hashes; builds nothing outside the lock."""
    if os.path.exists(STAMP):
        os.remove(STAMP)
    requirements = os.path.join(PROJECT, SETS[wanted][0])
    options = ["--quiet", "--require-hashes", "-r", requirements]
    # uv is ten times faster; pip is the fallback, because it may know index settings that uv does not read.
    done = any(attempt([*uv, "pip", "install", "--python", PYTHON, *options], quiet=True) for uv in find_uv())
    if not done and not (ensure_pip() and attempt([PYTHON, "-m", "pip", "install", *options])):
        raise BootstrapError("The requirements could not be installed (see above): is the package index reachable?")
    with open(STAMP + ".new", "w") as file:
        file.write("".join(stamp_of(name) + "\n" for name in SETS[wanted]))
    os.replace(STAMP + ".new", STAMP)


def find_uv() -> "list[list[str]]":
    """Return uv's command: the machine's uv, else one installed into .venv, else an empty list."""
    uv = shutil.which("uv")
    if uv:
        return [[uv]]
    own = [PYTHON, "-m", "uv"]
    if attempt([*own, "--version"], quiet=True) or install_uv():
        return [own]
    return []


def install_uv() -> bool:
    """Install the locked version of uv into .venv, with hash checks. Return whether that succeeded."""
    with open(os.path.join(PROJECT, "requirements-dev.txt")) as file:
        pinned = re.search(r"^uv==.*\n(?:[ ].*\n)*", file.read(), re.MULTILINE)
    if not pinned or not ensure_pip():
        return False
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as requirements:
        requirements.write(pinned.group())
        requirements.flush()
        command = [PYTHON, "-m", "pip", "install", "--quiet", "--require-hashes", "-r", requirements.name]
        return attempt(command, quiet=True)


def ensure_pip() -> bool:
    """Make pip available in .venv, because a venv created by uv has none. Return whether that succeeded."""
    return attempt([PYTHON, "-m", "pip", "--version"], quiet=True) or attempt(
        [PYTHON, "-m", "ensurepip", "--upgrade"], quiet=True
    )


def attempt(command: "list[str]", quiet: bool = False) -> bool:
    """Run a command and return whether it succeeded. `quiet` if the caller has an alternative for a failure."""
    output = subprocess.DEVNULL if quiet else None
    environment = dict(os.environ, PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_NO_INPUT="1")
    try:
        return subprocess.call(command, stdout=output, stderr=output, env=environment) == 0  # noqa: S603
    except OSError:
        return False


def say(words: str) -> None:
    print(words, flush=True)


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except BootstrapError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
