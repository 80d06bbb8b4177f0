"""Lists with a count and page numbers: a commit between the count and the rows is visible in both or in neither."""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin import ModelAdmin
from django.core.paginator import Paginator
from django.db import connection
from django.urls import URLResolver, get_resolver
from rest_framework.pagination import PageNumberPagination

from core.rest.snapshots import SnapshotLists, SnapshotPagination, one_snapshot
from projects import reports, services
from projects.factories import ProjectFactory, TaskFactory
from projects.models import Comment, Task

committed = pytest.mark.django_db(transaction=True)


@contextmanager
def between_the_first_query_and_the_next(of: str, write: Callable[[], Any]) -> Iterator[list[str]]:
    """After the first query of this table, commit `write` on another connection; yield the queries."""
    seen: list[str] = []

    def wrapper(execute: Any, sql: str, *args: Any) -> Any:
        result = execute(sql, *args)
        if re.search(rf'(FROM|JOIN) "{of}"', sql):
            seen.append(sql)
            if len(seen) == 1:
                _in_a_thread(write)
        return result

    with connection.execute_wrapper(wrapper):
        yield seen


def _in_a_thread(write: Callable[[], Any]) -> None:
    def work() -> None:
        try:
            write()
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


@pytest.fixture
def project(transactional_db):
    project = ProjectFactory()
    TaskFactory.create_batch(3, project=project)
    return project


@committed
def test_a_page_names_a_next_one_or_holds_every_row_of_its_count(project, planner_api):
    before = set(Task.objects.values_list("pk", flat=True))

    def add() -> None:
        services.create_task(project=project, title="New")

    with between_the_first_query_and_the_next("projects_task", add) as queries:
        page = planner_api.get("/tasks/?page_size=3").json()

    assert len(queries) == 2
    assert {task["id"] for task in page["results"]} == before
    assert page["count"] == 3 and page["next"] is None
    assert planner_api.get("/tasks/?page_size=3").json()["count"] == 4


@committed
def test_a_page_of_the_admin_shows_as_many_rows_as_it_counts(project, as_planner, monkeypatch):
    monkeypatch.setattr(admin.site._registry[Task], "list_per_page", 3)
    before = set(Task.objects.values_list("pk", flat=True))

    with between_the_first_query_and_the_next("projects_task", lambda: TaskFactory(project=project)) as queries:
        page = as_planner.get("/admin/projects/task/")

    found = page.context["cl"]
    assert len(queries) == 3  # shown, all, rows
    assert found.result_count == found.full_result_count == 3
    assert {task.pk for task in found.result_list} == before


@committed
def test_a_card_that_is_moved_while_the_board_is_read_is_in_one_column(project, as_planner):
    card = Task.objects.filter(status="pending").latest("pk")

    def move() -> None:
        services.move_task(task=card, status="in_progress")

    with between_the_first_query_and_the_next("projects_task", move):
        board = as_planner.get(f"/admin/projects/project/{project.pk}/board/cards/")

    columns = board.context["columns"]
    assert [task.pk for column in columns for task in column.tasks].count(card.pk) == 1
    assert [column.count for column in columns] == [len(column.tasks) for column in columns]


@committed
def test_a_comment_that_is_added_while_a_thread_is_read_is_not_counted_as_an_earlier_one(project, as_planner):
    task = Task.objects.latest("pk")
    Comment.objects.bulk_create(Comment(task=task, author="a", content="b") for _ in range(52))

    def say() -> None:
        Comment.objects.create(task=task, author="a", content="new")

    with between_the_first_query_and_the_next("projects_comment", say):
        thread = as_planner.get(f"/admin/projects/task/{task.pk}/comments/")

    assert thread.context["earlier"] == 2


@committed
def test_the_totals_of_a_report_are_the_sums_of_its_projects(project):
    def add() -> None:
        services.create_task(project=project, title="New")

    with between_the_first_query_and_the_next("projects_task", add):
        report, _ = reports.generate_report()

    assert report.data["totals"]["total"] == sum(row["total"] for row in report.data["projects"]) == 3


@committed
def test_nothing_is_written_within_a_snapshot():
    with pytest.raises(Exception, match="read-only"), one_snapshot():
        ProjectFactory()


def _views(patterns: list) -> Iterator[Any]:
    for found in patterns:
        if isinstance(found, URLResolver):
            yield from _views(found.url_patterns)
        elif (view := getattr(found.callback, "cls", None)) is not None:
            yield view


def test_every_list_by_number_reads_from_one_snapshot():
    pages = {view.pagination_class for view in _views(get_resolver().url_patterns) if hasattr(view, "pagination_class")}

    numbered = [each for each in pages if each is not None and issubclass(each, PageNumberPagination)]

    assert len(numbered) >= 3
    assert [each for each in numbered if not issubclass(each, SnapshotPagination)] == []


def test_every_list_of_the_admin_that_counts_reads_from_one_snapshot():
    def counts(one: ModelAdmin) -> bool:
        """Return whether it uses Django's paginator; others have their own pages, by a row's place."""
        return one.paginator is Paginator and _has_a_changelist(one)

    counting = [one for one in admin.site._registry.values() if counts(one)]

    assert len(counting) >= 12
    assert [one for one in counting if not isinstance(one, SnapshotLists)] == []


def _has_a_changelist(one: ModelAdmin) -> bool:
    overriding = next(kind for kind in type(one).__mro__ if "changelist_view" in vars(kind))
    names = overriding.changelist_view.__code__.co_names
    return "changelist_view" in names or overriding.__module__.startswith(("django.", "unfold.", "simple_history."))
