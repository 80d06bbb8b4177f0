"""The peer of the ingest: events received as in most Django projects, by a ModelViewSet and the ORM.

Run by gunicorn. It has the same columns and indexes in an unpartitioned table, one row per request, without middleware,
key or schema. It does less than the ingest, and has the most favourable settings.
"""

from __future__ import annotations

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

from django.conf import settings

settings.MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
settings.ROOT_URLCONF = "benchmarks.ingest_drf"

import django  # noqa: E402

django.setup()

from django.core.handlers.wsgi import WSGIHandler  # noqa: E402
from django.db import connection, models  # noqa: E402
from django.urls import path  # noqa: E402
from rest_framework import routers, serializers, viewsets  # noqa: E402

from config.monitoring.health import ping  # noqa: E402


class PeerEvent(models.Model):
    application_id = models.BigIntegerField()
    event_id = models.UUIDField()
    session_id = models.CharField(max_length=100)
    category = models.CharField(max_length=100)
    name = models.CharField(max_length=100)
    data = models.JSONField()
    timestamp = models.DateTimeField()
    received_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        app_label = "benchmarks"
        indexes = [
            models.Index(fields=["session_id", "timestamp", "id"], name="peerevent_session"),
            models.Index(fields=["category", "timestamp", "id"], name="peerevent_category"),
            models.Index(fields=["timestamp", "id"], name="peerevent_newest"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["application_id", "event_id", "timestamp"], name="peerevent_once"),
        ]

    def __str__(self) -> str:
        return self.name


class PeerEventSerializer(serializers.ModelSerializer[PeerEvent]):
    class Meta:
        model = PeerEvent
        fields = ["id", "application_id", "event_id", "session_id", "category", "name", "data", "timestamp"]


class PeerEventViewSet(viewsets.ModelViewSet[PeerEvent]):
    queryset = PeerEvent._default_manager.all()
    serializer_class = PeerEventSerializer
    authentication_classes = ()
    permission_classes = ()


def create_table() -> None:
    """Create a new, empty table for the peer."""
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS benchmarks_peerevent")
    with connection.schema_editor() as editor:
        editor.create_model(PeerEvent)


router = routers.SimpleRouter()
router.register("peer-events", PeerEventViewSet)
urlpatterns = [*router.urls, path("ping/", ping)]
if __name__ == "__main__":
    create_table()
application = WSGIHandler()
