"""Page of one environment: active run, queue and history; actions to reserve, release, enable and disable it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from testrunner import services
from testrunner.admin.dialogs import RunDialog, show_dialog
from testrunner.models import RunNotAllowed, TestEnvironment
from testrunner.queue import queue_status

MAX_PAST_RUNS = 20  # runs on the page; the others are in the table
DURATIONS = {15: "15 minutes", 30: "30 minutes", 60: "1 hour", 120: "2 hours", 480: "8 hours", 1440: "1 day"}


class ReserveForm(forms.Form):
    minutes = forms.TypedChoiceField(
        label="For", choices=DURATIONS.items(), coerce=int, initial=60, widget=forms.Select({"class": "tr-input"})
    )
    after_current = forms.BooleanField(label="Count from the end of the run that is active now", required=False)
    note = forms.CharField(
        label="Purpose", required=False, max_length=200, widget=forms.TextInput({"class": "tr-input"})
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
            path("<int:pk>/enable/", wrap(self.enable_view), name=f"{name}enable"),
            path("<int:pk>/disable/", wrap(self.disable_view), name=f"{name}disable"),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        environment = self._environment(request, object_id)
        context = {
            **self.admin_site.each_context(request),
            **self._context(request, environment),
            "opts": self.opts,
            "original": environment,
            "title": str(environment),
        }
        return TemplateResponse(request, "testrunner/environment.html", context)

    def live_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Fragment with everything that other users can change."""
        environment = self._environment(request, str(pk))
        return render(request, "testrunner/environment_live.html", self._context(request, environment))

    def settings_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Django's standard change form: name, description, project for failures, variables."""
        return super().change_view(request, str(pk))

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        services.change_environment(
            environment=obj, user=request.user, **{name: form.cleaned_data[name] for name in form.changed_data}
        )

    def response_post_save_change(self, request: HttpRequest, obj: Any) -> HttpResponseRedirect:
        return HttpResponseRedirect(_page(obj))

    def reserve_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        environment = self._environment(request, str(pk), "testrunner.reserve_testenvironment")
        form = ReserveForm(request.POST if request.method == "POST" else None)
        if request.method == "POST" and form.is_valid():
            given = dict(form.cleaned_data)
            duration = timedelta(minutes=given.pop("minutes"))
            return self._run_action(
                request, environment, "Reserved for your runs.", services.reserve, duration=duration, **given
            )
        words = f"Runs of others wait until it is over or released. {_waiting(environment)}"
        return show_dialog(
            self,
            request,
            RunDialog(f"Reserve {environment}?", words, _page(environment), "Reserve", form=form),
            environment,
        )

    def release_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        environment = self._environment(request, str(pk), "testrunner.reserve_testenvironment")
        if request.method == "POST":
            return self._run_action(request, environment, "Released.", services.release)
        words = f"{environment.reserved_by} holds it. The history records that you released it. {_waiting(environment)}"
        dialog = RunDialog(f"Release {environment}?", words, _page(environment), "Release", is_dangerous=True)
        nothing = RunDialog(f"{environment} is not reserved", "There is nothing to release.", _page(environment))
        return show_dialog(self, request, dialog if environment.is_reserved() else nothing, environment)

    def enable_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        environment = self._environment(request, str(pk), "testrunner.change_testenvironment")
        if request.method == "POST":
            return self._run_action(request, environment, "Open again.", services.enable)
        words = f"Runs start here again. {_waiting(environment)}"
        return show_dialog(
            self, request, RunDialog(f"Enable {environment}?", words, _page(environment), "Enable it"), environment
        )

    def disable_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        environment = self._environment(request, str(pk), "testrunner.change_testenvironment")
        if request.method == "POST":
            return self._run_action(request, environment, "Closed: no run starts here.", services.disable)
        words = f"No run starts here until it is enabled. {_waiting(environment)}"
        dialog = RunDialog(f"Disable {environment}?", words, _page(environment), "Disable it", is_dangerous=True)
        return show_dialog(self, request, dialog, environment)

    def _run_action(
        self, request: HttpRequest, environment: TestEnvironment, done: str, verb: Any, **more: Any
    ) -> HttpResponse:
        try:
            verb(environment=environment, user=request.user, **more)
            messages.success(request, done)
        except RunNotAllowed as refusal:
            messages.error(request, str(refusal))
        return HttpResponseRedirect(_page(environment))

    def _environment(self, request: HttpRequest, object_id: str, permission: str = "") -> TestEnvironment:
        environment = self.get_object(request, object_id)
        if environment is None:
            raise Http404
        if not self.has_view_permission(request, environment) or (permission and not request.user.has_perm(permission)):
            raise PermissionDenied
        return environment

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
    return (
        f"{waiting} run{' is' if waiting == 1 else 's are'} waiting there now."
        if waiting
        else "No run is waiting there."
    )


def _page(environment: TestEnvironment) -> str:
    return reverse("admin:testrunner_testenvironment_change", args=[environment.pk])
