"""Retention in days, except of events (events/storage/retention.py) and live messages (live/numbering.py).

Each rule deletes in short transactions of AT_ONCE rows, oldest first, and skips rows that are locked elsewhere. A rule
that fails is logged and does not stop the others. A setting of 0 keeps everything. `manage.py retain --dry-run` counts
what would be deleted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import structlog
from django.apps import apps
from django.conf import settings
from django.db import DatabaseError, connection, transaction
from simple_history.models import HistoricalChanges

from core.registry import RetentionRule, all_apps

log = structlog.get_logger(__name__)

AT_ONCE = 2_000  # rows per transaction
SECONDS = 60.0  # budget of one call; the next one follows in an hour
_DELETE = """
    DELETE FROM {table} WHERE {key} IN (
        SELECT {key} FROM {table} WHERE {moment} < now() - %s * interval '1 day' AND {where}
        ORDER BY {moment} LIMIT %s FOR UPDATE SKIP LOCKED
    )
"""
_COUNT = "SELECT count(*) FROM {table} WHERE {moment} < now() - %s * interval '1 day' AND {where}"


@dataclass(frozen=True)
class Rule:
    """Rows of one table, kept for the days of a setting after `moment`; without a setting, until that moment."""

    name: str
    table: str
    moment: str
    setting: str = ""
    key: str = "id"
    where: str = "true"

    @property
    def days(self) -> int:
        return int(getattr(settings, self.setting)) if self.setting else 0

    @property
    def is_on(self) -> bool:
        return not self.setting or self.days > 0

    def count(self) -> int:
        with connection.cursor() as cursor:
            cursor.execute(self._sql(_COUNT), [self.days])
            return int(cursor.fetchone()[0])

    def delete_some(self) -> int:
        """Delete up to AT_ONCE rows in one transaction; return how many."""
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(self._sql(_DELETE), [self.days, AT_ONCE])
            return cursor.rowcount

    def _sql(self, text: str) -> str:
        return text.format(table=self.table, key=self.key, moment=self.moment, where=self.where)


@dataclass(frozen=True)
class Work:
    """Retention rule for more than the rows of one table."""

    name: str
    setting: str
    count: Callable[[], int]
    delete_some: Callable[[], int]

    @property
    def is_on(self) -> bool:
        return bool(getattr(settings, self.setting))


def rules() -> Iterator[RetentionRule]:
    """Yield every rule, including disabled ones."""
    yield Rule("sessions that have ended", "django_session", "expire_date", key="session_key")
    yield Rule("answers to repeated requests", "live_idempotencykey", "expires_at")
    yield Rule("login attempts", "axes_accessattempt", "attempt_time", "LOGIN_LOG_DAYS")
    yield Rule("logins", "axes_accesslog", "attempt_time", "LOGIN_LOG_DAYS")
    yield Rule("failed logins", "axes_accessfailurelog", "attempt_time", "LOGIN_LOG_DAYS")
    yield Rule("entries of the admin's log", "django_admin_log", "action_time", "ADMIN_LOG_DAYS")
    for model in apps.get_models():
        if issubclass(model, HistoricalChanges):
            table = model._meta.db_table
            yield Rule(f"rows of {table}", table, "history_date", "HISTORY_DAYS", key="history_id")
    for app in all_apps():
        yield from app.retention


def what_would_go() -> dict[str, int]:
    """Count what each enabled rule would delete now."""
    return {rule.name: rule.count() for rule in rules() if rule.is_on}


def retain(seconds: float = SECONDS) -> dict[str, int]:
    """Delete what is too old, for about `seconds`; return the counts by rule. Rules take turns."""
    until = time.monotonic() + seconds
    gone: dict[str, int] = {}
    left = [rule for rule in rules() if rule.is_on]
    while left and time.monotonic() < until:
        deleted = {rule: _delete_some(rule) for rule in left}
        for rule, number in deleted.items():
            gone[rule.name] = gone.get(rule.name, 0) + number
        left = [rule for rule, number in deleted.items() if number]
    return {name: number for name, number in gone.items() if number}


def _delete_some(rule: RetentionRule) -> int:
    try:
        return rule.delete_some()
    except DatabaseError:
        log.exception("retention_rule_failed", rule=rule.name)
        return 0
