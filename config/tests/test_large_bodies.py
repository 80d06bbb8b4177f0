"""Bodies with very many wrong members or elements: refused after the first few, at every REST URL."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from drf_spectacular.generators import SchemaGenerator
from rest_framework.test import APIClient

from config.tests.matrix import create_everything
from config.tests.rest_routes import ROUTES

pytestmark = pytest.mark.django_db
WRONG = {"strings": "not one of these", "objects": {}, "integers": 2**62}


@pytest.fixture
def api(superuser) -> APIClient:
    create_everything()
    client = APIClient(raise_request_exception=False)
    client.force_authenticate(superuser)
    return client


def lists() -> Iterator[tuple[str, str, str]]:
    """Yield method, path and member of each list in a documented body."""
    document = SchemaGenerator().get_schema(request=None, public=True)
    by_shape = {re.sub(r"<(?:\w+:)?\w+>", "{}", f"/{route.route}".rstrip("/")): route for route in ROUTES}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
            name = body.get("$ref", "").rpartition("/")[2]
            for member, schema in document["components"]["schemas"].get(name, {}).get("properties", {}).items():
                if path != "/events" and not schema.get("readOnly") and '"array"' in str(schema).replace("'", '"'):
                    yield method, by_shape[re.sub(r"{\w+}", "{}", path)].path, member


LISTS = sorted(set(lists()))


def problems_of(errors: Any) -> int:
    """Return the number of sentences in a problem."""
    if isinstance(errors, dict):
        return sum(problems_of(each) for each in errors.values())
    return sum(problems_of(each) for each in errors) if isinstance(errors, list) else 1


def test_there_are_lists_to_try():
    found = {member for _, _, member in LISTS}

    assert {"audience", "ids", "files", "allowed_origins"} <= found


@pytest.mark.parametrize("wrong", WRONG)
def test_a_long_list_of_wrong_elements_is_refused_with_few_words_and_queries(api, wrong):
    for method, path, member in LISTS:
        with CaptureQueriesContext(connection) as queries:
            answer = getattr(api, method)(path, {member: [WRONG[wrong]] * 150_000}, format="json")

        assert answer.status_code == 400, (path, answer.content[:200])
        assert problems_of(answer.json()["errors"]) < 20, (path, member, len(answer.content))
        assert len(queries) < 30, (path, member, len(queries))


def test_a_list_of_wrong_elements_is_refused_with_the_first_of_them(api):
    answer = api.post("/rejected-events/replay/", {"ids": [1, *["a"] * 500]}, format="json")

    assert list(answer.json()["errors"]["ids"]) == [str(place) for place in range(1, 11)]


def test_very_many_unknown_members_are_refused_with_the_first_of_them(api):
    body = {f"titel{number}": 1 for number in range(40_000)}

    for method, path in [("post", "/tasks/"), ("patch", "/tasks/1000000/"), ("put", "/projects/1000000/")]:
        errors = getattr(api, method)(path, body, format="json").json()["errors"]

        assert len(errors) == 10 and problems_of(errors) == 11, path
        assert errors["titel0"][1] == "39,990 more members are unknown."


def test_very_many_unknown_parameters_are_refused_with_the_first_of_them(api):
    answer = api.get("/tasks/?" + "&".join(f"statos{number}=1" for number in range(4_000)))

    assert len(answer.json()["errors"]) == 10
    assert answer.json()["detail"] == "Unknown parameter statos0. Did you mean status?"


def test_an_application_has_a_bounded_number_of_origins(api):
    origins = [f"https://shop{number}.example" for number in range(1_001)]

    refused = api.post("/applications/", {"name": "Shops", "allowed_origins": origins}, format="json")
    taken = api.post("/applications/", {"name": "Shops", "allowed_origins": origins[1:]}, format="json")

    assert refused.json()["errors"] == {"allowed_origins": ["Ensure this field has no more than 1000 elements."]}
    assert taken.status_code == 201
