"""The cast of the tests, and what keeps them apart from each other and from a running instance."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from django.contrib.auth.models import Group, User
from django.core.cache import caches
from django.test import Client, TransactionTestCase
from rest_framework.test import APIClient

from config.tests import template_database
from config.tests.initial_rows import InitialRows

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="session")
def django_db_setup(django_test_environment, django_db_modify_db_settings, django_db_blocker) -> Iterator[None]:
    """A database for this worker. After each test with real commits it has the rows that it had at the start."""
    with django_db_blocker.unblock():
        template_database.create()
        initial_rows = InitialRows()
    TransactionTestCase._fixture_teardown = lambda self: initial_rows.restore()
    yield
    with django_db_blocker.unblock():
        template_database.drop()


@pytest.fixture(autouse=True)
def _own_media(tmp_path: Path, settings) -> None:
    settings.MEDIA_ROOT = str(tmp_path / "media")
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # not a second a user


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch) -> None:
    """A key prefix of its own for each test: the server may be shared with other tests, or with a person."""
    prefix = f"test-{uuid4().hex}"
    monkeypatch.setattr(caches["default"], "key_prefix", prefix)
    monkeypatch.setitem(caches.settings["default"], "KEY_PREFIX", prefix)  # every thread makes a cache of its own


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run tests with a browser last: while Playwright runs, Django finds its event loop in the thread, and refuses."""
    items.sort(key=lambda item: "browser" in getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    """A Chromium, for tests marked `browser`. Imported here: all other tests run without Playwright."""
    from config.tests.browser import find_chromium, running_browser

    with running_browser(find_chromium() or "") as browser:
        yield browser


def _person(name: str, *groups: str, **more: bool) -> User:
    user = User.objects.create_user(name, password="correct horse", is_staff=True, **more)
    user.groups.set(Group.objects.filter(name__in=groups))
    return user


@pytest.fixture
def marketer(db) -> User:
    return _person("mara", "marketing")


@pytest.fixture
def viewer(db) -> User:
    return _person("vic", "viewer")


@pytest.fixture
def stranger(db) -> User:
    """Signed in, with no permission at all."""
    return _person("sam")


@pytest.fixture
def superuser(db) -> User:
    return _person("root", is_superuser=True)


def _signed_in(user: User) -> Client:
    client = Client(enforce_csrf_checks=False)
    client.force_login(user)
    return client


@pytest.fixture
def as_marketer(marketer: User) -> Client:
    return _signed_in(marketer)


@pytest.fixture
def as_viewer(viewer: User) -> Client:
    return _signed_in(viewer)


@pytest.fixture
def as_stranger(stranger: User) -> Client:
    return _signed_in(stranger)


@pytest.fixture
def as_superuser(superuser: User) -> Client:
    return _signed_in(superuser)


def _api(user: User | None = None) -> APIClient:
    client = APIClient()
    if user is not None:
        client.force_authenticate(user)
    return client


@pytest.fixture
def anon_api(db) -> APIClient:
    return _api()


@pytest.fixture
def marketer_api(marketer: User) -> APIClient:
    return _api(marketer)


@pytest.fixture
def viewer_api(viewer: User) -> APIClient:
    return _api(viewer)


@pytest.fixture
def planner(db) -> User:
    return _person("paula", "planning")


@pytest.fixture
def as_planner(planner: User) -> Client:
    return _signed_in(planner)


@pytest.fixture
def planner_api(planner: User) -> APIClient:
    return _api(planner)


@pytest.fixture
def stranger_api(stranger: User) -> APIClient:
    return _api(stranger)


@pytest.fixture
def tester(db) -> User:
    return _person("tess", "testing")


@pytest.fixture
def as_tester(tester: User) -> Client:
    return _signed_in(tester)


@pytest.fixture
def tester_api(tester: User) -> APIClient:
    return _api(tester)


@pytest.fixture
def analyst(db) -> User:
    return _person("anna", "analytics")


@pytest.fixture
def as_analyst(analyst: User) -> Client:
    return _signed_in(analyst)


@pytest.fixture
def analyst_api(analyst: User) -> APIClient:
    return _api(analyst)
