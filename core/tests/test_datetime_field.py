"""Times that are typed on a local clock: a repeated time keeps its fold, a skipped time is refused."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django import forms
from django.utils import timezone

from core.admin.datetime_field import MomentField
from core.tests.zone_walk import CHANGES, IDS, clock, minutes_of
from core.timezones import offset


class Form(forms.Form):
    at = MomentField(required=False)

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.fields["at"].show_hidden_initial = True


def posted(form: forms.Form) -> dict[str, str]:
    """Return what a browser sends for an unchanged form."""
    field = form["at"]
    widget = field.field.widget.get_context("at", field.value(), {})["widget"]
    hidden = field.field.hidden_widget().format_value(field.value())
    return {"at": widget["value"], "at_offset": widget["offset"] if widget["choices"] else "", "initial-at": hidden}


@pytest.mark.parametrize(("zone", "day", "hours"), CHANGES, ids=IDS)
def test_every_moment_of_a_day_is_shown_and_saved_without_moving(zone, day, hours):
    with timezone.override(ZoneInfo(zone)):
        for at in minutes_of(zone, day)[::10]:
            form = Form(posted(Form(initial={"at": at + timedelta(seconds=42)})))
            assert form.is_valid() and form.cleaned_data["at"] == at and form.changed_data == []


@pytest.mark.parametrize(("zone", "day", "hours"), CHANGES, ids=IDS)
def test_a_repeated_time_asks_which_one_and_takes_the_choice(zone, day, hours):
    by_clock: dict[str, list[datetime]] = {}
    for at in minutes_of(zone, day):
        by_clock.setdefault(f"{clock(zone, at):%Y-%m-%dT%H:%M}", []).append(at)

    with timezone.override(ZoneInfo(zone)):
        for text, moments in [pair for pair in by_clock.items() if len(pair[1]) > 1][::7]:
            asked = Form({"at": text})
            assert "occurs twice" in str(asked.errors["at"]) and 'name="at_offset"' in str(asked["at"])
            for at in moments:
                chosen = Form({"at": text, "at_offset": offset(clock(zone, at))})
                assert chosen.is_valid() and chosen.cleaned_data["at"] == at
        ordinary = Form({"at": "2026-07-01T12:00", "at_offset": "+23:00"})
        assert ordinary.is_valid() and "at_offset" not in str(ordinary["at"])


def test_a_time_that_does_not_exist_is_refused_with_the_next_one():
    with timezone.override(ZoneInfo("Australia/Lord_Howe")):
        form = Form({"at": "2026-10-04T02:15"})

        assert form.errors["at"] == [
            "The clocks in Australia/Lord Howe go forward on 4 October 2026: this time does not exist."
            " The next valid time is 4 Oct 2026, 02:30."
        ]


@pytest.mark.parametrize("text", ["soon", "2026-13-01T00:00", "0001-01-01T00:00", "9999-12-31T23:59", "\x00", "1" * 99])
@pytest.mark.parametrize("zone", ["Pacific/Apia", "America/New_York"])
def test_nonsense_is_refused_in_words(zone, text):
    with timezone.override(ZoneInfo(zone)):
        form = Form({"at": text})
        assert form.is_valid() or "Enter a valid date/time." in str(form.errors)
        assert "<input" in str(form["at"])


def test_a_text_with_an_offset_is_taken_as_it_is():
    with timezone.override(ZoneInfo("Europe/Berlin")):
        form = Form({"at": "2026-10-25T02:30:00+01:00"})

        assert form.is_valid() and form.cleaned_data["at"] == datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
