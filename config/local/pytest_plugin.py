"""pytest's first plugin (`-p config.local.pytest_plugin`): starts the services for the tests before Django reads its
settings.

The tests have their own embedded servers, besides those of `make run`, that do not wait for the disk. They keep running
for a while, for the next run. External services named in the environment are used instead. The workers of pytest-xdist
inherit what the controller started.
"""

from __future__ import annotations

import gc
import math
import os
import random
import re
import sys
from pathlib import Path

import pytest
import redis

from config.local import embedded
from config.local.embedded.home import PROJECT

# Seconds that unused servers keep running. CI must leave no process behind, nor must a run of the test runner.
KEEP = 0.0 if os.environ.get("CI") or os.environ.get("OPSROOM_KEEP_SERVERS") == "0" else 900.0
FEW_TESTS = 8
MAX_WORKERS = 8  # each has to create its own database


def start() -> None:
    """Name the services in the environment. Raises pytest.UsageError, which pytest prints as one sentence."""
    os.environ["OPSROOM_HOME"] = str(embedded.Home.from_environment().path / "test")
    try:
        home = embedded.use_local_settings()
        home.wait_for_turn(lambda sentence: print(sentence, file=sys.stderr, flush=True))
        own_redis = "REDIS_URL" in embedded.missing()
        embedded.use(durable=False, keep=KEEP)
    except embedded.EmbeddedError as error:
        raise pytest.UsageError(str(error)) from error
    if own_redis:
        with redis.Redis.from_url(os.environ["REDIS_URL"]) as server:
            server.flushall()  # queues and cache of the previous run


@pytest.hookimpl(tryfirst=True, optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return one worker more than there are processors, because tests also wait: for processes, and for time to pass.

    No workers for a few tests, because each worker collects all tests.
    """
    files = [file for folder in config.getini("testpaths") for file in (PROJECT / folder).rglob("test_*.py")]
    few = _named(config.getoption("keyword"), files) <= FEW_TESTS
    return 0 if few else min(MAX_WORKERS, (os.cpu_count() or 1) + 1)


def _named(keyword: str, files: list[Path]) -> float:
    """Estimate from the files' text how many test functions `-k keyword` selects; infinite if it is not a word."""
    if not re.fullmatch(r"\w+", keyword):
        return math.inf
    return sum(_functions_named(keyword.lower(), file) for file in files)


def _functions_named(keyword: str, file: Path) -> int:
    functions = re.findall(r"^ *(?:async )?def (test_\w+)", file.read_text(), re.MULTILINE)
    inside = str(file.relative_to(PROJECT)).lower()
    return len([name for name in functions if keyword in name.lower() or keyword in inside])


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--order",
        default="",
        help="transactional-first, reverse, or random:SEED: no test may depend on the tests before it",
    )


@pytest.hookimpl(trylast=True)  # after pytest-django, which puts transactional tests last
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    order, _, seed = config.getoption("--order").partition(":")
    if order == "transactional-first":
        items.sort(key=lambda item: not _is_transactional(item))
    elif order == "reverse":
        items.reverse()
    elif order == "random":
        random.Random(seed or 0).shuffle(items)  # the same in every worker of pytest-xdist
    elif order:
        raise pytest.UsageError(f"--order={order}: use transactional-first, reverse, or random:SEED.")


def _is_transactional(item: pytest.Item) -> bool:
    marker = item.get_closest_marker("django_db")
    fixtures = getattr(item, "fixturenames", ())
    return "transactional_db" in fixtures or (marker is not None and bool(marker.kwargs.get("transaction")))


def pytest_collection() -> None:
    """Disable garbage collection during test collection, whose objects all stay."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Freeze the collected objects, which stay to the end: garbage collection must not scan them for every test."""
    gc.enable()
    if PARALLEL:
        gc.freeze()


PARALLEL = "PYTEST_XDIST_WORKER" in os.environ  # the whole suite, except the few tests that break services
if PARALLEL:
    gc.set_threshold(50_000, 20, 20)
else:  # the controller, or a run without workers
    start()
