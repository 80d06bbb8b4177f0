"""Unsafe settings prevent the start of a process."""

import os
import re
import runpy
import subprocess
import sys
from unittest import mock

import pytest
import structlog
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from environ import Env

from config.settings_validation import refuse_unsafe, whole

GOOD = {
    "local": False,
    "secret_key": "k3y-" + "0123456789abcdefghij" * 3,
    "debug": False,
    "allowed_hosts": ["ops.example"],
}


def test_a_proper_configuration_starts():
    refuse_unsafe(**GOOD)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"secret_key": ""}, "SECRET_KEY must be a random string"),
        ({"secret_key": "short"}, "SECRET_KEY must be a random string"),
        ({"secret_key": "a" * 80}, "SECRET_KEY must be a random string"),
        ({"secret_key": "change-me-0123456789abcdefghijklmnopqrstuvwxyz-0123456789"}, "still the example's"),
        ({"debug": True}, "DEBUG may not be on"),
        ({"allowed_hosts": ["*"]}, "may not be '\\*'"),
        ({"allowed_hosts": []}, "ALLOWED_HOSTS is empty"),
    ],
)
def test_an_unsafe_configuration_is_refused_with_the_remedy(change: dict, words: str):
    with pytest.raises(ImproperlyConfigured, match=words):
        refuse_unsafe(**(GOOD | change))


def test_a_local_instance_may_debug_but_not_answer_for_every_host():
    refuse_unsafe(**(GOOD | {"local": True, "debug": True, "allowed_hosts": []}))

    with pytest.raises(ImproperlyConfigured, match="ALLOWED_HOSTS"):
        refuse_unsafe(**(GOOD | {"local": True, "allowed_hosts": ["*"]}))


SERVICES = {
    "OPSROOM_LOCAL": "0",
    "SECRET_KEY": GOOD["secret_key"],
    "ALLOWED_HOSTS": "ops.example",
    "BANNER_API_URL": "https://example.com/photos/",
}


def refusal(**variables: str) -> str:
    """Read the settings with these variables; return why they are refused, or "" if they are valid."""
    logging = structlog.get_config()  # restored below, because reading the settings changes it
    try:
        with mock.patch.dict(os.environ, SERVICES | variables):
            runpy.run_path(str(settings.BASE_DIR / "config/settings.py"))
    except ImproperlyConfigured as error:
        return str(error)
    finally:
        structlog.configure(**logging)
    return ""


def test_a_setting_by_its_former_name_is_refused_with_the_present_one():
    former = "/srv/uploads"

    assert refusal(TEST_UPLOADS=former) == (
        "TEST_UPLOADS is called TEST_UPLOADS_DIR now. Rename it in the environment or in .env."
    )
    assert "TEST_UPLOADS" not in refusal(TEST_UPLOADS_DIR=former)


def started_with(**variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "import config.settings"],
        env=os.environ | SERVICES | variables,
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    "variable, good, malformed, words",
    [
        ("SECRET_KEY", GOOD["secret_key"], "short", "SECRET_KEY must be a random string"),
        ("DEBUG", "false", "perhaps", "perhaps"),
        ("HTTPS", "true", "maybe", "maybe"),
        ("PORT", "8001", "eighty", "PORT must be a whole number from 1 to 65,535: eighty"),
        ("BROADCAST_WORKERS", "1", "two", "BROADCAST_WORKERS must be a whole number from 1 to 100: two"),
        ("BROADCAST_WORKERS", "100", "0", "BROADCAST_WORKERS must be a whole number from 1 to 100: 0"),
        ("LIVE_SOCKETS_PER_USER", "1", "0", "LIVE_SOCKETS_PER_USER must be a whole number from 1 to 10,000: 0"),
        ("LIVE_RETENTION_HOURS", "1", "-1", "LIVE_RETENTION_HOURS must be a whole number from 1 to 8,760: -1"),
        ("REPORT_HOUR", "23", "24", "REPORT_HOUR must be a whole number from 0 to 23: 24"),
        ("EVENT_RETENTION_DAYS", "0", "1e3", "EVENT_RETENTION_DAYS must be a whole number from 0 to 36,500: 1e3"),
        (
            "TESTRUN_DEFAULT_SECONDS",
            "3600",
            "3601",
            "TESTRUN_DEFAULT_SECONDS must be a whole number from 1 to 3,600: 3601",
        ),
    ],
)
def test_a_malformed_setting_is_refused_in_words(variable: str, good: str, malformed: str, words: str):
    assert refusal(**{variable: good}) == ""

    assert words in refusal(**{variable: malformed})


def test_a_process_with_a_malformed_setting_does_not_start():
    started = started_with(PORT="8001")
    assert (started.returncode, started.stderr) == (0, "")

    started = started_with(PORT="eighty")

    assert started.returncode == 1
    assert "PORT must be a whole number from 1 to 65,535: eighty" in started.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("written", "number"), [("", 5), (" ", 5), ("7", 7), (" 7 ", 7), ("007", 7), ("1", 1), ("9", 9)]
)
def test_a_whole_number_within_its_bounds_is_read(monkeypatch, written: str, number: int):
    monkeypatch.setenv("A_NUMBER", written)

    assert whole(Env(), "A_NUMBER", default=5, least=1, most=9) == number


@pytest.mark.parametrize("written", ["0", "10", "-1", "two", "1.5", "1_0", "٣", "0x5", "9" * 30])
def test_any_other_number_is_refused_with_the_name_and_the_bounds(monkeypatch, written: str):
    monkeypatch.setenv("A_NUMBER", written)

    with pytest.raises(ImproperlyConfigured, match=r"^A_NUMBER must be a whole number from 1 to 9: "):
        whole(Env(), "A_NUMBER", default=5, least=1, most=9)


def test_every_number_in_the_settings_is_read_within_bounds():
    text = (settings.BASE_DIR / "config/settings.py").read_text()

    assert "whole(env, " in text
    assert not re.search(r"env\.(int|float)\(|env\(|\bint\(", text)
