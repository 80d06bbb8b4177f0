"""Actions on a group of rejected events: replay, create a task, mute, delete.

Each shows a confirmation with numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, reverse

from core.admin.dialog import ConfirmDialog, ask, go_to
from core.errors import RelatedRowGone
from core.sorting import by_name
from events import services
from events.admin.rejected_group import GroupKey
from events.admin.widgets.page_admin import PageAdmin
from events.models import Application, RejectedMute, Replay
from projects.models import Project
from projects.services import create_task

MAX_DELETED = 10_000  # per request, because a user waits for it
AT_ONCE = 1_000
REPLAY, MUTE, DELETE = "events.replay_rejectedevent", "events.mute_rejectedevent", "events.delete_rejectedevent"


class RejectedTaskForm(forms.Form):
    project = forms.ModelChoiceField(
        Project.objects.order_by(by_name("name")), error_messages={"required": "Choose a project."}
    )
    title = forms.CharField(max_length=255, error_messages={"required": "Enter a title."})


@dataclass(frozen=True)
class RejectedAction:
    """A button on the page of a group."""

    name: str
    label: str
    icon: str
    address: str
    is_dangerous: bool = False


class RejectedActionsAdmin(PageAdmin):
    """Mixin of the rejected event admin: the actions on a group."""

    def get_urls(self) -> list[URLPattern]:
        return [
            self.action_url("group/replay/", self.replay, "replay"),
            self.action_url("group/task/", self.task, "task"),
            self.action_url("group/mute/", self.mute, "mute"),
            self.action_url("group/delete/", self.delete_group, "delete_group"),
            self.page_url("replay/<int:pk>/", self.replay_progress, "progress"),
            *super().get_urls(),
        ]

    def actions_for(self, request: HttpRequest, key: GroupKey, count: int) -> list[RejectedAction]:
        """Return the actions that the user may do, in the order of the buttons."""
        may = request.user.has_perm

        def action(name: str, label: str, icon: str, is_dangerous: bool = False) -> RejectedAction:
            address = f"{reverse(f'admin:events_rejectedevent_{name}')}?{key.query}"
            return RejectedAction(name, label, icon, address, is_dangerous)

        found = []
        if count and may(REPLAY):
            found.append(action("replay", "Replay", "replay"))
        if count and may("projects.add_task"):
            found.append(action("task", "Create task", "add_task"))
        if may(MUTE):
            found.append(
                action("mute", "Unmute", "notifications") if key.mute() else action("mute", "Mute", "notifications_off")
            )
        if count and may(DELETE):
            found.append(action("delete_group", "Delete", "delete", is_dangerous=True))
        return found

    def replay(self, request: HttpRequest) -> HttpResponse:
        """GET shows the expected results; POST starts the replay."""
        key = _key(request, REPLAY)
        if request.method != "POST":
            total = key.rows().count()
            context = {"preview": services.preview_replay(selection=key.selection()), "total": total}
            button = f"Replay {total:,} event{'' if total == 1 else 's'}" if total else ""
            return ask(
                request,
                ConfirmDialog(
                    "Replay", _page(key), button, template="events/replay_question.html", context=context, is_wide=True
                ),
            )
        try:
            services.start_replay(selection=key.selection(), actor=request.user)
        except services.ChangeRefused as error:
            messages.error(request, str(error))
        return go_to(request, _page(key))

    def replay_progress(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Return an HTML fragment with the progress of one replay."""
        if not request.user.has_perm(REPLAY):
            raise PermissionDenied
        replay = Replay.objects.select_related("created_by").filter(pk=pk).first()
        if replay is None:
            raise Http404
        return render(request, "events/replay.html", {"replay": replay})

    def task(self, request: HttpRequest) -> HttpResponse:
        """GET asks for a project; POST creates a task in it."""
        key = _key(request, "projects.add_task")
        form = RejectedTaskForm(request.POST if request.method == "POST" else None, initial={"title": _title(key)})
        if form.is_valid():
            address = request.build_absolute_uri(_page(key))
            try:
                task = create_task(**form.cleaned_data, description=_description(key, address), actor=request.user)
            except RelatedRowGone as error:
                form.add_error(None, str(error))
            else:
                messages.success(request, f"“{task.title}” is on the board of {task.project}.")
                return go_to(request, reverse("admin:projects_task_change", args=[task.pk]))
        return ask(
            request,
            ConfirmDialog(
                "Create task", _page(key), "Create task", template="events/task_question.html", context={"form": form}
            ),
        )

    def mute(self, request: HttpRequest) -> HttpResponse:
        """GET shows a confirmation; POST mutes or unmutes, as the form states.

        Two users who confirm the same form therefore do not undo each other's change.
        """
        key = _key(request, MUTE)
        mute = key.mute()
        if request.method != "POST":
            word = "Unmute" if mute else "Mute"
            context = {"mute": mute, "count": key.rows().count()}
            return ask(
                request,
                ConfirmDialog(
                    f"{word} this group?", _page(key), word, template="events/mute_question.html", context=context
                ),
            )
        if request.POST.get("to", "shown" if mute else "muted") == "shown":
            if mute is not None:
                mute.delete()
            messages.success(request, "The group is in the list again.")
        else:
            values = {name: value for name, value in vars(key).items() if name != "application"}
            RejectedMute.objects.get_or_create(
                **values, application_id=key.application, defaults={"muted_by_id": request.user.pk}
            )
            messages.success(request, "The group is muted. Its events are still kept.")
        return go_to(request, reverse("admin:events_rejectedevent_changelist"))

    def delete_group(self, request: HttpRequest) -> HttpResponse:
        """GET shows a confirmation with the count; POST deletes up to MAX_DELETED of them, oldest first."""
        key = _key(request, DELETE)
        count = key.rows().count()
        if request.method != "POST":
            now = min(count, MAX_DELETED)
            context = {"count": count, "now": now, "button": f"Delete {now:,}"}
            return ask(request, ConfirmDialog(
                "Delete rejected events?", _page(key), f"Delete {now:,}" if now else "",
                template="events/delete_question.html", context=context, is_dangerous=True,
            ))  # fmt: skip
        deleted = _delete(key, request.user)
        messages.success(request, f"{deleted:,} rejected event{'' if deleted == 1 else 's'} deleted.")
        left = key.rows().exists()
        return go_to(request, _page(key) if left else reverse("admin:events_rejectedevent_changelist"))


def _key(request: HttpRequest, permission: str) -> GroupKey:
    if not (request.user.has_perm("events.view_rejectedevent") and request.user.has_perm(permission)):
        raise PermissionDenied
    key = GroupKey.of(request.GET)
    if not Application.objects.filter(pk=key.application).exists():
        raise Http404("There is no such application.")
    return key


def _page(key: GroupKey) -> str:
    return f"{reverse('admin:events_rejectedevent_group')}?{key.query}"


def _title(key: GroupKey) -> str:
    return f"Rejected events of {key.type or 'unreadable type'}: {key.code} {key.pointer}".strip()[:255]


def _description(key: GroupKey, address: str) -> str:
    newest = key.rows().order_by("-received_at").only("reasons").first()
    words = newest.reasons[0].get("message", "") if newest and newest.reasons else ""
    application = Application.objects.get(pk=key.application)
    count = key.rows().count()
    return f"{application} has sent {count:,} of them so far. {words}\n\n{address}"


def _delete(key: GroupKey, actor: Any) -> int:
    """Delete in small transactions, so that the ingest does not have to wait."""
    deleted = 0
    ids = list(key.rows().order_by("received_at", "pk").values_list("pk", flat=True)[:MAX_DELETED])
    for at in range(0, len(ids), AT_ONCE):
        deleted += services.delete_rejected(ids=ids[at : at + AT_ONCE], among=key.rows(), actor=actor)
    return deleted
