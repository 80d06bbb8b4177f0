"""The daily reports in the admin, read-only. Opsroom generates one per day."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from unfold.admin import ModelAdmin
from unfold.decorators import display

from core.rest.snapshots import SnapshotLists
from core.timezones import zone_words
from projects.admin.report_pages.chart import chart_until
from projects.admin.report_pages.resend import ResendReportAdmin, may_resend
from projects.admin.report_pages.sparkline import with_sparks
from projects.models import Report

MAX_RESENDS = 5  # on the report's page


@admin.register(Report)
class ReportAdmin(ResendReportAdmin, SnapshotLists, ModelAdmin):
    list_display = ["day", "done", "due", "overdue", "mailed"]
    list_display_links = None  # the day links to its page
    list_per_page = 31
    actions = None
    change_list_template = "projects/report_list.html"

    def get_list_display(self, request: HttpRequest) -> Any:
        return [*self.list_display, "again"] if may_resend(request) else self.list_display

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    @display(description="Day", ordering="date")
    def day(self, report: Report) -> str:
        page = reverse("admin:projects_report_change", args=[report.pk])
        return format_html(
            '<a class="link" href="{}">{}</a>', page, f"{report.date:%A}, {report.date.day} {report.date:%B %Y}"
        )

    @display(description="Done the day before")
    def done(self, report: Report) -> str:
        return _number(report, "done_yesterday")

    @display(description="Due that day")
    def due(self, report: Report) -> str:
        return _number(report, "due_today")

    @display(description="Overdue")
    def overdue(self, report: Report) -> str:
        return render_to_string("projects/project_overdue.html", {"count": report.data["totals"]["overdue"]})

    @display(description="Mailed", ordering="mailed_at")
    def mailed(self, report: Report) -> str:
        return render_to_string("projects/report_mailed.html", {"report": report})

    @display(description="Action")
    def again(self, report: Report) -> str:
        return render_to_string("projects/resend_button.html", {"report": report, "small": True})

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show one report: its totals, its projects, and the chart of the fourteen days up to it."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        report = self.get_object(request, object_id)
        if report is None:
            raise Http404
        context = {
            **self.admin_site.each_context(request),
            "title": f"Report of {report.date.day} {report.date:%B %Y}",
            "opts": self.opts,
            "original": report,
            "report": report,
            "totals": report.data["totals"],
            "projects": with_sparks(report),
            "sections": report.data.get("other_apps", []),  # older reports have no such section
            "resends": _resends(report),
            "may_resend": may_resend(request),
            "chart": chart_until(report.date),
            "zone": zone_words(timezone.get_default_timezone()),
            "before": Report.objects.filter(date__lt=report.date).first(),
            "after": Report.objects.filter(date__gt=report.date).last(),
            "may_view_board": request.user.has_perm("projects.view_task"),
        }
        return render(request, "projects/report.html", context)


def _resends(report: Report) -> QuerySet[LogEntry]:
    """Return the log entries of the latest requests to mail it again, newest first."""
    kind = ContentType.objects.get_for_model(Report)
    found = LogEntry.objects.filter(content_type=kind, object_id=str(report.pk)).select_related("user")
    return found.order_by("-action_time")[:MAX_RESENDS]


def _number(report: Report, name: str) -> str:
    return format_html('<span class="number">{}</span>', f"{report.data['totals'][name]:,}")
