"""Publishing schemas: what may be one, versions, and the dry run before."""

import pytest

from events import services
from events.factories import EventFactory, EventTypeFactory, RejectedEventFactory
from events.models import EventType
from events.tests.counting import count_all

pytestmark = pytest.mark.django_db
HOST = {"type": "object", "required": ["host"], "properties": {"host": {"type": "string", "maxLength": 20}}}


def nested(levels: int) -> dict:
    schema: dict = {}
    for _ in range(levels):
        schema = {"not": schema}
    return schema


def test_a_published_schema_counts_and_the_old_one_is_kept(planner):
    event_type = services.create_event_type(category="shop", name="order", actor=planner)

    published = services.publish_schema(event_type=event_type, schema=HOST, note="Hosts only", actor=planner)

    assert (published.schema, published.version) == (HOST, 2)
    versions = [(version.number, version.schema, version.note) for version in published.versions.all()]
    assert versions == [(2, HOST, "Hosts only"), (1, {"type": "object"}, "")]
    assert {version.published_by for version in published.versions.all()} == {planner}
    assert published.history.first().history_change_reason == "Published version 2"


def test_the_same_schema_again_is_no_version_but_true_is_not_one():
    event_type = services.create_event_type(category="shop", name="order", schema={"const": 1})

    assert services.publish_schema(event_type=event_type, schema={"const": 1}).version == 1
    assert services.publish_schema(event_type=event_type, schema={"const": True}).version == 2


def test_a_type_is_described_once():
    services.create_event_type(category="shop", name="order")

    with pytest.raises(services.ChangeRefused, match="shop / order exists already"):
        services.create_event_type(category="shop", name="order")


@pytest.mark.parametrize(
    ("schema", "words", "pointer"),
    [
        ([], "object", ""),
        ({"type": "objekt"}, "objekt", "/type"),
        ({"properties": {"a/b": {"pattern": "(?=a)"}}}, "regex", "/properties/a~1b/pattern"),
        ({"pattern": "(a{1000}){1000}"}, "regex", "/pattern"),
        ({"$ref": "http://127.0.0.1/secret"}, "Retrieval is disabled", ""),
        ({"$ref": "file:///etc/passwd"}, "Retrieval is disabled", ""),
        ({"$schema": "http://127.0.0.1/draft"}, "Unknown meta-schema", ""),
        ({"$ref": "#/nowhere"}, "does not exist", ""),
        ({"title": "\0"}, "NUL", "/title"),
        ({"not": {"ti\0tle": ""}}, "NUL", "/not"),
        ({"enum": ["a", "\ud800"]}, "half a character", "/enum/1"),
        ({"\ud800": 1}, "half a character", ""),
        ({"maximum": float("inf")}, "number", "/maximum"),
        ({"properties": {"n": {"default": float("-inf")}}}, "number is too large", "/properties/n/default"),
        ({"description": "x" * 70_000}, "bytes", ""),
        (nested(100_000), "levels", ""),
    ],
)
def test_what_is_no_schema_is_refused_with_the_place(schema, words, pointer):
    event_type = EventTypeFactory()

    with pytest.raises(services.SchemaError, match=words) as refused:
        services.publish_schema(event_type=event_type, schema=schema)

    assert refused.value.pointer == pointer
    assert EventType.objects.get().version == 1


def test_a_dry_run_tells_how_many_would_be_wrong_and_why():
    for data in [{"host": "a"}, {"host": "b"}, {}, {"path": "/"}, {"host": "x" * 21}, {"host": 5}]:
        sample = EventFactory(category="shop", name="order", data=data)
    EventFactory(category="shop", name="other", data={})
    count_all()

    found = services.dry_run(category="shop", name="order", schema=HOST)

    assert (found.checked, found.rejected, found.complete) == (6, 4, True)
    assert [(reason.code, reason.pointer, reason.count) for reason in found.reasons] == [
        ("required", "/data/host", 2),
        ("maxLength", "/data/host", 1),
        ("type", "/data/host", 1),
    ]
    assert found.reasons[-1].sample == sample.pk
    assert services.dry_run(category="shop", name="order", schema=HOST, last=1).checked == 1


def test_a_dry_run_tells_what_would_become_of_the_rejected_ones():
    EventTypeFactory(category="shop", name="order", schema=HOST)
    for data in ('{"path": "/"}', '{"host": 5}', "[]"):
        sent = (
            f'"session_id": "s", "category": "shop", "name": "order", "timestamp": "2026-01-01T00:00", "data": {data}'
        )
        RejectedEventFactory(category="shop", name="order", raw=f"{{{sent}}}".encode())

    found = services.dry_run(category="shop", name="order", schema={"properties": {"host": {"type": "string"}}})

    assert (found.rejected_now.checked, found.rejected_now.accepted, found.rejected_now.still_rejected) == (3, 1, 2)
    assert {reason.pointer for reason in found.rejected_now.reasons} == {"/data", "/data/host"}
    assert found.rejected_now.complete


def test_a_dry_run_reads_page_after_page_also_where_times_are_the_same(monkeypatch):
    monkeypatch.setattr("events.rejected.schema_dry_run._AT_ONCE", 2)
    moment = EventFactory(category="shop", name="order").timestamp
    for _ in range(6):
        EventFactory(category="shop", name="order", timestamp=moment)
    count_all()

    assert services.dry_run(category="shop", name="order", schema=HOST).checked == 7


def test_a_dry_run_ends_in_time():
    EventFactory.create_batch(260, category="shop", name="order", application=EventFactory().application)
    count_all()

    found = services.dry_run(category="shop", name="order", schema=HOST, seconds=0)

    assert not found.complete and found.checked < 260
