"""REST views of projects: parse, check permissions, call one service, serialise."""

from functools import partial
from typing import Any, NoReturn

from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_view
from rest_framework import exceptions, generics, renderers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from core.errors import RelatedRowGone
from core.rest.base import RestView
from core.rest.pagination import KeysetPagination
from projects import export, filters, serializers, services
from projects.cached_views import CachedListView, CachedPagination
from projects.models import Comment, Project, Report, Task

NOT_MODIFIED = OpenApiResponse(description="Nothing has changed since the ETag in `If-None-Match`.")


class TaskCsvRenderer(renderers.BaseRenderer):
    """Renderer that only makes `Accept: text/csv` select the export. The export renders its own response."""

    media_type = "text/csv"
    format = "csv"

    def render(self, data: Any, *args: Any, **kwargs: Any) -> bytes:
        return renderers.JSONRenderer().render(data)


def _listed(serializer: type[BaseSerializer]) -> Any:
    return extend_schema_view(list=extend_schema(responses={200: serializer(many=True), 304: NOT_MODIFIED}))


@extend_schema(tags=["projects"])
@_listed(serializers.ProjectSerializer)
class ProjectsView(RestView, CachedListView, viewsets.ModelViewSet):
    """Projects. DELETE also deletes their tasks."""

    queryset = Project.objects.select_related("owner").order_by("-id")
    serializer_class = serializers.ProjectSerializer
    filterset_class = filters.ProjectFilter
    pagination_class = CachedPagination
    lookup_value_converter = "int"

    def perform_create(self, serializer: BaseSerializer) -> None:
        try:
            serializer.instance = services.create_project(actor=self.request.user, **serializer.validated_data)
        except RelatedRowGone as gone:
            _refuse(gone)

    def perform_update(self, serializer: BaseSerializer) -> None:
        project: Any = serializer.instance
        try:
            with self.if_match(project):
                serializer.instance = services.update_project(
                    project=project, actor=self.request.user, **serializer.validated_data
                )
        except Project.DoesNotExist as gone:
            raise exceptions.NotFound() from gone
        except RelatedRowGone as gone:
            _refuse(gone)

    def perform_destroy(self, instance: Project) -> None:
        with self.if_match(instance):
            services.delete_project(project=instance, actor=self.request.user)


@extend_schema(tags=["tasks"])
@_listed(serializers.TaskSerializer)
class TasksView(RestView, CachedListView, viewsets.ModelViewSet):
    """Tasks of all projects. `completed_at` follows `status`."""

    queryset = Task.objects.for_reading().order_by("-id")
    serializer_class = serializers.TaskSerializer
    filterset_class = filters.TaskFilter
    pagination_class = CachedPagination
    lookup_value_converter = "int"

    def perform_create(self, serializer: BaseSerializer) -> None:
        try:
            serializer.instance = services.create_task(actor=self.request.user, **serializer.validated_data)
        except RelatedRowGone as gone:
            _refuse(gone)

    def perform_update(self, serializer: BaseSerializer) -> None:
        task: Any = serializer.instance
        wanted = serializer.validated_data
        lock = partial(services.lock_project, wanted["project"]) if "project" in wanted else lambda: None
        try:
            with self.if_match(task, first=lock):
                serializer.instance = services.update_task(task=task, actor=self.request.user, **wanted)
        except Task.DoesNotExist as gone:
            raise exceptions.NotFound() from gone
        except RelatedRowGone as gone:
            _refuse(gone)

    def perform_destroy(self, instance: Task) -> None:
        with self.if_match(instance):
            services.delete_task(task=instance, actor=self.request.user)

    @extend_schema(responses={(200, "text/csv"): OpenApiTypes.STR})
    @action(detail=False, renderer_classes=[renderers.JSONRenderer, TaskCsvRenderer], pagination_class=None)
    def export(self, request: Request) -> StreamingHttpResponse:
        """The tasks as CSV, with the list's filters and ordering, without pages."""
        return export.as_csv(self.filter_queryset(self.get_queryset()))


def _refuse(gone: RelatedRowGone) -> NoReturn:
    raise exceptions.ValidationError({gone.field: [str(gone)]}) from gone


class _OfTask(RestView, generics.GenericAPIView):
    queryset = Comment.objects.select_related("task")
    serializer_class = serializers.CommentSerializer

    def get_task(self) -> Task:
        return get_object_or_404(Task, pk=self.kwargs["task_id"])

    def get_queryset(self) -> QuerySet[Comment]:
        return super().get_queryset().filter(task_id=self.kwargs.get("task_id"))


class CommentPagination(KeysetPagination):
    """Oldest first, the reading order of a thread."""

    ordering = ("id",)


@extend_schema(tags=["tasks"])
class CommentsView(_OfTask, generics.ListCreateAPIView):
    """A task's comments, oldest first."""

    etag_of_created = True

    filter_backends = []
    pagination_class = CommentPagination

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        self.get_task()
        return super().list(request, *args, **kwargs)

    def perform_create(self, serializer: BaseSerializer) -> None:
        try:
            serializer.instance = services.add_comment(
                task=self.get_task(), actor=self.request.user, **serializer.validated_data
            )
        except RelatedRowGone as gone:
            raise exceptions.NotFound() from gone


@extend_schema(tags=["tasks"])
class CommentView(_OfTask, generics.RetrieveUpdateDestroyAPIView):
    """One comment of a task. Only the account that wrote it, or a superuser, may change or delete it."""

    def perform_update(self, serializer: BaseSerializer) -> None:
        comment: Any = serializer.instance
        try:
            with self.if_match(comment):
                serializer.instance = services.update_comment(
                    comment=comment, actor=self.request.user, **serializer.validated_data
                )
        except Comment.DoesNotExist as gone:
            raise exceptions.NotFound() from gone

    def perform_destroy(self, instance: Comment) -> None:
        with self.if_match(instance):
            services.delete_comment(comment=instance, actor=self.request.user)


class ReportPagination(KeysetPagination):
    """Newest day first."""

    ordering = ("-date",)
    max_page_size = 100


@extend_schema(tags=["reports"])
class ReportsView(RestView, generics.ListAPIView):
    """The daily reports, newest first."""

    queryset = Report.objects.all()
    serializer_class = serializers.ReportSerializer
    pagination_class = ReportPagination
    filter_backends = []


@extend_schema(tags=["reports"])
class ReportView(RestView, generics.RetrieveAPIView):
    """The report of one day, such as `2030-01-31`."""

    queryset = Report.objects.all()
    serializer_class = serializers.ReportSerializer
    lookup_field = "date"
