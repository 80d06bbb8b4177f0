"""Applications, types and rejected events over REST, as a client meets them."""

import base64

import pytest
from rest_framework.test import APIClient

from events import tasks
from events.factories import ApplicationFactory, EventFactory, EventTypeFactory, RejectedEventFactory, WriteKeyFactory
from events.models import Application, Event, EventType, RejectedEvent, Replay
from events.tests.counting import count_all
from events.tests.test_replay import wrong

pytestmark = pytest.mark.django_db


@pytest.fixture
def everything() -> dict[str, int]:
    key = WriteKeyFactory()
    event_type = EventTypeFactory()
    rejected = RejectedEventFactory()
    replay = Replay.objects.create(selection={"ids": [1]}, last_id=1, total=1)
    event = EventFactory(session_id="mine")
    return {
        "application": key.application_id, "key": key.pk, "type": event_type.pk, "rejected": rejected.pk,
        "replay": replay.pk, "event": event.pk,
    }  # fmt: skip


# What each path answers the analyst with, method by method; POST /events/ is the ingest's.
PATHS = {
    "/events/": {"get": 200},
    "/events/{event}/": {"get": 200, "put": 400, "patch": 200, "delete": 204},
    "/events/stats/": {"get": 200},
    "/events/export/": {"get": 200},
    "/sessions/": {"get": 200},
    "/applications/": {"get": 200, "post": 201},
    "/applications/{application}/": {"get": 200, "put": 200, "patch": 200, "delete": 403},
    "/applications/{application}/rotate/": {"post": 200},
    "/applications/{application}/keys/{key}/": {"get": 200, "delete": 204},
    "/event-types/": {"get": 200, "post": 201},
    "/event-types/{type}/": {"get": 200, "put": 400, "patch": 200, "delete": 403},
    "/event-types/{type}/versions/": {"get": 200},
    "/event-types/{type}/dry-run/": {"post": 200},
    "/rejected-events/": {"get": 200},
    "/rejected-events/groups/": {"get": 200},
    "/rejected-events/{rejected}/": {"get": 200, "delete": 204},
    "/rejected-events/{rejected}/replay/": {"post": 202},
    "/rejected-events/replay/": {"post": 202},
    "/replays/": {"get": 200},
    "/replays/{replay}/": {"get": 200},
}
# For those who replay, or change applications.
NOT_FOR_READING = {
    "/replays/",
    "/replays/{replay}/",
    "/applications/{application}/keys/{key}/",
}
METHODS = ("get", "post", "put", "patch", "delete")


@pytest.mark.parametrize(("path", "method"), [(path, method) for path in PATHS for method in METHODS])
def test_every_path_answers_each_method_as_documented(
    path, method, everything, analyst_api, viewer_api, stranger_api, anon_api
):
    address = path.format(**everything)
    body = {"category": "shop", "name": "Shop", "schema": {}}
    if "dry-run" in path:
        body = {"schema": {}}
    elif "{rejected}" in path or "rotate" in path:
        body = {}
    elif "applications" in path:
        body = {"name": "Shop"}
    elif path == "/rejected-events/replay/":
        body = {"code": "required"}

    def ask(api) -> int:
        answer = getattr(api, method)(address, *([body] if method in ("post", "put") else []))
        if answer.streaming:
            b"".join(answer.streaming_content)
        return answer.status_code

    assert ask(anon_api) == 401
    assert ask(stranger_api) in (403, 405)
    if method not in PATHS[path]:
        assert ask(analyst_api) in (403, 405)
        return
    assert ask(viewer_api) == (PATHS[path][method] if method == "get" and path not in NOT_FOR_READING else 403)
    assert ask(analyst_api) == PATHS[path][method]


def test_a_new_application_tells_its_key_once(analyst_api):
    made = analyst_api.post("/applications/", {"name": "Website", "allowed_origins": ["https://example.com"]})

    assert made.status_code == 201
    told = made.json()
    again = analyst_api.get(f"/applications/{told['id']}/").json()
    assert told["write_key"].startswith(told["keys"][0]["prefix"])
    assert again == {name: value for name, value in told.items() if name != "write_key"}
    assert analyst_api.post("/applications/", {"name": "Website"}).status_code == 400


def test_an_origin_is_kept_as_browsers_say_it(analyst_api):
    given = ["https://Shop.Example.com", "https://shop.example.com", "http://b:8000"]
    made = analyst_api.post("/applications/", {"name": "Website", "allowed_origins": given}).json()
    changed = analyst_api.patch(f"/applications/{made['id']}/", {"allowed_origins": given[:1]}).json()

    assert made["allowed_origins"] == ["https://shop.example.com", "http://b:8000"]
    assert changed["allowed_origins"] == ["https://shop.example.com"]


@pytest.mark.parametrize("origin", ["example.com", "https://example.com/path", "https://a b", "javascript://x/"])
def test_an_origin_is_no_address(origin, analyst_api):
    answer = analyst_api.post("/applications/", {"name": "Website", "allowed_origins": [origin]})

    assert answer.status_code == 400 and "allowed_origins" in answer.json()["errors"]


def test_a_key_is_rotated_and_the_old_one_revoked(analyst_api):
    key = WriteKeyFactory()
    address = f"/applications/{key.application_id}/"

    rotated = analyst_api.post(f"{address}rotate/", {"overlap_hours": 2})

    assert rotated.json()["write_key"]
    new, old = rotated.json()["keys"]
    assert (new["expires_at"], old["id"]) == (None, key.pk)
    assert analyst_api.delete(f"{address}keys/{key.pk}/").status_code == 204
    assert analyst_api.delete(f"/applications/{key.application_id + 1}/keys/{key.pk}/").status_code == 404
    key.refresh_from_db()
    assert key.expires_at.isoformat() < old["expires_at"]


def test_an_application_is_paused_changed_and_resumed(analyst_api):
    application = ApplicationFactory()
    address = f"/applications/{application.pk}/"

    assert analyst_api.patch(address, {"paused": True, "rate": 10}).json()["paused"]
    assert analyst_api.patch(address, {"paused": False}).json()["rate"] == 10
    reasons = application.history.values_list("history_change_reason", flat=True)
    assert {"Paused", "Resumed", "Changed"} <= set(reasons)


def test_an_application_with_events_stays(superuser):
    event, api = EventFactory(), APIClient()
    api.force_authenticate(superuser)

    answer = api.delete(f"/applications/{event.application_id}/")

    assert answer.status_code == 409 and "Pause it instead" in answer.json()["detail"]
    assert Application.objects.exists()


def test_a_schema_is_published_by_setting_it(analyst_api):
    made = analyst_api.post("/event-types/", {"category": "shop", "name": "order", "note": "First"}).json()
    address = f"/event-types/{made['id']}/"

    changed = analyst_api.patch(address, {"schema": {"required": ["host"]}, "note": "Hosts"}).json()
    analyst_api.patch(address, {"description": "An order."})

    assert (made["schema"], made["version"], changed["version"]) == ({"type": "object"}, 1, 2)
    versions = analyst_api.get(f"{address}versions/").json()["results"]
    assert [(row["number"], row["note"], row["published_by"]) for row in versions] == [
        (2, "Hosts", "anna"),
        (1, "First", "anna"),
    ]
    assert EventType.objects.get().description == "An order."
    moved = analyst_api.patch(address, {"name": "other"})
    assert moved.status_code == 400 and list(moved.json()["errors"]) == ["name"]


@pytest.mark.parametrize("schema", [{"type": "objekt"}, {"$ref": "http://127.0.0.1/"}, [], "object", {"title": "\0"}])
def test_what_is_no_schema_is_refused_wherever_it_is_given(schema, analyst_api):
    event_type = EventTypeFactory()

    for answer in (
        analyst_api.post("/event-types/", {"category": "shop", "name": "order", "schema": schema}),
        analyst_api.patch(f"/event-types/{event_type.pk}/", {"schema": schema}),
        analyst_api.post(f"/event-types/{event_type.pk}/dry-run/", {"schema": schema}),
    ):
        assert answer.status_code == 400 and list(answer.json()["errors"]) == ["schema"]


@pytest.mark.parametrize(
    "typed", ['{"properties": {"n": {"default": 1e400}}}', r'{"title": "\ud800"}', r'{"\u0000": 1}']
)
def test_a_schema_that_no_database_holds_is_refused_as_well(typed, analyst_api):
    event_type = EventTypeFactory()

    answer = analyst_api.patch(
        f"/event-types/{event_type.pk}/", f'{{"schema": {typed}}}', content_type="application/json"
    )

    assert answer.status_code == 400 and list(answer.json()["errors"]) == ["schema"]


def test_a_dry_run_is_answered_with_reasons(analyst_api):
    event_type = EventTypeFactory(category="shop", name="order")
    event = EventFactory(category="shop", name="order", data={})
    count_all()
    RejectedEventFactory(**wrong(event.application))

    answer = analyst_api.post(f"/event-types/{event_type.pk}/dry-run/", {"schema": {"required": ["host"]}}).json()

    assert (answer["checked"], answer["rejected"], answer["complete"]) == (1, 1, True)
    reason = answer["reasons"][0]
    assert (reason["code"], reason["pointer"], reason["sample"]) == ("required", "/data/host", event.pk)
    assert answer["rejected_now"]["still_rejected"] == 1


def test_a_rejected_event_shows_its_bytes(viewer_api):
    event = RejectedEventFactory(raw=b"\xff{")

    told = viewer_api.get(f"/rejected-events/{event.pk}/").json()

    assert told["raw"] == "\ufffd{"
    assert base64.b64decode(told["raw_base64"]) == b"\xff{"
    assert told["reasons"][0]["code"] == "required"
    row = viewer_api.get("/rejected-events/?code=required&pointer=/data").json()["results"][0]
    assert row == {name: value for name, value in told.items() if not name.startswith("raw")}
    assert viewer_api.get("/rejected-events/?code=type").json()["results"] == []


def test_groups_are_counted(viewer_api):
    application = ApplicationFactory(name="Website")
    RejectedEventFactory.create_batch(2, application=application)

    group = viewer_api.get(f"/rejected-events/groups/?application={application.pk}").json()[0]

    assert (group["application_name"], group["code"], group["count"]) == ("Website", "required", 2)


def test_a_group_is_previewed_and_then_replayed(analyst_api):
    application = ApplicationFactory()
    for _ in range(3):
        RejectedEventFactory(**wrong(application))
    RejectedEventFactory(application=application, code="type")
    group = {"application": application.pk, "code": "required", "pointer": "/data/host"}

    previewed = analyst_api.post("/rejected-events/replay/", {**group, "dry_run": True})
    assert (previewed.status_code, previewed.json()["accepted"]) == (200, 3)
    assert not Event.objects.exists()

    started = analyst_api.post("/rejected-events/replay/", group)
    assert (started.status_code, started.json()["total"]) == (202, 3)
    tasks.replay_rejected(started.json()["id"])

    done = analyst_api.get(f"/replays/{started.json()['id']}/").json()
    assert (done["accepted"], done["created_by"]) == (3, "anna") and done["finished_at"]
    assert RejectedEvent.objects.get().code == "type"
    assert analyst_api.post("/rejected-events/replay/", group).status_code == 409


def test_one_is_replayed_by_its_address_and_some_by_their_ids(analyst_api):
    rows = [RejectedEventFactory(**wrong(ApplicationFactory())) for _ in range(3)]

    one = analyst_api.post(f"/rejected-events/{rows[0].pk}/replay/", {"dry_run": True}).json()
    some = analyst_api.post("/rejected-events/replay/", {"ids": [rows[1].pk, rows[2].pk]}).json()

    assert one["accepted"] == 1
    assert some["total"] == 2
    for nothing in ({}, {"ids": []}, {"ids": [1], "code": "type"}):
        assert analyst_api.post("/rejected-events/replay/", nothing).status_code == 400
