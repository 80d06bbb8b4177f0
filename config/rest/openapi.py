"""Schema hooks that make the description at `/schema/` suitable for linters and client generators.

Views describe themselves. These hooks add what applies to all of them: one encoding per body, the short form of paths,
a summary, the errors, and the names and descriptions of the groups.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from typing import Any

from core.registry import all_apps
from core.rest.strict_bodies import StrictModelSerializer, StrictSerializer

NULL = {"type": "string", "nullable": True, "enum": [None]}
Document = dict[str, Any]
# A serializer without a docstring inherits that of its base class, which is written for programmers of this project.
INTERNAL = {inspect.getdoc(base) for base in (StrictSerializer, StrictModelSerializer)}
JSON, FORM = "application/json", "multipart/form-data"
PROBLEM = "application/problem+json"
ERRORS = {
    "400": "The request is not valid: `errors` has the fields.",
    "401": "No token or session, or one that is not valid.",
    "403": "The user lacks the permission.",
    "404": "There is nothing at this address.",
    "406": "None of the accepted media types can be produced.",
    "408": "The body did not arrive in time.",
    "409": "The state does not allow this now.",
    "413": "The request is too large.",
    "415": "The media type or the encoding of the body is not supported.",
    "429": "Too many requests: `Retry-After` says when to try again.",
    "503": "The database or the storage does not answer: `Retry-After` says when to try again.",
}
LIMITED = {"create_token", "events_ingest", "test_runs_create", "test_runs_rerun_create"}
TAGS = {"auth": "Tokens for programs."}
SUMMARIES = {
    "create_token": "Create a token",
    "auth_token_destroy": "Delete the token of this request",
    "broadcasts_banner_create": "Send the next banner",
    "calendar_token_create": "Create a calendar address",
    "calendar_token_destroy": "Revoke the calendar address",
    "chats_messages_read_create": "Mark messages as read",
    "event_types_dry_run_create": "Try a schema on the last events",
    "event_types_versions_list": "List the versions of a schema",
    "events_export_retrieve": "Export events",
    "events_ingest": "Send events",
    "events_stats_retrieve": "Count events",
    "rejected_events_groups_list": "List groups of rejected events",
    "rejected_events_replay_create": "Replay a rejected event",
    "rejected_events_replay_some": "Replay rejected events",
    "tasks_export_retrieve": "Export tasks",
    "test_files_create": "Upload a test file",
    "test_runs_create": "Queue a test run",
    "test_runs_junit_retrieve": "Read the results as JUnit XML",
    "test_runs_log_retrieve": "Read the log of a test run",
}
VERBS = {"post": "Create", "get": "Read", "put": "Replace", "patch": "Change", "delete": "Delete"}


def describe(result: Document, **_: Any) -> Document:
    """Schema hook: bring the whole document into its final form."""
    result["info"] |= {"contact": {"name": "Operators of this instance", "url": "/docs/"}}
    result["info"] |= {"license": {"name": "Proprietary", "url": "/docs/"}}
    result["servers"] = [{"url": "/", "description": "This instance"}]
    result["paths"] = {_short(path): operations for path, operations in result["paths"].items()}
    for path, method, operation in _operations(result):
        _one_encoding(operation, result)
        operation["summary"] = SUMMARIES.get(operation["operationId"]) or _summary(path, method, operation)
        operation.setdefault("security", [])  # only the login needs no token
        _add_errors(path, method, operation)
    used = {tag for _, _, operation in _operations(result) for tag in operation["tags"]}
    tags = {name: text for app in all_apps() for name, text in app.api_tags.items()} | TAGS
    result["tags"] = [{"name": name, "description": tags[name]} for name in sorted(used)]
    _plain_schemas(result)
    return result


def _operations(result: Document) -> Iterator[tuple[str, str, Document]]:
    for path, operations in result["paths"].items():
        for method, operation in operations.items():
            yield path, method, operation


def _short(path: str) -> str:
    """Return the path without its last slash: both forms work (config/rest/slashes.py), linters expect this one."""
    return path.rstrip("/") or "/"


def _one_encoding(operation: Document, result: Document) -> None:
    """Describe JSON only; also a form if it uploads a file."""
    content = operation.get("requestBody", {}).get("content", {})
    for media_type in set(content) - {JSON}:
        if media_type != FORM or not _has_file(content[FORM].get("schema", {}), result):
            del content[media_type]
    if FORM in content and JSON in content:
        operation["requestBody"]["required"] = True
        content[JSON] = {"schema": _without_files(content[FORM]["schema"], result)}


def _without_files(form: Document, result: Document) -> Document:
    """Add a JSON schema of the same body, which cannot contain files, and return the reference to it."""
    schemas = result["components"]["schemas"]
    name = form["$ref"].rpartition("/")[2]
    members = {
        member: schema for member, schema in schemas[name]["properties"].items() if not _has_file(schema, result)
    }
    schemas[f"{name}Json"] = {**schemas[name], "properties": members}
    return {"$ref": f"#/components/schemas/{name}Json"}


def _has_file(schema: Document, result: Document) -> bool:
    name = schema.get("$ref", "").rpartition("/")[2]
    return '"format": "binary"' in json.dumps(result["components"]["schemas"].get(name, schema), default=str)


def _summary(path: str, method: str, operation: Document) -> str:
    """Return verb and noun: for a collection, for one of its members, or for an action on one."""
    *before, last = path.strip("/").split("/")
    if last.startswith("{"):
        return f"{VERBS[method]} {_one(before[-1])}"
    if before and before[-1].startswith("{") and method == "post" and not last.endswith("s"):
        return f"{last.replace('-', ' ').capitalize()} {_one(before[-2])}"
    if method == "get":
        return f"List {last.replace('-', ' ')}"
    return f"{VERBS[method]} {_one(last)}"


def _one(plural: str) -> str:
    noun = re.sub(r"s$", "", plural.replace("-", " "))
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _add_errors(path: str, method: str, operation: Document) -> None:
    """Add the error responses of the operation; `default` covers those of proxies."""
    statuses = {"400", "503"}
    if operation["security"]:
        statuses |= {"401", "403"}
    if "{" in path:
        statuses |= {"404"}
    if method == "get":
        statuses |= {"406"}
    else:
        statuses |= {"409"}
    if "requestBody" in operation:
        statuses |= {"413", "415"}
    if operation["operationId"] in LIMITED:
        statuses |= {"429"}
    if operation["operationId"] == "events_ingest":
        statuses |= {"408"}
    content = {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for status in statuses:
        operation["responses"].setdefault(status, {"description": ERRORS[status], "content": content})
    operation["responses"] = dict(sorted(operation["responses"].items()))


def _plain_schemas(result: Document) -> None:
    """Remove invalid examples and unused components, and mark nullable members correctly."""
    schemas = result["components"]["schemas"]
    for schema in schemas.values():
        if schema.get("description") in INTERNAL:
            del schema["description"]
        for member in schema.get("properties", {}).values():
            member.pop("example", None)
            if (default := member.pop("default", "")) not in ("", None):  # openapi-typescript makes it required
                words = [member.get("description", ""), f"Default: {json.dumps(default, default=str)}."]
                member["description"] = " ".join(filter(None, words))
            if member.get("nullable") and "allOf" in member:  # `nullable` applies only beside a `type`
                del member["nullable"]
                member["oneOf"] = [*member.pop("allOf"), NULL]
    while unused := set(schemas) - set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(result, default=str))):
        for name in unused:
            del schemas[name]
