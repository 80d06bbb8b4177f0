"""The permission matrix: the response to every role, URL and method, compared with permissions.txt.

A new URL fails until it is in the table. To accept a change after reviewing it:
`WRITE_PERMISSIONS=1 .venv/bin/python -m pytest config/tests/test_permission_matrix.py`, then check the difference.
"""

import gc
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.test import Client

from config.tests.matrix import METHODS, ROLES, Column, address, column, create_everything, routes, signed_in

pytestmark = pytest.mark.thorough

TABLE = Path(__file__).with_name("permissions.txt")
WRITING = "WRITE_PERMISSIONS" in os.environ
INTRODUCTION = """\
# What each role gets from each address with each method: the status of the answer to a request with an empty body,
# "login" where it is sent to the login page. The test that compares: config/tests/test_permission_matrix.py.
# interface: a viewer who may not enter the admin. none: may enter the admin, without any permission.
# 400 and 404 after 403 for others: the role may do it, and the empty body or the made-up name is refused.
"""
# GET of these updates the rows that mirror the file system, because they show a choice of files
# (testrunner/files/discovery.py).
MIRRORS = {"test-files/", "admin/testrunner/testfile/", "admin/testrunner/testrun/add/"}
# What shared caches may store, because it contains no database rows.
CACHEABLE = {"events/opsroom.js", "fake-banner-api/pictures/<int:number>.jpeg"}
columns: dict[str, Column] = {}


@pytest.fixture
def _quick(settings) -> Iterator[None]:
    """Disable network and log."""
    settings.BANNER_API_URL = "http://127.0.0.1:9/"
    settings.BANNER_TRUSTED_ORIGINS = ["http://127.0.0.1:9"]
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.django_db
@pytest.mark.parametrize("role", ROLES)
def test_every_cell_is_as_in_the_table_and_no_get_writes(role, _quick, monkeypatch):
    if role != "superuser":  # status and permissions do not depend on rendering
        monkeypatch.setattr("django.template.backends.django.Template.render", lambda *_, **__: "")

    found = columns[role] = column(role)

    if not WRITING:
        expected = {cell: answers[ROLES.index(role)] for cell, answers in table().items()}
        assert differences(expected, found.answers) == []
    assert {cell: sql for cell, sql in found.written.items() if cell[0] not in MIRRORS} == {}
    assert set(found.cacheable) <= CACHEABLE


def test_every_address_is_in_the_table_and_no_other():
    if WRITING:
        TABLE.write_text(written_table())

    assert {route for route, _ in table()} == set(routes())


@pytest.mark.django_db
@pytest.mark.parametrize("role", ["anonymous", "superuser"])
def test_the_admin_answers_405_to_methods_that_browsers_never_send(role, _quick):
    create_everything()
    client = signed_in(role)
    pages = [f"/{address(route)}" for route in routes() if route.startswith("admin/")]

    answers = {client.generic(method, page).status_code for page in pages for method in ("PUT", "PATCH", "DELETE")}

    assert len(pages) > 200
    assert answers == {405}


@pytest.mark.django_db
@pytest.mark.parametrize("role", ["none", "superuser"])
def test_head_is_answered_like_get_and_options_never_succeed_in_the_rest_interface(role, _quick):
    create_everything()
    client = signed_in(role)
    pages = [f"/{address(route)}" for route in routes() if not route.startswith("admin/")]

    gc.collect()  # exports that earlier tests have not closed keep their places
    differing = {page for page in pages if client.head(page).status_code != client.get(page).status_code}
    succeeding = {page for page in pages if client.options(page).status_code < 300}

    assert differing == set()
    assert succeeding == set()


def test_an_address_that_no_route_has_is_404():
    assert Client().get("/no-such-address/").status_code == 404


# --- The table -------------------------------------------------------------------------------------
def table() -> dict[tuple[str, str], list[str]]:
    """Return the responses by (route, method), in the order of ROLES."""
    cells: dict[tuple[str, str], list[str]] = {}
    for line in TABLE.read_text().splitlines():
        if line and not line.startswith(("#", "anonymous")):
            answers, _, rest = line.partition(" | ")
            methods, _, route = rest.partition(" | ")
            cells |= {(route.strip().removeprefix("/"), method): answers.split() for method in methods.split()}
    return cells


def differences(expected: dict[tuple[str, str], str], found: dict[tuple[str, str], str]) -> list[str]:
    cells = dict.fromkeys([*expected, *found])
    return [
        f"{method} {route}: {expected.get((route, method), 'not in the table')} in the table, "
        f"{found.get((route, method), 'no such address')} found"
        for route, method in cells
        if expected.get((route, method)) != found.get((route, method))
    ]


def written_table() -> str:
    """Return the table of the results, with methods that have the same responses in one line."""
    widths = [max(5, len(role)) for role in ROLES]
    head = " ".join(role.ljust(width) for role, width in zip(ROLES, widths, strict=True))
    lines = [INTRODUCTION, f"{head} | {'methods'.ljust(38)} | address"]
    for route in routes():
        rows: dict[tuple[str, ...], list[str]] = {}
        for method in METHODS:
            if (route, method) in columns["superuser"].answers:
                answers = tuple(columns[role].answers[route, method] for role in ROLES)
                rows.setdefault(answers, []).append(method)
        for answers, methods in rows.items():
            cells = " ".join(answer.ljust(width) for answer, width in zip(answers, widths, strict=True))
            lines.append(f"{cells} | {' '.join(methods).ljust(38)} | /{route}")
    return "\n".join(lines) + "\n"
