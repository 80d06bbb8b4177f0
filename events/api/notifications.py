"""REST views of notifications: parse, check permissions, call one service, serialise."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import exceptions, generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from core.rest.base import RestView
from core.rest.pagination import KeysetPagination
from core.rest.strict_bodies import StrictModelSerializer
from events import services
from events.models import Notification

CHANGING = frozenset({"attempts", "error"})  # changed by each delivery attempt


class NotificationSerializer(StrictModelSerializer):
    status = serializers.ChoiceField(choices=Notification.Status.choices, read_only=True)
    chat = serializers.UUIDField(
        source="message.chat.user_uuid", read_only=True, default=None, allow_null=True, help_text="Chat of the text."
    )

    class Meta:
        model = Notification
        fields = [
            "event_id", "user_id", "description", "status", "attempts", "error", "chat", "created_at", "processed_at",
        ]  # fmt: skip
        read_only_fields = ["attempts", "error", "processed_at"]


class NotificationUpdateSerializer(StrictModelSerializer):
    """Request body to change a notification: `description`, `status` or both. Its user cannot be changed."""

    ignored = frozenset(NotificationSerializer.Meta.fields)

    status = serializers.ChoiceField(
        choices=Notification.Status.choices,
        required=False,
        help_text="`NotProcessed` sends the notification (again); `Processed` marks it as sent.",
    )

    class Meta:
        model = Notification
        fields = ["description", "status"]
        extra_kwargs: ClassVar[dict[str, dict[str, Any]]] = {
            "description": {"required": False, "help_text": "A message that is already in the chat keeps its text."}
        }

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        notification: Any = self.instance
        if self.initial_data.get("user_id", notification.user_id) != notification.user_id:
            raise serializers.ValidationError({"user_id": ["The user of a notification cannot be changed."]})
        if not values:
            raise serializers.ValidationError("Give description, status, or both.")
        return values


class NotificationFilter(filters.FilterSet):
    status = filters.MultipleChoiceFilter(choices=Notification.Status.choices)
    created = filters.IsoDateTimeFromToRangeFilter(field_name="created_at")
    user_id = filters.CharFilter(method="of", strip=False, label="A UUID is found in any usual spelling.")

    class Meta:
        model = Notification
        fields: list[str] = []

    def of(self, notifications: QuerySet[Notification], name: str, value: str) -> QuerySet[Notification]:
        try:
            user = UUID(value)
        except ValueError:
            return notifications.filter(user_id=value)
        spellings = {value, str(user), user.hex, str(user).upper(), user.hex.upper()}
        return notifications.filter(user_id__in=spellings)


class NotificationPagination(KeysetPagination):
    """Newest first, along the index events_notification_newest."""

    ordering = ("-created_at", "-event_id")


@extend_schema(tags=["notifications"])
class NotificationsView(RestView, generics.ListCreateAPIView):
    """Notifications to users, newest first. POST stores and queues one."""

    queryset = Notification.objects.select_related("message__chat")
    serializer_class = NotificationSerializer
    filterset_class = NotificationFilter
    pagination_class = NotificationPagination
    etag_of_created = True
    changing_members = CHANGING

    def perform_create(self, serializer: Any) -> None:
        serializer.instance = services.send_notification(**serializer.validated_data)


@extend_schema(tags=["notifications"])
class NotificationView(RestView, generics.RetrieveAPIView):
    """One notification and its delivery state."""

    queryset = Notification.objects.select_related("message__chat")
    serializer_class = NotificationSerializer
    lookup_field = "event_id"
    changing_members = CHANGING

    @extend_schema(request=NotificationUpdateSerializer, responses=NotificationSerializer)
    def put(self, request: Request, event_id: UUID) -> Response:
        """Set the text, the status, or both."""
        notification = self.get_object()
        given = NotificationUpdateSerializer(notification, data=request.data)
        given.is_valid(raise_exception=True)
        try:
            with self.if_match(notification):
                services.update_notification(event_id=event_id, **given.validated_data)
        except Notification.DoesNotExist as gone:
            raise exceptions.NotFound() from gone
        return Response(self.get_serializer(self.get_object()).data)
