"""REST views of events and sessions, with statistics and export. events/ingest/asgi_app.py serves POST /events/."""

from __future__ import annotations

from functools import partial
from typing import Any
from urllib.parse import unquote

from django.db.models import QuerySet
from django.http import Http404, StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import exceptions, generics, mixins, renderers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from core.rest.base import RestView
from core.rest.json_parser import StrictJSONParser
from core.rest.pagination import KeysetPagination, Place, Rows
from events import services
from events.api import serializers
from events.api.permissions import MaySeeEvents
from events.api.refusals import problems
from events.models import Event, Session
from events.query import export, filters
from events.query.pages import NewestFirstPagination, OldestFirstPagination
from events.query.time_slices import TimeSlices
from events.rollups.timeseries import stats


class _File(renderers.BaseRenderer):
    """Renderer that only makes the export selectable by format or media type. The export renders its own response."""

    charset = "utf-8"

    def render(self, data: Any, *args: Any, **kwargs: Any) -> bytes:
        return renderers.JSONRenderer().render(data)


class EventCsvRenderer(_File):
    media_type = "text/csv"
    format = "csv"


class EventNdjsonRenderer(_File):
    media_type = "application/x-ndjson"
    format = "ndjson"


class TimeSlicePagination(NewestFirstPagination):
    """Pagination that, for filters without an index, reads only the minutes that contain matching events."""

    def read(self, rows: QuerySet[Event], size: int, place: Place | None) -> Rows:
        return _time_slices(self.request).first_rows(rows, size, place)


def _time_slices(request: Request) -> TimeSlices:
    asked = filters.EventFilter(request.query_params, Event.objects.none())
    return asked.time_slices() if asked.is_valid() else TimeSlices()


@extend_schema(tags=["events"])
class EventsView(
    RestView,
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.UpdateModelMixin,
    mixins.DestroyModelMixin,
    viewsets.GenericViewSet,
):
    """Events, newest first. A changed event must be valid; sessions and counts are updated."""

    queryset = Event.objects.all()
    serializer_class = serializers.EventSerializer
    filterset_class = filters.EventFilter
    pagination_class = TimeSlicePagination
    parser_classes = [StrictJSONParser]
    lookup_value_converter = "int"
    parameters = {"stats": list(serializers.StatsQuerySerializer().fields)}

    def perform_update(self, serializer: BaseSerializer) -> None:
        event: Any = serializer.instance
        with problems(), self.if_match(event, first=partial(services.lock_event, event.pk)):
            serializer.instance = services.update_event(
                event=event, actor=self.request.user, **serializer.validated_data
            )

    def perform_destroy(self, instance: Event) -> None:
        with self.if_match(instance, first=partial(services.lock_event, instance.pk)):
            services.delete_event(event=instance, actor=self.request.user)

    @extend_schema(parameters=[serializers.StatsQuerySerializer], responses=serializers.StatsSerializer, filters=False)
    @action(detail=False, pagination_class=None, filterset_class=None)
    def stats(self, request: Request) -> Response:
        """The numbers of accepted and rejected events in each interval, from the per-minute counts."""
        asked = serializers.StatsQuerySerializer(data=request.query_params)
        asked.is_valid(raise_exception=True)
        try:
            found = stats(**asked.validated_data)
        except (ValueError, OverflowError) as error:
            raise exceptions.ValidationError({"interval": [str(error)]}) from error
        found_now = {"interval": found.interval, "times": found.times, "series": found.series, "lag": services.lag()}
        return Response(serializers.StatsSerializer(found_now).data)

    @extend_schema(
        parameters=[OpenApiParameter("format", enum=["csv", "ndjson"], description="Default: csv.")],
        responses={(200, "text/csv"): OpenApiTypes.STR, (200, "application/x-ndjson"): OpenApiTypes.STR},
    )
    @action(
        detail=False,
        pagination_class=None,
        renderer_classes=[EventCsvRenderer, EventNdjsonRenderer],
    )
    def export(self, request: Request) -> StreamingHttpResponse:
        """All events that match the filters, newest first, as a streamed file."""
        format = request.accepted_renderer.format
        events = self.filter_queryset(self.get_queryset())
        return StreamingHttpResponse(
            export.Export(events, format, _time_slices(request)),
            content_type=f"{request.accepted_renderer.media_type}; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="events.{format}"'},
        )


class SessionPagination(KeysetPagination):
    ordering = ("-last_seen", "session_id")


@extend_schema(tags=["sessions"])
class SessionsView(RestView, generics.ListAPIView):
    """Sessions, latest `last_seen` first. Events stored in the last seconds may not be counted yet."""

    queryset = Session.objects.all()
    serializer_class = serializers.SessionSerializer
    filterset_class = filters.SessionFilter
    pagination_class = SessionPagination


@extend_schema(tags=["sessions"], parameters=[OpenApiParameter("cursor"), OpenApiParameter("page_size", int)])
class SessionView(RestView, generics.RetrieveAPIView):
    """A session and its events in chronological order, page by page."""

    queryset = Session.objects.all()
    serializer_class = serializers.OneSessionSerializer
    lookup_field = "session_id"
    filter_backends = []
    parameters = {"get": ["cursor", "page_size"]}

    def get_permissions(self) -> list[Any]:
        return [*super().get_permissions(), MaySeeEvents()]

    def get_object(self) -> Session:
        """Return the session with this id, or with the id that is percent-encoded twice (events/session_address.py)."""
        try:
            return super().get_object()
        except Http404:
            self.kwargs["session_id"] = unquote(self.kwargs["session_id"]).replace("\0", "")
            return super().get_object()

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        session: Any = self.get_object()
        pages = OldestFirstPagination()
        session.events = pages.paginate_queryset(Event.objects.filter(session_id=session.pk), request)
        session.next, session.previous = pages.get_next_link(), pages.get_previous_link()
        return Response(self.get_serializer(session).data)
