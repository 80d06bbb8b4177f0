import pytest

from projects import list_cache
from projects.list_link import link
from projects.tests.mail_server import serving


@pytest.fixture(autouse=True)
def _fresh_link():
    link.forget()
    yield
    link.forget()


@pytest.fixture(autouse=True)
def _commits(request, monkeypatch):
    """Inside a test's own transaction nothing ever commits: there the generation is replaced at once."""
    marker = request.node.get_closest_marker("django_db")
    if marker is None or not marker.kwargs.get("transaction"):
        monkeypatch.setattr(list_cache, "bump", list_cache.settle)


@pytest.fixture
def mailbox(settings):
    """A real mail server, and what it took."""
    with serving(settings) as box:
        yield box
