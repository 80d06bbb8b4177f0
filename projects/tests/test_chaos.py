"""Reminders and the daily report end to end: beat, broker, workers, a real mail server, and failures of each."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path

import pytest

from config.tests.instance import Instance, running_instance
from projects.tests.mail_server import Mailbox, running

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

PLANNER = """
from django.contrib.auth.models import User
from projects import services
services.create_project(name="Launch", owner=User.objects.create_user("paula", email="paula@example.com"))
"""
# Created long ago, due in a number of hours.
TASKS = """
    INSERT INTO projects_task (project_id, title, description, status, priority, due_date, created_at)
    SELECT (SELECT max(id) FROM projects_project), %s || number, '', 'pending', 'normal',
           now() + make_interval(secs => %s * 3600), now() - interval '3 days'
    FROM generate_series(1, %s) AS number
"""
LEFT = """
    SELECT count(*) FROM projects_task
    WHERE id NOT IN (SELECT task_id FROM projects_reminder WHERE status = 'sent')
"""
UNMAILED = "SELECT count(*) FROM projects_report WHERE mailed_at IS NULL"
AN_HOUR_AGO = """
    UPDATE django_celery_beat_periodictask SET last_run_at = now() - interval '1 hour'
    WHERE name IN ('remind', 'daily report')
"""
YESTERDAYS = "UPDATE projects_report SET date = date - 1"
REMINDERS_LEASE_ENDS = "UPDATE projects_reminder SET lease_until = now() WHERE status = 'pending'"
REPORTS_LEASE_ENDS = "UPDATE projects_report SET lease_until = now() WHERE mailed_at IS NULL"
WAKE_TEN_TIMES = """
from core.wake import wake
for _ in range(10):
    wake("projects.tasks.send_reminders")
    wake("projects.tasks.send_daily_report")
"""


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with running() as mailbox:
        yield mailbox


@pytest.fixture
def instance(tmp_path: Path, mailbox: Mailbox) -> Iterator[Instance]:
    settings = {
        "EMAIL_URL": f"smtp://127.0.0.1:{mailbox.port}",
        "REPORT_EMAILS": "team@example.com",
        "REPORT_HOUR": str(max(datetime.now(UTC).hour - 1, 0)),  # an hour ago, too
    }
    with running_instance(tmp_path / "home", **settings) as instance:
        instance.shell(PLANNER)
        yield instance


def start_two_of_each(instance: Instance) -> None:
    for name in ("worker", "another worker"):
        instance.start_worker(name.replace(" ", "-"), processes=2)
    instance.start_beat()
    instance.processes["another beat"] = instance.processes.pop("beat")
    instance.start_beat()


def wait_until_all_is_mailed(instance: Instance) -> None:
    instance.wait_for(lambda: instance.one(LEFT) == 0 and instance.sql(UNMAILED) == [(0,)])


def has_arrived(mailbox: Mailbox, subject: str) -> bool:
    return any(subject in mail["Subject"] for mail in mailbox.mails)


def ids_of(mailbox: Mailbox) -> Counter[str]:
    return Counter(mail["Message-ID"] for mail in mailbox.mails)


def bodies(mail: EmailMessage) -> list[str]:
    return [mail.get_body((kind,)).get_content() for kind in ("plain", "html")]


@pytest.mark.rabbitmq
def test_reminders_and_report_arrive_once_and_after_an_hours_outage_all_are_caught_up_with(
    instance: Instance, mailbox: Mailbox
):
    instance.sql(TASKS, "Paint door ", 20, 5)
    instance.start_worker()
    instance.start_beat()

    instance.wait_for(lambda: len(mailbox.mails) >= 6)
    wait_until_all_is_mailed(instance)

    assert sorted(mail["X-To"] for mail in mailbox.mails) == ["paula@example.com"] * 5 + ["team@example.com"]
    for mail in mailbox.mails:
        assert all("Launch" in body for body in bodies(mail))

    # No process runs for an hour, in which reminders became due, some tasks overdue, and the report's hour came.
    instance.kill("beat")
    instance.kill("worker")
    instance.sql(TASKS, "Sand floor ", 23, 20)
    instance.sql(TASKS, "Order keys ", -0.5, 5)
    instance.sql(YESTERDAYS)
    instance.sql(AN_HOUR_AGO)
    start_two_of_each(instance)
    instance.shell(WAKE_TEN_TIMES)
    instance.wait_for(lambda: len(mailbox.mails) >= 6 + 26)
    wait_until_all_is_mailed(instance)
    instance.sql(TASKS, "The last ", 1, 1)
    instance.wait_for(lambda: has_arrived(mailbox, "The last"))

    assert set(ids_of(mailbox).values()) == {1}
    assert len(mailbox.mails) == 6 + 26 + 1
    assert instance.one("SELECT count(*) FROM projects_report") == 2
    assert instance.one("SELECT count(*) FROM projects_reminder WHERE status = 'sent' AND attempts = 1") == 31


def test_workers_killed_while_mails_go_out_miss_nobody_and_repeat_only_what_they_had_in_hand(
    instance: Instance, mailbox: Mailbox
):
    instance.sql(TASKS, "Paint door ", 20, 30)
    instance.start_beat()
    instance.start_worker(processes=1)
    kills = [kill_whole, kill_child, kill_whole]

    for number, kill in enumerate(kills):
        silent_from = 5 + 8 * number
        mailbox.is_silent = lambda mail, first=silent_from: mailbox.mails.index(mail) >= first
        instance.wait_for(lambda first=silent_from: len(mailbox.mails) > first)  # started by beat only
        kill(instance)  # the server has the mail, but the outcome was not recorded
        mailbox.is_silent = lambda mail: False
        instance.sql(REMINDERS_LEASE_ENDS)  # five minutes later
        instance.sql(REPORTS_LEASE_ENDS)
    wait_until_all_is_mailed(instance)

    counted = ids_of(mailbox)
    assert len(counted) == 30 + 1
    assert max(counted.values()) == 2
    assert len(mailbox.mails) <= 30 + 1 + len(kills)


def kill_whole(instance: Instance) -> None:
    instance.kill("worker")
    instance.start_worker(processes=1)


def kill_child(instance: Instance) -> None:
    """Kill the worker's child processes. The worker itself survives and replaces them."""
    for process in instance.children("worker"):
        process.kill()
