"""Applications and their keys: the verbs."""

import hashlib
from datetime import timedelta

import pytest
from django.utils import timezone

from events import services
from events.factories import ApplicationFactory, EventFactory, WriteKeyFactory
from events.models import Application, WriteKey

pytestmark = pytest.mark.django_db


def test_a_new_application_has_a_key_that_is_kept_as_a_hash_only(planner):
    made = services.create_application(name="Website", allowed_origins=["https://example.com"], actor=planner)

    key = WriteKey.objects.get(application=made.application)
    assert key.key_hash == hashlib.sha256(made.write_key.encode()).hexdigest()
    assert made.write_key.startswith(key.prefix) and len(key.prefix) < len(made.write_key)
    assert key.created_by == made.application.created_by == made.application.history.get().history_user == planner


def test_a_name_is_taken_once():
    services.create_application(name="Website")

    with pytest.raises(services.ChangeRefused, match="Website exists already"):
        services.create_application(name="Website")

    assert Application.objects.count() == 1


def test_a_rotated_key_works_for_the_overlap_and_no_longer():
    application, now = ApplicationFactory(), timezone.now()
    old = WriteKeyFactory(application=application)
    ending = WriteKeyFactory(application=application, expires_at=now + timedelta(hours=1))

    made = services.rotate_key(application=application, overlap_hours=24)

    old.refresh_from_db()
    ending.refresh_from_db()
    assert made.key.expires_at is None
    assert now + timedelta(hours=24) <= old.expires_at < now + timedelta(hours=25)
    assert ending.expires_at == now + timedelta(hours=1)
    assert set(WriteKey.objects.unexpired(now + timedelta(hours=26))) == {made.key}


def test_an_overlap_has_a_limit():
    with pytest.raises(ValueError, match="overlap"):
        services.rotate_key(application=ApplicationFactory(), overlap_hours=-1)


def test_a_revoked_key_is_refused_at_once(planner):
    key = WriteKeyFactory()

    services.revoke_key(key=key, actor=planner)

    assert not WriteKey.objects.unexpired(timezone.now()).exists()
    assert key.application.history.first().history_change_reason == f"Revoked its key {key}"


def test_an_application_is_paused_until_it_is_resumed():
    paused = services.pause(application=ApplicationFactory())
    assert paused.paused

    assert not services.resume(application=paused).paused


def test_an_application_with_events_is_not_deleted():
    event, idle = EventFactory(), ApplicationFactory()

    with pytest.raises(services.ChangeRefused, match="Pause it instead"):
        services.delete_application(application=event.application)
    services.delete_application(application=idle)

    assert list(Application.objects.all()) == [event.application]


def test_changes_are_in_the_history(planner):
    application = ApplicationFactory()

    services.update_application(application=application, actor=planner, rate=5, name=application.name)

    assert application.history.first().rate == 5
    assert application.history.first().history_user == planner
    with pytest.raises(ValueError, match="paused"):
        services.update_application(application=application, paused=True)
