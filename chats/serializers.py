"""Serializers of the chats API, with separate ones to read and to write where they differ."""

from datetime import datetime
from typing import Any, ClassVar

from django.http import QueryDict
from django.utils import timezone
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from chats.models import ALL_CHATS, Audience, Banner, Broadcast, Chat, ListedUsers, Message
from core.images.conversion import ImageRefused, Picture, reencode
from core.rest.bounded_lists import BoundedList
from core.rest.datetime_field import ZonedDateTimeField
from core.rest.strict_bodies import StrictModelSerializer, StrictSerializer
from core.rest.strict_json import NotStrictJson, read_json


class PictureField(serializers.FileField):
    """An uploaded picture. Validation re-encodes it, so that validated data holds only a safe picture."""

    def to_internal_value(self, data: Any) -> Picture:  # type: ignore[override]
        file = super().to_internal_value(data)
        try:
            return reencode(file.read())
        except ImageRefused as error:
            raise serializers.ValidationError(error.reason) from error


def check_future(moment: datetime) -> None:
    """Raise ValidationError if the time has passed."""
    if moment <= timezone.now():
        raise serializers.ValidationError("This time has passed.")


def _send_at(**more: Any) -> ZonedDateTimeField:
    help_text = "With its zone, in the future. null: at once."
    return ZonedDateTimeField(required=False, allow_null=True, validators=[check_future], help_text=help_text, **more)


class ChatSerializer(StrictModelSerializer):
    class Meta:
        model = Chat
        fields = ["user_uuid", "created_at"]
        # Opening a chat that already exists is not an error.
        extra_kwargs: ClassVar[dict[str, Any]] = {"user_uuid": {"validators": []}}


class MessageSerializer(serializers.ModelSerializer):
    text = serializers.CharField(read_only=True)
    image = serializers.FileField(read_only=True)

    class Meta:
        model = Message
        fields = ["id", "text", "image", "broadcast", "created_at", "read_at"]


class _Content(StrictSerializer):
    text = serializers.CharField(required=False, allow_blank=True, default="", max_length=4000)
    image = PictureField(required=False, allow_null=True, default=None, help_text="PNG, JPEG, WebP, GIF or AVIF, 5 MB")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs["text"].strip() and attrs["image"] is None:
            raise serializers.ValidationError({"text": ["Write a text or add an image."]})
        return attrs


class NewMessageSerializer(_Content):
    """Request body of a personal message to one user."""


class ReadSerializer(StrictSerializer):
    """Which messages to mark: all, those up to an id, or those with given ids. Hidden messages are never marked."""

    up_to = serializers.IntegerField(required=False, default=None, allow_null=True, min_value=1)
    ids = BoundedList(child=serializers.IntegerField(min_value=1), required=False, default=None, allow_null=True)


class ReadMarksSerializer(serializers.Serializer):
    marked = serializers.IntegerField()


@extend_schema_field(
    {
        "oneOf": [
            {"type": "string", "enum": [ALL_CHATS.kind]},
            {"type": "array", "items": {"type": "string", "format": "uuid"}, "maxItems": ListedUsers.MAX_USERS},
        ]
    }
)
class AudienceField(serializers.Field):
    """`"all"`, or a list of user UUIDs. Internally an Audience.

    A multipart form, which can carry a picture, has one part per user, or one part with the list as JSON.
    """

    takes_several = True

    def get_value(self, dictionary: Any) -> Any:
        name = str(self.field_name)
        if not isinstance(dictionary, QueryDict) or name not in dictionary:
            return super().get_value(dictionary)
        parts = dictionary.getlist(name)
        if len(parts) > 1 or not parts[0].lstrip().startswith("["):
            return parts[0] if parts == [ALL_CHATS.kind] else parts
        try:
            return read_json(parts[0].encode())
        except NotStrictJson:
            return parts[0]  # to_internal_value rejects it with an error message

    def to_internal_value(self, data: Any) -> Audience:
        if data == ALL_CHATS.kind:
            return ALL_CHATS
        if not isinstance(data, list) or not data:
            raise serializers.ValidationError('Must be "all" or a list of user UUIDs.')
        if not all(isinstance(each, str) for each in data):
            raise serializers.ValidationError("Each user must be a UUID, as text.")
        words = {"max_length": f"At most {ListedUsers.MAX_USERS:,} users."}
        users = BoundedList(child=serializers.UUIDField(), max_length=ListedUsers.MAX_USERS, error_messages=words)
        return ListedUsers(users.run_validation(data))

    def to_representation(self, value: Any) -> Any:
        return value


class NewBroadcastSerializer(_Content):
    """Request body of a broadcast: a text, an image or both, to all chats or listed users, now or at a given time."""

    audience = AudienceField(write_only=True)
    send_at = _send_at(default=None)


class BroadcastChangeSerializer(StrictModelSerializer):
    """Request body for changing a scheduled or missed broadcast. Omitted members are left unchanged."""

    text = serializers.CharField(required=False, allow_blank=True, max_length=4000)
    image = PictureField(required=False, allow_null=True, help_text="PNG, JPEG, WebP or GIF, 5 MB. null: none.")
    send_at = _send_at()

    class Meta:
        model = Broadcast
        fields = ["text", "image", "send_at"]

    @property
    def ignored(self) -> frozenset[str]:  # type: ignore[override]
        return frozenset(BroadcastSerializer.Meta.fields)

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        audience = self.instance and self.instance.audience
        if self.initial_data.get("audience", audience) != audience:
            raise serializers.ValidationError({"audience": ["A broadcast keeps its audience."]})
        text, image = (values.get(name, getattr(self.instance, name)) for name in ("text", "image"))
        if not text.strip() and not image:
            raise serializers.ValidationError({"text": ["Write a text or add an image."]})
        return values


class BannerSerializer(serializers.ModelSerializer):
    class Meta:
        model = Banner
        fields = ["id", "source_url", "title"]


class BroadcastSerializer(serializers.ModelSerializer):
    banner = BannerSerializer(read_only=True, allow_null=True)
    created_by: serializers.SlugRelatedField = serializers.SlugRelatedField(
        slug_field="username", read_only=True, allow_null=True
    )
    audience_size = serializers.IntegerField(
        read_only=True, allow_null=True, help_text="Known once the audience is frozen, when sending starts."
    )

    class Meta:
        model = Broadcast
        fields = [
            "id", "status", "text", "image", "banner", "audience", "audience_size", "delivered", "skipped", "error",
            "send_at", "created_by", "created_at", "started_at", "finished_at", "retracted_at",
        ]  # fmt: skip
        read_only_fields = fields
