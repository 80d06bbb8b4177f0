"""REST views of applications, their write keys, and event types."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.db import transaction
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import generics, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from core.rest.base import RestView
from core.rest.json_parser import StrictJSONParser
from events import services
from events.api import serializers
from events.api.permissions import MayChangeApplications, MayChangeEventTypes
from events.api.refusals import problems
from events.models import Application, EventType, SchemaVersion, WriteKey
from events.query import filters


@extend_schema(tags=["applications"])
class ApplicationsView(RestView, viewsets.ModelViewSet):
    """Applications that may send events. POST returns `write_key`, only this once.

    DELETE needs an application without events.
    """

    queryset = Application.objects.prefetch_related("keys").order_by("-id")
    serializer_class = serializers.ApplicationSerializer
    parser_classes = [StrictJSONParser]
    filter_backends = []
    lookup_value_converter = "int"
    shown_once = frozenset({"write_key"})

    @extend_schema(responses={201: serializers.NewApplicationSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        given = self.get_serializer(data=request.data)
        given.is_valid(raise_exception=True)
        paused = given.validated_data.pop("paused", False)
        # One transaction, and the response is rendered before its commit, so a 503 means that nothing was created.
        with problems(), transaction.atomic():
            made = services.create_application(actor=request.user, **given.validated_data)
            if paused:
                services.pause(application=made.application, actor=request.user)
            return self._with_key(made.application, made.write_key, status.HTTP_201_CREATED)

    def perform_update(self, serializer: BaseSerializer) -> None:
        changes = dict(serializer.validated_data)
        paused = changes.pop("paused", None)
        application: Any = serializer.instance
        with problems(), self.if_match(application), transaction.atomic():
            services.update_application(application=application, actor=self.request.user, **changes)
            if paused is not None:
                verb = services.pause if paused else services.resume
                verb(application=application, actor=self.request.user)
            serializer.instance = self.get_queryset().get(pk=application.pk)

    def perform_destroy(self, instance: Application) -> None:
        with problems(), self.if_match(instance):
            services.delete_application(application=instance, actor=self.request.user)

    @extend_schema(request=serializers.RotateSerializer, responses=serializers.NewApplicationSerializer)
    @action(detail=True, methods=["post"], permission_classes=[MayChangeApplications])
    def rotate(self, request: Request, **_: Any) -> Response:
        """Create a new key, shown only this once. Current keys stay valid for `overlap_hours`."""
        asked = serializers.RotateSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        with problems(), transaction.atomic():  # one transaction, as in `create`
            made = services.rotate_key(application=self.get_object(), actor=request.user, **asked.validated_data)
            return self._with_key(made.key.application, made.write_key, status.HTTP_200_OK)

    def _with_key(self, application: Application, write_key: str, code: int) -> Response:
        fresh: Any = self.get_queryset().get(pk=application.pk)
        fresh.write_key = write_key
        body = serializers.NewApplicationSerializer(fresh, context=self.get_serializer_context())
        return Response(body.data, status=code)


@extend_schema(tags=["applications"])
class WriteKeyView(RestView, generics.RetrieveDestroyAPIView):
    """A write key without its secret part. DELETE revokes it immediately."""

    queryset = WriteKey.objects.all()
    serializer_class = serializers.KeySerializer
    permission_classes = [MayChangeApplications]

    def get_queryset(self) -> Any:
        return super().get_queryset().filter(application_id=self.kwargs.get("application_id"))

    def perform_destroy(self, instance: WriteKey) -> None:
        first = partial(Application.objects.select_for_update().get, pk=instance.application_id)
        with problems(), self.if_match(instance, first=first):
            services.revoke_key(key=instance, actor=self.request.user)


@extend_schema(tags=["event types"])
class EventTypesView(RestView, viewsets.ModelViewSet):
    """Event types. `schema` is a JSON Schema (2020-12) for `data`. Setting it publishes the next version."""

    queryset = EventType.objects.order_by("-id")
    serializer_class = serializers.EventTypeSerializer
    parser_classes = [StrictJSONParser]
    filterset_class = filters.EventTypeFilter
    lookup_value_converter = "int"
    own_transactions = frozenset({"create", "dry_run"})  # a child process checks the schema, outside the transaction

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return self.once(self._valid, self._created)

    def _valid(self) -> BaseSerializer:
        given = self.get_serializer(data=self.request.data)
        given.is_valid(raise_exception=True)
        return given

    def _created(self, given: BaseSerializer) -> Response:
        self.perform_create(given)
        return Response(given.data, status=status.HTTP_201_CREATED)

    def perform_create(self, serializer: BaseSerializer) -> None:
        with problems():
            serializer.instance = services.create_event_type(actor=self.request.user, **serializer.validated_data)

    def perform_update(self, serializer: BaseSerializer) -> None:
        given = dict(serializer.validated_data)
        event_type: Any = serializer.instance
        note, actor = given.pop("note", ""), self.request.user
        with problems(), self.if_match(event_type):
            if "schema" in given:
                event_type = services.publish_schema(event_type=event_type, note=note, actor=actor, **given)
            elif "description" in given:
                event_type = services.describe_event_type(event_type=event_type, actor=actor, **given)
        serializer.instance = event_type

    def perform_destroy(self, instance: EventType) -> None:
        with self.if_match(instance):
            services.delete_event_type(event_type=instance, actor=self.request.user)

    @extend_schema(request=serializers.DryRunRequestSerializer, responses=serializers.DryRunSerializer)
    @action(detail=True, methods=["post"], url_path="dry-run", permission_classes=[MayChangeEventTypes])
    def dry_run(self, request: Request, **_: Any) -> Response:
        """Count how many of the last events would be rejected with another schema, and why. Nothing is changed."""
        return self.once(self._dry_run_result, Response)

    def _dry_run_result(self) -> Any:
        event_type: EventType = self.get_object()
        asked = serializers.DryRunRequestSerializer(data=self.request.data)
        asked.is_valid(raise_exception=True)
        with problems():
            found = services.dry_run(category=event_type.category, name=event_type.name, **asked.validated_data)
        return serializers.DryRunSerializer(found).data


@extend_schema(tags=["event types"])
class SchemaVersionsView(RestView, generics.ListAPIView):
    """All published schemas of a type, newest first."""

    queryset = SchemaVersion.objects.select_related("published_by")
    serializer_class = serializers.SchemaVersionSerializer
    filter_backends = []

    def get_queryset(self) -> Any:
        return super().get_queryset().filter(event_type_id=self.kwargs.get("event_type_id"))

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        get_object_or_404(EventType, pk=kwargs["event_type_id"])
        return super().list(request, *args, **kwargs)
