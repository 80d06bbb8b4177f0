from __future__ import annotations

from django.apps import apps
from django.conf import settings
from django.db import models
from django.db.models import Count, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce, Now
from simple_history.models import HistoricalRecords


class ProjectQuerySet(models.QuerySet["Project"]):
    def with_counts(self) -> ProjectQuerySet:
        """Annotate `task_count` and `open_count`. It costs one index scan per project, so paginate first."""
        tasks = apps.get_model("projects", "Task").objects.filter(project=OuterRef("pk")).order_by()

        def count(of: models.QuerySet) -> Coalesce:
            counted = of.values("project").annotate(number=Count("pk")).values("number")
            return Coalesce(Subquery(counted, output_field=models.IntegerField()), 0)

        return self.annotate(task_count=count(tasks), open_count=count(tasks.exclude(status="completed")))


class Project(models.Model):
    """A named group of tasks. Deleting the project deletes its tasks."""

    EDITABLE = ("name", "description", "owner")  # the fields that users set

    name = models.CharField(max_length=255)
    description = models.TextField(blank=True, default="", max_length=20_000)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="owned_projects"
    )
    created_at = models.DateTimeField("created", db_default=Now(), editable=False)
    updated_at = models.DateTimeField("updated", db_default=Now(), editable=False)

    history = HistoricalRecords()
    objects = ProjectQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=~Q(name=""), name="projects_project_named"),
        ]

    def __str__(self) -> str:
        return self.name
