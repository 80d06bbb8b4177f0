"""Rejected events in groups that share a reason, and the page of one group."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Max, Min
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, reverse
from unfold.admin import ModelAdmin

from core.admin.deletion import DeletionAdmin
from core.numerals import number
from events import services
from events.admin.rejected_actions import RejectedActionsAdmin
from events.admin.rejected_group import GroupKey, counts_of_groups
from events.admin.time_range import PRESETS, TimeRange
from events.admin.widgets.json_html import raw_html
from events.admin.widgets.page_admin import ReadOnlyPageAdmin
from events.admin.widgets.pagination import page_at
from events.models import Application, RejectedEvent, Replay
from events.rejected.groups import MAX_GROUPS, RejectedGroup, groups

USUAL = "7d"
PAGE = 50


@admin.register(RejectedEvent)
class RejectedAdmin(RejectedActionsAdmin, ReadOnlyPageAdmin, DeletionAdmin, ModelAdmin):
    """The admin of rejected events.

    It lists groups, because a million invalid events come from a few dozen mistakes.
    """

    def delete_model(self, request: HttpRequest, obj: RejectedEvent) -> None:
        """Delete by the service, which updates the counts. The admin has already logged the deletion."""
        services.delete_rejected(ids=[obj.pk])

    def get_urls(self) -> list[URLPattern]:
        return [
            self.page_url("live/", self.live, "live"),
            self.page_url("group/", self.group, "group"),
            self.page_url("group/rows/", self.group_rows, "rows"),
            self.page_url("<int:pk>/beside/", self.beside, "beside"),
            *super().get_urls(),
        ]

    # --- The groups -----------------------------------------------------------------------------
    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            **self._groups(request),
            "title": "Rejected",
            "opts": self.opts,
            "presets": [(name, words) for name, (words, _) in PRESETS.items()],
            "applications": Application.objects.only("name"),
        }
        return render(request, "events/rejected.html", context)

    def live(self, request: HttpRequest) -> HttpResponse:
        """Return an HTML fragment with the groups."""
        return render(request, "events/rejected_groups.html", self._groups(request))

    def _groups(self, request: HttpRequest) -> dict[str, Any]:
        self._may_view(request)
        time_range = TimeRange.of({"range": request.GET.get("range", "")}, USUAL)
        application = number(request.GET.get("application", ""))
        found = groups(since=time_range.start, application=application or None)
        shows_muted = request.GET.get("muted") == "1"
        shown = [(group, GroupKey.like(group)) for group in found if group.muted == shows_muted]
        muted_count = sum(group.muted for group in found)
        came = counts_of_groups([key for _, key in shown], time_range.start)
        words = _messages(found)
        return {
            "time_range": time_range,
            "application": application,
            "shows_muted": shows_muted,
            "muted_count": muted_count,
            "open_count": len(found) - muted_count,
            "is_cut": len(shown) >= MAX_GROUPS,
            "groups": [
                (group, key, counts, words.get(group.sample or 0, ""))
                for (group, key), counts in zip(shown, came, strict=True)
            ],
            "live": f"{reverse('admin:events_rejectedevent_live')}?{request.GET.urlencode()}",
        }

    # --- One group ------------------------------------------------------------------------------
    def group(self, request: HttpRequest) -> HttpResponse:
        key = GroupKey.of(request.GET)
        rows = self._rows(request, key)
        context = {
            **self.admin_site.each_context(request),
            **rows,
            "title": f"{key.code} {key.pointer}".strip(),
            "opts": self.opts,
            "application": Application.objects.filter(pk=key.application).first(),
            "actions": self.actions_for(request, key, rows["count"]),
            "replays": _replays(key) if request.user.has_perm("events.replay_rejectedevent") else [],
        }
        newest = RejectedEvent.objects.filter(pk__in=[row.pk for row in rows["page"].rows[:1]]).first()
        if newest is not None:  # a concurrent replay may have removed it
            context |= _shown(newest)
        return render(request, "events/rejected_group.html", context)

    def group_rows(self, request: HttpRequest) -> HttpResponse:
        """Return an HTML fragment with the group's counts and rows."""
        return render(request, "events/rejected_rows.html", self._rows(request, GroupKey.of(request.GET)))

    def beside(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Return an HTML fragment with one rejected event."""
        return render(request, "events/rejected_one.html", _shown(self._one(request, pk)))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        row = self._one(request, object_id)
        frame = {**self.admin_site.each_context(request), "title": str(row), "opts": self.opts, "original": row}
        return render(request, "events/rejected_page.html", {**frame, **_shown(row), "key": GroupKey.like(row)})

    # --- Helpers --------------------------------------------------------------------------------
    def _may_view(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied

    def _one(self, request: HttpRequest, object_id: Any) -> RejectedEvent:
        rows = RejectedEvent.objects.select_related("application")
        row: RejectedEvent = self.viewed(request, object_id, "This rejected event was replayed or deleted.", rows)
        return row

    def _rows(self, request: HttpRequest, key: GroupKey) -> dict[str, Any]:
        self._may_view(request)
        rows = key.rows()
        totals = rows.aggregate(count=Count("pk"), first=Min("received_at"), last=Max("received_at"))
        (counts,) = counts_of_groups([key], totals["first"])
        return {
            "key": key,
            **totals,
            "spark": counts,
            "page": page_at(request, rows.defer("raw"), ("-received_at", "-id"), PAGE),
            "rows_address": f"{reverse('admin:events_rejectedevent_rows')}?{request.GET.urlencode()}",
        }


def _shown(row: RejectedEvent) -> dict[str, Any]:
    """Return the template context of one rejected event: its JSON with every place that a reason names marked."""
    places = [reason.get("pointer", "") for reason in row.reasons]
    return {"row": row, "json": raw_html(bytes(row.raw), places), "size": len(row.raw)}


def _messages(found: list[RejectedGroup]) -> dict[int, str]:
    """Return the message of each group's newest event, by the event's id."""
    samples = [group.sample for group in found if group.sample]
    rows = RejectedEvent.objects.filter(pk__in=samples).values_list("pk", "reasons")
    return {pk: reasons[0].get("message", "") for pk, reasons in rows if reasons}


def _replays(key: GroupKey) -> list[Replay]:
    return list(Replay.objects.filter(selection=key.selection().as_json()).select_related("created_by")[:3])
