"""Admin pages of periodic tasks and their schedules, with Opsroom's labels, times and date fields.

The library's own admin has other labels and widgets, and an inline script, which the content security policy refuses.
"""

from __future__ import annotations

from typing import Any

from celery import current_app
from celery.schedules import ParseException, crontab
from cron_descriptor import FormatException, MissingFieldException, Options, WrongArgumentException, get_description
from django import forms
from django.contrib import admin
from django.db.models import DateTimeField, Field, Model
from django.http import HttpRequest
from django_celery_beat import admin as beat
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)
from kombu.utils.json import loads
from unfold.admin import ModelAdmin, TabularInline
from unfold.widgets import DATETIME_CLASSES, SELECT_CLASSES

from core.admin.concurrent_forms import ConcurrentFormsAdmin
from core.admin.datetime_field import MomentField, MomentInput
from core.admin.deletion import ConcurrentDeletionAdmin
from core.rest.snapshots import SnapshotLists
from core.templatetags.opsroom import when
from core.timezones import with_zone

ONE_OF = "Choose exactly one of interval, crontab, moment and sun."
WORDS: dict[str, dict[str, tuple[str, str]]] = {  # by model and field: the label and the help text
    "periodictask": {
        "name": ("Name", "Unique. Shown in the list of schedules."),
        "enabled": ("Enabled", "Off: the task does not run by itself."),
        "description": ("Description", "Optional."),
        "interval": ("Interval", ONE_OF),
        "crontab": ("Crontab", ""),
        "clocked": ("Moment", "Needs “Run once” as well."),
        "solar": ("Sun", ""),
        "start_time": ("Not before", "Optional. The first run is not before this time."),
        "one_off": ("Run once", "The schedule is disabled after its next run."),
        "args": ("Positional arguments", 'A JSON array, for example [1, "a"].'),
        "kwargs": ("Named arguments", 'A JSON object, for example {"days": 30}.'),
        "expires": ("Expires at", "Optional. No message is sent after this time."),
        "expire_seconds": ("Expires after (seconds)", "Optional. A message that has waited longer is not carried out."),
        "queue": ("Queue", "Optional. Default: the queue of the task."),
        "exchange": ("Exchange", "Optional. Default: that of the queue."),
        "routing_key": ("Routing key", "Optional. Default: that of the queue."),
        "priority": ("Priority", "Optional. 0 to 255."),
        "headers": ("Headers", "A JSON object that is sent with the message."),
    },
    "intervalschedule": {
        "every": ("Number", "For example 5, for every 5 minutes."),
        "period": ("Unit", ""),
    },
    "crontabschedule": {
        "minute": ("Minute", "0 to 59, * for each, */10 for every tenth, or a list such as 0,30."),
        "hour": ("Hour", "0 to 23, * for each, or a list such as 8,20."),
        "day_of_month": ("Day of the month", "1 to 31, * for each, or a list such as 1,15."),
        "month_of_year": ("Month", "1 to 12, * for each, or a list such as 1,7."),
        "day_of_week": ("Day of the week", "0 (Sunday) to 6 (Saturday), * for each, or a range such as 1-5."),
        "timezone": ("Time zone", "Minute, hour and day are on the clock of this zone."),
    },
    "clockedschedule": {"clocked_time": ("Moment", "Tasks of this schedule run once, at this time.")},
    "solarschedule": {
        "event": ("Event", "Of each day, at the place below."),
        "latitude": ("Latitude", "In degrees, −90 to 90."),
        "longitude": ("Longitude", "In degrees, −180 to 180."),
    },
}
UNITS = {"days": 86_400, "hours": 3_600, "minutes": 60, "seconds": 1}


def in_words(schedule: Any) -> str:
    """Return when a schedule runs, on a 24-hour clock: "every 10 minutes", "At 04:00 (UTC)"."""
    if isinstance(schedule, IntervalSchedule):
        return _interval(schedule)
    if isinstance(schedule, ClockedSchedule):
        return f"once, {with_zone(schedule.clocked_time)}"
    if isinstance(schedule, SolarSchedule):
        return f"{schedule.get_event_display().lower()} at {schedule.latitude}, {schedule.longitude}"
    return _crontab(schedule) if schedule else "never"


def _interval(schedule: IntervalSchedule) -> str:
    """Return the interval in the largest unit with a whole number: "every hour", not "every 3600 seconds"."""
    if schedule.period not in UNITS:
        return str(schedule)
    seconds = schedule.every * UNITS[schedule.period]
    unit = next(name for name, size in UNITS.items() if seconds % size == 0)
    number = seconds // UNITS[unit]
    return f"every {unit[:-1]}" if number == 1 else f"every {number:,} {unit}"


def _crontab(schedule: CrontabSchedule) -> str:
    parts = (schedule.minute, schedule.hour, schedule.day_of_month, schedule.month_of_year, schedule.day_of_week)
    expression = " ".join(str(part).replace(" ", "") for part in parts)
    options = Options()
    options.use_24hour_time_format = True
    try:
        words = get_description(expression, options)
    except (FormatException, MissingFieldException, WrongArgumentException, ValueError):
        words = expression
    return f"{words} ({schedule.timezone})"


class PlainWords(ModelAdmin):
    """Mixin: labels and help texts from WORDS, and the product's own date fields."""

    def formfield_for_dbfield(self, db_field: Field, request: HttpRequest, **kwargs: Any) -> Any:
        label, help_text = WORDS.get(str(db_field.model._meta.model_name), {}).get(db_field.name, ("", ""))
        if isinstance(db_field, DateTimeField):
            widget = MomentInput({"class": " ".join(DATETIME_CLASSES)})
            return MomentField(required=not db_field.blank, label=label, help_text=help_text, widget=widget)
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None and label:
            field.label, field.help_text = label, help_text
        return field


class PeriodicTaskForm(forms.ModelForm):
    """A periodic task: one of the tasks that the workers know, its schedule and its arguments."""

    task = forms.ChoiceField(widget=forms.Select({"class": " ".join(SELECT_CLASSES)}))

    class Meta:
        model = PeriodicTask
        fields = ["name", "task", "enabled", "description", "interval", "crontab", "clocked", "solar", "start_time",
                  "one_off", "args", "kwargs", "expires", "expire_seconds", "queue", "exchange", "routing_key",
                  "priority", "headers"]  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        current_app.loader.import_default_modules()
        names = {name for name in current_app.tasks if not name.startswith("celery.")}
        kept = {self.instance.task} if self.instance.task else set()
        self.fields["task"].choices = [("", "Choose a task…"), *((name, name) for name in sorted(names | kept))]  # type: ignore[attr-defined]
        for name in ("interval", "crontab", "clocked", "solar"):
            self.fields[name].label_from_instance = in_words  # type: ignore[attr-defined]
            self.fields[name].empty_label = "None"  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("expires") and data.get("expire_seconds") is not None:
            self.add_error("expire_seconds", "Set either a time or a number of seconds, not both.")
        return data

    def clean_args(self) -> str:
        return self._json("args", list, "Enter a JSON array, for example [].")

    def clean_kwargs(self) -> str:
        return self._json("kwargs", dict, "Enter a JSON object, for example {}.")

    def clean_headers(self) -> str:
        return self._json("headers", dict, "Enter a JSON object, for example {}.")

    def _json(self, name: str, kind: type, words: str) -> str:
        text = self.cleaned_data[name]
        try:
            if isinstance(loads(text), kind):
                return text
        except ValueError:
            pass
        raise forms.ValidationError(words)


class PeriodicTasks(
    PlainWords, ConcurrentFormsAdmin, ConcurrentDeletionAdmin, beat.PeriodicTaskAdmin, SnapshotLists, ModelAdmin
):
    change_form_template = None
    change_list_template = "config/read_only_list.html"
    empty_icon = "schedule"
    empty_title = "No schedules yet"
    empty_words = "Opsroom’s own schedules are added when beat starts. Others are created here."
    form = PeriodicTaskForm
    date_hierarchy = None
    list_display = ["name", "enabled", "rhythm", "last_run", "runs"]
    list_filter = ["enabled", "one_off"]
    list_filter_submit = False
    search_help_text = "Name or task"
    readonly_fields = ["last_run", "runs"]
    fieldsets = [
        (None, {"fields": ["name", "task", "enabled", "description"]}),
        ("When", {"fields": ["interval", "crontab", "clocked", "solar", "start_time", "one_off", "last_run", "runs"]}),
        ("Arguments", {"fields": ["args", "kwargs"]}),
        (
            "Message",
            {"fields": ["expires", "expire_seconds", "queue", "exchange", "routing_key", "priority", "headers"]},
        ),
    ]

    @admin.display(description="When")
    def rhythm(self, task: PeriodicTask) -> str:
        return in_words(task.scheduler)

    @admin.display(description="Last run", ordering="last_run_at")
    def last_run(self, task: PeriodicTask) -> str:
        return when(task.last_run_at, "ago")

    @admin.display(description="Runs", ordering="total_run_count")
    def runs(self, task: PeriodicTask) -> str:
        return f"{task.total_run_count or 0:,}"


class TasksOfSchedule(beat.PeriodicTaskInline, TabularInline):
    tab = True
    verbose_name = "task"
    verbose_name_plural = "Tasks of this schedule"


class Schedules(PlainWords, ConcurrentFormsAdmin, ConcurrentDeletionAdmin, SnapshotLists, ModelAdmin):
    """Schedules of one kind, which several tasks may use."""

    change_list_template = "config/read_only_list.html"
    inlines = [TasksOfSchedule]
    list_display = ["words"]
    empty_icon = "schedule"
    empty_words = "A task can use it once it is created here."

    @admin.display(description="When")
    def words(self, schedule: Model) -> str:
        return in_words(schedule)


class Intervals(Schedules):
    empty_title = "No intervals yet"


class CrontabForm(forms.ModelForm):
    """A crontab that beat can read: the library's own validation accepts negative numbers."""

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        for name in ("minute", "hour", "day_of_month", "month_of_year", "day_of_week"):
            if name in data:
                try:
                    crontab(**{name: data[name]})
                except (ParseException, ValueError) as error:
                    self.add_error(name, f"Not a valid crontab field: {error}.")
        return data


class Crontabs(Schedules):
    form = CrontabForm
    empty_title = "No crontabs yet"
    fields = ["minute", "hour", "day_of_month", "month_of_year", "day_of_week", "timezone"]


class Moments(Schedules):
    empty_title = "No moments yet"


class Sun(Schedules):
    empty_title = "No sunrises or sunsets yet"


PAGES = {
    PeriodicTask: PeriodicTasks,
    IntervalSchedule: Intervals,
    CrontabSchedule: Crontabs,
    ClockedSchedule: Moments,
    SolarSchedule: Sun,
}


def register() -> None:
    """Replace the library's own admin pages with these."""
    for model, page in PAGES.items():
        admin.site.unregister(model)
        admin.site.register(model, page)
