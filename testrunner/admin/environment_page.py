"""Page of one environment: active run, queue and history; actions to reserve, release, enable and disable it."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

from django import forms
from django.contrib.admin import ModelAdmin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from core.admin.dialog import ConfirmDialog, ask
from testrunner import services
from testrunner.admin.object_pages import page_context, page_of, run_action, visible_object
from testrunner.models import TestEnvironment
from testrunner.queue import queue_status

MAX_PAST_RUNS = 20  # runs on the page; the others are in the table
DURATIONS = {15: "15 minutes", 30: "30 minutes", 60: "1 hour", 120: "2 hours", 480: "8 hours", 1440: "1 day"}


class ReserveForm(forms.Form):
    minutes = forms.TypedChoiceField(
        label="For",
        choices=DURATIONS.items(),
        coerce=int,
        initial=60,
        widget=forms.Select({"class": "testrunner-input"}),
    )
    after_current = forms.BooleanField(label="Count from the end of the run that is active now", required=False)
    note = forms.CharField(
        label="Purpose", required=False, max_length=200, widget=forms.TextInput({"class": "testrunner-input"})
    )


class EnvironmentPagesAdmin(ModelAdmin):
    """Mixin for the environments' admin."""

    def get_urls(self) -> list[URLPattern]:
        wrap, name = self.admin_site.admin_view, "testrunner_testenvironment_"
        return [
            path("<int:pk>/live/", wrap(never_cache(require_safe(self.live_view))), name=f"{name}live"),
            path("<int:pk>/settings/", wrap(self.settings_view), name=f"{name}settings"),
            path("<int:pk>/reserve/", wrap(self.reserve_view), name=f"{name}reserve"),
            path("<int:pk>/release/", wrap(self.release_view), name=f"{name}release"),
            path("<int:pk>/enable/", wrap(self.switch_view), {"enabled": True}, name=f"{name}enable"),
            path("<int:pk>/disable/", wrap(self.switch_view), {"enabled": False}, name=f"{name}disable"),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        environment = visible_object(self, request, object_id)
        context = page_context(self, request, str(environment), environment) | self._context(request, environment)
        return TemplateResponse(request, "testrunner/environment.html", context)

    def live_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Fragment with everything that other users can change."""
        environment = visible_object(self, request, pk)
        return render(request, "testrunner/environment_live.html", self._context(request, environment))

    def settings_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Django's standard change form: name, description, project for failures, variables."""
        return super().change_view(request, str(pk))

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        services.change_environment(
            environment=obj, user=request.user, **{name: form.cleaned_data[name] for name in form.changed_data}
        )

    def response_post_save_change(self, request: HttpRequest, obj: Any) -> HttpResponseRedirect:
        return HttpResponseRedirect(page_of(obj))

    def reserve_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        environment = visible_object(self, request, pk, "testrunner.reserve_testenvironment")
        form = ReserveForm(request.POST if request.method == "POST" else None)
        if request.method == "POST" and form.is_valid():
            given = dict(form.cleaned_data)
            duration = timedelta(minutes=given.pop("minutes"))
            reserve = partial(services.reserve, environment=environment, user=request.user, duration=duration, **given)
            return run_action(request, page_of(environment), reserve, "Reserved for your runs.")
        text = f"Runs of others wait until the reservation ends. {_waiting(environment)}"
        dialog = ConfirmDialog(f"Reserve {environment}?", page_of(environment), "Reserve", text, form=form)
        return ask(request, dialog, model_admin=self, original=environment)

    def release_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        environment = visible_object(self, request, pk, "testrunner.reserve_testenvironment")
        page = page_of(environment)
        if request.method == "POST":
            release = partial(services.release, environment=environment, user=request.user)
            return run_action(request, page, release, "Released.")
        text = f"{environment.reserved_by} reserved it. The history records who released it. {_waiting(environment)}"
        dialog = ConfirmDialog(f"Release {environment}?", page, "Release", text, is_dangerous=True)
        nothing = ConfirmDialog(f"{environment} is not reserved", page, words="There is nothing to release.")
        return ask(request, dialog if environment.is_reserved() else nothing, model_admin=self, original=environment)

    def switch_view(self, request: HttpRequest, pk: int, enabled: bool) -> HttpResponse:
        environment = visible_object(self, request, pk, "testrunner.change_testenvironment")
        page, verb = page_of(environment), "Enable" if enabled else "Disable"
        if request.method == "POST":
            change = partial(services.change_environment, environment=environment, user=request.user, enabled=enabled)
            return run_action(
                request, page, change, "Enabled: runs start here again." if enabled else "Disabled: no run starts here."
            )
        text = "Runs start here again." if enabled else "No run starts here until it is enabled."
        text = f"{text} {_waiting(environment)}"
        dialog = ConfirmDialog(f"{verb} {environment}?", page, f"{verb} it", text, is_dangerous=not enabled)
        return ask(request, dialog, model_admin=self, original=environment)

    def _context(self, request: HttpRequest, environment: TestEnvironment) -> dict[str, Any]:
        queue_status.add_to_environments([environment])
        past = environment.runs.finished().defer("junit_xml", "selection")
        return {
            "place": environment,  # not "environment", because the theme shows that one in its header
            "past": past[:MAX_PAST_RUNS],
            "may_run": request.user.has_perm("testrunner.add_testrun"),
            "may_reserve": request.user.has_perm("testrunner.reserve_testenvironment"),
            "may_change": self.has_change_permission(request, environment),
            "is_mine": environment.holder is not None and environment.reserved_by == request.user,
        }


def _waiting(environment: TestEnvironment) -> str:
    waiting = environment.runs.queued().count()
    number = f"{waiting} run{' is' if waiting == 1 else 's are'}"
    return f"{number} waiting there now." if waiting else "No run is waiting there."
