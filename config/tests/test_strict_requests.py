"""Unknown parameters and members are 400 with the nearest known name: at every REST URL, with every method."""

import re
from collections.abc import Iterator

import pytest
from rest_framework.test import APIClient

from chats.models import Broadcast
from config.tests.matrix import create_everything
from config.tests.openapi_document import openapi_document
from config.tests.rest_routes import ROUTES, RestRoute
from core.rest.base import RestView

READING = [route for route in ROUTES if "GET" in route.methods]
WRITING = [(method, route) for route in ROUTES for method in route.methods if method != "GET"]


@pytest.fixture
def api(superuser, settings) -> APIClient:
    settings.BANNER_API_URL = "http://127.0.0.1:9/"
    create_everything()
    client = APIClient(raise_request_exception=False)
    client.force_authenticate(superuser)
    return client


def named(one) -> str:
    return one.route if isinstance(one, RestRoute) else str(one)


def test_every_rest_view_refuses_what_it_does_not_know():
    assert [route.route for route in ROUTES if not issubclass(route.view, RestView)] == []
    assert len(READING) > 30 and len(WRITING) > 35


@pytest.mark.django_db
def test_an_unknown_parameter_is_refused_when_reading(api):
    for route in READING:
        answer = api.get(f"{route.path}?no_such_parameter=1", headers={"accept": "*/*"})

        assert answer.status_code == 400, (route, answer.status_code)
        assert answer.json()["detail"].startswith("Unknown parameter no_such_parameter."), (route, answer.json())


@pytest.mark.django_db
def test_an_unknown_parameter_is_refused_when_writing(api):
    for method, route in WRITING:
        answer = api.generic(method, f"{route.path}?no_such_parameter=1", "{}", content_type="application/json")

        assert answer.status_code == 400, (method, route, answer.status_code)
        assert answer.json()["detail"].startswith("Unknown parameter no_such_parameter."), (route, answer.json())


@pytest.mark.django_db
def test_an_unknown_member_is_refused_in_every_body(api):
    for method, route in WRITING:
        form = not any(parser.media_type == "application/json" for parser in route.view.parser_classes)
        answer = getattr(api, method.lower())(route.path, {"no_such_member": 1}, format="multipart" if form else "json")

        assert answer.status_code == 400, (method, route, answer.content)
        assert answer.json()["errors"]["no_such_member"][0].startswith("Unknown member no_such_member."), route


def documented() -> Iterator[tuple[str, str]]:
    """Yield the path of every described reading operation, with each of its parameters."""
    by_shape = {re.sub(r"<(?:\w+:)?\w+>", "{}", f"/{route.route}".rstrip("/")): route for route in READING}
    for path, operations in openapi_document()["paths"].items():
        route = by_shape[re.sub(r"{\w+}", "{}", path)] if "get" in operations else None
        for parameter in operations.get("get", {}).get("parameters", []):
            if parameter["in"] == "query":
                assert route is not None
                yield route.path, parameter["name"]


@pytest.mark.django_db
def test_documented_parameters_are_known_and_their_misspellings_are_answered_with_them(api):
    found = list(documented())

    for path, name in found:
        right = api.get(path, {name: "no such value"}, headers={"accept": "*/*"})
        assert "Unknown parameter" not in str(right.data if hasattr(right, "data") else ""), (path, name)
        if len(name) > 4:
            wrong = api.get(path, {name[:-1]: "1"}, headers={"accept": "*/*"})
            assert f"Did you mean {name}?" in wrong.json()["detail"], (path, name)

    assert len(found) > 60


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/events/?session_id=visit", "Unknown parameter session_id. Did you mean session?"),
        ("/tasks/?state=pending", "Unknown parameter state. Did you mean status?"),
        ("/tasks/1000000/?status=pending", "Unknown parameter status. There are no parameters here."),
        ("/tasks/?page=1&page=2", "Parameter page is given more than once."),
        ("/chats/?" + "x" * 5_000, f"Unknown parameter {'x' * 100}. Known here: cursor, page_size."),
    ],
)
def test_the_problem_says_what_to_write_instead(api, path, words):
    answer = api.get(path)

    assert (answer.status_code, answer.json()["detail"]) == (400, words)


@pytest.mark.django_db
def test_a_filter_that_takes_several_values_may_be_repeated(api):
    assert api.get("/tasks/?status=pending&status=completed").json()["count"] == 1
    assert api.get("/tasks/?status=in_progress&status=completed").json()["count"] == 0


@pytest.mark.django_db
def test_a_misspelt_time_does_not_send_a_broadcast_at_once(api):
    before = Broadcast.objects.count()
    body = {"text": "Later", "audience": "all", "sent_at": "2030-01-01T09:00:00Z"}

    answer = api.post("/broadcasts/", body, format="json")

    assert answer.json()["errors"] == {"sent_at": ["Unknown member sent_at. Did you mean send_at?"]}
    assert Broadcast.objects.count() == before


@pytest.mark.django_db
def test_a_member_that_a_form_has_twice_is_refused(api):
    answer = api.generic("POST", "/projects/", "name=One&name=Two", content_type="application/x-www-form-urlencoded")

    assert (answer.status_code, answer.json()["detail"]) == (400, "Member name is given more than once.")


@pytest.mark.django_db
def test_members_of_an_event_are_its_own(api):
    answer = api.patch("/events/1000000/", {"data": {"anything": {"at": "all"}}}, format="json")

    assert answer.status_code == 200, answer.json()
