"""Serializers of the events API. Reading and writing differ for secrets, schema versions and raw bytes."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.zones import zone_named
from core.rest.bounded_lists import BoundedList
from core.rest.strict_bodies import StrictModelSerializer, StrictSerializer
from events import services
from events.models import Application, Event, EventType, RejectedEvent, Replay, SchemaVersion, Session, WriteKey
from events.models.application import SETTINGS
from events.rejected.schema_dry_run import LAST, MAX_EVENTS
from events.rejected.selection import MAX_IDS
from events.rollups.timeseries import GROUPS, INTERVALS
from events.services.applications import MAX_OVERLAP_HOURS
from events.validation.errors import MAX_TEXT_LENGTH


@extend_schema_field(OpenApiTypes.OBJECT)
class ObjectField(serializers.JSONField):
    """A JSON object."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, dict):
            raise serializers.ValidationError("Not a JSON object.")
        return super().to_internal_value(data)


def text_field(**more: Any) -> serializers.CharField:
    """Return a field for a session id, a category or a name."""
    return serializers.CharField(max_length=MAX_TEXT_LENGTH, trim_whitespace=False, **more)


def id_field(**more: Any) -> serializers.IntegerField:
    return serializers.IntegerField(max_value=2**63 - 1, **{"min_value": 1, **more})


# --- Events and sessions ----------------------------------------------------------------------------
class EventSerializer(StrictModelSerializer):
    """An event. `application`, `event_id` and `received_at` cannot be changed."""

    session_id = text_field()
    category = text_field()
    name = text_field()
    data = ObjectField()  # type: ignore[assignment]  # REST framework collects fields

    class Meta:
        model = Event
        fields = [
            "id", "application", "event_id", "session_id", "category", "name", "data", "timestamp", "received_at"
        ]  # fmt: skip
        read_only_fields: ClassVar[list[str]] = ["id", "application", "event_id", "received_at"]


class SessionSerializer(serializers.ModelSerializer):
    duration = serializers.SerializerMethodField(help_text="Seconds between the first and the last event.")

    class Meta:
        model = Session
        fields = ["session_id", "first_seen", "last_seen", "duration", "event_count"]

    def get_duration(self, session: Session) -> float:
        return (session.last_seen - session.first_seen).total_seconds()


class OneSessionSerializer(SessionSerializer):
    """A session with one page of its events in chronological order."""

    next = serializers.URLField(allow_null=True, help_text="The next page of its events.")
    previous = serializers.URLField(allow_null=True)
    events = EventSerializer(many=True)

    class Meta(SessionSerializer.Meta):
        fields = [*SessionSerializer.Meta.fields, "next", "previous", "events"]


class StatsQuerySerializer(serializers.Serializer):
    """Query parameters of the statistics. Default: the last day, hour by hour."""

    to = serializers.DateTimeField(required=False, help_text="End of the time range (exclusive). Default: now.")
    interval = serializers.ChoiceField(choices=list(INTERVALS), default="hour")
    by = serializers.ChoiceField(choices=list(GROUPS), required=False, help_text="Group the counts by this.")
    application = id_field(required=False)
    category = text_field(required=False)
    name = text_field(required=False)
    tz = serializers.CharField(
        required=False,
        max_length=64,
        default="UTC",
        help_text="The time zone whose days and hours are counted, such as Europe/Berlin. Default: UTC.",
    )

    def validate_tz(self, name: str) -> ZoneInfo:
        zone = zone_named(name)
        if zone is None:
            raise serializers.ValidationError("Not a known time zone. Use an IANA name, for example Europe/Berlin.")
        return zone

    def get_fields(self) -> dict[str, Any]:
        since = serializers.DateTimeField(required=False, help_text="Start (inclusive). Default: a day before `to`.")
        return {"from": since, **super().get_fields()}  # the name `from` is a keyword and cannot be an attribute

    def validate(self, asked: dict[str, Any]) -> dict[str, Any]:
        end = asked.pop("to", None) or timezone.now()
        try:
            start = asked.pop("from", None) or end - timedelta(days=1)
        except OverflowError as error:
            raise serializers.ValidationError({"to": "This time is too early."}) from error
        zone = asked.pop("tz")
        return {**asked, "start": start, "end": end, "zone": zone}


class TimestampField(serializers.DateTimeField):
    """A timestamp that keeps its own UTC offset."""

    def enforce_timezone(self, value: datetime) -> datetime:
        return value


class SeriesSerializer(serializers.Serializer):
    group = serializers.CharField(allow_null=True, help_text="null: all events, or the rest.")
    events = serializers.ListField(child=serializers.IntegerField(), help_text="One for each of `times`.")
    rejected = serializers.ListField(child=serializers.IntegerField(), help_text="Counted when received.")


class StatsSerializer(serializers.Serializer):
    interval = serializers.ChoiceField(choices=list(INTERVALS))
    lag = serializers.FloatField(help_text="Events of the last `lag` seconds may not be counted yet.")
    times = serializers.ListField(child=TimestampField(), help_text="Where each interval begins, in the zone `tz`.")
    series = SeriesSerializer(many=True)


# --- Applications -----------------------------------------------------------------------------------
class KeySerializer(serializers.ModelSerializer):
    class Meta:
        model = WriteKey
        fields = ["id", "prefix", "created_at", "expires_at"]
        read_only_fields = fields


class ApplicationSerializer(StrictModelSerializer):
    keys = KeySerializer(many=True, read_only=True)

    class Meta:
        model = Application
        fields = ["id", *SETTINGS, "paused", "created_at", "keys"]
        read_only_fields: ClassVar[list[str]] = ["id", "created_at", "keys"]
        extra_kwargs: ClassVar[dict[str, Any]] = {"rate": {"max_value": 2**31 - 1}}


class NewApplicationSerializer(ApplicationSerializer):
    """An application with its new write key, which is shown only this once."""

    write_key = serializers.CharField(read_only=True)

    class Meta(ApplicationSerializer.Meta):
        fields = [*ApplicationSerializer.Meta.fields, "write_key"]


class RotateSerializer(StrictSerializer):
    overlap_hours = serializers.FloatField(
        default=24, min_value=0, max_value=MAX_OVERLAP_HOURS, help_text="How long current keys stay valid."
    )


# --- Event types ------------------------------------------------------------------------------------
class EventTypeSerializer(StrictModelSerializer):
    """Setting `schema` publishes it as the next version."""

    schema = ObjectField(required=False)
    note = serializers.CharField(
        required=False, allow_blank=True, max_length=200, write_only=True, help_text="A note on the new version."
    )

    class Meta:
        model = EventType
        fields = ["id", "category", "name", "description", "schema", "version", "note", "created_at", "updated_at"]
        read_only_fields: ClassVar[list[str]] = ["id", "version", "created_at", "updated_at"]

    def validate_schema(self, schema: Any) -> Any:
        return checked(schema)

    def validate(self, given: dict[str, Any]) -> dict[str, Any]:
        fixed = {name: given.pop(name) for name in ("category", "name") if self.instance and name in given}
        moved: Any = {
            name: "Cannot be changed." for name, text in fixed.items() if getattr(self.instance, name) != text
        }
        if moved:
            raise serializers.ValidationError(moved)
        return given


def checked(schema: Any) -> Any:
    try:
        services.check_schema(schema)
    except services.SchemaError as error:
        raise serializers.ValidationError(str(error)) from error
    return schema


class SchemaVersionSerializer(serializers.ModelSerializer):
    published_by: Any = serializers.SlugRelatedField(slug_field="username", read_only=True, allow_null=True)

    class Meta:
        model = SchemaVersion
        fields = ["number", "schema", "note", "published_by", "published_at"]


class DryRunRequestSerializer(StrictSerializer):
    schema = ObjectField()
    last = serializers.IntegerField(
        default=LAST, min_value=1, max_value=MAX_EVENTS, help_text="Number of newest events to validate."
    )

    def validate_schema(self, schema: Any) -> Any:
        return checked(schema)


class ReasonCountSerializer(serializers.Serializer):
    code = serializers.CharField()
    pointer = serializers.CharField(allow_blank=True)
    message = serializers.CharField()
    count = serializers.IntegerField()
    sample = serializers.IntegerField(help_text="The id of one of them.")


class ReplayPreviewSerializer(serializers.Serializer):
    """The result of a replay's dry run."""

    checked = serializers.IntegerField()
    accepted = serializers.IntegerField()
    duplicates = serializers.IntegerField(help_text="Stored already.")
    still_rejected = serializers.IntegerField()
    complete = serializers.BooleanField(help_text="false: only the newest were checked.")
    reasons = ReasonCountSerializer(many=True)


class DryRunSerializer(serializers.Serializer):
    checked = serializers.IntegerField()
    rejected = serializers.IntegerField()
    complete = serializers.BooleanField(help_text="false: time ran out before all of them were checked.")
    reasons = ReasonCountSerializer(many=True)
    rejected_now = ReplayPreviewSerializer(help_text="The result of a replay of this type's rejected events.")


# --- Rejected events --------------------------------------------------------------------------------
class ReasonSerializer(serializers.Serializer):
    code = serializers.CharField()
    pointer = serializers.CharField(allow_blank=True, help_text="A JSON pointer into the event, RFC 6901.")
    message = serializers.CharField()
    place = serializers.CharField(
        required=False,
        help_text="The pointer with * for list indexes and names that the schema leaves open, where it differs.",
    )


class RejectedEventSerializer(serializers.ModelSerializer):
    reasons = ReasonSerializer(many=True)

    class Meta:
        model = RejectedEvent
        fields = ["id", "application", "event_id", "category", "name", "code", "pointer", "reasons", "received_at"]


class OneRejectedEventSerializer(RejectedEventSerializer):
    """A rejected event with its bytes, as text (as far as they are UTF-8) and in base64."""

    raw = serializers.SerializerMethodField(help_text="As text; invalid UTF-8 is replaced.")
    raw_base64 = serializers.SerializerMethodField()

    class Meta(RejectedEventSerializer.Meta):
        fields = [*RejectedEventSerializer.Meta.fields, "raw", "raw_base64"]

    def get_raw(self, event: RejectedEvent) -> str:
        return bytes(event.raw).decode(errors="replace")

    def get_raw_base64(self, event: RejectedEvent) -> str:
        return base64.b64encode(event.raw).decode()


class GroupsQuerySerializer(serializers.Serializer):
    since = serializers.DateTimeField(required=False, help_text="Received then or later.")
    application = id_field(required=False)
    category = text_field(required=False, allow_blank=True)
    name = text_field(required=False, allow_blank=True)
    code = serializers.CharField(required=False, max_length=50)


class GroupSerializer(serializers.Serializer):
    application = serializers.IntegerField()
    application_name = serializers.CharField()
    category = serializers.CharField(allow_blank=True)
    name = serializers.CharField(allow_blank=True)
    code = serializers.CharField()
    pointer = serializers.CharField(allow_blank=True)
    count = serializers.IntegerField()
    first_received = serializers.DateTimeField()
    last_received = serializers.DateTimeField()
    muted = serializers.BooleanField(help_text="true: hidden from the admin's list.")
    sample = serializers.IntegerField(allow_null=True, help_text="The id of the newest one.")


class DryRunFlagSerializer(StrictSerializer):
    dry_run = serializers.BooleanField(default=False, help_text="Only return what would become of them.")


class ReplayRequestSerializer(DryRunFlagSerializer):
    """Request body of a replay: `ids`, or the values that a group has in common."""

    ids = BoundedList(child=id_field(min_value=0), max_length=MAX_IDS, required=False)
    application = id_field(required=False)
    category = text_field(required=False, allow_blank=True)
    name = text_field(required=False, allow_blank=True)
    code = serializers.CharField(required=False, max_length=50)
    pointer = serializers.CharField(required=False, allow_blank=True, max_length=300, trim_whitespace=False)

    def validate(self, asked: dict[str, Any]) -> dict[str, Any]:
        members = {name: value for name, value in asked.items() if name != "dry_run"}
        if "ids" in members:
            members["ids"] = tuple(members["ids"])
        try:
            return {"selection": services.Selection(**members), "dry_run": asked["dry_run"]}
        except ValueError as error:
            raise serializers.ValidationError(str(error)) from error


class ReplaySerializer(serializers.ModelSerializer):
    created_by: Any = serializers.SlugRelatedField(slug_field="username", read_only=True, allow_null=True)
    selection = ObjectField(read_only=True)

    class Meta:
        model = Replay
        fields = [
            "id", "selection", "total", "accepted", "duplicates", "still_rejected", "gone", "created_by", "created_at",
            "finished_at",
        ]  # fmt: skip
