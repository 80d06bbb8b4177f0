"""Migrations on a database that has rows: back to before the later ones, and forth again, with everything kept."""

from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from events import services
from events.factories import (
    ApplicationFactory,
    EventTypeFactory,
    NotificationFactory,
    WriteKeyFactory,
)
from events.models import Event
from events.rollups import digest
from events.storage import partitions
from events.tests.counting import NOON, assert_all_counted, commit

pytestmark = pytest.mark.django_db
BEFORE = ("events", "0002_event_partitions")
# What there was at that time. Histories, replays and mutes are younger, and go with their tables.
KEPT = [
    "application", "writekey", "event", "rejectedevent", "eventtype", "schemaversion", "session", "minute", "batch",
    "notification",
]  # fmt: skip


def migrate(*targets: tuple[str, str]) -> None:
    """As `manage.py migrate` does, within this test's transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # or no table could be changed that this test has written to
    executor = MigrationExecutor(connection)
    executor.migrate(list(targets) or executor.loader.graph.leaf_nodes())


def rows() -> dict[str, list[dict[str, Any]]]:
    return {name: list(apps.get_model("events", name).objects.order_by("pk").values()) for name in KEPT}


@pytest.fixture
def all_kinds() -> dict[str, list[dict[str, Any]]]:
    """Rows in every table, counted and not counted yet, in a month of their own and outside of all."""
    application = WriteKeyFactory(application=ApplicationFactory(name="Website")).application
    partitions.ensure(NOON, NOON)
    shared = {"application": application, "session_id": "mine", "data": {"text": "Äöü \\ \U0001f600"}}
    moments = (NOON, NOON - timedelta(days=3_000))
    commit(
        [{**shared, "timestamp": moment} for moment in moments],
        [{"application": application, "event_id": None, "raw": b"\xff{"}],
    )
    digest.run()
    commit([{**shared, "timestamp": NOON + timedelta(hours=1)}])
    services.publish_schema(event_type=EventTypeFactory(), schema={"required": ["host"]}, note="Hosts")
    NotificationFactory()
    found = rows()
    assert all(found.values())
    return found


def test_rows_are_kept_on_the_way_back_and_forth(all_kinds):
    migrate(BEFORE)
    assert_indexes(0)
    migrate()

    assert rows() == all_kinds
    assert_indexes(3)
    commit([{"session_id": "new"}])
    digest.run()
    assert Event.objects.filter(session_id="new").exists()
    assert_all_counted()


def assert_indexes(number: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_indexes WHERE indexname IN"
            " ('events_minute_name', 'events_minute_application', 'events_notification_user')"
        )
        assert cursor.fetchone() == (number,)
