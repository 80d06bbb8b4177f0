"""The page of one event type: its schema, with checks on an example and on received events before publication."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import URLPattern, reverse

from core import numerals
from core.admin.dialog import ConfirmDialog, ask, go_to
from core.busy import Busy
from events import services
from events.admin.event_type_pages.form import EventTypeForm, NextVersionForm, SchemaForm
from events.admin.event_type_pages.schema_playground import check_text, dry_run_of, example_of
from events.admin.event_type_pages.schema_text import DiffLine, changed_lines, differences, write_json
from events.admin.rejected_group import GroupKey
from events.admin.widgets.page_admin import PageAdmin
from events.models import EventType, SchemaVersion
from events.models.event_type import anything

MAX_VERSIONS = 50


@dataclass(frozen=True)
class VersionChange:
    """A version, with its difference from the one before."""

    version: SchemaVersion
    changed: int  # lines
    is_present: bool


class EventTypePageAdmin(PageAdmin):
    """Mixin of the event type admin: the page of one type. Only services write schemas."""

    def get_urls(self) -> list[URLPattern]:
        return [
            self.page_url("fix/", self.fix, "fix"),
            self.page_url("check/", self.check_example, "check", ["POST"]),
            self.page_url("dry-run/", self.dry_run, "dry_run", ["POST"]),
            self.action_url("<int:pk>/versions/<int:number>/", self.version, "version"),
            *super().get_urls(),
        ]

    def fix(self, request: HttpRequest) -> HttpResponse:
        """Redirect from a group of rejected events to its event type, or to the form that creates the type."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        key = GroupKey.of(request.GET)
        type = key.event_type()
        come_from = urlencode({"rejected": key.query})
        if type is not None:
            return HttpResponseRedirect(f"{page_of(type.pk)}?{come_from}")
        if not self.has_add_permission(request):
            messages.info(request, f"The event type {key.category} / {key.name} has no schema yet.")
            return HttpResponseRedirect(reverse("admin:events_eventtype_changelist"))
        prefilled = urlencode({"category": key.category, "name": key.name})
        return HttpResponseRedirect(f"{reverse('admin:events_eventtype_add')}?{prefilled}&{come_from}")

    # --- The page -------------------------------------------------------------------------------
    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        asked = {name: request.GET[name] for name in ("category", "name") if name in request.GET}
        form = EventTypeForm(request.POST) if request.method == "POST" else EventTypeForm(initial=asked)
        if request.method == "POST" and form.is_valid():
            made = form.attempt(lambda values: services.create_event_type(**values, actor=request.user))
            if made is not None:
                messages.success(request, f"{made} is created. New events of this type are validated.")
                return self._done(request, made)
        return self._page(request, form, None)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the type. A POST publishes the schema in its form."""
        type = self._type(request, object_id)
        if request.method != "POST":
            return self._page(request, NextVersionForm(initial=_present(type)), type)
        if not self.has_change_permission(request, type):
            raise PermissionDenied
        form = NextVersionForm(request.POST)
        if form.is_valid() and not self._has_missed(request, type, form):
            # Checking the schema takes time, during which another user may change the description.
            publish = partial(services.publish_schema, event_type=type, actor=request.user)
            after = form.attempt(lambda values: publish(described_as=type.description, **values))
            if after is not None:
                self._report(request, type, after)
                return self._done(request, type)
        return self._page(request, form, type)

    # --- Checks before publication --------------------------------------------------------------
    def check_example(self, request: HttpRequest) -> HttpResponse:
        """Return an HTML fragment with the validation result of the example: valid, or the errors with their places."""
        if not (self.has_change_permission(request) or self.has_add_permission(request)):
            raise PermissionDenied
        verdict = check_text(request.POST.get("schema", ""), request.POST.get("example", ""))
        return render(request, "events/verdict.html", {"verdict": verdict})

    def dry_run(self, request: HttpRequest) -> HttpResponse:
        """Return an HTML fragment with the validation results of the type's last events against this schema."""
        if not (self.has_change_permission(request) or self.has_add_permission(request)):
            raise PermissionDenied
        return render(request, "events/dry_run.html", dry_run_of(request.POST))

    # --- Versions -------------------------------------------------------------------------------
    def version(self, request: HttpRequest, pk: int, number: int) -> HttpResponse:
        """GET shows the differences of a version from the current one; POST publishes it again."""
        type = self._type(request, pk)
        version = type.versions.select_related("published_by").filter(number=number).first()
        if version is None:
            raise Http404
        may = self.has_change_permission(request, type) and number != type.version
        if request.method != "POST":
            context = {"version": version, "type": type, "lines": differences(type.schema, version.schema)}
            button = f"Go back to version {number}" if may else ""
            title = f"Version {number} of {type}"
            question = ConfirmDialog(
                title, page_of(pk), button, template="events/version.html", context=context, is_wide=True
            )
            return ask(request, question)
        if not may:
            raise PermissionDenied
        seen = numerals.number(request.POST.get("instead_of", "")) or None
        note = f"Back to version {number}"
        try:
            after = services.publish_schema(
                event_type=type, schema=version.schema, note=note, instead_of=seen, actor=request.user
            )
            self._report(request, type, after)
        except (services.ChangeRefused, services.SchemaError, Busy, EventType.DoesNotExist) as error:
            messages.error(request, str(error))
        return go_to(request, page_of(pk))

    # --- Helpers --------------------------------------------------------------------------------
    def _type(self, request: HttpRequest, object_id: Any) -> EventType:
        found: EventType = self.viewed(request, object_id, "This event type was deleted.")
        return found

    def _has_missed(self, request: HttpRequest, type: EventType, form: NextVersionForm) -> bool:
        """Add an error if the schema or description was changed after the form was opened. Return whether it was."""
        shown, wanted = _present(type), form.cleaned_data
        if services.is_same_schema(wanted["schema"], type.schema):
            wanted = {**wanted, "schema": shown["schema"]}
        return form.refuses_conflicts(request, type, shown, wanted, hidden=["schema"])

    def _report(self, request: HttpRequest, before: EventType, after: EventType) -> None:
        if after.version == before.version:
            messages.info(request, "The schema has not changed: nothing was published.")
        else:
            messages.success(request, f"Version {after.version} is published and applies within two seconds.")

    def _done(self, request: HttpRequest, type: EventType) -> HttpResponse:
        """Redirect to the type's page, keeping the group of rejected events from which it was opened."""
        group = request.GET.get("rejected")
        return HttpResponseRedirect(page_of(type.pk) + (f"?{urlencode({'rejected': group})}" if group else ""))

    def _page(self, request: HttpRequest, form: SchemaForm, type: EventType | None) -> HttpResponse:
        may = self.has_change_permission(request, type) if type else self.has_add_permission(request)
        context = {
            **self.admin_site.each_context(request),
            "title": str(type) if type else "New event type",
            "opts": self.opts,
            "original": type,
            "type": type,
            "form": form,
            "seen": form.token(request, _present(type)) if type else "",
            "may_change": may,
            "may_delete": type is not None and self.has_delete_permission(request, type),
            "published": write_json(type.schema if type else anything()),
            "missed": _missed(type, form) if type else [],
            "steps": _steps(type) if type else [],
            **example_of(request, type, form),
        }
        return render(request, "events/event_type.html", context)


def page_of(pk: int) -> str:
    return reverse("admin:events_eventtype_change", args=[pk])


def _present(type: EventType) -> dict[str, Any]:
    return {"schema": write_json(type.schema), "description": type.description}


def _missed(type: EventType, form: SchemaForm) -> list[DiffLine]:
    """Return the differences from a version that the author has not seen. Empty if the author has seen it."""
    if not (isinstance(form, NextVersionForm) and form.has_missed(type.version) and "schema" in form.cleaned_data):
        return []
    return differences(type.schema, form.cleaned_data["schema"])


def _steps(type: EventType) -> list[VersionChange]:
    versions = list(type.versions.select_related("published_by")[: MAX_VERSIONS + 1])
    steps = []
    for version, older in zip_longest(versions, versions[1:]):
        changed = changed_lines(older.schema, version.schema) if older else 0
        steps.append(VersionChange(version, changed, version.number == type.version))
    return steps[:MAX_VERSIONS]
