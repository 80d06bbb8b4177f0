"""Filters and orderings of the project and task lists."""

from typing import Any

from django.db.models import F, Q, QuerySet
from django.utils import timezone
from django_filters import rest_framework as filters

from core.sorting import by_name
from projects.models import Project, Task


class Ordering(filters.OrderingFilter):
    """Ordering by one or several fields, then by id so that pages never overlap. Rows without a value come last."""

    def filter(self, qs: QuerySet, value: Any) -> QuerySet:
        if not value:
            return qs
        if any(name.lstrip("-") == "priority" for name in value):
            qs = qs.ranked()  # type: ignore[attr-defined]
        return qs.order_by(*(_direction(self.get_ordering_value(name)) for name in value), "-id")


def _direction(name: str) -> Any:
    if name.lstrip("-") in ("title", "name"):
        by = by_name(name.lstrip("-"))
        return by.desc() if name.startswith("-") else by.asc()
    if name == "due_date":
        return name  # Postgres puts NULLs last in ascending order by default, and can use its index
    return F(name[1:]).desc(nulls_last=True) if name.startswith("-") else name


class ProjectFilter(filters.FilterSet):
    owner = filters.CharFilter("owner__username", label="The owner's username.")
    search = filters.CharFilter(method="find", label="Part of the name or the description.")
    ordering = Ordering(fields=["id", "name", "created_at", "updated_at"])

    class Meta:
        model = Project
        fields: list[str] = []

    def find(self, projects: QuerySet, name: str, value: str) -> QuerySet:
        return projects.filter(Q(name__icontains=value) | Q(description__icontains=value))


class TaskFilter(filters.FilterSet):
    project = filters.NumberFilter("project_id", min_value=1, max_value=2**63 - 1, decimal_places=0, label="Its id.")
    status = filters.MultipleChoiceFilter(choices=Task.Status.choices)
    priority = filters.MultipleChoiceFilter(choices=Task.Priority.choices)
    assignee = filters.CharFilter(method="of", label="A username, or `none` for unassigned tasks.")
    due_before = filters.IsoDateTimeFilter(
        "due_date", "lt", label="Due before; in TIME_ZONE (UTC by default) where no zone is given."
    )
    due_after = filters.IsoDateTimeFilter(
        "due_date", "gte", label="Due at or after; in TIME_ZONE (UTC by default) where no zone is given."
    )
    overdue = filters.BooleanFilter(method="late", label="Due and not completed.")
    search = filters.CharFilter(method="find", label="Part of the title or the description.")
    ordering = Ordering(
        fields=[
            ("id", "id"), ("title", "title"), ("status", "status"), ("due_date", "due_date"),
            ("priority_rank", "priority"), ("created_at", "created_at"), ("updated_at", "updated_at"),
        ]
    )  # fmt: skip

    class Meta:
        model = Task
        fields: list[str] = []

    def of(self, tasks: QuerySet, name: str, value: str) -> QuerySet:
        return tasks.filter(assignee=None) if value == "none" else tasks.filter(assignee__username=value)

    def late(self, tasks: QuerySet, name: str, value: bool) -> QuerySet:
        late = Q(due_date__lt=timezone.now()) & ~Q(status=Task.Status.COMPLETED)
        return tasks.filter(late) if value else tasks.exclude(late)

    def find(self, tasks: QuerySet, name: str, value: str) -> QuerySet:
        return tasks.filter(Q(title__icontains=value) | Q(description__icontains=value))
