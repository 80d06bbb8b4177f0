"""Request and response bodies of the test runner's REST API, with separate serializers for reading and writing."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from core.rest.bounded_lists import BoundedList
from core.rest.strict_bodies import StrictModelSerializer, StrictSerializer
from projects.models import Project
from testrunner import services
from testrunner.models import RunFile, TestEnvironment, TestFile, TestResult, TestRun
from testrunner.queue import queue_status

ONCE = "A UUID that you generate. Repeating the request with the same one returns the run that was created first."


class VariableSerializer(serializers.Serializer):
    name = serializers.CharField()
    value = serializers.CharField(allow_null=True, help_text="null: it is secret.")
    secret = serializers.BooleanField()


class ActiveRunSerializer(serializers.Serializer):
    id = serializers.IntegerField()
    requested_by = serializers.CharField()
    started_at = serializers.DateTimeField()


class WaitingRunSerializer(serializers.Serializer):
    id = serializers.IntegerField()
    requested_by = serializers.CharField()
    queued_at = serializers.DateTimeField()
    position = serializers.IntegerField(help_text="1 starts next.")
    expected_start = serializers.DateTimeField(allow_null=True)


class EnvironmentSerializer(StrictModelSerializer):
    state = serializers.ChoiceField(["free", "busy", "reserved", "disabled"], read_only=True)
    active = ActiveRunSerializer(allow_null=True, read_only=True, help_text="The run that is running in it.")
    queue = WaitingRunSerializer(many=True, read_only=True, help_text="Waiting runs, next first.")
    reserved_by = serializers.CharField(source="holder", allow_null=True, read_only=True)
    variables = VariableSerializer(source="shown_variables", many=True, read_only=True)
    project = serializers.PrimaryKeyRelatedField(
        queryset=Project.objects.all(), required=False, allow_null=True, help_text="Where failed tests open tasks."
    )

    class Meta:
        model = TestEnvironment
        fields = [
            "id", "name", "description", "enabled", "state", "active", "queue", "reserved_by", "reserved_from",
            "reserved_until", "reservation_note", "project", "variables",
        ]  # fmt: skip
        read_only_fields = ["reserved_from", "reserved_until", "reservation_note"]


class ReservationSerializer(StrictSerializer):
    minutes = serializers.IntegerField(
        min_value=1, max_value=int(services.MAX_RESERVATION / timedelta(minutes=1)), help_text="The duration."
    )
    after_current = serializers.BooleanField(
        default=False, help_text="Count from the end of the active run, if there is one."
    )
    note = serializers.CharField(required=False, allow_blank=True, max_length=200)


class TestFileSerializer(serializers.ModelSerializer):
    __test__ = False
    path = serializers.CharField(source="__str__", read_only=True, help_text="root/directory/name")
    directory = serializers.CharField(read_only=True, help_text="Below the root; may be empty.")
    uploaded_by: Any = serializers.SlugRelatedField(slug_field="username", read_only=True, allow_null=True)

    class Meta:
        model = TestFile
        fields = ["id", "root", "path", "directory", "size", "sha256", "uploaded_by", "uploaded_at"]


class UploadSerializer(StrictSerializer):
    file = serializers.FileField(
        max_length=300,
        allow_empty_file=True,
        help_text="A Python file that compiles, or data that lies beside tests: JSON, CSV, text, pictures. At most "
        "1 MiB. Python files are UTF-8 unless their first line names another encoding; __init__.py may be empty.",
    )
    directory = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=300,
        default="",
        help_text="Existing or new, below uploads/. Not absolute.",
    )
    overwrite = serializers.BooleanField(default=False, help_text="Replace the file of this name, if there is one.")


class ResultSerializer(serializers.ModelSerializer):
    details = serializers.SerializerMethodField(
        help_text=f"The traceback as plain text, of the first {queue_status.MAX_DETAILS} tests that have one and of "
        f"{queue_status.MAX_DETAILS_BYTES // 2**20} MiB together; null for others. In the middle of a long one, a line "
        "says how much was left out."
    )

    class Meta:
        model = TestResult
        fields = ["nodeid", "path", "name", "outcome", "duration", "message", "details"]
        extra_kwargs = {"duration": {"help_text": "Seconds."}}

    def get_details(self, result: TestResult) -> str | None:
        return self.context["details"].get(result.pk)


class SnapshotSerializer(serializers.ModelSerializer):
    class Meta:
        model = RunFile
        fields = ["root", "path", "size", "sha256", "comes_along"]
        extra_kwargs = {"comes_along": {"help_text": "true: included from the folder of a chosen test."}}


class RunSummarySerializer(serializers.ModelSerializer):
    """A run without its results, as in lists."""

    position = serializers.IntegerField(allow_null=True, read_only=True, help_text="1 starts next; null: not waiting.")
    expected_start = serializers.DateTimeField(allow_null=True, read_only=True)
    files = serializers.SerializerMethodField(help_text="The ids of its test files.")
    cancel_requested = serializers.SerializerMethodField()

    class Meta:
        model = TestRun
        fields = [
            "id", "environment", "files", "requested_by", "status", "reason", "position", "expected_start",
            "queued_at", "started_at", "finished_at", "cancel_requested", *TestRun.COUNTS, "rerun_of",
        ]  # fmt: skip
        read_only_fields = fields

    @extend_schema_field({"type": "array", "items": {"type": "integer"}})
    def get_files(self, run: TestRun) -> list[int]:
        return self.context["file_ids"](run)

    def get_cancel_requested(self, run: TestRun) -> bool:
        return run.cancel_requested_at is not None


class RunSerializer(RunSummarySerializer):
    snapshot = SnapshotSerializer(source="files", many=True, read_only=True, help_text="Its copies of the files.")
    results = ResultSerializer(many=True, read_only=True, help_text="One per test that has ended.")

    class Meta(RunSummarySerializer.Meta):
        fields = [
            *RunSummarySerializer.Meta.fields, "snapshot", "results", "worker", "sandbox", "exit_code",
            "wall_seconds", "log_size", "log_dropped",
        ]  # fmt: skip
        read_only_fields = fields


class NewRunSerializer(StrictSerializer):
    environment = serializers.PrimaryKeyRelatedField(queryset=TestEnvironment.objects.all())
    files = BoundedList(
        child=serializers.IntegerField(min_value=1, max_value=2**63 - 1),
        allow_empty=False,
        max_length=services.MAX_FILES,
        error_messages={"max_length": f"A run has {services.MAX_FILES} files at most."},
        help_text="Ids of Python test files, in order. Helpers, conftest.py and data of their folders are included.",
    )
    requested_by = serializers.CharField(
        required=False, allow_blank=True, max_length=255, help_text="Default: your username."
    )
    wall_seconds = serializers.IntegerField(required=False, min_value=1, help_text="The time limit in seconds.")
    request_key = serializers.UUIDField(required=False, help_text=ONCE)

    def validate_files(self, ids: Sequence[int]) -> list[TestFile]:
        found = TestFile.objects.existing().in_bulk(ids)
        if missing := [each for each in ids if each not in found]:
            raise serializers.ValidationError(f'Invalid pk "{missing[0]}" - object does not exist.')
        return [found[each] for each in ids]


class RerunSerializer(StrictSerializer):
    failed_only = serializers.BooleanField(default=False, help_text="Only the tests that did not pass.")
    request_key = serializers.UUIDField(required=False, help_text=ONCE)
