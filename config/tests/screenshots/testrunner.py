"""The test runner's screens for `make screenshots`: what is done before, and how each is reached."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import requests
from playwright.sync_api import Page

from config.tests.instance import Instance

Show = Callable[[Page, Instance], None]
ADMIN = "/admin/testrunner"
BUSY = [3, 8, 17, 21, 34, 55]  # environments in which something slow runs while the pictures are taken
SLOW = b"""
import time

import pytest


@pytest.mark.parametrize("number", range(1, 200))
def test_the_shop_answers(number):
    print(f"\\x1b[36mGET /products/{number}\\x1b[0m ... \\x1b[32m200\\x1b[0m in 41 ms")
    time.sleep(3)
"""


def prepare(instance: Instance) -> None:
    """Start a runner, let the samples run in environment 17, and leave some environments busy and others waited for."""
    instance.start_runner(slots=6)
    token = requests.post(
        f"{instance.url}/auth/token/", {"username": "tester", "password": "12345"}, timeout=10
    ).json()["token"]
    head = {"Authorization": f"Token {token}"}

    def post(path: str, **more: Any) -> dict[str, Any]:
        answer = requests.post(f"{instance.url}{path}", headers=head, timeout=30, **more)
        answer.raise_for_status()
        return dict(answer.json())

    slow = post("/test-files/", data={"directory": "shop"}, files={"file": ("test_products.py", SLOW)})["id"]
    samples = requests.get(f"{instance.url}/test-files/?root=samples", headers=head, timeout=10).json()["results"]
    names = ("test_success.py", "test_fail.py", "test_colours.py", "test_parametrised.py")
    chosen = [file["id"] for file in samples if file["path"].endswith(names)]
    seen = post("/test-runs/", json={"environment": 17, "files": chosen})["id"]
    instance.wait_for(lambda: instance.one("SELECT status FROM testrunner_testrun WHERE id = %s", seen) == "failed")
    for environment in BUSY:
        post("/test-runs/", json={"environment": environment, "files": [slow], "requested_by": "nightly"})
    for environment, requested_by in ((17, "tess"), (21, "tess"), (21, "release 4")):
        post("/test-runs/", json={"environment": environment, "files": chosen, "requested_by": requested_by})
    post("/environments/60/reserve/", json={"minutes": 120, "note": "release 4"})
    instance.wait_for(
        lambda: instance.one("SELECT count(*) FROM testrunner_testrun WHERE status = 'running'") == len(BUSY)
    )


def at(path: str) -> Show:
    def show(page: Page, instance: Instance) -> None:
        page.goto(f"{instance.url}{ADMIN}{path}")
        page.wait_for_timeout(1_000)

    return show


def run_with_status(status: str, environment: int) -> Show:
    def show(page: Page, instance: Instance) -> None:
        newest = instance.one(
            "SELECT max(id) FROM testrunner_testrun WHERE status = %s AND environment_id = %s", status, environment
        )
        at(f"/testrun/{newest}/change/")(page, instance)

    return show


def log_of_a_failure(page: Page, instance: Instance) -> None:
    run_with_status("failed", 17)(page, instance)
    page.locator("[data-log-failure]").click()
    page.locator("[data-log]").scroll_into_view_if_needed()
    page.wait_for_timeout(500)


def new_run(page: Page, instance: Instance) -> None:
    at("/testrun/add/?environment=21")(page, instance)
    page.locator("[data-leaf='uploads/shop/test_products.py'] input").check()
    page.locator("[data-leaf='samples/test_success.py'] input").check()


def upload(text: bytes) -> Show:
    """Upload a file in place: what is right is among the choices at once, what is not is refused in words."""

    def show(page: Page, instance: Instance) -> None:
        at("/testrun/add/?environment=17")(page, instance)
        page.fill("[data-upload-directory]", f"public-{next(_numbers)}")  # a new one for each picture
        file = {"name": "test_public_api.py", "mimeType": "text/x-python", "buffer": text}
        page.set_input_files("[data-upload-file]", file)  # type: ignore[arg-type]
        page.wait_for_timeout(1_000)
        page.locator("[data-upload-said]").scroll_into_view_if_needed()

    return show


_numbers = count(1)
SCREENS: dict[str, Show] = {
    "test-runs": at("/testrun/"),
    "test-run": run_with_status("failed", 17),
    "test-run-log": log_of_a_failure,
    "test-run-running": run_with_status("running", 21),
    "test-run-waiting": run_with_status("queued", 17),
    "test-run-new": new_run,
    "test-upload": upload(b"def test_the_api_answers():\n    assert True\n"),
    "test-upload-refused": upload(b"def test_the_api_answers(:\n    assert True\n"),
    "environments": at("/testenvironment/"),
    "environment": at("/testenvironment/21/change/"),
    "test-files": at("/testfile/"),
    "tests-over-time": at("/testrun/tests/"),
}
