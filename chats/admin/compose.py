"""The compose pages: write, preview, send. Nothing is sent before the page has shown its exact audience."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.http import urlencode

from accounts.zones import zone_named
from chats import services
from chats.admin.compose_form import ComposeForm
from chats.admin.send import may_send, page_of
from chats.broadcasts import drafts
from chats.models import ALL_CHATS, Broadcast, BroadcastNotAllowed, ListedUsers
from core.storage_failure import StorageFailure
from core.timezones import zone_words

KEPT_STEPS = ("preview", "edit")  # query parameters that hold a form kept as a draft


class ComposeAdmin(admin.ModelAdmin):
    """Mixin of the broadcast admin: the pages to create a broadcast and to change a scheduled one."""

    def get_urls(self) -> list[URLPattern]:
        edit = self.admin_site.admin_view(self.edit_view)
        return [path("<int:pk>/edit/", edit, name="chats_broadcast_edit"), *super().get_urls()]

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not may_send(request):
            raise PermissionDenied
        return self._compose(request, None)

    def edit_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Change the text, picture and time of a scheduled or missed broadcast."""
        if not may_send(request):
            raise PermissionDenied
        broadcast = self.get_object(request, str(pk))
        if broadcast is None:
            raise Http404
        if broadcast.status not in Broadcast.CHANGEABLE:
            messages.error(request, f"Broadcast {pk} is {broadcast.status} and cannot be changed any more.")
            return HttpResponseRedirect(page_of(broadcast))
        return self._compose(request, broadcast)

    def _compose(self, request: HttpRequest, broadcast: Broadcast | None) -> HttpResponse:
        """Handle one step of the form. The preview has its own URL, so that it can be reloaded and left with Back.

        Times are parsed in the time zone in which the form was shown, even if the user has changed it since.
        """
        step, data = "write", None
        if request.method == "POST":
            step, data = request.POST.get("step", ""), request.POST.dict()
        elif given := [(step, request.GET[step]) for step in KEPT_STEPS if step in request.GET]:
            step, draft = given[0][0], drafts.find(given[0][1], owner=request.user, suffix=".json")
            data = _kept(draft)
            if data is None:
                messages.error(request, "This draft is older than a day and was deleted. Write the broadcast again.")
                return HttpResponseRedirect(request.path)
        with timezone.override(zone_named((data or {}).get("zone", "")) or timezone.get_current_timezone()):
            files = request.FILES if request.method == "POST" else None
            form = ComposeForm(data, files, owner=request.user, has_audience=broadcast is None)
            return self._step(request, step, form, broadcast)

    def _step(self, request: HttpRequest, step: str, form: ComposeForm, broadcast: Broadcast | None) -> HttpResponse:
        if not form.is_bound:
            return self._write(request, form, broadcast)
        if not form.is_valid() or step == "edit":
            return self._page(request, "chats/compose_page.html", form, broadcast, shows_errors=step != "edit")
        if step == "send":
            return self._send(request, form, broadcast)
        if request.method == "POST":
            return self._go_to_preview(request, form, broadcast)
        audience = broadcast.kind.of(broadcast) if broadcast else form.chosen_audience
        reach = audience.count_chats()
        counts = {"audience": audience, "reach": reach, "without": (audience.size or reach) - reach}
        return self._page(request, "chats/compose_preview.html", form, broadcast, **counts)

    def _write(self, request: HttpRequest, form: ComposeForm, broadcast: Broadcast | None) -> HttpResponse:
        if broadcast is None and (selected := request.session.pop("compose_uuids", None)):
            try:
                return _with_list(request, selected)
            except StorageFailure as error:
                messages.error(request, f"The list of users could not be stored. {error}")
        _prefill(form, request, broadcast)
        return self._page(request, "chats/compose_page.html", form, broadcast)

    def _go_to_preview(self, request: HttpRequest, form: ComposeForm, broadcast: Broadcast | None) -> HttpResponse:
        try:
            draft = drafts.keep_form(form.to_be_kept(), owner=request.user)
        except StorageFailure as error:
            form.add_error("text", f"The preview could not be stored. {error}")
            return self._page(request, "chats/compose_page.html", form, broadcast)
        return HttpResponseRedirect(f"{request.path}?{urlencode({'preview': draft.reference})}")

    def _send(self, request: HttpRequest, form: ComposeForm, broadcast: Broadcast | None) -> HttpResponse:
        text, send_at = form.cleaned_data["text"], form.moment
        try:
            own = (broadcast.image.name or "") if broadcast else ""
            image = drafts.store_permanently(form.picture, own=own) if form.picture else None
        except drafts.DraftGone:
            return self._refused(request, form, broadcast, drafts.PICTURE_GONE)
        except StorageFailure as error:
            return self._refused(request, form, broadcast, f"The picture could not be stored. {error}")
        if broadcast is None:
            broadcast = services.compose(
                actor=request.user, text=text, image=image, audience=form.chosen_audience, send_at=send_at,
                request_key=form.key_of_content(),
            )  # fmt: skip
            messages.success(request, "The broadcast is scheduled." if form.moment else "The broadcast is queued.")
            return HttpResponseRedirect(page_of(broadcast))
        try:
            services.update_scheduled(
                broadcast=broadcast, actor=request.user, text=text, image=image, send_at=send_at, seen=_seen(form)
            )
            messages.success(request, "The broadcast is changed.")
        except services.BroadcastChanged as changed:
            form.add_error("text", str(changed))
            return self._page(request, "chats/compose_page.html", form, broadcast, version=broadcast.version)
        except BroadcastNotAllowed as error:
            messages.error(request, str(error))
        return HttpResponseRedirect(page_of(broadcast))

    def _refused(
        self, request: HttpRequest, form: ComposeForm, broadcast: Broadcast | None, words: str
    ) -> HttpResponse:
        form.add_error("picture_file", words)
        return self._page(request, "chats/compose_page.html", form, broadcast)

    def _page(
        self, request: HttpRequest, template: str, form: ComposeForm, broadcast: Broadcast | None, **more: Any
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": broadcast,
            "title": f"Change {broadcast}" if broadcast else "New broadcast",
            "media": self.media,
            "form": form,
            "values": form.values(),
            "zone": zone_words(timezone.get_current_timezone()),
            "version": _seen(form) if form.is_bound or broadcast is None else broadcast.version,
            "edit": urlencode({"edit": request.GET.get("preview", "")}),
            "audience": broadcast and broadcast.kind.of(broadcast),
            "longest_list": ListedUsers.MAX_USERS,
            "shows_errors": True,
        }
        return render(request, template, {**context, **more})


def _with_list(request: HttpRequest, user_uuids: list[str]) -> HttpResponse:
    """Store the users selected on the chat list as a draft and redirect to a URL that can be reloaded."""
    draft = drafts.keep_list("\n".join(user_uuids), title="", owner=request.user)
    return HttpResponseRedirect(f"{request.path}?{urlencode({'users': draft.reference})}")


def _prefill(form: ComposeForm, request: HttpRequest, broadcast: Broadcast | None) -> None:
    """Fill a new form with the list from the chat list, or with the broadcast to be changed."""
    if broadcast is None:
        form.listed_file = drafts.find(request.GET.get("users", ""), owner=request.user, suffix=".txt")
        form.initial["audience"] = ListedUsers.kind if form.listed_file else ALL_CHATS.kind
        return
    form.initial.update(text=broadcast.text, when="later", send_at=broadcast.send_at)
    if broadcast.image.name:
        form.picture = drafts.refer_to(broadcast.image.name, owner=request.user)


def _kept(draft: drafts.Draft | None) -> dict[str, str] | None:
    """Return the fields of a form that was kept for its preview, or None if the draft was deleted."""
    try:
        return dict(json.loads(draft.read())) if draft else None
    except drafts.DraftGone:
        return None


def _seen(form: ComposeForm) -> int | None:
    """Return the version of the broadcast that the form was first rendered with."""
    given = form.data.get("version", "")
    return int(given) if given.isascii() and given.isdigit() and len(given) < 19 else None
