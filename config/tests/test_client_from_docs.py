"""A client that knows the projects API only from the document at /schema/, on a new instance with demo data.

It takes paths, methods, required fields, types and the authentication from the document, and tries every operation on
projects, tasks, comments and reports. It cannot do what the document does not describe.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis

from config.tests.instance import Instance, running_instance

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]
TAGS = {"projects", "tasks", "reports"}
PLANNER = {"username": "planner", "password": "12345"}  # a demo user
ORDER = ["post", "get", "put", "patch", "delete"]  # an object must exist before it is read, changed and deleted


class Client:
    def __init__(self, url: str) -> None:
        self.url, self.session = url, requests.Session()
        self.known: dict[str, Any] = {}  # values for parameters and fields, by name
        self.called: set[tuple[str, str]] = set()

    def sign_in(self) -> None:
        answer = self.session.post(f"{self.url}/auth/token/", json=PLANNER, timeout=30)
        assert answer.status_code == 200, answer.text
        self.key = answer.json()["token"]
        self.session.headers["Authorization"] = f"Token {self.key}"

    def load(self) -> None:
        answer = self.session.get(f"{self.url}/schema/", headers={"Accept": "application/json"}, timeout=30)
        assert answer.status_code == 200
        self.document = answer.json()
        self.schema = schemathesis.openapi.from_dict(self.document)
        scheme = self.document["components"]["securitySchemes"]["tokenAuth"]
        assert (scheme["in"], scheme["name"]) == ("header", "Authorization")
        assert '"Token"' in scheme["description"]  # the word before the key

    def call(self, method: str, path: str) -> Any:
        """Call an operation with known values, and check the response against the document."""
        operation = self.document["paths"][path][method]
        body = self.body(operation, partial=method == "patch")
        answer = self.session.request(
            method, self.url + self.fill(path), json=body, headers={"Accept": self.accepted(operation)}, timeout=30
        )
        assert str(answer.status_code) in operation["responses"], f"{method} {path}: {answer.status_code} {answer.text}"
        assert answer.status_code < 300
        self.schema[path][method.upper()].validate_response(answer)
        self.called.add((method, path))
        return answer.json() if answer.headers.get("Content-Type") == "application/json" else answer.text

    def accepted(self, operation: dict[str, Any]) -> str:
        good = next(response for code, response in sorted(operation["responses"].items()) if code.startswith("2"))
        return next(iter(good.get("content", {})), "*/*")

    def fill(self, path: str) -> str:
        return path.format(**self.known)

    def body(self, operation: dict[str, Any], *, partial: bool) -> dict[str, Any] | None:
        content = operation.get("requestBody", {}).get("content")
        if content is None:
            return None
        schema = self.resolved(content["application/json"]["schema"])
        fields = schema["properties"]
        names = schema.get("required") or [name for name, field in fields.items() if field.get("type") == "string"][:1]
        return {name: self.value(name, self.resolved(fields[name])) for name in names}

    def value(self, name: str, field: dict[str, Any]) -> Any:
        if name in self.known:
            return self.known[name]
        assert field["type"] == "string", f"how would one know what to send as {name}?"
        return f"A {name} by a client"

    def resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        if "$ref" in schema:
            return self.document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]]
        return schema

    def about(self) -> list[tuple[str, str]]:
        return [
            (method, path)
            for path, operations in self.document["paths"].items()
            for method in ORDER
            if TAGS.intersection(operations.get(method, {}).get("tags", ()))
        ]


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    with running_instance(tmp_path / "home") as instance:
        instance.manage("create_demo")
        instance.manage("make_report")
        instance.start_web()
        yield instance


def test_every_operation_about_projects_does_what_the_document_says(instance: Instance):
    client = Client(instance.url)
    client.sign_in()
    client.load()

    project = client.call("post", "/projects/")["id"]
    client.known = {"project": project}
    task = client.call("post", "/tasks/")["id"]
    client.known = {"task_id": task}
    comment = client.call("post", "/tasks/{task_id}/comments/")["id"]
    client.known = {"date": client.call("get", "/reports/")["results"][0]["date"]}
    # From the inside out: containers are deleted last.
    ids = {"/tasks/{task_id}/comments/{id}/": comment, "/tasks/{id}/": task, "/projects/{id}/": project}
    rest = [operation for operation in client.about() if operation not in client.called]
    depth = sorted(rest, key=lambda it: (it[0] == "delete", -it[1].count("{"), "tasks" not in it[1]))
    for method, path in depth:
        known = {"project": project, "task_id": task, "id": ids.get(path), "date": client.known["date"]}
        client.known = {name: value for name, value in known.items() if value is not None}
        client.call(method, path)

    assert client.called == set(client.about())
    assert len(client.called) >= 20
