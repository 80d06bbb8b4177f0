"""Quotas per environment, per user in an environment, and for a user's files, with their messages."""

import threading

import pytest
from django.db import connection

from config.tests.test_safety import refusal
from testrunner import services
from testrunner.files.snapshot import Snapshot
from testrunner.models import TestEnvironment, TestRun
from testrunner.queue import claims
from testrunner.queue.quotas import QuotaExceeded

pytestmark = pytest.mark.django_db


@pytest.fixture
def press(file):
    def press(user, environment: int = 17, size: int = 0):
        files = [Snapshot(file.root, file.path, file.content + b"#" * size)]
        return services.start_run(user=user, environment=TestEnvironment(pk=environment, name="E"), files=files)

    return press


def test_a_user_has_so_many_waiting_runs_in_an_environment(press, tester, colleague, settings):
    settings.TESTRUN_MAX_QUEUED_PER_USER = 2
    press(tester), press(tester)

    with pytest.raises(QuotaExceeded, match="2 of your runs are waiting in E, the limit"):
        press(tester)

    press(colleague), press(tester, 18)
    claims.claim(17, "w")
    press(tester)  # one of them has left the queue


def test_an_environment_has_so_many_waiting_runs(press, tester, colleague, settings):
    settings.TESTRUN_MAX_QUEUED = 2
    press(tester), press(colleague)

    with pytest.raises(QuotaExceeded, match="2 runs are waiting in E, the limit"):
        press(colleague)
    services.cancel_run(run=TestRun.objects.first(), user=tester)
    press(colleague)


def test_a_users_waiting_files_are_counted_in_all_environments(press, tester, colleague, settings):
    settings.TESTRUN_MAX_QUEUED_MB = 20
    press(tester, 17, 12 * 2**20)

    with pytest.raises(QuotaExceeded, match="may have at most 20 MiB together"):
        press(tester, 18, 9 * 2**20)

    press(tester, 18, 2**20), press(colleague, 18, 9 * 2**20)


@pytest.mark.django_db(transaction=True)
def test_two_who_press_at_once_do_not_pass_the_limit_together(press, tester, settings):
    settings.TESTRUN_MAX_QUEUED_MB = 20
    outcomes, start = [], threading.Barrier(4)

    def go(environment: int) -> None:
        start.wait()
        try:
            press(tester, environment, 9 * 2**20)
            outcomes.append("queued")
        except QuotaExceeded:
            outcomes.append("refused")
        finally:
            connection.close()

    threads = [threading.Thread(target=go, args=(environment,)) for environment in (17, 18, 19, 20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == ["queued", "queued", "refused", "refused"]


def test_the_same_press_again_is_no_second_run_where_there_is_no_room(tester, environment, file, settings):
    settings.TESTRUN_MAX_QUEUED = settings.TESTRUN_MAX_QUEUED_PER_USER = 1
    key = "00000000-0000-4000-8000-000000000001"
    from uuid import UUID

    asked = {"user": tester, "environment": environment, "files": [file], "request_key": UUID(key)}
    assert services.start_run(**asked) == services.start_run(**asked)


def test_rest_answers_429_in_words(tester_api, press, tester, settings):
    settings.TESTRUN_MAX_QUEUED_PER_USER = 1
    run = press(tester)
    services.cancel_run(run=run, user=tester)
    press(tester)

    answer = tester_api.post(f"/test-runs/{run.pk}/rerun/")

    assert answer.status_code == 429
    assert answer.json()["detail"] == "1 of your runs are waiting in Environment 17, the limit. Cancel some, or wait."


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("TESTRUN_MAX_QUEUED", "100", "0"),
        ("TESTRUN_MAX_QUEUED_PER_USER", "1", "0"),
        ("TESTRUN_MAX_QUEUED_MB", "20", "19"),
    ],
)
def test_a_limit_beyond_its_bounds_is_refused(name, good, bad):
    assert refusal(**{name: good}) == ""
    assert f"{name} " in refusal(**{name: bad})
