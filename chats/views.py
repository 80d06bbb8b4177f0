"""REST views of chats: parse, check permissions, call one service, serialise."""

from contextlib import closing
from functools import partial
from typing import Any, NoReturn

from django.http import Http404
from django.shortcuts import get_object_or_404
from django_filters import rest_framework as filters
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import generics, mixins, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import APIException
from rest_framework.parsers import FormParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer

from chats import serializers, services
from chats.banners.api_client import BannerApiError, NothingLeft, Photo
from chats.models import Banner, Broadcast, BroadcastNotAllowed, Chat, Message
from chats.permissions import MaySend, OfMessages
from core.rest.base import Conflict, RestView
from core.rest.json_parser import StrictJSONParser

PARSERS = [StrictJSONParser, MultiPartParser, FormParser]


class BannerApiAway(APIException):
    """The banner API failed: 502 for an unusable response, 504 for a timeout, 503 if too many requests wait for it."""

    def __init__(self, error: BannerApiError) -> None:
        super().__init__(error.reason)
        self.status_code = {"timeout": 504, "busy": 503}.get(error.code, 502)
        if error.code == "busy":
            self.wait = services.API_SECONDS  # sent as Retry-After


class _Taken(Exception):
    """Another request has reserved this photo meanwhile."""


def _valid(kind: type[Serializer], request: Request) -> dict[str, Any]:
    given = kind(data=request.data)
    given.is_valid(raise_exception=True)
    return given.validated_data


@extend_schema(tags=["chats"])
class ChatsView(RestView, generics.ListCreateAPIView):
    """The chats, newest first. POST opens one (200 if it already exists)."""

    queryset = Chat.objects.all()
    serializer_class = serializers.ChatSerializer
    etag_of_created = True

    @extend_schema(responses={201: serializers.ChatSerializer, 200: serializers.ChatSerializer})
    def post(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        given = self.get_serializer(data=request.data)
        given.is_valid(raise_exception=True)
        chat, opened = services.open_chat(**given.validated_data)
        return Response(self.get_serializer(chat).data, status=201 if opened else 200)


@extend_schema(tags=["chats"])
class ChatView(RestView, generics.RetrieveDestroyAPIView):
    """One user's chat. DELETE removes it with its messages."""

    queryset = Chat.objects.all()
    serializer_class = serializers.ChatSerializer
    lookup_field = "user_uuid"

    def perform_destroy(self, instance: Chat) -> None:
        with self.if_match(instance):
            instance.delete()


class _InChat(RestView, generics.GenericAPIView):
    queryset = Message.objects.none()
    permission_classes = [OfMessages]

    def get_chat(self) -> Chat:
        return get_object_or_404(Chat, user_uuid=self.kwargs["user_uuid"])

    def handle_exception(self, exc: Exception) -> Response:
        """Return 404 if the chat is deleted between read and write, as if it had never existed."""
        return super().handle_exception(Http404() if isinstance(exc, Chat.DoesNotExist) else exc)


@extend_schema(tags=["chats"])
class Messages(_InChat):
    """A user's messages, newest first, without those of retracted broadcasts. POST writes a personal one."""

    serializer_class = serializers.MessageSerializer
    parser_classes = PARSERS
    own_transactions = frozenset({"post"})  # pictures are decoded outside the transaction

    @extend_schema(responses=serializers.MessageSerializer(many=True))
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        page = self.paginate_queryset(self.get_chat().messages.for_reading())
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    @extend_schema(request=serializers.NewMessageSerializer, responses={201: serializers.MessageSerializer})
    def post(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return self.once(partial(_valid, serializers.NewMessageSerializer, request), self._post)

    def _post(self, given: dict[str, Any]) -> Response:
        message = services.post_message(chat=self.get_chat(), **given)
        return Response(self.get_serializer(message).data, status=201)


@extend_schema(tags=["chats"])
class ReadMarks(_InChat):
    """Mark a chat's messages as read."""

    serializer_class = serializers.ReadSerializer

    @extend_schema(request=serializers.ReadSerializer, responses=serializers.ReadMarksSerializer)
    def post(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        given = self.get_serializer(data=request.data)
        given.is_valid(raise_exception=True)
        return Response({"marked": services.mark_read(chat=self.get_chat(), **given.validated_data)})


class BroadcastFilter(filters.FilterSet):
    status = filters.MultipleChoiceFilter(choices=Broadcast.Status.choices)
    created = filters.IsoDateTimeFromToRangeFilter(field_name="created_at")

    class Meta:
        model = Broadcast
        fields = ["status", "audience", "created"]


@extend_schema(tags=["broadcasts"])
class BroadcastsView(RestView, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Broadcasts, newest first. POST queues or schedules one."""

    queryset = Broadcast.objects.select_related("banner", "created_by")
    serializer_class = serializers.BroadcastSerializer
    filterset_class = BroadcastFilter
    parser_classes = PARSERS
    lookup_value_converter = "int"
    changing_members = frozenset({"delivered", "skipped", "audience_size"})
    own_transactions = frozenset({"create", "banner"})  # pictures and the banner API come before the transaction
    bodiless = frozenset({"banner", "pause", "resume", "cancel", "retract", "restore", "retry"})

    def get_permissions(self) -> list[Any]:
        return list(super().get_permissions()) if self.action in ("list", "retrieve") else [MaySend()]

    @extend_schema(request=serializers.NewBroadcastSerializer, responses={202: serializers.BroadcastSerializer})
    def create(self, request: Request) -> Response:
        return self.once(partial(_valid, serializers.NewBroadcastSerializer, request), self._compose)

    def _compose(self, given: dict[str, Any]) -> Response:
        broadcast = services.compose(actor=self.request.user, **given)
        return Response(self.get_serializer(broadcast).data, status=202)

    @extend_schema(request=serializers.BroadcastChangeSerializer, responses=serializers.BroadcastSerializer)
    def partial_update(self, request: Request, pk: int) -> Response:
        """Change the text, the picture or the time of a scheduled or missed broadcast."""
        broadcast = self.get_object()
        given = serializers.BroadcastChangeSerializer(
            broadcast, data=request.data, context=self.get_serializer_context()
        )
        given.is_valid(raise_exception=True)
        now = {"text": broadcast.text, "image": broadcast.image, "send_at": broadcast.send_at}
        wanted = now | given.validated_data
        try:
            with self.if_match(broadcast):
                if wanted != now:
                    image = wanted["image"].name if wanted["image"] == broadcast.image else wanted["image"]
                    services.update_scheduled(
                        broadcast=broadcast, actor=request.user, **{**wanted, "image": image or None}
                    )
        except BroadcastNotAllowed as error:
            self._refuse(error)
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(
        responses={204: None, 409: OpenApiResponse(description="It is queued, or its sending has begun.")},
    )
    def destroy(self, request: Request, pk: int) -> Response:
        """Delete a broadcast that is scheduled, missed or failed, or that was cancelled before its sending started."""
        broadcast = self.get_object()
        try:
            with self.if_match(broadcast):
                services.delete_broadcast(broadcast=broadcast)
        except BroadcastNotAllowed as error:
            self._refuse(error)
        return Response(status=204)

    @extend_schema(
        request=None,
        responses={
            202: serializers.BroadcastSerializer,
            409: OpenApiResponse(description="No banner left to send."),
            502: OpenApiResponse(description="The banner API's answer cannot be used: `detail` says why."),
            503: OpenApiResponse(description="Too many requests wait for the banner API already."),
            504: OpenApiResponse(description="The banner API did not answer in time."),
        },
    )
    @action(detail=False, methods=["post"])
    def banner(self, request: Request) -> Response:
        """Send the next banner that was never sent, to all chats."""
        try:
            with closing(services.unsent_photos()) as photos:
                while True:
                    try:
                        return self.once(partial(next, photos), self._send)
                    except _Taken:
                        continue
        except NothingLeft as nothing:
            raise Conflict(nothing.reason) from nothing
        except BannerApiError as error:
            raise BannerApiAway(error) from error

    def _send(self, photo: Photo) -> Response:
        broadcast = services.send_photo(photo=photo, actor=self.request.user)
        if broadcast is None:
            raise _Taken
        return Response(self.get_serializer(broadcast).data, status=202)

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, pk: int) -> Response:
        """Pause after the chunks in progress."""
        return self._after(services.pause)

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: int) -> Response:
        """Continue a paused broadcast, or send a missed one now."""
        return self._after(services.resume)

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: int) -> Response:
        """Stop permanently. Delivered messages stay until the broadcast is retracted."""
        return self._after(services.cancel)

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def retract(self, request: Request, pk: int) -> Response:
        """Hide a broadcast from all chats at once."""
        return self._after(services.retract)

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def restore(self, request: Request, pk: int) -> Response:
        """Undo a retraction."""
        return self._after(services.restore)

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def retry(self, request: Request, pk: int) -> Response:
        """Retry a failed broadcast."""
        return self._after(services.retry)

    def _after(self, verb: Any) -> Response:
        broadcast = self.get_object()
        try:
            with self.if_match(broadcast, first=partial(_lock_banner, broadcast)):
                verb(broadcast=broadcast, actor=self.request.user)
        except BroadcastNotAllowed as error:
            self._refuse(error)
        return Response(self.get_serializer(broadcast).data)

    def _refuse(self, error: BroadcastNotAllowed) -> NoReturn:
        """Raise 409 with the reason, or 404 if the broadcast was deleted meanwhile."""
        self.get_object()
        raise Conflict(str(error)) from error


def _lock_banner(broadcast: Broadcast) -> None:
    """Lock the banner before the broadcast, as the services do."""
    if broadcast.banner_url:
        Banner.objects.select_for_update().filter(source_url=broadcast.banner_url).first()
