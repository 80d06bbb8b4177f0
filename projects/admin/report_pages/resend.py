"""Admin page to mail a report again, after a confirmation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.dateparse import parse_datetime
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from core.admin.dialog import ConfirmDialog, ask
from projects import reports
from projects.models import Report


def may_resend(request: HttpRequest) -> bool:
    return request.user.has_perm("projects.resend_report")


class ResendReportAdmin(ModelAdmin):
    """Mixin of the report admin: the page that mails a report again."""

    def get_urls(self) -> list[URLPattern]:
        view: Callable[..., HttpResponse] = never_cache(require_http_methods(["GET", "HEAD", "POST"])(self.resend))
        return [
            path("<int:pk>/resend/", self.admin_site.admin_view(view), name="projects_report_resend"),
            *super().get_urls(),
        ]

    def resend(self, request: HttpRequest, pk: int) -> HttpResponse:
        """GET shows the confirmation with the recipients; POST queues the mail for a worker."""
        if not (self.has_view_permission(request) and may_resend(request)):
            raise PermissionDenied
        report = Report.objects.filter(pk=pk).first()
        if report is None:
            raise Http404
        if request.method != "POST":
            return self._question(request, report)
        try:
            reports.resend(report=report, actor=request.user, mailed_at=_moment(request.POST.get("mailed_at", "")))
            messages.success(request, f"The report of {report.date.day} {report.date:%B %Y} is being mailed again.")
        except reports.NotResent as refusal:
            messages.warning(request, str(refusal))
        return HttpResponseRedirect(reverse("admin:projects_report_change", args=[pk]))

    def _question(self, request: HttpRequest, report: Report) -> HttpResponse:
        title = f"Mail the report of {report.date.day} {report.date:%B %Y} again?"
        back = reverse("admin:projects_report_change", args=[report.pk])
        known = report.mailed_at.isoformat() if report.mailed_at else ""
        if settings.REPORT_EMAILS:
            context = {"report": report, "recipients": settings.REPORT_EMAILS, "known": known}
            question = ConfirmDialog(
                title, back, "Mail report again", template="projects/resend_question.html", context=context
            )
        else:
            question = ConfirmDialog(title, back, words="The report has no recipients: REPORT_EMAILS is empty.")
        return ask(request, question, model_admin=self, original=report)


def _moment(given: str) -> Any:
    """Parse the time of the last mail as shown by the confirmation. Return None if it is missing or invalid."""
    try:
        found = parse_datetime(given)
    except ValueError:
        return None
    return found if found and found.tzinfo else None
