"""REST views of rejected events and replays."""

from __future__ import annotations

from typing import Any

from django.db.models import Model
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import generics, mixins, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from core.rest.base import RestView
from core.rest.json_parser import StrictJSONParser
from events import services
from events.api import serializers
from events.api.permissions import MayReplay
from events.api.refusals import problems
from events.models import RejectedEvent, Replay
from events.query import filters
from events.query.pages import NewestReceivedFirstPagination
from events.rejected.groups import groups

REPLAYED = {
    200: OpenApiResponse(
        serializers.ReplayPreviewSerializer, description="The result of a dry run: nothing was stored."
    ),
    202: OpenApiResponse(serializers.ReplaySerializer, description="The replay, which has been queued."),
}


@extend_schema(tags=["rejected events"])
class RejectedEventsView(
    RestView, mixins.ListModelMixin, mixins.RetrieveModelMixin, mixins.DestroyModelMixin, viewsets.GenericViewSet
):
    """Rejected events with all their validation errors. The view of a single one includes its bytes."""

    queryset = RejectedEvent.objects.all()
    filterset_class = filters.RejectedEventFilter
    pagination_class = NewestReceivedFirstPagination
    parser_classes = [StrictJSONParser]
    lookup_value_converter = "int"
    parameters = {"groups": list(serializers.GroupsQuerySerializer().fields)}

    def get_serializer_class(self) -> Any:
        one = self.action == "retrieve"
        return serializers.OneRejectedEventSerializer if one else serializers.RejectedEventSerializer

    def get_queryset(self) -> Any:
        found = super().get_queryset()
        return found if self.action == "retrieve" else found.defer("raw")

    def perform_destroy(self, instance: RejectedEvent) -> None:
        with self.if_match(instance):
            services.delete_rejected(ids=[instance.pk], actor=self.request.user)

    def shown(self, row: Model) -> Any:
        return serializers.OneRejectedEventSerializer(RejectedEvent.objects.get(pk=row.pk)).data

    @extend_schema(
        parameters=[serializers.GroupsQuerySerializer], responses=serializers.GroupSerializer(many=True), filters=False
    )
    @action(detail=False, pagination_class=None, filterset_class=None)
    def groups(self, request: Request) -> Response:
        """Groups with the same application, type, reason and place: their counts and times.

        The largest 200, and 200 muted ones.
        """
        asked = serializers.GroupsQuerySerializer(data=request.query_params)
        asked.is_valid(raise_exception=True)
        return Response(serializers.GroupSerializer(groups(**asked.validated_data), many=True).data)

    @extend_schema(
        operation_id="rejected_events_replay_some",
        request=serializers.ReplayRequestSerializer,
        responses=REPLAYED,
        filters=False,
    )
    @action(detail=False, methods=["post"], permission_classes=[MayReplay], url_path="replay", pagination_class=None)
    def replay_some(self, request: Request) -> Response:
        """Validate these events again with the current schemas and settings. 409 for an empty selection."""
        asked = serializers.ReplayRequestSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        return self._replay(**asked.validated_data)

    @extend_schema(request=serializers.DryRunFlagSerializer, responses=REPLAYED)
    @action(detail=True, methods=["post"], permission_classes=[MayReplay])
    def replay(self, request: Request, **_: Any) -> Response:
        """Validate this event again with the current schemas and settings."""
        selection = services.Selection(ids=(self.get_object().pk,))
        asked = serializers.DryRunFlagSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        return self._replay(selection, **asked.validated_data)

    def _replay(self, selection: services.Selection, dry_run: bool) -> Response:
        if dry_run:
            found = services.preview_replay(selection=selection)
            return Response(serializers.ReplayPreviewSerializer(found).data)
        with problems():
            started = services.start_replay(selection=selection, actor=self.request.user)
        return Response(serializers.ReplaySerializer(started).data, status=202)


@extend_schema(tags=["rejected events"])
class ReplaysView(RestView, generics.ListAPIView):
    """Replays, newest first, with their results so far."""

    queryset = Replay.objects.select_related("created_by")
    serializer_class = serializers.ReplaySerializer
    permission_classes = [MayReplay]
    filter_backends = []


@extend_schema(tags=["rejected events"])
class ReplayView(RestView, generics.RetrieveAPIView):
    """The progress of a replay. The live topic `events` publishes the same as `replay.updated`."""

    queryset = Replay.objects.select_related("created_by")
    serializer_class = serializers.ReplaySerializer
    permission_classes = [MayReplay]


@extend_schema(exclude=True)
class FormerReplays(ReplaysView):
    """The list of replays at its former URL."""


@extend_schema(exclude=True)
class FormerReplay(ReplayView):
    """One replay at its former URL."""
