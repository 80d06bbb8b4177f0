"""All usual spellings of a UUID are equivalent: in URLs, bodies and filters."""

from uuid import UUID

import pytest
from rest_framework.test import APIClient

from chats.models import Chat
from config.tests.matrix import KEY, create_everything
from config.tests.rest_routes import ROUTES
from events.factories import EventFactory, NotificationFactory

pytestmark = pytest.mark.django_db
USER = UUID("6f9619ff-8b86-d011-b42d-00c04fc964ff")
SPELLINGS = [str, lambda uuid: uuid.hex, lambda uuid: str(uuid).upper(), lambda uuid: uuid.hex.upper()]
spelled = pytest.mark.parametrize("spell", SPELLINGS, ids=["plain", "without dashes", "upper case", "both"])


@pytest.fixture
def api(superuser) -> APIClient:
    client = APIClient(raise_request_exception=False)
    client.force_authenticate(superuser)
    return client


@spelled
def test_every_address_with_a_uuid(spell, api):
    create_everything()
    paths = [route.path for route in ROUTES if "any_uuid" in route.route and "GET" in route.methods]

    assert len(paths) >= 3
    for path in paths:
        assert api.get(path.replace(str(KEY), spell(KEY))).status_code == 200, path


@spelled
def test_bodies(spell, api):
    assert api.post("/chats/", {"user_uuid": spell(USER)}, format="json").json()["user_uuid"] == str(USER)
    assert api.post("/chats/", {"user_uuid": str(USER)}, format="json").status_code == 200
    broadcast = {"text": "Hello", "audience": [spell(USER), str(USER)]}
    assert api.post("/broadcasts/", broadcast, format="json").status_code == 202
    assert Chat.objects.get().user_uuid == USER


@spelled
def test_filters(spell, api):
    event = EventFactory()
    notification = NotificationFactory(user_id=str(USER).upper())
    NotificationFactory(user_id="another")

    found = api.get("/events/", {"event_id": spell(event.event_id)}).json()["results"]
    assert [row["id"] for row in found] == [event.pk]
    found = api.get("/notifications/", {"user_id": spell(USER)}).json()["results"]
    assert [row["event_id"] for row in found] == [str(notification.pk)]
