"""The calendar page: due dates of all projects by month or week. Dates are moved by dragging or with the arrow keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from accounts.passwords import with_current_password
from core.admin.shown_once import hide, show_once, shown_once
from core.numerals import number
from core.rest.snapshots import one_snapshot
from core.sorting import by_name
from core.timezones import same_clock_on
from projects import services
from projects.admin.calendar_grid import CalendarRange, days_of, parse_day
from projects.admin.json_responses import error_response, no_content
from projects.calendar import feed
from projects.models import CalendarToken, Project, Task

MAX_OVERDUE = 50


class CalendarAdmin(ModelAdmin):
    """Mixin of the task admin: the calendar page and its requests."""

    def get_urls(self) -> list[URLPattern]:
        def page(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
            return self.admin_site.admin_view(never_cache(view))

        return [
            path("calendar/", page(require_safe(self.calendar)), name="projects_task_calendar"),
            path("calendar/days/", page(require_safe(self.calendar_days)), name="projects_task_calendar_days"),
            path("calendar/move/", page(require_POST(self.calendar_move)), name="projects_task_calendar_move"),
            path("calendar/link/", page(require_POST(self.calendar_link)), name="projects_task_calendar_link"),
            *super().get_urls(),
        ]

    def calendar(self, request: HttpRequest) -> HttpResponse:
        return self._calendar(request)

    def calendar_days(self, request: HttpRequest) -> HttpResponse:
        """Return an HTML fragment with the days and the overdue list."""
        return render(request, "projects/calendar_days.html", self._days(request))

    def calendar_move(self, request: HttpRequest) -> HttpResponse:
        """Move a task's due date from the day `from` to another day, at the same time of day in the viewer's time zone.

        A time that does not exist on that day becomes the next valid one.
        """
        if not request.user.has_perm("projects.change_task"):
            return error_response("You may look at the calendar, but not move its dates.", 403)
        day = parse_day(request.POST.get("day", ""))
        if day is None:
            return error_response("There is no such day.")
        task = Task.objects.filter(pk=number(request.POST.get("task", ""))).first()
        if task is None or task.due_date is None:
            return error_response("This task was deleted, or has no due date any more.", 404)
        before = timezone.localtime(task.due_date).date().isoformat()
        due = same_clock_on(day, task.due_date, timezone.get_current_timezone())
        if due is None:
            return error_response("This day does not exist in your time zone.")
        try:
            if request.POST.get("from", before) != before:
                raise services.TaskChanged
            services.update_task(task=task, seen={"due_date": task.due_date}, due_date=due, actor=request.user)
        except Task.DoesNotExist:
            return error_response("This task was deleted.", 404)
        except services.TaskChanged:
            return error_response("Another user changed its date meanwhile.", 409)
        return no_content()

    def calendar_link(self, request: HttpRequest) -> HttpResponse:
        """Create a new address of the user's iCalendar feed, shown once, or revoke the current one."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        page = reverse("admin:projects_task_calendar")
        if request.POST.get("do") == "revoke":
            feed.revoke_token(user=request.user)
            messages.success(request, "The calendar link is revoked and no longer works.")
            return hide(HttpResponseRedirect(page), path=page)
        _, secret = feed.new_token(user=request.user)
        return show_once(request, HttpResponseRedirect(page), path=page, secret=secret)

    def _calendar(self, request: HttpRequest) -> HttpResponse:
        token = with_current_password(CalendarToken.objects.filter(user=request.user.pk)).first()
        secret = shown_once(request) if token else ""
        context = {
            **self.admin_site.each_context(request),
            **self._days(request),
            "title": "Calendar",
            "projects": Project.objects.order_by(by_name("name"), "name"),
            "token": token,
            "fresh_link": request.build_absolute_uri(reverse("calendar", args=[secret])) if secret else "",
            "zone": timezone.get_current_timezone_name(),
        }
        return render(request, "projects/calendar.html", context)

    def _days(self, request: HttpRequest) -> dict[str, Any]:
        if not self.has_view_permission(request):
            raise PermissionDenied
        project = number(request.GET.get("project", ""))
        tasks = Task.objects.for_reading()
        if project:
            tasks = tasks.filter(project=project)
        span = CalendarRange.of(request.GET.get("view", ""), request.GET.get("at", ""))
        late = tasks.overdue(timezone.now()).order_by("due_date", "id")
        with one_snapshot():
            days, first_late, late_count = days_of(span, tasks), list(late[:MAX_OVERDUE]), late.count()
        return {
            "span": span,
            "days": days,
            "late": first_late,
            "late_count": late_count,
            "project_id": project,
            "may_move": request.user.has_perm("projects.change_task"),
            "may_add": self.has_add_permission(request),
        }
