"""Headers of responses: not cacheable unless the view allows it, and only the browser features that are used."""

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client

from chats.factories import ChatFactory
from config.middleware import DEFAULTS

PRIVATE = ["/chats/", "/broadcasts/", "/event-types/", "/environments/", "/notifications/", "/schema/", "/admin/"]


@pytest.mark.django_db
@pytest.mark.parametrize("path", PRIVATE)
def test_no_cache_keeps_a_private_answer(as_superuser, path):
    ChatFactory()

    answer = as_superuser.get(path)

    assert answer.status_code == 200
    assert {"private", "no-store"} <= set(answer.headers["Cache-Control"].split(", "))


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/chats/", "/nothing/", "/admin/", "/ping/", "/auth/token/"])
def test_every_answer_has_the_default_headers_whatever_its_status(client, path):
    answer = client.get(path)

    assert set(DEFAULTS) <= set(answer.headers)
    assert "camera=()" in answer.headers["Permissions-Policy"]


def test_a_redirect_to_https_and_a_refused_host_have_them_as_well(settings):
    settings.SECURE_SSL_REDIRECT = True
    redirect = Client().get("/admin/")
    settings.SECURE_SSL_REDIRECT = False
    refused = Client(raise_request_exception=False).get("/admin/", headers={"host": "evil.example"})

    assert (redirect.status_code, refused.status_code) == (301, 400)
    assert set(DEFAULTS) <= set(redirect.headers) & set(refused.headers)


# --- Content-Security-Policy --------------------------------------------------------------------------
def policy(answer) -> dict[str, str]:
    parts = answer.headers["Content-Security-Policy"].split("; ")
    return {name: values for name, _, values in (part.partition(" ") for part in parts)}


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/admin/login/", "/admin/", "/admin/projects/task/calendar/", "/docs/"])
def test_a_page_runs_no_script_that_stands_in_it(as_superuser, path):
    answer = as_superuser.get(path, follow=True)

    assert policy(answer)["script-src"] == "'self' 'unsafe-eval'"
    assert policy(answer)["script-src-attr"] == "'none'"
    page = answer.content.decode()
    assert re.findall(r"<script(?![^>]*\bsrc=)[^>]*>", page) == []
    assert re.findall(r"\son[a-z]+=[\"']", page) == []


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/chats/", "/nothing/", "/ping/", "/schema/", "/tasks/export/"])
def test_data_loads_nothing_when_it_is_shown_as_a_page(as_superuser, path):
    assert policy(as_superuser.get(path))["default-src"] == "'none'"


def test_no_template_has_a_script_in_an_attribute():
    templates = {file: file.read_text() for file in Path(settings.BASE_DIR).glob("*/templates/**/*.html")}

    assert len(templates) > 50
    assert [file.name for file, text in templates.items() if re.search(r"\son[a-z]+=[\"']", text)] == []
