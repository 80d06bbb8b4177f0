"""One mail for each due date of each task and each person, a day ahead. The row in the ledger is what makes it one.

1. `arm` writes a pending row for every open task that is due within AHEAD, by (task, due date, account): that of the
   assignee, else of the project's owner, of those who may log in and have an address. A date that moves is another row,
   and so is a new assignee. A date that passed while nobody was running is caught up with for GRACE; later it is no
   news.
2. `_claim` takes one pending row that nobody holds: FOR UPDATE SKIP LOCKED, one short statement that counts the attempt
   and sets a lease. Two beats, doubled messages, several workers: each finds other rows, or none.
3. The task is looked at again, and the mail sent, outside of any transaction.
4. How it ended is written where the attempt is still ours. Not taken by the server: again after a while that grows,
   MAX_ATTEMPTS in all, and then failed, with the reason. One that is refused holds up no other.

A worker killed between 3 and 4 may have sent: when its lease ends the mail is sent again, under the same Message-ID.
To lose a reminder would be worse.
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
from projects.models.ledger import MAX_ATTEMPTS, update_free

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

    def ended(self, **outcome: object) -> None:
        mine = Reminder.objects.filter(pk=self.id, status=Reminder.Status.PENDING, attempts=self.attempt)
        mine.update(lease_until=None, **outcome)


def send_due(*, seconds: float = 30.0) -> int:
    """Arm what is due and send what is armed, for so many seconds at most; return how many mails were taken."""
    moved, sent, until = arm(), 0, time.monotonic() + seconds
    while time.monotonic() < until and (claim := _claim()):
        moved += 1
        try:
            sent += _send(claim)
        except mail.MailRefused as refused:
            _try_again(claim, str(refused), for_good=refused.for_good)
        except OSError as error:
            _try_again(claim, f"{type(error).__name__}: {error}")
            break  # the next one would fare no better, and lose an attempt
    if moved:
        realtime.tell([realtime.reminders_updated()])
    return sent


def arm() -> int:
    """Write the ledger's rows for what is due; give up on those whose last attempt ended with its worker.

    Return how many rows that were.
    """
    now = timezone.now()
    lost = Reminder.objects.filter(status=Reminder.Status.PENDING, attempts__gte=MAX_ATTEMPTS, lease_until__lte=now)
    given_up = len(update_free(lost, status=Reminder.Status.FAILED, error="The worker died while it was sending."))
    with connection.cursor() as cursor:
        cursor.execute(_ARM, {"first": now - GRACE, "last": now + AHEAD})
        return given_up + int(cursor.rowcount)


def retry_reminders(*, ids: Iterable[int]) -> list[int]:
    """Let failed reminders be tried again from the start; return which of these had failed."""
    failed = Reminder.objects.filter(pk__in=ids, status=Reminder.Status.FAILED)
    tried = update_free(failed, status=Reminder.Status.PENDING, attempts=0, lease_until=None, error="")
    realtime.tell([realtime.reminders_updated()] if tried else [])
    return tried


def _claim() -> _ReminderClaim | None:
    now = timezone.now()
    until = now + timedelta(seconds=mail.LEASE_SECONDS)
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, {"now": now, "until": until, "most": MAX_ATTEMPTS})
        row = cursor.fetchone()
    return _ReminderClaim(*row) if row else None


def _send(claim: _ReminderClaim) -> bool:
    """Send the mail, or write down why not; return whether it was sent. Raises what mail.send does."""
    reminder = Reminder.objects.select_related("task__assignee", "task__project__owner").filter(pk=claim.id).first()
    if reminder is None:
        return False  # its task was deleted meanwhile
    task, now = reminder.task, timezone.now()
    person = _person(task)
    if reason := _needless(task, reminder, person, now):
        claim.ended(status=Reminder.Status.DROPPED, error=reason)
        return False
    address = person.email if person else settings.REMINDER_FALLBACK_EMAIL
    if not address:
        claim.ended(status=Reminder.Status.FAILED, error="There is no e-mail address to send the reminder to.")
        return False
    late = reminder.due_date < now
    mail.send(
        to=[address],
        subject=f"{'Overdue' if late else 'Due soon'}: {task.title}",
        template="reminder",
        context={"task": task, "late": late, "due": in_full(reminder.due_date, zone_of(person))},
        identity=f"reminder-{reminder.pk}-{reminder.due_date:%Y%m%d%H%M%S}",
    )
    claim.ended(status=Reminder.Status.SENT, sent_at=timezone.now(), recipient=address, error="")
    return True


def _needless(task: Task, reminder: Reminder, person: Any, now: datetime) -> str:
    if task.status == Task.Status.COMPLETED:
        return "The task was completed before."
    if task.due_date != reminder.due_date:
        return "The due date was moved."
    if reminder.account != (person.pk if person else None):
        return "The task is another person's now, who is reminded instead."
    return "The due date is long past." if reminder.due_date < now - GRACE else ""


def _person(task: Task) -> Any:
    """The assignee, else the project's owner: the first who may log in and has an address; None if neither does."""
    people = [person for person in (task.assignee, task.project.owner) if person is not None and person.is_active]
    return next((person for person in people if person.email), None)


def _try_again(claim: _ReminderClaim, reason: str, *, for_good: bool = False) -> None:
    log.warning("reminder_not_sent", reminder=claim.id, attempt=claim.attempt, error=reason)
    if for_good or claim.attempt >= MAX_ATTEMPTS:
        claim.ended(status=Reminder.Status.FAILED, error=reason[:500])
        return
    mine = Reminder.objects.filter(pk=claim.id, status=Reminder.Status.PENDING, attempts=claim.attempt)
    mine.update(lease_until=timezone.now() + mail.AGAIN[claim.attempt - 1], error=reason[:500])
