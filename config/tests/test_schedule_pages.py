"""The pages of periodic tasks and their schedules: own labels, the product's date fields, no inline script."""

import re
from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule

from accounts.zones import choose_zone
from config.pages.schedule_pages import in_words

pytestmark = pytest.mark.django_db
ADD = reverse("admin:django_celery_beat_periodictask_add")
MODELS = ["periodictask", "intervalschedule", "crontabschedule", "clockedschedule", "solarschedule"]


def task_form(**more: object) -> dict[str, object]:
    base = {
        "name": "tidy up",
        "task": "projects.tasks.send_reminders",
        "enabled": "on",
        "args": "[]",
        "kwargs": "{}",
        "headers": "{}",
    }
    return {**base, "interval": IntervalSchedule.objects.create(every=1, period="hours").pk, **more}


def errors(response) -> dict[str, list[str]]:
    return response.context["adminform"].form.errors


@pytest.mark.parametrize("model", MODELS)
def test_no_form_has_a_date_widget_or_a_script_of_the_library(as_superuser, model):
    page = as_superuser.get(reverse(f"admin:django_celery_beat_{model}_add")).content.decode()

    assert 'type="datetime-local"' in page or model not in ("periodictask", "clockedschedule")
    assert "vDateField" not in page and "vTimeField" not in page
    assert not re.findall(r"<script(?![^>]*\b(?:src|type=\"application/json\"))[^>]*>", page.partition("<main")[2])


@pytest.mark.parametrize("model", MODELS)
def test_every_field_has_a_label_of_ours(as_superuser, model):
    form = as_superuser.get(reverse(f"admin:django_celery_beat_{model}_add")).context["adminform"].form
    labels = [str(field.label) for field in form.fields.values() if field.label]

    for words in labels:
        assert words[:1].isupper() and not re.search(r" [A-Z][a-z]", words), words  # sentence case


def test_a_moment_is_meant_on_the_viewers_clock(as_superuser):
    choose_zone(user=User.objects.get(username="root"), name="Europe/Berlin")
    address = reverse("admin:django_celery_beat_clockedschedule_add")
    inline = {"periodictask_set-TOTAL_FORMS": 0, "periodictask_set-INITIAL_FORMS": 0}

    as_superuser.post(address, {"clocked_time": "2999-07-01T10:00", **inline})

    moment = ClockedSchedule.objects.get()
    assert moment.clocked_time == datetime(2999, 7, 1, 8, tzinfo=UTC)
    opened = as_superuser.get(reverse("admin:django_celery_beat_clockedschedule_change", args=[moment.pk]))
    assert 'value="2999-07-01T10:00"' in opened.content.decode()


def test_a_task_is_chosen_from_those_that_the_workers_know(as_superuser):
    page = as_superuser.get(ADD).content.decode()

    assert '<option value="projects.tasks.send_reminders">' in page
    as_superuser.post(ADD, task_form(start_time="2999-01-01T10:00"))
    task = PeriodicTask.objects.get(name="tidy up")
    assert (task.task, task.start_time) == ("projects.tasks.send_reminders", datetime(2999, 1, 1, 10, tzinfo=UTC))


def test_a_task_that_no_worker_knows_any_more_stays_chosen(as_superuser):
    every = IntervalSchedule.objects.create(every=1, period="days")
    old = PeriodicTask.objects.create(name="old", task="gone.tasks.old", interval=every)
    address = reverse("admin:django_celery_beat_periodictask_change", args=[old.pk])

    assert '<option value="gone.tasks.old" selected>' in as_superuser.get(address).content.decode()
    as_superuser.post(address, task_form(name="renamed", task="gone.tasks.old", interval=every.pk))

    old.refresh_from_db()
    assert (old.name, old.task) == ("renamed", "gone.tasks.old")


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"task": ""}, "task"),
        ({"task": "no.such.task"}, "task"),
        ({"args": "{}"}, "args"),
        ({"kwargs": "[]"}, "kwargs"),
        ({"headers": "nothing"}, "headers"),
        ({"expires": "2999-01-01T10:00", "expire_seconds": 5}, "expire_seconds"),
        ({"start_time": "soon"}, "start_time"),
    ],
)
def test_what_is_wrong_is_said_beside_its_field(as_superuser, wrong, field):
    answer = as_superuser.post(ADD, task_form(**wrong))

    assert field in errors(answer)
    assert not PeriodicTask.objects.filter(name="tidy up").exists()


def test_a_task_has_exactly_one_schedule(as_superuser):
    crontab = CrontabSchedule.objects.create(hour="7")

    answer = as_superuser.post(ADD, task_form(crontab=crontab.pk))

    assert errors(answer)


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        (IntervalSchedule(every=3600, period="seconds"), "every hour"),
        (IntervalSchedule(every=600, period="seconds"), "every 10 minutes"),
        (IntervalSchedule(every=90, period="seconds"), "every 90 seconds"),
        (IntervalSchedule(every=24, period="hours"), "every day"),
        (CrontabSchedule(minute="0", hour="16", timezone="Europe/Berlin"), "At 16:00 (Europe/Berlin)"),
        (CrontabSchedule(minute="?!", hour="16", timezone="UTC"), "?! 16 * * * (UTC)"),
        (ClockedSchedule(clocked_time=datetime(2030, 1, 2, 3, 4, tzinfo=UTC)), "once, 2 Jan 2030, 03:04 UTC"),
        (SolarSchedule(event="sunrise", latitude=52, longitude=13), "sunrise at 52, 13"),
        (None, "never"),
    ],
)
def test_schedules_in_words(schedule, words):
    assert in_words(schedule) == words


@pytest.mark.parametrize("name", ["minute", "month_of_year", "day_of_week"])
@pytest.mark.parametrize("value", ["-1", "5-", "99"])
def test_a_crontab_that_beat_cannot_read_is_refused(as_superuser, name, value):
    fields = {"minute": "0", "hour": "7", "day_of_month": "*", "month_of_year": "*", "day_of_week": "*"}
    inline = {f"periodictask_set-{what}_FORMS": "0" for what in ("TOTAL", "INITIAL", "MIN_NUM", "MAX_NUM")}

    answer = as_superuser.post(
        reverse("admin:django_celery_beat_crontabschedule_add"), {**fields, name: value, "timezone": "UTC", **inline}
    )

    assert answer.status_code == 200 and list(errors(answer)) == [name]
    assert not CrontabSchedule.objects.exists()
