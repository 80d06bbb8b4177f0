"""Fake and demo data: quick, believable, harmless when repeated."""

import io
import time

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from projects.models import Comment, Project, Task

pytestmark = pytest.mark.django_db


def test_ten_thousand_tasks_take_no_time():
    started = time.monotonic()

    call_command("create_fake_projects", total=100, tasks=100, stdout=io.StringIO())

    assert time.monotonic() - started < 5
    assert (Project.objects.count(), Task.objects.count()) == (100, 10_000)
    assert Task.objects.filter(status="completed").exists()
    assert Task.objects.filter(due_date=None).exists()


def test_a_number_that_makes_no_sense_is_refused():
    with pytest.raises(CommandError):
        call_command("create_fake_projects", total=0)


def test_the_demo_has_projects_and_a_planner_and_is_the_same_when_repeated():
    for _ in range(2):
        call_command("create_demo", stdout=io.StringIO())

    assert User.objects.get(username="planner").groups.get().name == "planning"
    assert (Project.objects.count(), Task.objects.count(), Comment.objects.count()) == (4, 40, 3)
