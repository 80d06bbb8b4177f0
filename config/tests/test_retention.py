"""Every rule of core/data/retention.py: an old row is deleted, a new one stays, and with 0 both stay."""

import contextlib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import psycopg2
import pytest
from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.apps import apps
from django.conf import settings as django_settings
from django.contrib.admin.models import LogEntry
from django.contrib.sessions.models import Session
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.db import connection
from django.utils import timezone
from simple_history.models import HistoricalChanges

from chats.factories import ChatFactory, MessageFactory
from chats.models import Message
from config.settings_validation import days
from core.data import retention
from core.database import direct_connections
from events.factories import ApplicationFactory, NotificationFactory
from events.models import Minute
from events.storage import retention as events_retention
from projects.factories import ProjectFactory, TaskFactory
from projects.models import Reminder
from testrunner.factories import ResultFactory, RunFactory
from testrunner.models import LogChunk, RunFile, TestResult, TestRun

pytestmark = pytest.mark.django_db
Made = Callable[[datetime, Any], object]


def login_session(moment: datetime, user: Any) -> Any:
    return Session.objects.create(session_key=f"s{moment:%Y%m%d}", session_data="", expire_date=moment)


def attempt(moment: datetime, user: Any) -> Any:
    row = AccessAttempt.objects.create(
        username="u", ip_address="10.0.0.1", user_agent=f"{moment}", failures_since_start=1
    )
    AccessAttempt.objects.filter(pk=row.pk).update(attempt_time=moment)
    return row


def access(model: Any) -> Made:
    def made(moment: datetime, user: Any) -> Any:
        row = model.objects.create(username="u")
        model.objects.filter(pk=row.pk).update(attempt_time=moment)
        return row

    return made


def admin_entry(moment: datetime, user: Any) -> Any:
    return LogEntry.objects.create(user=user, action_flag=1, object_repr="x", action_time=moment)


def history(moment: datetime, user: Any) -> Any:
    row = ProjectFactory().history.get()
    type(row).objects.filter(pk=row.pk).update(history_date=moment)
    return row


def notification(moment: datetime, user: Any) -> Any:
    return NotificationFactory(status="Processed", processed_at=moment, created_at=moment)


def reminder(moment: datetime, user: Any) -> Any:
    task = TaskFactory(due_date=moment)
    return Reminder.objects.create(task=task, due_date=moment, status="dropped")


def run(moment: datetime, user: Any) -> Any:
    row = RunFactory(success=True, queued_at=moment, started_at=moment, finished_at=moment)
    LogChunk.objects.create(run=row, offset=0, data=b"log")
    RunFile.objects.create(run=row, position=0, root="samples", path="a.py", sha256="0" * 64, size=1, content=b"1")
    ResultFactory(run=row)
    return row


def message(moment: datetime, user: Any) -> Any:
    return MessageFactory(chat=ChatFactory(), own_text="Hello", created_at=moment)


KINDS: list[tuple[str, Made]] = [
    ("", login_session),
    ("LOGIN_LOG_DAYS", attempt),
    ("LOGIN_LOG_DAYS", access(AccessLog)),
    ("LOGIN_LOG_DAYS", access(AccessFailureLog)),
    ("ADMIN_LOG_DAYS", admin_entry),
    ("HISTORY_DAYS", history),
    ("NOTIFICATION_DAYS", notification),
    ("REMINDER_DAYS", reminder),
    ("TESTRUN_DAYS", run),
    ("MESSAGE_DAYS", message),
]


@pytest.fixture(autouse=True)
def _everything_is_kept(settings):
    for setting, _ in KINDS:
        if setting:
            setattr(settings, setting, 0)


@pytest.mark.parametrize(("setting", "made"), KINDS)
def test_what_is_older_than_it_is_kept_goes_and_the_rest_stays(setting: str, made: Made, settings, superuser):
    now = timezone.now()
    if setting:
        old, young = made(now - timedelta(days=31), superuser), made(now - timedelta(days=29), superuser)
        retention.retain()
        assert exists(old) and exists(young)  # 0 keeps everything
        setattr(settings, setting, 30)
    else:
        old, young = made(now - timedelta(days=1), superuser), made(now + timedelta(days=1), superuser)
    assert sum(retention.what_would_go().values()) == 1

    assert sum(retention.retain().values()) == 1

    assert not exists(old) and exists(young)
    assert retention.retain() == {}


def exists(row: Any) -> bool:
    return bool(type(row)._default_manager.filter(pk=row.pk).exists())


def test_more_rows_than_fit_into_a_transaction_all_go(settings, superuser, monkeypatch):
    monkeypatch.setattr(retention, "AT_ONCE", 2)
    settings.ADMIN_LOG_DAYS = 30
    for age in range(31, 36):
        admin_entry(timezone.now() - timedelta(days=age), superuser)

    assert retention.retain() == {"entries of the admin's log": 5}


def test_what_waits_to_be_sent_is_never_deleted(settings):
    settings.NOTIFICATION_DAYS = settings.REMINDER_DAYS = 1
    long_ago = timezone.now() - timedelta(days=400)
    waiting = NotificationFactory(created_at=long_ago)
    failed = NotificationFactory(created_at=long_ago, attempts=5, error="No such user.")
    pending = Reminder.objects.create(task=TaskFactory(due_date=long_ago), due_date=long_ago)

    retention.retain()

    assert exists(waiting) and exists(pending) and not exists(failed)


def test_an_old_run_goes_with_results_log_and_files_and_one_that_is_active_stays(settings):
    settings.TESTRUN_DAYS = 1
    run(timezone.now() - timedelta(days=2), None)
    active = RunFactory(running=True, queued_at=timezone.now() - timedelta(days=2))

    assert retention.retain() == {"test runs": 1}

    assert list(TestRun.objects.values_list("pk", flat=True)) == [active.pk]
    assert not TestResult.objects.exists() and not LogChunk.objects.exists() and not RunFile.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_an_old_message_goes_with_its_picture(settings):
    settings.MESSAGE_DAYS = 30
    name = default_storage.save("messages/a.webp", ContentFile(b"picture"))
    MessageFactory(chat=ChatFactory(), own_text="", own_image=name, created_at=timezone.now() - timedelta(days=31))

    assert retention.retain() == {"chat messages": 1}

    assert not Message.objects.exists() and not default_storage.exists(name)


def test_every_table_of_history_has_a_rule():
    tables = {model._meta.db_table for model in apps.get_models() if issubclass(model, HistoricalChanges)}

    assert len(tables) >= 6
    assert tables <= {rule.table for rule in retention.rules() if isinstance(rule, retention.Rule)}


@pytest.mark.django_db(transaction=True)
def test_a_rule_that_fails_stops_no_other(settings):
    settings.TESTRUN_DAYS = settings.EVENT_RETENTION_DAYS = settings.LOGIN_LOG_DAYS = 40
    long_ago = timezone.now() - timedelta(days=400)
    RunFactory(failure=True, queued_at=long_ago, started_at=long_ago, finished_at=long_ago)
    Minute.objects.create(minute=long_ago, application=ApplicationFactory(), category="c", name="n", events=1)
    with contextlib.closing(psycopg2.connect(**direct_connections.parameters())) as other, other.cursor() as cursor:
        cursor.execute("LOCK TABLE axes_accesslog, events_session IN ACCESS EXCLUSIVE MODE")
        with connection.cursor() as ours:
            ours.execute("SET lock_timeout = '100ms'")
        try:
            retention.retain()
            events_retention.retain()
        finally:
            connection.close()  # also resets its limit

    assert not TestRun.objects.exists()
    assert not Minute.objects.exists()


def test_the_command_counts_or_deletes(capsys, settings, superuser):
    settings.ADMIN_LOG_DAYS = 30
    admin_entry(timezone.now() - timedelta(days=31), superuser)

    call_command("retain", "--dry-run")
    assert "1  entries of the admin's log would be deleted" in capsys.readouterr().out
    assert LogEntry.objects.count() == 1

    call_command("retain")
    assert "1  entries of the admin's log deleted" in capsys.readouterr().out
    assert LogEntry.objects.count() == 0


@pytest.mark.parametrize("written", ["-1", "36501", "two", "1.5"])
def test_days_out_of_bounds_are_refused(written: str, monkeypatch):
    import environ
    from django.core.exceptions import ImproperlyConfigured

    monkeypatch.setenv("MESSAGE_DAYS", "30")
    assert days(environ.Env(), "MESSAGE_DAYS", default=0) == 30

    monkeypatch.setenv("MESSAGE_DAYS", written)
    with pytest.raises(ImproperlyConfigured, match="MESSAGE_DAYS must be 1 to 36500 days"):
        days(environ.Env(), "MESSAGE_DAYS", default=0)


def test_messages_are_kept_by_default():
    assert django_settings.MESSAGE_DAYS == 0
