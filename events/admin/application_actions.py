"""Admin actions on an application: rotate or revoke a key, pause, resume, delete. Each asks for confirmation."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, reverse
from django.utils import timezone

from core.admin.dialog import ConfirmDialog, ask, go_to
from core.admin.shown_once import show_once
from events import services
from events.admin.application_page import ApplicationPageAdmin, page_of
from events.models import Application, WriteKey
from events.services.applications import MAX_OVERLAP_HOURS


class RotateForm(forms.Form):
    overlap_hours = forms.FloatField(min_value=0, max_value=MAX_OVERLAP_HOURS, initial=24)


class ApplicationActionsAdmin(ApplicationPageAdmin):
    """Mixin of the application admin: the actions on an application."""

    def get_urls(self) -> list[URLPattern]:
        return [
            self.action_url("<int:pk>/rotate/", self.rotate, "rotate"),
            self.action_url("<int:pk>/pause/", self.pause, "pause"),
            self.action_url("<int:pk>/keys/<int:key>/revoke/", self.revoke, "revoke"),
            *super().get_urls(),
        ]

    def rotate(self, request: HttpRequest, pk: int) -> HttpResponse:
        """GET asks how long the old key stays valid; POST redirects to the page that shows the new key."""
        application = self._to_change(request, pk)
        form = RotateForm(request.POST if request.method == "POST" else None)
        if form.is_valid():
            overlap = form.cleaned_data["overlap_hours"]
            made = services.rotate_key(application=application, overlap_hours=overlap, actor=request.user)
            page = page_of(pk)
            return show_once(request, go_to(request, page), path=page, secret=made.write_key)
        context = {"application": application, "rotate": form, "longest": MAX_OVERLAP_HOURS}
        return ask(
            request,
            ConfirmDialog(
                "Rotate key", page_of(pk), "Create new key", template="events/rotate_question.html", context=context
            ),
        )

    def pause(self, request: HttpRequest, pk: int) -> HttpResponse:
        """GET shows a confirmation; POST pauses or resumes, as the form states.

        Two users who confirm the same form therefore do not undo each other's change.
        """
        application = self._to_change(request, pk)
        if request.method != "POST":
            word = "Resume" if application.paused else "Pause"
            return ask(request, ConfirmDialog(
                f"{word} {application}?", page_of(pk), word, template="events/pause_question.html",
                context={"application": application}, is_dangerous=not application.paused,
            ))  # fmt: skip
        if request.POST.get("to", "active" if application.paused else "paused") == "active":
            services.resume(application=application, actor=request.user)
            messages.success(request, "Its events are accepted again within two seconds.")
        else:
            services.pause(application=application, actor=request.user)
            messages.success(request, "Paused. Its keys are refused within two seconds.")
        return go_to(request, page_of(pk))

    def revoke(self, request: HttpRequest, pk: int, key: int) -> HttpResponse:
        """GET shows a confirmation; POST revokes one key immediately."""
        application = self._to_change(request, pk)
        found = application.keys.filter(pk=key).first()
        if found is None:
            raise Http404
        if request.method != "POST":
            others = WriteKey.objects.unexpired(timezone.now()).filter(application=application).exclude(pk=key).count()
            return ask(request, ConfirmDialog(
                f"Revoke {found}?", page_of(pk), "Revoke key", template="events/revoke_question.html",
                context={"others": others}, is_dangerous=True,
            ))  # fmt: skip
        services.revoke_key(key=found, actor=request.user)
        messages.success(request, f"The key {found} is revoked and refused within two seconds.")
        return go_to(request, page_of(pk))

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """GET shows a confirmation; POST deletes an application without events. One with events can only be paused."""
        application = self.application(request, object_id)
        if not self.has_delete_permission(request, application):
            raise PermissionDenied
        page = page_of(application.pk)
        if request.method != "POST":
            return ask(request, ConfirmDialog(
                f"Delete {application}?", page, "Delete application",
                template="events/application_delete_question.html", context={"application": application},
                is_dangerous=True,
            ))  # fmt: skip
        try:
            services.delete_application(application=application, actor=request.user)
        except services.ChangeRefused as refused:
            messages.error(request, str(refused))
            return go_to(request, page)
        messages.success(request, f"{application} is deleted.")
        return go_to(request, reverse("admin:events_application_changelist"))

    def _to_change(self, request: HttpRequest, pk: int) -> Application:
        application = self.application(request, pk)
        if not self.has_change_permission(request, application):
            raise PermissionDenied
        return application
