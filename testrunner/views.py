"""REST API of the test runner. Each view parses, checks permissions, calls one service and serialises the result."""

from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Model, Prefetch, QuerySet, prefetch_related_objects
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_view
from rest_framework import mixins, renderers, status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.parsers import FormParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from core.rest.base import Conflict, RestView
from core.rest.snapshots import SnapshotPagination
from testrunner import serializers, services
from testrunner.files import discovery, uploads
from testrunner.models import Root, RunFile, RunNotAllowed, TestEnvironment, TestFile, TestResult, TestRun
from testrunner.permissions import MayCancel, MayReserve, MayStart, MayUpload
from testrunner.queue import queue_status, quotas
from testrunner.records.downloads import junit_response, log_response


class TooManyWaiting(APIException):
    status_code = status.HTTP_429_TOO_MANY_REQUESTS


class LogRenderer(renderers.BaseRenderer):
    """Makes `Accept: text/plain` select the log view, which builds its own response."""

    media_type = "text/plain"
    format = "txt"

    def render(self, data: Any, *args: Any, **kwargs: Any) -> bytes:
        return renderers.JSONRenderer().render(data)


class Xml(LogRenderer):
    """The same for the JUnit report."""

    media_type = "application/xml"
    format = "xml"


class EnvironmentPagination(SnapshotPagination):
    """All environments fit on one page."""

    page_size = 100


class EnvironmentFilter(filters.FilterSet):
    enabled = filters.BooleanFilter()
    search = filters.CharFilter("name", "icontains", label="Part of the name.")

    class Meta:
        model = TestEnvironment
        fields: list[str] = []


@extend_schema(tags=["environments"])
class EnvironmentsView(
    RestView, mixins.ListModelMixin, mixins.RetrieveModelMixin, mixins.UpdateModelMixin, viewsets.GenericViewSet
):
    """The hundred environments, each with its state, its holder and its queue."""

    queryset = TestEnvironment.objects.select_related("reserved_by").prefetch_related("variables")
    serializer_class = serializers.EnvironmentSerializer
    filterset_class = EnvironmentFilter
    pagination_class = EnvironmentPagination
    lookup_value_converter = "int"
    http_method_names = ["get", "head", "options", "patch", "post"]
    bodiless = frozenset({"release"})
    changing_members = frozenset({"state", "active", "queue"})

    def lock(self, row: Model) -> None:
        TestEnvironment.objects.select_for_update(no_key=True).get(pk=row.pk)

    def get_serializer(self, *args: Any, **kwargs: Any) -> Any:
        if args:
            queue_status.add_to_environments(args[0] if kwargs.get("many") else [args[0]])
        return super().get_serializer(*args, **kwargs)

    def perform_update(self, serializer: Any) -> None:
        try:
            with self.if_match(serializer.instance):
                serializer.instance = services.change_environment(
                    environment=serializer.instance, user=self.request.user, **serializer.validated_data
                )
        except RunNotAllowed as error:
            raise Conflict(str(error)) from error
        queue_status.add_to_environments([serializer.instance])

    @extend_schema(request=serializers.ReservationSerializer)
    @action(detail=True, methods=["post"], permission_classes=[MayReserve])
    def reserve(self, request: Request, pk: int) -> Response:
        """Reserve the environment for your own runs. Runs of others wait; an active run continues to its end."""
        given = serializers.ReservationSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        asked = dict(given.validated_data)
        duration = timedelta(minutes=asked.pop("minutes"))
        return self._after(services.reserve, duration=duration, **asked)

    @extend_schema(request=None)
    @action(detail=True, methods=["post"], permission_classes=[MayReserve])
    def release(self, request: Request, pk: int) -> Response:
        """End a reservation early. The history records who did it."""
        return self._after(services.release)

    def _after(self, verb: Any, **more: Any) -> Response:
        environment = self.get_object()
        try:
            with self.if_match(environment):
                environment = verb(environment=environment, user=self.request.user, **more)
        except RunNotAllowed as error:
            raise Conflict(str(error)) from error
        return Response(self.get_serializer(environment).data)


class TestFileFilter(filters.FilterSet):
    __test__ = False
    root = filters.ChoiceFilter(choices=Root.choices)
    directory = filters.CharFilter("path", "startswith", label="What the path below the root begins with.")
    search = filters.CharFilter("path", "icontains", label="Part of the path.")

    class Meta:
        model = TestFile
        fields: list[str] = []


class TestFilePagination(SnapshotPagination):
    page_size = 200
    page_size_query_param = "page_size"
    max_page_size = 1_000


@extend_schema(tags=["test files"])
@extend_schema_view(
    destroy=extend_schema(
        responses={204: None, 409: OpenApiResponse(description="It ships with Opsroom, so it cannot be deleted.")}
    )
)
class TestFilesView(
    RestView, mixins.ListModelMixin, mixins.RetrieveModelMixin, mixins.DestroyModelMixin, viewsets.GenericViewSet
):
    """The test files that can be run, as they are in the file system now. POST uploads a file."""

    __test__ = False
    queryset = TestFile.objects.existing().select_related("uploaded_by")
    serializer_class = serializers.TestFileSerializer
    filterset_class = TestFileFilter
    pagination_class = TestFilePagination
    lookup_value_converter = "int"
    parser_classes = [MultiPartParser, FormParser]
    own_transactions = frozenset({"create"})  # a subprocess compiles the file

    def get_permissions(self) -> list[Any]:
        return [MayUpload()] if self.action == "create" else list(super().get_permissions())

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        discovery.refresh()
        return super().list(request, *args, **kwargs)

    @extend_schema(
        request={"multipart/form-data": serializers.UploadSerializer},
        responses={
            201: serializers.TestFileSerializer,
            409: OpenApiResponse(description="There is a file of this name, and `overwrite` is not set."),
        },
    )
    def create(self, request: Request) -> Response:
        """Upload a test file into an existing or new directory. It can be run at once."""
        try:
            return self.once(self._checked, self._stored)
        except uploads.NameTaken as taken:
            raise Conflict(str(taken)) from taken
        except uploads.UploadRefused as refused:
            raise ValidationError({refused.field: [str(refused)]}) from refused

    def _checked(self) -> tuple[uploads.CheckedUpload, bool]:
        given = serializers.UploadSerializer(data=self.request.data)
        given.is_valid(raise_exception=True)
        asked = given.validated_data
        sent = asked["file"]
        content = sent.read(discovery.MAX_FILE_BYTES + 1)
        return uploads.check(name=sent.name, directory=asked["directory"], content=content), asked["overwrite"]

    def _stored(self, checked: tuple[uploads.CheckedUpload, bool]) -> Response:
        file, overwrite = checked
        row = uploads.store(file, user=self.request.user, overwrite=overwrite)
        return Response(self.get_serializer(row).data, status=201)

    def perform_destroy(self, instance: TestFile) -> None:
        try:
            with self.if_match(instance, first=discovery.lock):
                uploads.remove(file=instance, user=self.request.user)
        except uploads.UploadRefused as refused:
            raise Conflict(str(refused)) from refused


class TestRunFilter(filters.FilterSet):
    __test__ = False
    environment = filters.NumberFilter("environment_id", min_value=1, max_value=100, decimal_places=0)
    status = filters.MultipleChoiceFilter(choices=TestRun.Status.choices)
    requested_by = filters.CharFilter()

    class Meta:
        model = TestRun
        fields: list[str] = []


NO_ROOM = OpenApiResponse(description="Too many runs are waiting there, or too many of yours: see `detail`.")
RANGE = OpenApiParameter(
    "Range", str, OpenApiParameter.HEADER, description="bytes=first-last, of the log as it is now."
)


@extend_schema(tags=["test runs"])
class TestRunsView(RestView, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Test runs, newest first. POST queues a run: it starts when all earlier runs in its environment have ended."""

    __test__ = False
    queryset = TestRun.objects.prefetch_related(Prefetch("files", RunFile.objects.defer("content")))
    serializer_class = serializers.RunSummarySerializer
    filterset_class = TestRunFilter
    lookup_value_converter = "int"
    bodiless = frozenset({"cancel"})

    def get_permissions(self) -> list[Any]:
        special = {"create": MayStart, "rerun": MayStart, "cancel": MayCancel}
        return [special[self.action]()] if self.action in special else list(super().get_permissions())

    def get_queryset(self) -> QuerySet[TestRun]:
        return super().get_queryset().defer("junit_xml")

    def get_serializer(self, *args: Any, **kwargs: Any) -> Any:
        if args:
            runs = args[0] if kwargs.get("many") else [args[0]]
            queue_status.add_to_runs(runs)
            kwargs["context"] = {**self.get_serializer_context(), "file_ids": queue_status.file_ids(runs)}
        return super().get_serializer(*args, **kwargs)

    @extend_schema(responses=serializers.RunSerializer)
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return Response(self._whole(self.get_object()))

    @extend_schema(request=serializers.NewRunSerializer, responses={201: serializers.RunSerializer, 429: NO_ROOM})
    def create(self, request: Request) -> Response:
        """Queue a run of these files with their current content. Later changes of a file do not affect it."""
        discovery.refresh()
        given = serializers.NewRunSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        asked = dict(given.validated_data)
        try:
            snapshots = discovery.snapshots(asked.pop("files"))
            with transaction.atomic():  # the response is built before the commit, so a 503 means that no run was queued
                whole = self._whole(services.start_run(user=request.user, files=snapshots, **asked))
        except quotas.QuotaExceeded as refused:
            raise TooManyWaiting(str(refused)) from refused
        except services.InvalidTimeLimit as refused:
            raise ValidationError({"wall_seconds": [str(refused)]}) from refused
        except (discovery.TestFileGone, RunNotAllowed) as refused:
            raise ValidationError({"files": [str(refused)]}) from refused
        return Response(whole, status=201)

    @extend_schema(request=None, responses=serializers.RunSerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: int) -> Response:
        """Remove a run from the queue, or stop it. A stopped run is `cancelled` some seconds later, when all its
        processes have ended.
        """
        with transaction.atomic():  # as in `create`
            whole = self._whole(self._after(services.cancel_run))
        return Response(whole)

    @extend_schema(request=serializers.RerunSerializer, responses={201: serializers.RunSerializer, 429: NO_ROOM})
    @action(detail=True, methods=["post"])
    def rerun(self, request: Request, pk: int) -> Response:
        """Queue the run again: the same bytes in the same environment."""
        given = serializers.RerunSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        with transaction.atomic():  # as in `create`
            whole = self._whole(self._after(services.rerun, **given.validated_data))
        return Response(whole, status=201)

    @extend_schema(
        parameters=[RANGE],
        responses={
            (200, "text/plain"): OpenApiTypes.STR,
            (206, "text/plain"): OpenApiTypes.STR,
            416: OpenApiResponse(description="The log has no bytes there yet."),
        },
    )
    @action(
        detail=True, renderer_classes=[LogRenderer, renderers.JSONRenderer], pagination_class=None, filterset_class=None
    )
    def log(self, request: Request, pk: int) -> HttpResponseBase:
        """The output of the run so far, as UTF-8 text. Use Range to fetch only what is new."""
        return log_response(self.get_object(), request.headers.get("Range", ""))

    @extend_schema(
        operation_id="test_runs_junit_retrieve",
        responses={(200, "application/xml"): OpenApiTypes.STR, 404: OpenApiResponse(description="It has not ended.")},
    )
    def junit(self, request: Request, pk: int) -> HttpResponse:
        """The results as JUnit XML, once the run has ended."""
        return junit_response(self.get_object())

    def _after(self, verb: Any, **more: Any) -> TestRun:
        try:
            return verb(run=self.get_object(), user=self.request.user, **more)
        except quotas.QuotaExceeded as error:
            raise TooManyWaiting(str(error)) from error
        except RunNotAllowed as error:
            raise Conflict(str(error)) from error

    def _whole(self, run: TestRun) -> Any:
        context = {
            **self.get_serializer_context(),
            "file_ids": queue_status.file_ids([run]),
            "details": queue_status.details_of(run),
        }
        queue_status.add_to_runs([run])
        prefetch_related_objects([run], Prefetch("results", TestResult.objects.defer("details")))
        return serializers.RunSerializer(run, context=context).data
