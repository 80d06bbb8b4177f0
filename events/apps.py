from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate

from core.registry import App, AsgiRoute, Erasure, FrontPageCard, Page, ScheduledTask, register
from live import topics

# A notification that was sent, or that is not retried any more.
_ENDED = "(status = 'Processed' OR (attempts >= 5 AND lease_until IS NULL))"


class EventsConfig(AppConfig):
    """Product events: ingest, rejected events, sessions and rollups. Also user notifications."""

    name = "events"

    def ready(self) -> None:
        topics.register("events", "events.view_event")
        topics.register("notifications", "events.view_notification")
        from core.data.retention import Rule
        from events import (
            erasure,
            metrics,  # noqa: F401  registers the Prometheus metrics; needs the models
        )
        from events.admin import front_page
        from events.demo.fake import create_demo_events

        register(
            "events",
            App(
                title="Events",
                pages=[
                    Page("Explorer", "monitoring", "admin:events_event_changelist", "events.view_event"),
                    Page("Sessions", "footprint", "admin:events_session_changelist", "events.view_session"),
                    Page("Rejected", "rule", "admin:events_rejectedevent_changelist", "events.view_rejectedevent"),
                    Page("Event types", "schema", "admin:events_eventtype_changelist", "events.view_eventtype"),
                    Page("Applications", "key", "admin:events_application_changelist", "events.view_application"),
                    Page(
                        "Notifications",
                        "mark_chat_unread",
                        "admin:events_notification_changelist",
                        "events.view_notification",
                    ),
                ],
                cards=[FrontPageCard("events", 30, "card-main", front_page.last_day)],
                search=[
                    front_page.search_applications,
                    front_page.search_event_types,
                    front_page.search_sessions,
                ],
                urls="events.urls",
                asgi=[AsgiRoute("/events/", ("POST", "OPTIONS"), "events.ingest.asgi_app.Ingest")],
                api_tags={
                    "applications": "Clients that send events, and their write keys.",
                    "event types": "JSON Schemas of events.",
                    "events": "Events, their counts and their export.",
                    "notifications": "What users are notified of.",
                    "rejected events": "Events that were rejected, with the reasons; replays.",
                    "sessions": "Sessions of events.",
                },
                schedule=[
                    ScheduledTask("notify", "events.tasks.send_notifications", every=5, expires=10),
                    ScheduledTask("digest", "events.tasks.digest_events", every=2, expires=4),
                    ScheduledTask("make event partitions", "events.tasks.make_partitions", every=3_600, expires=600),
                    ScheduledTask("retain events", "events.tasks.delete_old_events", every=3_600, expires=600),
                    ScheduledTask("sweep replays", "events.tasks.sweep_replays", every=10, expires=10),
                ],
                queues={
                    "events.tasks.digest_events": "events",
                    "events.tasks.replay_rejected": "events",
                    "events.tasks.send_notifications": "events",
                },
                retention=[
                    Rule("notifications", "events_notification", "created_at", "NOTIFICATION_DAYS", "event_id", _ENDED),
                ],
                erasure=Erasure(erasure.count, erasure.erase),
                create_demo=create_demo_events,
            ),
        )
        post_migrate.connect(_make_partitions, self, dispatch_uid="events partitions")


def _make_partitions(**_: Any) -> None:
    """Create the partitions of this month and the next ones directly after a migration.

    Without this, a new database has no partition for this month until beat starts its first task.
    """
    from events.storage import partitions

    if partitions.is_partitioned():
        partitions.ensure_ahead()
