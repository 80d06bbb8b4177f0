"""Event types on screen: a schema is written, tried and published, and its versions compared."""

import json
from urllib.parse import quote

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from events.admin.event_type_pages.schema_text import InvalidText, differences, read_json
from events.factories import ApplicationFactory, EventFactory, RejectedEventFactory
from events.models import Event, EventType
from events.services import create_event_type
from events.tests.counting import count_all

pytestmark = pytest.mark.django_db
ADDRESS = "/admin/events/eventtype/"
PRICED = {"type": "object", "required": ["price"], "properties": {"price": {"type": "number"}}}


@pytest.fixture
def sale() -> EventType:
    return create_event_type(category="shop", name="sale", schema=PRICED)


def page_of(event_type: EventType) -> str:
    return f"{ADDRESS}{event_type.pk}/change/"


def publish(client: Client, event_type: EventType, schema: object, **more: str):
    typed = schema if isinstance(schema, str) else json.dumps(schema)
    return client.post(page_of(event_type), {"schema": typed, "description": "", "note": "", **more}, follow=True)


# --- Publishing ---------------------------------------------------------------------------------------
def test_a_schema_is_published_as_a_new_version_with_a_note(as_analyst, analyst, sale):
    page = publish(as_analyst, sale, {"type": "object"}, note="Prices may be missing").content.decode()

    sale.refresh_from_db()
    newest = sale.versions.first()
    assert (sale.version, sale.schema) == (2, {"type": "object"})
    assert (newest.note, newest.published_by) == ("Prices may be missing", analyst)
    assert "Version 2 is published" in page


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ('{"type":\n  oops}', "Line 2, column 3"),
        ("[]", "A schema is a JSON object"), ('{"type": "objekt"}', "objekt"),
        ('{"a": 1, "a": 2}', "occurs twice"),
        ('{"const": NaN}', "NaN is not valid JSON"), ("[" * 50_000, "nested too deeply"),
        ('{"$ref": "http://127.0.0.1/x"}', "Retrieval is disabled"), ("{" + "9" * 5000 + "}", "Line 1"),
        ('{"maximum": ' + "9" * 5000 + "}", "too long"),
        ('{"properties": {"n": {"default": 1e400}}}', "number is too large. (at /properties/n/default)"),
        ('{"title": "\\u0000"}', "NUL"), ('{"title": "\\ud800"}', "half a character"),
    ],
)  # fmt: skip
def test_a_refused_schema_says_where_and_keeps_what_was_typed(as_analyst, sale, typed, said):
    answer = publish(as_analyst, sale, typed)

    page = answer.content.decode()
    assert said in page.split("data-error>")[1].split("</p>")[0]
    assert answer.context["form"]["schema"].value() == typed
    sale.refresh_from_db()
    assert sale.version == 1


def test_a_refused_schema_keeps_the_example_too_and_changes_nothing(as_analyst, sale):
    typed = {"description": "Sold.", "note": "Why", "example": '{"price": "typed"}'}

    page = publish(as_analyst, sale, {"type": "objekt"}, **typed)

    assert page.context["example"] == typed["example"]
    assert page.context["form"]["note"].value() == "Why"
    assert json.loads(page.context["published"]) == PRICED  # which is what leaving the page would lose the way to
    sale.refresh_from_db()
    assert sale.description == ""


def test_of_two_who_publish_the_second_is_told_and_loses_nothing(as_analyst, as_superuser, sale):
    mine = {"type": "object", "required": ["mine"]}
    begun = str(as_analyst.get(page_of(sale)).context["type"].version)
    publish(as_superuser, sale, {"type": "object"}, instead_of=begun)

    page = publish(as_analyst, sale, mine, description="Mine.", instead_of=begun)

    shown = page.content.decode()
    assert "Version 2 was published meanwhile." in shown and "diff-more" in shown
    assert 'name="instead_of" value="2"' in shown
    assert json.loads(page.context["form"]["schema"].value()) == mine
    sale.refresh_from_db()
    assert (sale.version, sale.schema, sale.description) == (2, {"type": "object"}, "")
    publish(as_analyst, sale, mine, description="Mine.", instead_of="2")
    sale.refresh_from_db()
    assert (sale.version, sale.schema, sale.description) == (3, mine, "Mine.")


def test_the_same_schema_again_is_no_new_version(as_analyst, sale):
    assert "nothing was published" in publish(as_analyst, sale, PRICED).content.decode()


def test_a_type_is_made_from_what_was_rejected_as_unknown(as_analyst):
    shop = ApplicationFactory()
    raw = b'{"session_id": "s", "category": "shop", "name": "sale", "data": {"price": 3}}'
    RejectedEventFactory(application=shop, category="shop", name="sale", code="unknown_type", pointer="/name", raw=raw)
    group = f"application={shop.pk}&category=shop&name=sale&code=unknown_type&pointer=%2Fname"

    page = as_analyst.get(f"{ADDRESS}fix/?{group}", follow=True)
    shown = page.content.decode()
    made = as_analyst.post(
        page.redirect_chain[-1][0], {"category": "shop", "name": "sale", "schema": json.dumps(PRICED)}, follow=True
    )

    assert 'value="sale"' in shown and "{\n  &quot;price&quot;: 3\n}" in shown
    assert EventType.objects.get().schema == PRICED
    assert "1</strong> event of this type is rejected" in made.content.decode()


def test_a_type_that_is_described_already_is_refused_in_words(as_analyst, sale):
    page = as_analyst.post(f"{ADDRESS}add/", {"category": "shop", "name": "sale", "schema": '{"a": 1}'})

    assert "already" in page.content.decode() and page.context["form"]["schema"].value() == '{"a": 1}'


# --- Trying -------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("example", "said"),
    [
        ('{"price": 3}', "Would be accepted"), ('{"price": "free"}', "/data/price"), ("{}", "/data/price"),
        ('{"session_id": "s", "data": {"price": "free"}}', "/data/price"), ("", "Paste an example"),
        ("{\n x", "Line 2, column 2"), ('{"price": "\\ud800"}', "half a character"), ('{"price": 1e400}', "too large"),
        ('{"\\u0000": 1}', "NUL"),
    ],
)  # fmt: skip
def test_an_example_is_judged_while_one_types(as_analyst, example, said):
    answer = as_analyst.post(f"{ADDRESS}check/", {"schema": json.dumps(PRICED), "example": example})

    assert said in answer.content.decode()


def test_only_those_who_may_change_types_can_have_a_schema_checked(as_viewer, as_stranger):
    for client in (as_viewer, as_stranger):
        answer = client.post(f"{ADDRESS}check/", {"schema": "{}", "example": "{}"})

        assert answer.status_code in (302, 403)
        assert b"Would be accepted" not in answer.content


def test_a_schema_that_cannot_be_read_is_said_beside_the_example(as_analyst):
    answer = as_analyst.post(f"{ADDRESS}check/", {"schema": "{\n]", "example": "{}"})

    assert "Schema not readable" in answer.content.decode() and "Line 2, column 1" in answer.content.decode()


def test_a_dry_run_counts_what_would_be_rejected_and_changes_nothing(as_analyst, sale):
    shop = ApplicationFactory()
    for price in (1, 2, 3):
        EventFactory(application=shop, category="shop", name="sale", data={"price": price})
    count_all()
    schema = {"type": "object", "properties": {"price": {"maximum": 1}}}

    answer = as_analyst.post(
        f"{ADDRESS}dry-run/", {"category": "shop", "name": "sale", "schema": json.dumps(schema), "last": "1000"}
    ).content.decode()

    assert ">2</strong> of the last" in answer and "maximum" in answer and "/data/price" in answer
    sale.refresh_from_db()
    assert sale.version == 1


def test_a_dry_run_of_no_schema_says_why(as_analyst, sale):
    answer = as_analyst.post(f"{ADDRESS}dry-run/", {"category": "shop", "name": "sale", "schema": "{"})

    assert "Line 1, column 2" in answer.content.decode()


def test_the_example_is_the_newest_event_and_a_type_without_events_reads_none(as_viewer, sale):
    shop = ApplicationFactory()
    assert as_viewer.get(page_of(sale)).context["example"] == ""
    for price in (1, 2):
        EventFactory(application=shop, category="shop", name="sale", data={"price": price})
    EventFactory(application=shop, category="shop", name="other")
    count_all()

    assert json.loads(as_viewer.get(page_of(sale)).context["example"]) == {"price": 2}
    EventType.objects.filter(pk=sale.pk).update(name="nothing of it")
    with CaptureQueriesContext(connection) as queries:
        as_viewer.get(page_of(sale))
    assert not [query["sql"] for query in queries if '"events_event"' in query["sql"]]


# --- Versions -----------------------------------------------------------------------------------------
def test_an_old_version_is_compared_and_published_anew(as_analyst, sale):
    publish(as_analyst, sale, {"type": "object"})

    compared = as_analyst.get(f"{ADDRESS}{sale.pk}/versions/1/").content.decode()
    as_analyst.post(f"{ADDRESS}{sale.pk}/versions/1/")

    sale.refresh_from_db()
    assert "diff-more" in compared and "&quot;price&quot;" in compared
    assert (sale.version, sale.schema, sale.versions.first().note) == (3, PRICED, "Back to version 1")


def test_nobody_goes_back_over_a_version_that_they_have_not_seen(as_analyst, sale):
    publish(as_analyst, sale, {"type": "object"})
    compared = as_analyst.get(f"{ADDRESS}{sale.pk}/versions/1/").content.decode()
    publish(as_analyst, sale, {"type": "object", "required": ["total"]})

    answer = as_analyst.post(f"{ADDRESS}{sale.pk}/versions/1/", {"instead_of": "2"}, follow=True)

    sale.refresh_from_db()
    assert '<input type="hidden" name="instead_of" value="2">' in compared
    assert "Version 3 was published meanwhile." in answer.content.decode()
    assert sale.version == 3


def test_the_version_that_counts_is_not_gone_back_to(as_analyst, sale):
    assert as_analyst.post(f"{ADDRESS}{sale.pk}/versions/1/").status_code == 403
    assert as_analyst.get(f"{ADDRESS}{sale.pk}/versions/9/").status_code == 404


def test_differences_are_line_by_line():
    assert [line.kind for line in differences({"a": 1}, {"a": 2})] == ["gap", "same", "less", "more", "same"]
    assert differences({"a": 1}, {"a": 1}) == []


def test_a_text_that_is_too_long_is_not_read():
    with pytest.raises(InvalidText, match="characters"):
        read_json(" " * 300_000)


def test_a_type_is_deleted_by_whoever_may_and_its_events_stay(as_superuser, as_analyst, sale):
    EventFactory(category="shop", name="sale")
    address = f"{ADDRESS}{sale.pk}/delete/"
    assert address in as_superuser.get(page_of(sale)).content.decode()
    assert address not in as_analyst.get(page_of(sale)).content.decode()

    assert as_superuser.get(address).status_code == 200
    as_superuser.post(address, {"post": "yes"})

    assert not EventType.objects.exists() and Event.objects.exists()


# --- The list, and who may ----------------------------------------------------------------------------
def test_the_list_counts_the_last_day_in_few_queries(as_viewer, sale, django_assert_max_num_queries):
    for number in range(20):
        create_event_type(category="shop", name=f"kind {number}")

    with django_assert_max_num_queries(11):
        page = as_viewer.get(ADDRESS).content.decode()

    assert "sale" in page and "kind 19" in page


def test_an_empty_list_says_what_belongs_here(as_analyst):
    assert "No event types yet" in as_analyst.get(ADDRESS).content.decode()


@pytest.mark.parametrize("also", ["view_event", "view_rejectedevent"])
def test_an_example_is_shown_to_whoever_may_see_such_events(client, django_user_model, sale, also):
    shop = ApplicationFactory()
    EventFactory(application=shop, category="shop", name="sale", data={"secret": "right"})
    RejectedEventFactory(application=shop, category="shop", name="sale", raw=b'{"data": {"secret": "wrong"}}')
    count_all()
    user = django_user_model.objects.create_user("erik", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_eventtype"))
    client.force_login(user)
    group = quote(f"application={shop.pk}&category=shop&name=sale&code=required&pointer=/data")
    addresses = {"view_event": page_of(sale), "view_rejectedevent": f"{page_of(sale)}?rejected={group}"}

    assert all("secret" not in client.get(address).content.decode() for address in addresses.values())
    user.user_permissions.add(Permission.objects.get(codename=also))

    assert "secret" in client.get(addresses[also]).content.decode()


def test_a_viewer_reads_the_schema_and_changes_nothing(as_viewer, sale):
    page = as_viewer.get(page_of(sale)).content.decode()

    assert "readonly" in page and "Publish</button>" not in page and "dry-run" not in page
    assert publish(as_viewer, sale, {}).status_code == 403
    for part in ("dry-run/", "add/", f"{sale.pk}/versions/1/"):
        assert as_viewer.post(ADDRESS + part).status_code == 403


@pytest.mark.parametrize("part", ["", "add/", "fix/", "1/change/", "1/versions/1/"])
def test_a_stranger_sees_nothing(as_stranger, part):
    assert as_stranger.get(ADDRESS + part).status_code == 403
