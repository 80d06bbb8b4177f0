import pytest

from core.list_cache import entries
from core.list_cache.redis_link import link
from projects.tests.mail_server import serving


@pytest.fixture(autouse=True)
def _fresh_link(monkeypatch):
    link.forget()
    monkeypatch.setattr(entries, "retry", entries.InvalidationRetry())
    yield
    link.forget()


@pytest.fixture(autouse=True)
def _commits(request, monkeypatch):
    """Renew the list generation immediately, because inside a test's own transaction nothing ever commits."""
    marker = request.node.get_closest_marker("django_db")
    if marker is None or not marker.kwargs.get("transaction"):
        monkeypatch.setattr(entries, "invalidate", entries.invalidate_now)


@pytest.fixture
def mailbox(settings):
    """A real mail server; returns the mails it received."""
    with serving(settings) as box:
        yield box
