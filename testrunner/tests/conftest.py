"""The cast, and what the tests of the test runner share."""

import pytest
from django.contrib.auth.models import Group, User

from testrunner.models import TestEnvironment
from testrunner.snapshot import Snapshot


@pytest.fixture
def colleague(db) -> User:
    """A second tester."""
    user = User.objects.create_user("cole", password="correct horse", is_staff=True)
    user.groups.set(Group.objects.filter(name="testing"))
    return user


@pytest.fixture
def environment(db) -> TestEnvironment:
    return TestEnvironment.objects.get(pk=17)


@pytest.fixture
def file() -> Snapshot:
    return Snapshot("samples", "test_success.py", b"def test_ok():\n    assert True\n")


@pytest.fixture(autouse=True)
def _hundred_environments(request):
    """A test with real commits is followed by a flush, which takes what the migration made."""
    marker = request.node.get_closest_marker("django_db")
    if marker is not None and marker.kwargs.get("transaction"):
        request.getfixturevalue("transactional_db")
        hundred = [TestEnvironment(id=number, name=f"Environment {number}") for number in range(1, 101)]
        TestEnvironment.objects.bulk_create(hundred, ignore_conflicts=True)


@pytest.fixture(autouse=True)
def _no_wake_ups(request, monkeypatch):
    """Nobody listens in these tests; those that start real processes say so by their mark."""
    if not request.node.get_closest_marker("chaos"):
        monkeypatch.setattr("live.wake._send", lambda task, args, options: None)
