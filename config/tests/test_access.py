"""Access is denied by default: every URL, requested anonymously."""

import re
import uuid

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

# What an anonymous client may access, each with the reason.
PUBLIC = {
    "ping/": "liveness",
    "health/": "readiness, no secrets in it",
    "auth/token/": "how a token is had",
    "admin/login/": "how a session is had",
    "admin/logout/": "says good-bye and leads to the login",
    "admin/jsi18n/": "translations of the login page",
    "fake-banner-api/": "the fake banner API of a local copy",
    "events/opsroom.js": "the script of pages that send events; they are anybody's",
    "": "leads to the front page, which asks for a login",
}
VALUES = {"uuid": str(uuid.uuid4()), "int": "1", "str": "x", "path": "x/y.webp", "slug": "x"}


def addresses(resolver: URLResolver, prefix: str = "") -> list[str]:
    found = []
    for entry in resolver.url_patterns:
        route = prefix + _filled(str(entry.pattern))
        found += addresses(entry, route) if isinstance(entry, URLResolver) else [route]
        assert isinstance(entry, URLPattern | URLResolver)
    return found


def _filled(route: str) -> str:
    route = re.sub(r"<(\w+):\w+>", lambda match: VALUES.get(match[1], "1"), route)
    route = re.sub(r"\(\?P<\w+>[^)]*\)", "x", route)
    return route.replace("^", "").replace("$", "").replace("\\Z", "").replace("\\", "")


def every_address() -> list[str]:
    return sorted(set(addresses(get_resolver())))


def is_public(route: str) -> bool:
    return any(route == known or (known and route.startswith(known)) for known in PUBLIC)


@pytest.mark.django_db
@pytest.mark.parametrize("method", ["get", "post"])
def test_a_stranger_gets_nothing_but_what_is_listed(method: str):
    client = Client()

    open_doors = {
        route: answer.status_code
        for route in every_address()
        if not is_public(route)
        for answer in [getattr(client, method)(f"/{route}")]
        if answer.status_code not in (401, 302, 404, 405)
        or (answer.status_code == 302 and "/admin/login/" not in answer.headers["Location"])
    }

    assert open_doors == {}


@pytest.mark.django_db
def test_somebody_without_permissions_gets_nothing_but_the_front_page(as_stranger):
    for route in ("chats/", "broadcasts/", f"chats/{uuid.uuid4()}/messages/", "admin/chats/chat/"):
        assert as_stranger.get(f"/{route}").status_code == 403, route


@pytest.mark.django_db
def test_metrics_are_for_staff_and_for_the_bearer_of_the_token(client, as_viewer, settings):
    assert client.get("/metrics").status_code == 401
    assert client.get("/metrics", headers={"Authorization": "Bearer "}).status_code == 401
    assert as_viewer.get("/metrics").status_code == 200

    settings.METRICS_TOKEN = "prometheus"
    assert client.get("/metrics", headers={"Authorization": "Bearer prometheus"}).status_code == 200
    assert client.get("/metrics", headers={"Authorization": "Bearer guess"}).status_code == 401
