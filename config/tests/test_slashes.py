"""Every URL with and without its last slash, with every method: the same response, and never a redirect."""

import logging

import pytest
import requests
from django.db import connection, transaction
from django.test import Client

from config.rest.slashes import declared_form
from config.tests.matrix import address, create_everything, routes
from config.tests.web_process import web_process

METHODS = [
    "GET", "POST",
    *(pytest.param(method, marks=pytest.mark.thorough) for method in ("HEAD", "OPTIONS", "PUT", "PATCH", "DELETE")),
]  # fmt: skip
ROUTES = [route for route in routes() if not route.startswith(("admin/", "fake-banner-api/")) and route]


@pytest.fixture
def _no_network(settings):
    settings.BANNER_API_URL = "http://127.0.0.1:9/"
    settings.BANNER_TRUSTED_ORIGINS = ["http://127.0.0.1:9"]
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def asked(client: Client, method: str, path: str) -> tuple[int, str]:
    """Return the status and the allowed methods of one request, and roll its effects back."""
    body = {} if method == "GET" else {"content_type": "application/json"}
    with transaction.atomic():
        answer = client.generic(method, path, **body)
        if answer.streaming:
            answer.getvalue()
            for close in answer._resource_closers:
                close()
        transaction.set_rollback(True)
    return answer.status_code, answer.headers.get("Allow", "")


@pytest.mark.django_db
@pytest.mark.parametrize("method", METHODS)
def test_both_forms_of_every_address_have_the_same_answer(method, superuser, _no_network):
    create_everything()
    client = Client(raise_request_exception=False)
    client.force_login(superuser)

    for route in ROUTES:
        declared = f"/{address(route)}"
        other = declared[:-1] if declared.endswith("/") else f"{declared}/"
        answer = asked(client, method, declared)

        assert asked(client, method, other) == answer, (method, other)
        assert answer[0] < 500 or route == "health/" or "banner" in route, (method, declared, answer)
        assert answer[0] not in (301, 302, 307, 308), (method, declared)


def test_all_addresses_of_the_interface_are_tried():
    assert {"tasks/", "notifications/", "test-runs/<int:pk>/junit.xml", "metrics"} <= set(ROUTES)
    assert len(ROUTES) > 60


def test_an_address_without_a_view_stays_as_it_is():
    assert declared_form("/nothing") == "/nothing"
    assert declared_form("/nothing/") == "/nothing/"
    assert declared_form("/admin") == "/admin"
    assert declared_form("/sessions/a.b/") == "/sessions/a.b/"


def test_links_of_a_page_have_the_declared_form(as_superuser):
    create_everything()
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO chats_chat (user_uuid) SELECT gen_random_uuid() FROM generate_series(1, 3)")

    assert "/chats/?cursor=" in as_superuser.get("/chats?page_size=1").json()["next"]


@pytest.mark.django_db(transaction=True)
def test_a_web_process_answers_both_forms_and_redirects_no_write(tmp_path):
    with web_process(tmp_path) as web:
        for path in ("/events", "/notifications", "/broadcasts/banner", "/auth/token", "/ping", "/health", "/metrics"):
            for method in ("GET", "POST", "OPTIONS"):
                one, other = (
                    requests.request(method, web.url + form, json={}, allow_redirects=False, timeout=30)
                    for form in (path, f"{path}/")
                )
                assert (one.status_code, one.headers.get("Allow")) == (other.status_code, other.headers.get("Allow"))
                assert one.status_code < 300 or 400 <= one.status_code < 600, (method, path)

        assert requests.post(f"{web.url}/events", timeout=30).json()["title"] == "Unauthorized"
        assert requests.options(f"{web.url}/events", timeout=30).status_code == 204
