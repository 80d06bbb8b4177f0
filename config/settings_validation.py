"""Validation of settings while they are read, which refuses values that are unsafe in production."""

import re
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.core.exceptions import ImproperlyConfigured
from environ import Env

MIN_SECRET_LENGTH = 50
RENAMED = {  # settings by their former names
    "TEST_UPLOADS": "TEST_UPLOADS_DIR",
    "TESTRUN_FOLDER": "TESTRUN_DIR",
    "TESTRUN_SECONDS": "TESTRUN_DEFAULT_SECONDS",
    "TESTRUN_MOST_SECONDS": "TESTRUN_MAX_SECONDS",
    "TESTRUN_MOST_QUEUED": "TESTRUN_MAX_QUEUED",
    "TESTRUN_MOST_QUEUED_PER_USER": "TESTRUN_MAX_QUEUED_PER_USER",
    "TESTRUN_MOST_QUEUED_MB": "TESTRUN_MAX_QUEUED_MB",
}
_WHOLE = re.compile(r"-?[0-9]{1,18}")


def flag(env: Env, name: str, *, default: bool) -> bool:
    """Read a boolean strictly: django-environ reads every unknown word as False."""
    written = env.str(name, default="").strip().lower()
    if written in ("", *Env.BOOLEAN_TRUE_STRINGS, "0", "false", "no", "n", "off"):
        return written in Env.BOOLEAN_TRUE_STRINGS if written else default
    raise ImproperlyConfigured(f"{name} is neither true nor false: {written}")


def days(env: Env, name: str, *, default: int) -> int:
    """Read a retention period in days: 1 to 36500, or 0 for unlimited."""
    written = env.str(name, default="").strip() or str(default)
    if not written.isdecimal() or int(written) > 36_500:
        raise ImproperlyConfigured(f"{name} must be 1 to 36500 days, or 0 to keep everything, not {written}.")
    return int(written)


def whole(env: Env, name: str, *, default: int, least: int, most: int) -> int:
    """Read a whole number within bounds. Raises ImproperlyConfigured, whose message names setting and bounds."""
    written = env.str(name, default="").strip()
    if not written:
        return default
    if _WHOLE.fullmatch(written) and least <= int(written) <= most:
        return int(written)
    raise ImproperlyConfigured(f"{name} must be a whole number from {least:,} to {most:,}: {written[:50]}")


def time_zone(env: Env, name: str) -> str:
    """Read the IANA name of a time zone, default UTC. Raises ImproperlyConfigured, whose message names the setting."""
    written = env.str(name, default="").strip() or "UTC"
    try:
        return ZoneInfo(written).key
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ImproperlyConfigured(
            f"{name} must be the IANA name of a time zone, such as Europe/Berlin: {written[:50]}"
        ) from error


def refuse_renamed(env: Env) -> None:
    """Raise ImproperlyConfigured if a setting has its former name, which would be ignored."""
    for former, name in RENAMED.items():
        if former in env.ENVIRON:
            raise ImproperlyConfigured(f"{former} is called {name} now. Rename it in the environment or in .env.")


def refuse_unsafe(*, local: bool, secret_key: str, debug: bool, allowed_hosts: list[str]) -> None:
    """Raise ImproperlyConfigured, with the remedy, if a setting would make the service insecure.

    A local instance listens on loopback only and generates its own secret, so DEBUG and any hosts are allowed there.
    """
    if "*" in allowed_hosts:
        raise ImproperlyConfigured("ALLOWED_HOSTS may not be '*': name the hosts this service answers for.")
    if len(secret_key) < MIN_SECRET_LENGTH or len(set(secret_key)) < 10:
        raise ImproperlyConfigured(
            f"SECRET_KEY must be a random string of at least {MIN_SECRET_LENGTH} characters: "
            'python3 -c "import secrets; print(secrets.token_urlsafe(50))" makes one.'
        )
    if local:
        return
    if "insecure" in secret_key or "change-me" in secret_key:
        raise ImproperlyConfigured("SECRET_KEY is still the example's: make one of your own.")
    if debug:
        raise ImproperlyConfigured("DEBUG may not be on where others can reach the service: remove DEBUG.")
    if not allowed_hosts:
        raise ImproperlyConfigured("ALLOWED_HOSTS is empty: name the hosts this service answers for.")
