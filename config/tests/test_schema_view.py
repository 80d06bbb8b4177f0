"""The description of the REST API at /schema/: generated once per process and format."""

import json
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml
from drf_spectacular.generators import SchemaGenerator
from rest_framework.test import APIClient

from config.rest.schema_view import SchemaView


@pytest.fixture
def makings(monkeypatch) -> list[int]:
    """Return a list with one entry for each generation; starts without any cached document."""
    monkeypatch.setattr(SchemaView, "_documents", {})
    made: list[int] = []
    make = SchemaGenerator.get_schema

    def counted(*args: object, **kwargs: object) -> object:
        made.append(1)
        return make(*args, **kwargs)

    monkeypatch.setattr(SchemaGenerator, "get_schema", counted)
    return made


def test_who_asks_at_once_or_again_gets_the_same_document_made_once(viewer, makings):
    def ask(_: int) -> bytes:
        client = APIClient()
        client.force_authenticate(viewer)
        return client.get("/schema/?format=json").content

    with ThreadPoolExecutor(4) as pool:
        answers = set(pool.map(ask, range(8)))

    assert len(answers) == 1 and len(makings) == 1
    assert "/broadcasts" in json.loads(answers.pop())["paths"]


@pytest.mark.parametrize("accept", ["application/json", "application/json; indent=7", "application/vnd.oai.openapi"])
def test_each_format_is_kept_once_whatever_else_the_header_says(viewer_api, makings, accept):
    first = viewer_api.get("/schema/", HTTP_ACCEPT=accept)
    again = viewer_api.get("/schema/", HTTP_ACCEPT=f"{accept}; q=0.9")

    kind = accept.partition(";")[0]
    assert first.content == again.content and len(makings) == 1
    assert first.headers["Content-Type"] == f"{kind}; charset=utf-8"
    assert list(SchemaView._documents) == [kind]
    assert yaml.safe_load(first.content)["info"]["title"] == "Opsroom"


def test_every_operation_has_a_name_of_its_own_a_summary_and_its_errors():
    described = SchemaGenerator().get_schema(request=None, public=True)
    operations = [one for path in described["paths"].values() for one in path.values()]

    names = [operation["operationId"] for operation in operations]
    assert len(names) == len(set(names)) > 90
    for operation in operations:
        assert operation["summary"][0].isupper() and len(operation["summary"]) < 50, operation["operationId"]
        assert {"400", "503", "default"} <= set(operation["responses"]), operation["operationId"]
        encodings = set(operation.get("requestBody", {}).get("content", {}))
        assert encodings <= {"application/json", "multipart/form-data"}, operation["operationId"]


def test_addresses_are_described_without_their_last_slash_and_each_is_once():
    paths = list(SchemaGenerator().get_schema(request=None, public=True)["paths"])

    shapes = [re.sub(r"{\w+}", "{}", path) for path in paths]
    assert len(shapes) == len(set(shapes))
    assert not [path for path in paths if path.endswith("/")]
