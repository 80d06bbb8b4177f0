"""Invalid cursors on every list with cursor pagination, in every app."""

from base64 import b64encode
from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from chats.factories import ChatFactory
from config.tests.openapi_document import openapi_document
from events.factories import EventTypeFactory
from events.models import Session
from projects import reports
from projects.factories import CommentFactory
from projects.models import Report

pytestmark = pytest.mark.django_db

LISTS = sorted(
    path
    for path, operations in openapi_document()["paths"].items()
    if any(parameter["name"] == "cursor" for parameter in operations.get("get", {}).get("parameters", []))
)
PLACES = ["p=x", "p=", "p=%00", "p=1e400", "p=2030-01-01+00:00", "p=2030-13-01", "p=-", "r=x", "o=x", "\x00", "p=None"]


def of_nobody(place: str) -> str:
    return b64encode(place.encode()).decode()


@pytest.fixture
def ids() -> dict[str, object]:
    """Return ids for the names in the paths."""
    now = timezone.now()
    session = Session.objects.create(session_id=str(uuid4()), first_seen=now, last_seen=now, event_count=1)
    return {
        "user_uuid": ChatFactory().user_uuid,
        "event_type_id": EventTypeFactory().pk,
        "session_id": session.pk,
        "task_id": CommentFactory().task_id,
    }


@pytest.mark.parametrize("path", LISTS)
def test_a_cursor_that_nobody_was_given_is_404(path, ids, superuser, anon_api):
    anon_api.force_authenticate(superuser)
    address = path.format(**ids)
    assert anon_api.get(address).status_code == 200

    answers = {place: anon_api.get(address, {"cursor": of_nobody(place)}).status_code for place in PLACES}
    answers["not even base64"] = anon_api.get(address, {"cursor": "%"}).status_code

    assert set(answers.values()) <= {200, 404}, answers
    assert answers["p=x"] == answers["p=2030-13-01"] == 404, answers


def test_the_cursors_that_are_given_lead_through_a_list(viewer_api):
    today = timezone.now().date()
    days = [today - timedelta(days=number) for number in range(5)]
    Report.objects.bulk_create(Report(date=day, data=reports.count(day)) for day in days)

    found, address = [], "/reports/?page_size=2"
    while address:
        page = viewer_api.get(address).json()
        found += [report["date"] for report in page["results"]]
        address = page["next"]

    assert found == [str(day) for day in days]
