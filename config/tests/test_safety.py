"""What keeps an unsafe service from starting."""

import os
import subprocess
import sys

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from config.checks import refuse_unsafe

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
        ("PORT", "8001", "eighty", "eighty"),
    ],
)
def test_a_process_with_a_malformed_setting_does_not_start(variable: str, good: str, malformed: str, words: str):
    started = started_with(**{variable: good})
    assert (started.returncode, started.stderr) == (0, "")

    started = started_with(**{variable: malformed})

    assert started.returncode == 1
    assert words in started.stderr.splitlines()[-1]
