"""The Celery tasks, called by name like beat does."""

import pytest
from celery import current_app as app

from projects.factories import TaskFactory
from projects.models import Reminder, Report

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("name", ["remind", "daily report"])
def test_what_beat_sends_is_there_and_may_be_sent_twice(name, settings, mailoutbox):
    settings.REPORT_HOUR = 0
    TaskFactory()
    app.loader.import_default_modules()
    task = app.tasks[app.conf.beat_schedule[name]["task"]]

    for _ in range(2):
        assert task.apply().successful()

    assert Report.objects.count() == len(mailoutbox) == (name == "daily report")
    assert not Reminder.objects.exists()


def test_a_process_that_could_not_reach_redis_has_a_worker_do_it():
    app.loader.import_default_modules()

    assert app.tasks["core.tasks.retry_invalidation"].apply().successful()
