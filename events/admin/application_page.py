"""The page of one application: its traffic, its settings, its keys, and code examples for sending events."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import URLPattern, reverse
from django.utils import timezone
from django.utils.cache import add_never_cache_headers

from core.admin.shown_once import show_once, shown_once
from events import services
from events.admin.explorer_filters import ExplorerFilters
from events.admin.widgets.chart import chart_of
from events.admin.widgets.page_admin import PageAdmin
from events.admin.widgets.snippets import snippets
from events.admin.widgets.versioned_form import VersionedForm
from events.models import Application, RejectedDay
from events.models.application import DEFAULT_RATE

MAX_KEYS = 20
ORIGIN = re.compile(r"https?://[a-z0-9.\-\[\]:]+")  # as a browser sends it: no path, no trailing slash


class ApplicationForm(VersionedForm):
    """The form of an application. Its fields are the settings that the page shows and compares."""

    name = forms.CharField(max_length=100, error_messages={"required": "Enter a name."})
    unknown_types = forms.ChoiceField(
        label="Unknown event types",
        choices=Application.UnknownTypes.choices,
        initial=Application.UnknownTypes.ACCEPTED,
    )
    allowed_origins = forms.CharField(label="Allowed origins", required=False, max_length=10_000)
    rate = forms.IntegerField(
        label="Rate limit", min_value=0, max_value=1_000_000, initial=DEFAULT_RATE, required=False
    )

    def clean_allowed_origins(self) -> list[str]:
        """Return the origins, one per line in the form, as browsers send them."""
        found = self.cleaned_data["allowed_origins"].lower().split()
        if wrong := [origin for origin in found if len(origin) > 300 or not ORIGIN.fullmatch(origin)]:
            raise forms.ValidationError(f"Not a valid origin: {wrong[0][:100]} Use the form https://www.example.com")
        return found

    def clean_rate(self) -> int:
        return self.cleaned_data["rate"] or 0


def _settings(application: Application) -> dict[str, Any]:
    """Return the values of the form's fields."""
    return _as_typed({name: getattr(application, name) for name in ApplicationForm.base_fields})


def _as_typed(values: dict[str, Any]) -> dict[str, Any]:
    return {**values, "allowed_origins": "\n".join(values["allowed_origins"])}


class ApplicationPageAdmin(PageAdmin):
    """Mixin of the application admin: the page of one application."""

    def get_urls(self) -> list[URLPattern]:
        return [self.page_url("<int:pk>/traffic/", self.traffic, "traffic"), *super().get_urls()]

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Create an application. Its page shows the write key for some minutes."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = ApplicationForm(request.POST if request.method == "POST" else None)
        if form.is_valid():
            made = attempt(form, lambda: services.create_application(**form.cleaned_data, actor=request.user))
            if made is not None:
                page = page_of(made.application.pk)
                return show_once(request, HttpResponseRedirect(page), path=page, secret=made.write_key)
        return self.page(request, None, form)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        application = self.application(request, object_id)
        if request.method != "POST":
            return self.page(request, application, secret=shown_once(request))
        if not self.has_change_permission(request, application):
            raise PermissionDenied
        form = ApplicationForm(request.POST)
        if form.is_valid():
            with transaction.atomic():
                saved = self._saved(request, application.pk, form)
            if saved:
                messages.success(request, "Saved. New events follow these settings within two seconds.")
                return HttpResponseRedirect(request.path)
        return self.page(request, application, form)

    def _saved(self, request: HttpRequest, pk: int, form: ApplicationForm) -> bool:
        """Save the form, unless a changed field differs from the value with which the form was opened."""
        row = Application.objects.select_for_update(no_key=True).filter(pk=pk).first()
        if row and form.refuses_conflicts(request, row, _settings(row), _as_typed(form.cleaned_data)):
            return False
        found = row or Application(pk=pk)
        change = partial(services.update_application, application=found, actor=request.user, **form.cleaned_data)
        return attempt(form, change) is not None

    def traffic(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Return an HTML fragment with the chart of the last 24 hours."""
        return render(request, "events/chart.html", _chart(self.application(request, pk)))

    def application(self, request: HttpRequest, object_id: Any) -> Application:
        found: Application = self.viewed(request, object_id, "There is no such application.")
        return found

    def page(
        self,
        request: HttpRequest,
        application: Application | None,
        form: ApplicationForm | None = None,
        secret: str = "",
    ) -> HttpResponse:
        """Show an application, or the form for a new one. `secret` is a new key, which is shown only once."""
        may = self.has_change_permission(request, application) if application else self.has_add_permission(request)
        if form is None and application is not None:
            form = ApplicationForm(initial=_settings(application))
        context = {
            **self.admin_site.each_context(request),
            "title": application.name if application else "New application",
            "opts": self.opts,
            "original": application,
            "application": application,
            "form": form,
            "choices": Application.UnknownTypes.choices,
            "may_change": may,
            "may_delete": application is not None and self.has_delete_permission(request, application),
            "secret": secret,
            "snippets": snippets(request, secret),
        }
        if application is not None and form is not None:
            left_out = RejectedDay.objects.filter(application=application, day=timezone.now().date(), left_out__gt=0)
            context["seen"] = form.token(request, _settings(Application.objects.get(pk=application.pk)))
            context |= {**_chart(application), "keys": _keys(application), "left_out": left_out.first()}
        response = render(request, "events/application.html", context)
        if secret:
            add_never_cache_headers(response)
        return response


def attempt(form: forms.Form, write: Callable[[], Any]) -> Any:
    """Call `write` and return its result. If it raises a refusal, add that to the form's errors and return None."""
    try:
        return write()
    except services.ChangeRefused as error:
        form.add_error("name", str(error))
    except Application.DoesNotExist:
        form.add_error(None, "This application was deleted.")
    return None


def page_of(pk: int) -> str:
    return reverse("admin:events_application_change", args=[pk])


def _chart(application: Application) -> dict[str, Any]:
    filters = ExplorerFilters.of({"application": str(application.pk), "range": "24h"})
    explorer = reverse("admin:events_event_changelist")
    return {"filters": filters, "chart": chart_of(filters), "query": filters.as_query(), "explorer": explorer}


def _keys(application: Application) -> list[tuple[Any, str]]:
    """Return the newest keys, each with its state: valid, ending or expired."""
    now: datetime = timezone.now()
    found = application.keys.select_related("created_by")[:MAX_KEYS]
    return [(key, _key_state(key.expires_at, now)) for key in found]


def _key_state(expires_at: datetime | None, now: datetime) -> str:
    if expires_at is None:
        return "valid"
    return "ending" if expires_at > now else "expired"
