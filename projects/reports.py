"""The daily report: made once a day however often it is started, stored, told live, and mailed once.

`data` is `{"totals": {…}, "projects": [{"id", "name", …}, …]}` with the counts total, pending, in_progress, completed,
due_today, overdue, done_yesterday in both. Days are UTC's.

Once: the date is unique, and row and message are written in one transaction; whoever comes second finds the row. The
mail is claimed by a lease on the row, sent outside of any transaction, and noted; see projects/reminders.py, 2 to 4.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Count, F, Q
from django.utils import timezone

from projects import mail, messages
from projects.models import Report, Task
from projects.models.ledger import MOST_ATTEMPTS

log = structlog.get_logger(__name__)

MOST_PROJECTS = 1_000  # in one report; the totals are of all
AGAIN = timedelta(minutes=10)  # until a mail that was not taken is tried again
MAILED_FOR = timedelta(days=1)  # a report of before yesterday that was never mailed is no news


def run_daily() -> None:
    """What beat calls every minute: make today's report once its hour has come, also hours late; mail what is to be."""
    now = timezone.now()
    today = now.astimezone(UTC).date()
    if now.astimezone(UTC).hour >= settings.REPORT_HOUR and not Report.objects.filter(date=today).exists():
        generate_report(day=today)
    mail_reports()


def generate_report(*, day: date | None = None) -> tuple[Report, bool]:
    """Return the report of `day` (today), and whether this call made it. It counts tasks as they are now."""
    day = day or timezone.now().astimezone(UTC).date()
    if found := Report.objects.filter(date=day).first():
        return found, False
    try:
        with transaction.atomic():
            report = Report.objects.create(date=day, data=count(day))
            messages.tell([messages.report_generated(report)])
    except IntegrityError:
        return Report.objects.get(date=day), False  # somebody else made it meanwhile
    return report, True


def count(day: date) -> dict[str, Any]:
    """Return a report's data as of this moment."""
    numbers = _numbers(datetime.combine(day, time.min, UTC), timezone.now())
    projects: Any = (
        Task.objects.order_by()
        .values("project_id", "project__name")
        .annotate(**numbers)
        .order_by(F("total") - F("completed"), "project_id")
        .reverse()[:MOST_PROJECTS]
    )
    rows = [{"id": row.pop("project_id"), "name": row.pop("project__name"), **row} for row in projects]
    return {"totals": Task.objects.aggregate(**numbers), "projects": rows}


def _numbers(start: datetime, now: datetime) -> dict[str, Count]:
    still_open = ~Q(status=Task.Status.COMPLETED)
    day = timedelta(days=1)

    def number(condition: Q) -> Count:
        return Count("pk", filter=condition)

    return {
        "total": Count("pk"),
        **{status.value: number(Q(status=status)) for status in Task.Status},
        "due_today": number(still_open & Q(due_date__gte=start, due_date__lt=start + day)),
        "overdue": number(still_open & Q(due_date__lt=now)),
        "done_yesterday": number(Q(completed_at__gte=start - day, completed_at__lt=start)),
    }


def mail_reports() -> int:
    """Mail the reports that were not mailed; return how many the server took. None is mailed of an empty house."""
    now, sent = timezone.now(), 0
    if not settings.REPORT_EMAILS:
        return 0
    recent = Report.objects.filter(mailed_at=None, date__gte=(now - MAILED_FOR).date(), data__totals__total__gt=0)
    free = recent.filter(Q(lease_until=None) | Q(lease_until__lte=now), attempts__lt=MOST_ATTEMPTS)
    for report in free.order_by("pk"):
        sent += _mail(report, now)
    return sent


def _mail(report: Report, now: datetime) -> bool:
    """Claim by "update where nobody has claimed since we looked, exactly one changed?", send, note."""
    mine = Report.objects.filter(pk=report.pk, mailed_at=None, attempts=report.attempts)
    lease = now + timedelta(seconds=mail.LEASE_SECONDS)
    if not mine.update(attempts=F("attempts") + 1, lease_until=lease):
        return False
    claimed = Report.objects.filter(pk=report.pk, mailed_at=None, attempts=report.attempts + 1)
    try:
        mail.send(
            to=settings.REPORT_EMAILS,
            subject=f"Opsroom on {report.date}: {_headline(report.data['totals'])}",
            template="report",
            context={"report": report, "totals": report.data["totals"], "projects": report.data["projects"][:50]},
            identity=f"report-{report.date}-{report.pk}",
        )
    except OSError as error:
        reason = f"{type(error).__name__}: {error}"
        log.warning("report_not_mailed", date=str(report.date), error=reason)
        claimed.update(lease_until=now + AGAIN, error=reason[:500])
        return False
    claimed.update(mailed_at=timezone.now(), lease_until=None, error="")
    return True


def _headline(totals: dict[str, int]) -> str:
    return f"{totals['due_today']} due, {totals['overdue']} overdue, {totals['done_yesterday']} done"
