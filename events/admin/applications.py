"""The list of applications, with the traffic and the rejected share of each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Max, Prefetch, Q, Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, reverse
from django.utils import timezone
from unfold.admin import ModelAdmin

from core.admin.deletion import DeletionAdmin
from core.admin.row_history import RowHistoryAdmin
from core.sorting import by_name
from events.admin.application_actions import ApplicationActionsAdmin
from events.admin.application_page import ApplicationPageAdmin
from events.models import Application, Arrival, Minute, WriteKey

MAX_APPLICATIONS = 500  # in the list; applications are created by hand
SEEN_WITHIN = timedelta(days=30)  # how far back "last seen" is searched


@dataclass(frozen=True)
class Traffic:
    """The traffic of one application. `share` is the percentage of rejected events in the last 24 hours."""

    a_minute: float = 0.0  # events per minute over the last hour
    share: float | None = None
    last_seen: datetime | None = None


@admin.register(Application)
class ApplicationAdmin(ApplicationActionsAdmin, ApplicationPageAdmin, DeletionAdmin, RowHistoryAdmin, ModelAdmin):
    """The admin of applications: one list and one page. All writes use services."""

    def get_urls(self) -> list[URLPattern]:
        return [self.page_url("live/", self.live, "live"), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            **self._rows(request),
            "title": "Applications",
            "opts": self.opts,
            "may_add": self.has_add_permission(request),
        }
        return render(request, "events/applications.html", context)

    def live(self, request: HttpRequest) -> HttpResponse:
        """Return an HTML fragment with the table."""
        return render(request, "events/application_rows.html", self._rows(request))

    def _rows(self, request: HttpRequest) -> dict[str, Any]:
        if not self.has_view_permission(request):
            raise PermissionDenied
        valid = WriteKey.objects.unexpired(timezone.now())
        found = Application.objects.order_by(by_name("name"), "name").prefetch_related(
            Prefetch("keys", valid, to_attr="valid_keys")
        )
        traffic = traffic_of()
        rows = [(application, traffic.get(application.pk, Traffic())) for application in found[:MAX_APPLICATIONS]]
        return {"rows": rows, "live": reverse("admin:events_application_live")}


def traffic_of() -> dict[int, Traffic]:
    """Return the traffic of each application, summed from the per-minute counts.

    Accepted and rejected events are both counted by arrival time. Otherwise the share would compare two different days
    for programs that send late.
    """
    now = timezone.now()
    minutes = _by_application(Minute.objects.all(), now, ("events", "rejected"), seen=Max("minute"))
    late = _by_application(Arrival.objects.all(), now, ("more",), seen=Max("minute", filter=Q(more__gt=0)))
    return {pk: _traffic(minutes.get(pk, {}), late.get(pk, {})) for pk in {*minutes, *late}}


def _by_application(rows: Any, now: datetime, columns: tuple[str, ...], **more: Any) -> dict[int, dict[str, Any]]:
    """Sum the columns over an hour and a day, as "events_hour" and so on, in one statement per table."""
    periods = {"hour": timedelta(hours=1), "day": timedelta(hours=24)}
    sums = {
        f"{column}_{period}": Sum(column, filter=Q(minute__gte=now - length), default=0)
        for column in columns
        for period, length in periods.items()
    }
    found = rows.filter(minute__gte=now - SEEN_WITHIN).order_by().values("application_id").annotate(**sums, **more)
    return {row["application_id"]: row for row in found}


def _traffic(counted: dict[str, Any], late: dict[str, Any]) -> Traffic:
    def received(period: str) -> tuple[int, int]:
        accepted = counted.get(f"events_{period}", 0) + late.get(f"more_{period}", 0)
        return max(accepted, 0), counted.get(f"rejected_{period}", 0)

    day = received("day")
    seen = [at for at in (counted.get("seen"), late.get("seen")) if at is not None]
    return Traffic(sum(received("hour")) / 60, day[1] * 100 / sum(day) if sum(day) else None, max(seen, default=None))
