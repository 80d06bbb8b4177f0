"""The page of one broadcast: its live part, its timeline and its buttons."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, re_path, reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from chats.admin.broadcast_actions import ACTIONS, BroadcastAction, actions_for
from chats.admin.send import may_send, page_of
from chats.broadcasts.progress import in_words, progress_of
from chats.models import Banner, Broadcast, BroadcastNotAllowed, Step
from core.admin.dialog import ConfirmDialog, ask, go_to
from core.admin.row_history import RowHistoryAdmin

WORKER_START_TIMEOUT = 10  # seconds
REFRESH_INTERVAL = 5  # seconds between two refreshes of the live part: the rate also falls when nothing happens


# Timeline steps that are not states: the state whose style they use, and their label.
LOOKS = {"retracted": ("retracted", "Retracted"), "restored": ("on", "Shown again"), "changed": ("waiting", "Changed")}


class BroadcastPagesAdmin(RowHistoryAdmin):
    """Mixin of the broadcast admin: the read-only page of one broadcast with its actions, which call services."""

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("<int:pk>/live/", wrap(require_safe(self.live_view)), name="chats_broadcast_live"),
            path("<int:pk>/cells/", wrap(require_safe(self.cells_view)), name="chats_broadcast_cells"),
            re_path(
                rf"^(?P<pk>\d+)/(?P<verb>{'|'.join(ACTIONS)})/$", wrap(self.action_view), name="chats_broadcast_verb"
            ),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        broadcast = self._broadcast(request, object_id)
        context = {
            **self.admin_site.each_context(request),
            **self._live_context(request, broadcast),
            "opts": self.opts,
            "original": broadcast,
            "title": str(broadcast),
            "media": self.media,
            "history_url": reverse("admin:chats_broadcast_history", args=[broadcast.pk]),
        }
        return TemplateResponse(request, "chats/broadcast_page.html", context)

    def live_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Return the live part of the page. The page requests it on every live message about the broadcast."""
        broadcast = self._broadcast(request, str(pk))
        return render(request, "chats/broadcast_live.html", self._live_context(request, broadcast))

    def cells_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Return state and progress of one row of the list. The list requests it while the broadcast is in progress."""
        return render(request, "chats/broadcast_cells.html", {"broadcast": self._broadcast(request, str(pk))})

    def action_view(self, request: HttpRequest, pk: str, verb: str) -> HttpResponse:
        """GET shows a confirmation with the consequence in numbers; POST executes the action."""
        if not may_send(request):
            raise PermissionDenied
        broadcast, action = self._broadcast(request, pk), ACTIONS[verb]
        if request.method != "POST":
            return self._confirmation(request, broadcast, action)
        try:
            action.run(broadcast=broadcast, actor=request.user)
            messages.success(request, action.success_text)
            if not action.leaves_page:
                return go_to(request, reverse("admin:chats_broadcast_changelist"))
        except BroadcastNotAllowed as error:
            messages.error(request, str(error))
        return go_to(request, page_of(broadcast))

    def _confirmation(self, request: HttpRequest, broadcast: Broadcast, action: BroadcastAction) -> HttpResponse:
        button, page = action.confirm_label or action.label, page_of(broadcast)
        if action.is_available(broadcast):
            words = action.confirm_text(broadcast)
            question = ConfirmDialog(f"{button}?", page, button, words, is_dangerous=action.is_dangerous)
        else:
            words = f"The broadcast is {broadcast.status} now, so this is not possible any more."
            question = ConfirmDialog(f"{button}?", page, words=words)
        return ask(request, question, model_admin=self, original=broadcast)

    def _broadcast(self, request: HttpRequest, object_id: str) -> Broadcast:
        broadcast = self.get_object(request, object_id)
        if broadcast is None:
            raise Http404
        if not self.has_view_permission(request, broadcast):
            raise PermissionDenied
        return broadcast

    def _live_context(self, request: HttpRequest, broadcast: Broadcast) -> dict[str, Any]:
        progress = progress_of(broadcast)
        steps = list(broadcast.steps.select_related("actor"))
        waited = (timezone.now() - steps[-1].at).total_seconds() if steps else 0
        return {
            "broadcast": broadcast,
            "progress": progress,
            "remaining": in_words(progress.remaining),
            "took": in_words(progress.took),
            "timeline": [(step, *_look_of(step)) for step in reversed(steps)],
            "actions": actions_for(broadcast) if may_send(request) else [],
            "may_edit": may_send(request) and broadcast.status in Broadcast.CHANGEABLE,
            "every": None if broadcast.is_finished else REFRESH_INTERVAL,
            "is_waiting_for_worker": broadcast.status == Broadcast.Status.QUEUED and waited > WORKER_START_TIMEOUT,
            "is_useless": broadcast.status == Broadcast.Status.FAILED
            and Banner.objects.filter(source_url=broadcast.banner_url, skipped_at__isnull=False).exists(),
            "left": (broadcast.audience_size or 0) - broadcast.delivered - broadcast.skipped,
            "audience": broadcast.kind.of(broadcast),
        }


def _look_of(step: Step) -> tuple[str, str]:
    return LOOKS.get(step.verb, (step.verb, ""))
