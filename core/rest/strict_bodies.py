"""Serializers of request bodies: an unknown member is an error, and the body of a GET response can be sent back.

Read-only members are accepted and ignored: a client may PUT the complete response of GET.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db.models import Model
from django.http import QueryDict
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.utils.encoders import JSONEncoder

from core.rest.bounded_lists import BoundedList
from core.rest.unknown_names import given_twice, unknown_names

_NESTED = re.compile(r"[.\[]")  # `ids[0]` and `a.b` in a form are parts of `ids` and `a`
_SEVERAL = (serializers.ListField, serializers.ManyRelatedField, serializers.ListSerializer, serializers.JSONField)


class StrictMembers(serializers.Serializer):
    """Mixin that refuses members without a field. `ignored` are names that only a read serializer has."""

    ignored: ClassVar[frozenset[str]] = frozenset()

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            self._check_names(data)
        return super().to_internal_value(data)

    def _check_names(self, data: Mapping[str, Any]) -> None:
        form = isinstance(data, QueryDict)
        names = [_NESTED.split(name)[0] if form else name for name in data]
        fields = self.fields
        if unknown := [name for name in names if name not in fields and name not in self.ignored]:
            known = [name for name, field in fields.items() if not field.read_only]
            raise unknown_names("member", unknown, known)
        if isinstance(data, QueryDict):
            for name, values in data.lists():
                field = fields.get(name)
                if len(values) > 1 and not (isinstance(field, _SEVERAL) or getattr(field, "takes_several", False)):
                    raise given_twice("member", name)


class StrictSerializer(StrictMembers):
    """Request body that is not a database row."""


class StrictModelSerializer(StrictMembers, serializers.ModelSerializer):
    """Request body for a row. A member that equals what GET returns is kept without validation.

    So PUT of a GET response changes nothing and is not refused, even if an assignee has been deactivated since, or a
    text ends with a space that a form would trim.
    """

    serializer_field_mapping = {**serializers.ModelSerializer.serializer_field_mapping, ArrayField: BoundedList}

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(self.instance, Model) or not isinstance(data, dict) or isinstance(data, QueryDict):
            return super().to_internal_value(data)
        kept = self._unchanged(self.instance, data)
        for field in kept.values():
            field.required = False
        value = super().to_internal_value({name: member for name, member in data.items() if name not in kept})
        return value | {str(field.source): getattr(self.instance, str(field.source)) for field in kept.values()}

    def _unchanged(self, instance: Model, data: dict[str, Any]) -> dict[str, serializers.Field]:
        shown = self.to_representation(instance)
        return {
            name: field
            for name, field in self.fields.items()
            if not (field.read_only or field.write_only)
            and name in data
            and len(field.source_attrs) == 1
            and _as_json(shown.get(name)) == _as_json(data[name])
        }


class NoMembers(StrictSerializer):
    """Body of a request that takes no members."""


def refuse_members(request: Request) -> None:
    """Raise ValidationError if a request that takes no body has one with members."""
    NoMembers(data=request.data or {}).is_valid(raise_exception=True)


def _as_json(value: Any) -> str:
    """Return JSON for comparison: in Python, 1 == True."""
    return json.dumps(value, cls=JSONEncoder, sort_keys=True)
