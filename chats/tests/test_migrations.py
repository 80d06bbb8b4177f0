"""Migrations of rows in states that the schema allowed before."""

from collections.abc import Callable, Iterator

import pytest
from django.db import connection

from chats.models import Broadcast
from core.tests.migrating import migrate, migrated_back

pytestmark = pytest.mark.django_db(transaction=True)
FOUND = {  # text, image, banner_url, status, finished_at, started_at
    "empty": "'', '', 'https://example.com/gone.png', 'sent', now(), now()",
    "empty with its banner's picture there": "'', '', 'https://example.com/1.png', 'paused', NULL, now()",
    "put back to queued by a stale resume": "'Hello', '', '', 'queued', NULL, now()",
    "as it should be": "'Hello', '', '', 'sent', now(), now()",
}


@pytest.fixture
def earlier() -> Iterator[Callable[..., None]]:
    with migrated_back() as to:
        yield to


def test_broadcasts_that_a_race_left_empty_or_stuck_are_repaired(earlier):
    earlier(("chats", "0002_groups"))
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO chats_banner (source_url, title, image, sha256, skip_reason)"
            " VALUES ('https://example.com/1.png', '', 'banners/1.webp', '', '')"
        )
        for values in FOUND.values():
            cursor.execute(
                "INSERT INTO chats_broadcast (text, image, banner_url, status, finished_at, started_at,"
                f" audience, error, audience_size, delivered, skipped) VALUES ({values}, 'all', '', 3, 2, 1)"
            )

    migrate()

    kept = Broadcast.objects.order_by("pk").values_list("text", "image", "status")
    assert list(kept) == [
        ("(This message was sent without content.)", "", "sent"),
        ("", "banners/1.webp", "paused"),
        ("Hello", "", "sending"),
        ("Hello", "", "sent"),
    ]
