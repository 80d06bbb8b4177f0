"""One application cannot take the room of the others: requests, bytes, and what is kept of what it sends wrongly."""

import asyncio
import gzip
import hashlib
import json
import uuid
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone

from events import services
from events.factories import ApplicationFactory, RejectedEventFactory, WriteKeyFactory
from events.ingest import quota
from events.ingest.asgi_app import MAX_REQUESTS, SHARE
from events.ingest.request_limits import OwnerLimitExceeded, RequestLimits
from events.models import Application, RejectedDay, RejectedEvent
from events.storage import retention
from events.tests.sending import committed, in_parts

OTHER = "wk_of-the-neighbour"


@pytest.fixture
def neighbour(db):
    return WriteKeyFactory(key_hash=hashlib.sha256(OTHER.encode()).hexdigest(), application__name="Neighbour")


async def test_an_owner_has_a_share_and_others_the_rest():
    limits = RequestLimits(max_requests_per_owner=1, max_weight_per_owner=10)

    with limits.limit(60) as one, limits.limit(60) as other:
        one.assign_owner(1)
        other.assign_owner(2)
        one.add(10)
        with pytest.raises(OwnerLimitExceeded):
            one.add(1)
        other.add(5)
        with pytest.raises(OwnerLimitExceeded), limits.limit(60) as second:
            second.assign_owner(1)

    assert (limits.owners, limits.weight) == ({}, 0)


async def test_what_weighed_before_it_had_an_owner_is_the_owners():
    limits = RequestLimits(max_weight_per_owner=10)

    with limits.limit(60) as one:
        one.add(8)
        one.assign_owner(1)
        with pytest.raises(OwnerLimitExceeded):
            one.add(3)

    assert limits.owners == {}


@committed
def test_many_slow_bodies_of_one_application_are_429_and_its_neighbour_is_served(sender, neighbour, pageview):
    share = MAX_REQUESTS // SHARE
    sender.post(pageview)

    async def crowd():
        all_there, ends, there = asyncio.Event(), asyncio.Event(), []

        async def slow():
            there.append(1)
            if len(there) == share:
                all_there.set()
            await ends.wait()
            return {"type": "http.disconnect"}

        requests = [asyncio.create_task(sender.request(slow)) for _ in range(share)]
        await all_there.wait()
        one_more = await sender.request(in_parts(b"{}"))
        other = await sender.request(in_parts(json.dumps(pageview).encode()), authorization=f"Bearer {OTHER}")
        ends.set()
        await asyncio.gather(*requests)
        return one_more, other

    one_more, other = sender.runner.run(crowd())

    assert one_more.status == 429 and int(one_more.headers["retry-after"]) > 0
    assert other.json["accepted"] == 1
    assert not sender.app.limits.owners


@committed
def test_at_most_16_kib_of_a_garbage_body_are_kept_and_the_same_one_once(sender):
    garbage = b"{" + b"x" * 400_000

    answers = [sender.post(garbage), sender.post(garbage), sender.post(garbage + b"y")]

    kept = list(RejectedEvent.objects.values_list("raw", flat=True))
    assert [answer.status for answer in answers] == [400, 400, 400]
    assert [len(raw) < 17_000 and bytes(raw[:16384]) == garbage[:16384] for raw in kept] == [True, True]
    assert {bytes(raw[16384:]).decode() for raw in kept} == {
        f" … ({number} bytes in all)" for number in (400_001, 400_002)
    }


@committed
def test_a_garbage_item_among_others_is_kept_in_part_and_never_becomes_an_event(sender, pageview):
    right = json.dumps(pageview).encode()
    hidden = json.dumps(pageview | {"event_id": None}).encode() + b" " * 20_000 + b"garbage"

    answer = sender.post(b"[" + right + b"," + hidden + b"]")
    services.start_replay(selection=services.Selection(code="not_json"))

    assert [result["status"] for result in answer.json["results"]] == ["accepted", "rejected"]
    assert services.preview_replay(selection=services.Selection(code="not_json")).still_rejected == 1
    assert len(RejectedEvent.objects.get().raw) < 17_000


@committed
@pytest.mark.parametrize("neighbours", [0, 100])
def test_what_an_application_has_rejected_beyond_its_bytes_of_a_day_is_only_counted(
    sender, pageview, write_key, neighbours, monkeypatch
):
    monkeypatch.setattr(sender.app._quota, "_max_bytes", 1_000)
    wrong = [pageview | {"event_id": None, "session_id": "", "data": {"text": "x" * 300}} for _ in range(5)]
    right = [pageview | {"event_id": None} for _ in range(neighbours)]

    answer = sender.post(wrong + right)
    again = sender.post(wrong)

    assert (answer.json["rejected"], again.json["rejected"], answer.json["accepted"]) == (5, 5, neighbours)
    kept = RejectedEvent.objects.count()
    assert 0 < kept < 5
    day = RejectedDay.objects.get(application=write_key.application)
    assert (day.left_out, day.day) == (10 - kept, timezone.now().date())
    assert day.bytes == sum(len(row.raw) for row in RejectedEvent.objects.all()) <= 1_000


@committed
def test_repeated_rejected_events_use_the_quota_once(sender, pageview, write_key, monkeypatch):
    monkeypatch.setattr(sender.app._quota, "_max_bytes", 1_000)
    wrong = pageview | {"session_id": "", "data": {"text": "x" * 300}}
    for _ in range(10):
        sender.post(wrong)
    sender.app._registry._as_of = float("-inf")  # the next request reads what is stored

    sender.post(wrong | {"event_id": str(uuid.uuid4())})

    assert RejectedEvent.objects.count() == 2


@committed
def test_what_other_processes_have_kept_today_counts_too(sender, pageview, write_key, monkeypatch):
    monkeypatch.setattr(sender.app._quota, "_max_bytes", 1_000)
    RejectedDay.objects.create(application=write_key.application, day=timezone.now().date(), bytes=999)
    RejectedDay.objects.create(application=write_key.application, day=timezone.now().date() - timedelta(days=1))

    sender.post(pageview | {"session_id": ""})

    assert not RejectedEvent.objects.exists()
    assert RejectedDay.objects.get(bytes=999).left_out == 1


@pytest.mark.django_db
def test_the_admin_says_what_was_not_kept(as_superuser):
    application = ApplicationFactory()
    RejectedDay.objects.create(application=application, day=timezone.now().date(), bytes=64 * 2**20, left_out=1234)

    page = as_superuser.get(f"/admin/events/application/{application.pk}/change/").content.decode()

    assert "1,234 rejected events of today are not kept" in page


@pytest.mark.django_db
def test_a_new_application_has_a_rate(planner):
    assert services.create_application(name="Shop").application.rate == 1_000
    assert Application(name="another").rate == 1_000


@pytest.mark.django_db
def test_rejected_events_are_kept_for_a_shorter_time_than_events(settings, capsys):
    settings.EVENT_REJECTED_RETENTION_DAYS = 90
    application = ApplicationFactory()
    now = timezone.now()
    for days in (0, 89, 91, 400):
        RejectedEventFactory(application=application, received_at=now - timedelta(days=days))
        RejectedDay.objects.create(application=application, day=(now - timedelta(days=days)).date())

    call_command("retain_events")

    assert RejectedEvent.objects.count() == RejectedDay.objects.count() == 2
    settings.EVENT_REJECTED_RETENTION_DAYS = 0
    assert retention.rejected_horizon() == retention.horizon()
    settings.EVENT_REJECTED_RETENTION_DAYS, settings.EVENT_RETENTION_DAYS = 5_000, 0
    assert retention.rejected_horizon() is not None and retention.horizon() is None


def test_the_quota_can_be_switched_off(settings):
    settings.EVENT_REJECTED_MB_PER_DAY = 0

    assert quota.Quota(None)._max_bytes == 0  # type: ignore[arg-type]


@committed
def test_a_gzipped_garbage_body_is_answered_and_kept_in_part(sender):
    answer = sender.post(gzip.compress(b"[" * 500_000), content_encoding="gzip")

    assert answer.status == 202
    assert RejectedEvent.objects.count() == 1
