import asyncio
import gc
import hashlib
from collections.abc import Iterator

import pytest
from django.utils import timezone

from events.factories import WriteKeyFactory
from events.ingest.asgi_app import Ingest
from events.models import WriteKey
from events.query import export
from events.tests.sending import Sender

KEY = "wk_of-the-shop"


@pytest.fixture(autouse=True)
def places_of_dropped_exports() -> None:
    """Free the places of exports whose responses earlier tests did not read: they wait for the garbage collector."""
    if export._places._value < export.AT_ONCE:
        gc.collect()


@pytest.fixture
def write_key(db) -> WriteKey:
    return WriteKeyFactory(key_hash=hashlib.sha256(KEY.encode()).hexdigest(), application__name="Shop")


@pytest.fixture
def sender(write_key: WriteKey) -> Iterator[Sender]:
    """An ingest of its own, and somebody with a key."""
    app = Ingest()
    with asyncio.Runner() as runner:
        sender = Sender(app, runner)
        sender.key = KEY
        yield sender
    app.close()


@pytest.fixture
def pageview() -> dict[str, object]:
    """An event that is right."""
    return {
        "event_id": "5f6bb1f4-4e2c-4a6e-9d5b-0d3f3f1c2b1a",
        "session_id": "e2085be5-9137-4e4e-80b5-f1ffddc25423",
        "category": "page interaction",
        "name": "pageview",
        "data": {"host": "www.example.com", "path": "/"},
        "timestamp": timezone.now().isoformat(),
    }
