"""Reminder mails: one per task, due date and account, a day ahead. A unique row in the ledger guarantees this.

1. `arm` inserts a pending row per (task, due date, account) for every open task due within AHEAD. The account is that
   of the assignee, otherwise of the project's owner; it must be active and have an e-mail address. A changed due date
   or assignee gets a new row. Due dates that passed while no worker was running are caught up within GRACE; later ones
   are dropped.
2. `_claim` claims one pending row with FOR UPDATE SKIP LOCKED, in one short statement that increments `attempts` and
   sets a lease. Duplicate beat messages and concurrent workers therefore get different rows or none.
3. The task is read again and the mail is sent outside any transaction.
4. The outcome is recorded only if the attempt is still ours. If the server did not accept the mail, it is retried after
   a growing delay, MAX_ATTEMPTS times in all, and then marked as failed with the reason. One refused mail does not
   delay the others.

A worker killed between 3 and 4 may have sent the mail. When its lease ends, the mail is sent again with the same
Message-ID. A duplicate is preferred to a lost reminder.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import structlog
from django.conf import settings
from django.db import connection
from django.utils import timezone

from accounts.zones import zone_of
from core import mail
from core.timezones import in_full
from projects import realtime
from projects.models import Reminder, Task
from projects.models.attempts import MAX_ATTEMPTS, update_unlocked

log = structlog.get_logger(__name__)

AHEAD = timedelta(hours=24)
GRACE = timedelta(hours=24)

_ARM = """
    INSERT INTO projects_reminder (task_id, due_date, account, status, recipient, attempts, error)
    SELECT id, due_date, account, 'pending', '', 0, '' FROM (
        SELECT task.id, task.due_date, coalesce(assignee.id, owner.id) AS account FROM projects_task AS task
        JOIN projects_project AS project ON project.id = task.project_id
        LEFT JOIN auth_user AS assignee
          ON assignee.id = task.assignee_id AND assignee.is_active AND assignee.email <> ''
        LEFT JOIN auth_user AS owner ON owner.id = project.owner_id AND owner.is_active AND owner.email <> ''
        WHERE NOT task.status = 'completed' AND task.due_date > %(first)s AND task.due_date <= %(last)s
          AND task.due_date > task.created_at
          AND NOT EXISTS (
              SELECT FROM projects_reminder AS known
              WHERE known.task_id = task.id AND known.due_date = task.due_date AND known.status <> 'dropped'
                AND known.account IS NOT DISTINCT FROM coalesce(assignee.id, owner.id)
          )
        ORDER BY task.id
        FOR KEY SHARE OF task SKIP LOCKED  -- one that is being deleted has no reminder; one being changed, next minute
    ) AS due
    ON CONFLICT (task_id, due_date, account) DO UPDATE
        SET status = 'pending', attempts = 0, lease_until = NULL, error = ''
        WHERE projects_reminder.status = 'dropped'
"""
_CLAIM = """
    UPDATE projects_reminder SET attempts = attempts + 1, lease_until = %(until)s
    WHERE id = (
        SELECT id FROM projects_reminder
        WHERE status = 'pending' AND attempts < %(most)s AND (lease_until IS NULL OR lease_until <= %(now)s)
        ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED
    )
    RETURNING id, attempts
"""


class _ReminderClaim(NamedTuple):
    id: int
    attempt: int

    def record(self, **outcome: object) -> None:
        mine = Reminder.objects.filter(pk=self.id, status=Reminder.Status.PENDING, attempts=self.attempt)
        mine.update(lease_until=None, **outcome)


def send_due(*, seconds: float = 30.0) -> int:
    """Create due reminders and send pending ones for at most `seconds`.

    Return the number of mails the server accepted.
    """
    moved, sent, until = arm(), 0, time.monotonic() + seconds
    while time.monotonic() < until and (claim := _claim()):
        moved += 1
        try:
            sent += _send(claim)
        except mail.MailRefused as refused:
            _record_failure(claim, str(refused), for_good=refused.for_good)
        except OSError as error:
            _record_failure(claim, f"{type(error).__name__}: {error}")
            break  # the next mail would fail too and use up an attempt
    if moved:
        realtime.publish([realtime.reminders_updated()])
    return sent


def arm() -> int:
    """Insert the ledger rows for tasks that are due, and fail those whose last attempt ended with its worker.

    Return the number of rows inserted or failed.
    """
    now = timezone.now()
    lost = Reminder.objects.filter(status=Reminder.Status.PENDING, attempts__gte=MAX_ATTEMPTS, lease_until__lte=now)
    given_up = len(update_unlocked(lost, status=Reminder.Status.FAILED, error="The worker died while it was sending."))
    with connection.cursor() as cursor:
        cursor.execute(_ARM, {"first": now - GRACE, "last": now + AHEAD})
        return given_up + int(cursor.rowcount)


def retry_reminders(*, ids: Iterable[int]) -> list[int]:
    """Reset failed reminders to pending with no attempts. Return the ids of those that had failed."""
    failed = Reminder.objects.filter(pk__in=ids, status=Reminder.Status.FAILED)
    tried = update_unlocked(failed, status=Reminder.Status.PENDING, attempts=0, lease_until=None, error="")
    realtime.publish([realtime.reminders_updated()] if tried else [])
    return tried


def _claim() -> _ReminderClaim | None:
    now = timezone.now()
    until = now + timedelta(seconds=mail.LEASE_SECONDS)
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, {"now": now, "until": until, "most": MAX_ATTEMPTS})
        row = cursor.fetchone()
    return _ReminderClaim(*row) if row else None


def _send(claim: _ReminderClaim) -> bool:
    """Send the mail or record why not. Return whether it was sent. Raises what mail.send raises."""
    reminder = Reminder.objects.select_related("task__assignee", "task__project__owner").filter(pk=claim.id).first()
    if reminder is None:
        return False  # its task was deleted in the meantime
    task, now = reminder.task, timezone.now()
    person = _person(task)
    if reason := _reason_to_drop(task, reminder, person, now):
        claim.record(status=Reminder.Status.DROPPED, error=reason)
        return False
    address = person.email if person else settings.REMINDER_FALLBACK_EMAIL
    if not address:
        claim.record(status=Reminder.Status.FAILED, error="There is no e-mail address to send the reminder to.")
        return False
    late = reminder.due_date < now
    mail.send(
        to=[address],
        subject=f"{'Overdue' if late else 'Due soon'}: {task.title}",
        template="projects/mail/reminder",
        context={"task": task, "late": late, "due": in_full(reminder.due_date, zone_of(person))},
        identity=f"reminder-{reminder.pk}-{reminder.due_date:%Y%m%d%H%M%S}",
    )
    claim.record(status=Reminder.Status.SENT, sent_at=timezone.now(), recipient=address, error="")
    return True


def _reason_to_drop(task: Task, reminder: Reminder, person: Any, now: datetime) -> str:
    if task.status == Task.Status.COMPLETED:
        return "The task was completed before the reminder was sent."
    if task.due_date != reminder.due_date:
        return "The due date was moved."
    if reminder.account != (person.pk if person else None):
        return "Another person is responsible for the task now and is reminded instead."
    return "The due date passed too long ago." if reminder.due_date < now - GRACE else ""


def _person(task: Task) -> Any:
    """Return the assignee, otherwise the project's owner: the first who is active and has an address.

    None if neither is.
    """
    candidates = [person for person in (task.assignee, task.project.owner) if person is not None and person.is_active]
    return next((person for person in candidates if person.email), None)


def _record_failure(claim: _ReminderClaim, reason: str, *, for_good: bool = False) -> None:
    log.warning("reminder_not_sent", reminder=claim.id, attempt=claim.attempt, error=reason)
    if for_good or claim.attempt >= MAX_ATTEMPTS:
        claim.record(status=Reminder.Status.FAILED, error=reason[:500])
        return
    mine = Reminder.objects.filter(pk=claim.id, status=Reminder.Status.PENDING, attempts=claim.attempt)
    mine.update(lease_until=timezone.now() + mail.AGAIN[claim.attempt - 1], error=reason[:500])
