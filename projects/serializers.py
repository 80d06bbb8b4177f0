"""Serializers of the projects API.

One per model: apart from read-only fields, reading and writing use the same fields.
"""

from typing import Any, ClassVar

from django.contrib.auth import get_user_model
from rest_framework import serializers

from core.rest.datetime_field import ZonedDateTimeField
from core.rest.strict_bodies import StrictModelSerializer
from projects.models import Comment, Project, Report, Task, check_due

MAX_TEXT_LENGTH = 20_000


def _person(**more: Any) -> serializers.SlugRelatedField:
    users = get_user_model().objects.filter(is_active=True)
    return serializers.SlugRelatedField(
        slug_field="username", queryset=users, required=False, allow_null=True, help_text="A username.", **more
    )


class ProjectSerializer(StrictModelSerializer):
    owner = _person()
    # Not trimmed, so that a PUT of a GET response changes nothing even if another app stored a trailing line break.
    description = serializers.CharField(
        required=False, allow_blank=True, max_length=MAX_TEXT_LENGTH, trim_whitespace=False
    )

    class Meta:
        model = Project
        fields = ["id", *Project.EDITABLE, "created_at", "updated_at"]


class TaskSerializer(StrictModelSerializer):
    assignee = _person()
    # Not trimmed, so that a PUT of a GET response changes nothing even if another app stored a trailing line break.
    description = serializers.CharField(
        required=False, allow_blank=True, max_length=MAX_TEXT_LENGTH, trim_whitespace=False
    )
    due_date = ZonedDateTimeField(
        allow_null=True,
        validators=[check_due],
        help_text="With its zone, 1970 to 2999; answered in UTC. null: no due date.",
    )

    class Meta:
        model = Task
        fields = ["id", *Task.EDITABLE, "created_at", "updated_at", "completed_at"]


class CommentSerializer(StrictModelSerializer):
    author = serializers.CharField(required=False, max_length=255, help_text="Default: your username.")
    content = serializers.CharField(max_length=MAX_TEXT_LENGTH)
    written_by = serializers.SerializerMethodField(
        help_text="The username of the account that wrote it, whatever `author` is; null for Opsroom itself."
    )

    class Meta:
        model = Comment
        fields = ["id", "task", "author", "content", "created_at", "written_by", "edited_at", "edited_by"]
        read_only_fields: ClassVar[list[str]] = ["task", "edited_at", "edited_by"]

    def get_written_by(self, comment: Comment) -> str | None:
        return comment.writer or None


class CountsSerializer(serializers.Serializer):
    total = serializers.IntegerField()
    pending = serializers.IntegerField()
    in_progress = serializers.IntegerField()
    completed = serializers.IntegerField()
    due_today = serializers.IntegerField(help_text="Not completed, due on the report's day.")
    overdue = serializers.IntegerField(help_text="Not completed, due before the report was made.")
    done_yesterday = serializers.IntegerField(help_text="Completed on the day before the report's.")


class ProjectCountsSerializer(CountsSerializer):
    id = serializers.IntegerField()
    name = serializers.CharField()


class OtherAppRowSerializer(serializers.Serializer):
    name = serializers.CharField()
    number = serializers.IntegerField()


class OtherAppSectionSerializer(serializers.Serializer):
    name = serializers.CharField(help_text="The part of Opsroom, such as Chats.")
    rows = OtherAppRowSerializer(many=True)


class ReportSerializer(serializers.ModelSerializer):
    totals = CountsSerializer(source="data.totals", read_only=True)
    projects = ProjectCountsSerializer(
        source="data.projects", many=True, read_only=True, help_text="Those with tasks; the busiest 1,000 of more."
    )

    other_apps = OtherAppSectionSerializer(
        source="data.other_apps", many=True, read_only=True, default=[], help_text="What else happened the day before."
    )

    class Meta:
        model = Report
        fields = ["date", "created_at", "mailed_at", "totals", "projects", "other_apps"]


class CalendarTokenSerializer(serializers.Serializer):
    token = serializers.CharField(help_text="Shown once. A new one revokes the old one.")
    url = serializers.URLField(help_text="The iCalendar feed. Anyone who has this address can read it.")
    created_at = serializers.DateTimeField()
