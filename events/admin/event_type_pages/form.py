"""Forms of event types. A schema is entered as text, and the text is kept if it is invalid."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms

from core.busy import Busy
from events.admin.event_type_pages.schema_text import InvalidText, read_json, write_json
from events.admin.widgets.versioned_form import VersionedForm
from events.models import EventType
from events.models.event_type import anything
from events.services import ChangeRefused
from events.validation.schema_error import SchemaError


class SchemaForm(VersionedForm):
    description = forms.CharField(max_length=2000, required=False)
    schema = forms.CharField(strip=False, error_messages={"required": "Enter a JSON object. {} accepts any data."})
    note = forms.CharField(max_length=200, required=False)

    def clean_schema(self) -> Any:
        try:
            return read_json(self.cleaned_data["schema"])
        except InvalidText as error:
            raise forms.ValidationError(str(error)) from error

    def attempt(self, write: Callable[[dict[str, Any]], EventType]) -> EventType | None:
        """Call `write` with the form's values and return the event type.

        Errors are added to the form's fields; then None.
        """
        try:
            return write(self.cleaned_data)
        except (SchemaError, Busy) as error:
            self.add_error("schema", str(error))
        except (ChangeRefused, EventType.DoesNotExist) as error:
            self.add_error(None, str(error) if isinstance(error, ChangeRefused) else "This event type was deleted.")
        return None


class NextVersionForm(SchemaForm):
    instead_of = forms.IntegerField(required=False)  # the current version when the form was opened

    def has_missed(self, present: int) -> bool:
        """Return whether another user has published a version since the form was opened."""
        return self.is_bound and self.cleaned_data.get("instead_of") not in (None, present)


class EventTypeForm(SchemaForm):
    """The form of a new event type, with its category and name, which never change."""

    category = forms.CharField(max_length=100, error_messages={"required": "Enter the category that is sent."})
    name = forms.CharField(max_length=100, error_messages={"required": "Enter the name that is sent."})

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial.setdefault("schema", write_json(anything()))
