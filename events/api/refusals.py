"""Conversion of service errors into REST errors, for all views of events."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.core.exceptions import ObjectDoesNotExist
from rest_framework import exceptions

from core.rest.base import Conflict
from events import services


@contextmanager
def problems() -> Iterator[None]:
    """Convert a service's exceptions into responses with 400, 404 or 409."""
    try:
        yield
    except services.InvalidEvent as wrong:
        fields: dict[str, list[str]] = {}
        for reason in wrong.reasons:
            _, member, *rest = [*reason["pointer"].split("/"), ""]
            place = f"/{'/'.join(rest[:-1])}: " if len(rest) > 1 else ""
            fields.setdefault(member or "non_field_errors", []).append(place + reason["message"])
        raise exceptions.ValidationError(fields) from wrong
    except services.SchemaError as error:
        raise exceptions.ValidationError({"schema": [str(error)]}) from error
    except services.ChangeRefused as refused:
        raise Conflict(str(refused)) from refused
    except ObjectDoesNotExist as gone:
        raise exceptions.NotFound() from gone
