"""Every task has a time limit, and none is interrupted by a signal: see core/bounded_tasks.py."""

import time
from uuid import uuid4

import pytest
from celery import Task, shared_task
from django.db import connection, transaction

from chats.models import Chat
from config.celery import app
from core.bounded_tasks import BoundedTask, OutOfTime, bounded_task

UNBOUNDED = {"testrunner.tasks.run_tests"}  # a run has its own limit, and its worker's pool has threads


@pytest.fixture
def tasks() -> dict[str, Task]:
    app.loader.import_default_modules()
    return {name: task for name, task in app.tasks.items() if ".tests." not in name}


def test_no_task_has_a_soft_time_limit(tasks):
    @shared_task(soft_time_limit=1)
    def softly() -> None: ...

    assert softly.soft_time_limit == 1  # proves that the test detects one
    assert app.conf.task_soft_time_limit is None
    assert {name for name, task in tasks.items() if task.soft_time_limit is not None} == set()


def test_every_task_of_ours_is_killed_after_a_while_and_ends_before(tasks):
    ours = {name: task for name, task in tasks.items() if not name.startswith("celery.")}

    assert len(ours) > 15
    bounded = {name for name, task in ours.items() if isinstance(task, BoundedTask) and task.time_limit}
    assert set(ours) - bounded == UNBOUNDED


@pytest.mark.django_db(transaction=True)
def test_a_task_whose_time_is_up_begins_no_further_statement_and_leaves_nothing_half_done():
    @bounded_task(1)
    def slow(seconds: float) -> None:
        with transaction.atomic():
            Chat.objects.create(user_uuid=uuid4())
            time.sleep(seconds)
            Chat.objects.create(user_uuid=uuid4())

    slow(0.0)
    assert Chat.objects.count() == 2

    with pytest.raises(OutOfTime):
        slow(0.8)

    assert Chat.objects.count() == 2
    assert connection.execute_wrappers == []


def test_celery_calls_a_bounded_task_with_its_bound():
    from celery.app.trace import task_has_custom

    @bounded_task(1)
    def bounded() -> None: ...

    @shared_task
    def plain() -> None: ...

    assert task_has_custom(bounded, "__call__")
    assert not task_has_custom(plain, "__call__")
