"""Every hostile schema is refused in words or cheap, through every door: check, publish, REST, dry run, ingest, replay.

What may not be published may stand in the database all the same, since an earlier version took it.
"""

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from events import services
from events.factories import EventFactory, EventTypeFactory, RejectedEventFactory
from events.models import Event, EventType, RejectedEvent
from events.rejected.replay import run
from events.tests.counting import count_all
from events.tests.hostile_schemas import SCHEMAS
from events.tests.sending import committed

pytestmark = pytest.mark.thorough

ADMIN, REST = "/admin/events/eventtype/", "/event-types/"
TYPE = {"category": "shop", "name": "sale"}
hostile = pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)


def test_there_are_enough_of_them():
    assert len(SCHEMAS) >= 60
    assert sum(schema.may_be_published for schema in SCHEMAS.values()) >= 10


def text(schema):
    """As a person types it: JSON has no infinity."""
    try:
        return json.dumps(schema, allow_nan=False)
    except ValueError:
        return json.dumps(schema).replace("Infinity", "1e999")
    except RecursionError:
        return '{"not":' * 3_000 + "{}" + "}" * 3_000


@pytest.mark.django_db
@hostile
def test_the_admin_and_rest_refuse_it_in_words_or_publish_it(schema, as_analyst):
    event_type = EventTypeFactory(**TYPE)
    EventFactory(**TYPE, data=schema.payload)
    count_all()
    typed = {"schema": text(schema.schema), "example": json.dumps(schema.payload)}

    checked = as_analyst.post(f"{ADMIN}check/", typed)
    dry = as_analyst.post(f"{ADMIN}dry-run/", TYPE | typed | {"last": "1000"})
    published = as_analyst.post(f"{ADMIN}{event_type.pk}/change/", typed | {"description": ""})
    body = f'{{"category": "shop", "name": "other", "schema": {typed["schema"]}}}'
    by_rest = as_analyst.post(REST, body, content_type="application/json")
    rest_dry = as_analyst.post(
        f"{REST}{event_type.pk}/dry-run/", f'{{"schema": {typed["schema"]}}}', "application/json"
    )

    event_type.refresh_from_db()
    assert [checked.status_code, dry.status_code] == [200, 200]
    if schema.may_be_published:
        assert event_type.version == 2
        assert (published.status_code, by_rest.status_code, rest_dry.status_code) == (302, 201, 200)
        assert rest_dry.json()["checked"] == 1
    else:
        assert event_type.version == 1
        assert (published.status_code, by_rest.status_code, rest_dry.status_code) == (200, 400, 400)
        assert "Schema not readable" in checked.content.decode() or "events-error" in checked.content.decode()
        assert by_rest.json()["errors"]["schema"] if "errors" in by_rest.json() else by_rest.json()["detail"]
        assert EventType.objects.count() == 1


@committed
@hostile
def test_events_are_judged_by_what_is_stored_in_bounded_work(schema, sender, write_key, pageview):
    EventTypeFactory(**TYPE, schema=stored(schema.schema))
    mine = {"session_id": "s", "timestamp": (timezone.now() - timedelta(minutes=1)).isoformat(), **TYPE}
    kept = RejectedEventFactory(
        application=write_key.application, **TYPE, raw=json.dumps(mine | {"data": schema.payload}).encode()
    )

    answer = sender.post([pageview, mine | {"data": schema.payload}, mine | {"data": {}}])
    changed = services.update_event(event=Event.objects.get(name="pageview"), data={"host": "other"})
    preview = services.preview_replay(selection=services.Selection(ids=(kept.pk,)))
    replay = services.start_replay(selection=services.Selection(ids=(kept.pk,)))
    run(replay.pk)

    assert answer.status == 202
    assert answer.json["results"][0]["status"] == "accepted"
    assert answer.json["accepted"] + answer.json["rejected"] == 3
    if not schema.may_be_published:  # then nothing but that is told of the smallest event
        assert {error["code"] for error in answer.json["results"][2]["errors"]} <= {"broken_schema"}
    assert changed.data == {"host": "other"}
    assert (preview.checked, preview.complete) == (1, True)
    replay.refresh_from_db()
    assert replay.finished_at is not None
    assert Event.objects.count() + RejectedEvent.objects.count() == 4


def stored(schema):
    """As Postgres can hold it."""
    try:
        return json.loads(json.dumps(schema, allow_nan=False))
    except (ValueError, RecursionError):
        return {"type": "cannot be stored"}
