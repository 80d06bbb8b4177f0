"""The daily report: generated once a day however often the task runs, stored, published live, and mailed once.

`data` is `{"totals": {…}, "projects": [{"id", "name", …}, …], "other_apps": […]}`. The first two hold the counts total,
pending, in_progress, completed, due_today, overdue and done_yesterday. core/report_sections.py describes `other_apps`.
Days are those of the installation's time zone, TIME_ZONE.

Once: the date is unique, and the row and its message are written in one transaction, so a concurrent call finds the
row. The mail is claimed by a lease on the row, sent outside any transaction, and recorded; see projects/reminders.py,
steps 2 to 4.
"""

from __future__ import annotations

import time
from datetime import date, datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.contrib.admin.models import CHANGE, LogEntry
from django.db import IntegrityError, transaction
from django.db.models import Count, F, Q, QuerySet
from django.utils import timezone

from core import mail
from core.report_sections import happened_on, register
from core.rest.snapshots import one_snapshot
from core.timezones import day_before, day_bounds, zone_words
from core.wake import wake
from projects import realtime
from projects.models import Report, Task
from projects.models.attempts import MAX_ATTEMPTS, update_unlocked

__all__ = ["NotResent", "count", "generate_report", "mail_reports", "register", "resend", "run_daily"]

log = structlog.get_logger(__name__)

MAIL = "projects.tasks.send_daily_report"
MAX_PROJECTS = 1_000  # per report; the totals include all projects
MAIL_SECONDS = 30.0  # after this time the task starts no further mail
MAILED_FOR = timedelta(days=1)  # older reports that were never mailed are not mailed automatically


class NotResent(Exception):
    """A report cannot be mailed again now. The exception's text is a sentence for the user."""


def run_daily() -> None:
    """Generate today's report once REPORT_HOUR has come, and mail pending reports. Beat calls it repeatedly.

    Yesterday's report is generated late if Opsroom was down until midnight. It is generated only if an earlier report
    exists.
    """
    now = timezone.localtime(timezone=timezone.get_default_timezone())
    today, yesterday = now.date(), now.date() - timedelta(days=1)
    made = set(Report.objects.filter(date__gte=yesterday).values_list("date", flat=True))
    if yesterday not in made and Report.objects.filter(date__lt=yesterday).exists():
        generate_report(day=yesterday)
    if today not in made and now.hour >= settings.REPORT_HOUR:
        generate_report(day=today)
    mail_reports()


def generate_report(*, day: date | None = None) -> tuple[Report, bool]:
    """Return the report of `day` (default: today) and whether this call created it. It counts tasks as they are now."""
    day = day or timezone.localdate(timezone=timezone.get_default_timezone())
    if found := Report.objects.filter(date=day).first():
        return found, False
    with one_snapshot():  # one snapshot, so that the totals equal the sums of the projects' counts
        data = count(day)
    try:
        with transaction.atomic():
            report = Report.objects.create(date=day, data=data)
            realtime.publish([realtime.report_generated(report)])
    except IntegrityError:
        return Report.objects.get(date=day), False  # a concurrent call created it
    return report, True


def count(day: date) -> dict[str, Any]:
    """Return the data of a report on `day`, as of now."""
    zone = timezone.get_default_timezone()
    numbers = _numbers(day, timezone.now())
    projects: Any = (
        Task.objects.order_by()
        .values("project_id", "project__name")
        .annotate(**numbers)
        .order_by(F("total") - F("completed"), "project_id")
        .reverse()[:MAX_PROJECTS]
    )
    rows = [{"id": row.pop("project_id"), "name": row.pop("project__name"), **row} for row in projects]
    totals = Task.objects.aggregate(**numbers)
    return {"totals": totals, "projects": rows, "other_apps": happened_on(day_before(day, zone))}


def _numbers(day: date, now: datetime) -> dict[str, Count]:
    still_open = ~Q(status=Task.Status.COMPLETED)
    zone = timezone.get_default_timezone()
    begin, end = day_bounds(day, zone)
    begin_before, end_before = day_bounds(day_before(day, zone), zone)

    def number(condition: Q) -> Count:
        return Count("pk", filter=condition)

    return {
        "total": Count("pk"),
        **{status.value: number(Q(status=status)) for status in Task.Status},
        "due_today": number(still_open & Q(due_date__gte=begin, due_date__lt=end)),
        "overdue": number(still_open & Q(due_date__lt=now)),
        "done_yesterday": number(Q(completed_at__gte=begin_before, completed_at__lt=end_before)),
    }


def resend(*, report: Report, actor: Any, mailed_at: datetime | None) -> None:
    """Queue another mail of a report. `mailed_at` is the time of its last mail as shown to the actor.

    A repeated request sends one mail: either its `mailed_at` is outdated, or the first request is still in progress.
    Raises NotResent.
    """
    if not settings.REPORT_EMAILS:
        raise NotResent("The report has no recipients: REPORT_EMAILS is empty.")
    now = timezone.now()
    with transaction.atomic():
        is_not_requested = Q(resend_at=None) | Q(attempts=MAX_ATTEMPTS)  # or requested, with all attempts used up
        free = Report.objects.filter(is_not_requested, _is_unclaimed(now), pk=report.pk, mailed_at=mailed_at)
        if not free.update(resend_at=now, attempts=0, lease_until=None, error=""):
            raise NotResent(_why_not(report, mailed_at))
        log_text = f"Mailed again to {', '.join(settings.REPORT_EMAILS)}."
        LogEntry.objects.log_actions(actor.pk, [report], CHANGE, log_text, single_object=True)
        realtime.publish([realtime.report_updated(report)])
        wake(MAIL)


def _why_not(report: Report, mailed_at: datetime | None) -> str:
    report.refresh_from_db()
    if report.mailed_at != mailed_at:
        return "This report was mailed again meanwhile, so it was not mailed a second time."
    return "This report is being mailed already, so it was not mailed a second time."


def _is_unclaimed(now: datetime) -> Q:
    return Q(lease_until=None) | Q(lease_until__lte=now)


def mail_reports(seconds: float = MAIL_SECONDS) -> int:
    """Mail the reports that were not mailed yet or were requested again. Return how many the server accepted.

    After about `seconds` the remaining reports are left to the next call.

    A report without tasks is mailed only on request. A report whose last attempt ended with its worker is given up.
    """
    now, sent, until = timezone.now(), 0, time.monotonic() + seconds
    lost = Report.objects.filter(attempts__gte=MAX_ATTEMPTS, lease_until__lte=now)
    update_unlocked(lost, lease_until=None, error="The worker died while it was sending.")
    if not settings.REPORT_EMAILS:
        return 0
    first = timezone.localdate(now - MAILED_FOR, timezone.get_default_timezone())
    is_news = Q(mailed_at=None, date__gte=first, data__totals__total__gt=0)
    wanted = Report.objects.filter(is_news | Q(resend_at__isnull=False))
    for report in wanted.filter(_is_unclaimed(now), attempts__lt=MAX_ATTEMPTS).order_by("pk"):
        sent += _mail(report, now)
        if time.monotonic() >= until:
            break
    return sent


def _mail(report: Report, now: datetime) -> bool:
    """Claim the report, mail it and record the outcome. Return whether it was mailed.

    The claim is a conditional update: the row is unchanged since it was read, and exactly one row was updated.
    """
    unchanged = Report.objects.filter(pk=report.pk, mailed_at=report.mailed_at, resend_at=report.resend_at)
    lease = now + timedelta(seconds=mail.LEASE_SECONDS)
    if not unchanged.filter(attempts=report.attempts).update(attempts=F("attempts") + 1, lease_until=lease):
        return False
    claimed = unchanged.filter(attempts=report.attempts + 1)
    try:
        mail.send(
            to=settings.REPORT_EMAILS,
            subject=f"Opsroom on {report.date}: {_headline(report.data['totals'])}",
            template="projects/mail/report",
            context={
                "report": report,
                "totals": report.data["totals"],
                "projects": report.data["projects"][:50],
                "zone": zone_words(timezone.get_default_timezone()),
                "sections": report.data.get("other_apps", []),  # older reports have no such section
            },
            identity=_identity(report),
        )
    except mail.MailRefused as refused:
        _record_failure(claimed, report, str(refused))
        return False
    except OSError as error:
        _record_failure(claimed, report, f"{type(error).__name__}: {error}")
        return False
    if claimed.update(mailed_at=timezone.now(), resend_at=None, lease_until=None, error=""):
        realtime.publish([realtime.report_updated(report)])
    return True


def _record_failure(claimed: QuerySet[Report], report: Report, reason: str) -> None:
    """Record why the mail was not accepted and when to retry. The last attempt is not retried."""
    log.warning("report_not_mailed", date=str(report.date), error=reason)
    pause = mail.AGAIN[report.attempts] if report.attempts < len(mail.AGAIN) else None
    claimed.update(lease_until=pause and timezone.now() + pause, error=reason[:500])
    realtime.publish([realtime.report_updated(report)])


def _identity(report: Report) -> str:
    """Return a Message-ID part that differs for each request, because mail programs hide mails with a known id."""
    again = f"-{report.resend_at:%Y%m%d%H%M%S%f}" if report.resend_at else ""
    return f"report-{report.date}-{report.pk}{again}"


def _headline(totals: dict[str, int]) -> str:
    return f"{totals['due_today']} due, {totals['overdue']} overdue, {totals['done_yesterday']} done"
