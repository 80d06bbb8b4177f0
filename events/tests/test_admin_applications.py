"""Applications on screen: who may send, who does, and their keys."""

import hashlib
import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from events.admin.applications import traffic_of
from events.factories import EventFactory, RejectedEventFactory, WriteKeyFactory
from events.models import Application, Arrival, Minute, WriteKey
from events.rollups import digest
from events.tests.counting import commit

pytestmark = pytest.mark.django_db
ADDRESS = "/admin/events/application/"
SECRET = re.compile(r'id="secret" value="(wk_[^"]+)"')
FIELDS = {"name": "Shop", "unknown_types": "rejected", "allowed_origins": "", "rate": "0"}


@pytest.fixture
def shop() -> Application:
    return WriteKeyFactory(application__name="Shop").application


def page_of(application: Application) -> str:
    return f"{ADDRESS}{application.pk}/change/"


# --- The list -----------------------------------------------------------------------------------------
def test_the_list_says_how_much_comes_and_how_much_of_it_is_wrong(as_viewer, shop):
    minute = (timezone.now() - timedelta(minutes=5)).replace(second=0, microsecond=0)
    Minute.objects.create(minute=minute, application=shop, category="a", name="b", events=90, rejected=30)

    page = as_viewer.get(ADDRESS).content.decode()

    assert "Sending" in page and "25.0" in page and ">2<" in page and f"{shop.keys.get().prefix}…" in page


@pytest.mark.parametrize("late", [timedelta(0), timedelta(hours=30), timedelta(days=200), -timedelta(minutes=3)])
def test_the_share_of_the_rejected_is_of_all_items_that_came_also_of_late_ones(as_viewer, shop, late):
    now = timezone.now()
    sent = [{"application": shop, "timestamp": now - late} for _ in range(2)]
    commit(sent, [{"application": shop}])
    digest.run()

    traffic = traffic_of()[shop.pk]

    assert round(traffic.share, 1) == 33.3 and traffic.a_minute == 3 / 60
    assert now - traffic.last_seen < timedelta(minutes=2)
    assert "33.3" in as_viewer.get(ADDRESS).content.decode()


def test_late_events_that_come_in_several_batches_are_added_up(shop):
    now = timezone.now()
    for days in (40, 2, 2):
        commit([{"application": shop, "timestamp": now - timedelta(days=days)}], [{"application": shop}])
        digest.run()

    assert round(traffic_of()[shop.pk].share, 1) == 50.0
    assert sum(Arrival.objects.values_list("more", flat=True)) == 0


def test_an_application_without_a_valid_key_says_so(as_viewer, shop):
    shop.keys.update(expires_at=timezone.now() - timedelta(hours=1))

    assert "no valid key" in as_viewer.get(ADDRESS).content.decode()


def test_the_list_takes_the_same_few_queries_for_any_number(as_viewer, django_assert_max_num_queries):
    for _ in range(20):
        WriteKeyFactory()

    with django_assert_max_num_queries(11):
        as_viewer.get(ADDRESS)


def test_an_empty_list_says_what_belongs_here(as_analyst):
    assert "No applications yet" in as_analyst.get(ADDRESS).content.decode()


def test_a_page_leads_to_what_was_changed_and_by_whom(as_analyst, shop):
    as_analyst.post(page_of(shop), {**FIELDS, "rate": "7"})
    address = f"{ADDRESS}{shop.pk}/history/"

    assert address in as_analyst.get(page_of(shop)).content.decode()
    assert "anna" in as_analyst.get(address).content.decode()


# --- Keys ---------------------------------------------------------------------------------------------
def test_a_new_applications_key_is_shown_after_a_redirect_in_this_browser_only(as_analyst, as_superuser):
    answer = as_analyst.post(f"{ADDRESS}add/", FIELDS)
    address = page_of(Application.objects.get())
    made = as_analyst.get(address)
    secret = SECRET.search(made.content.decode())[1]

    assert answer.headers["Location"] == address
    assert WriteKey.objects.get().key_hash == hashlib.sha256(secret.encode()).hexdigest()
    page = made.content.decode()
    assert "YOUR_WRITE_KEY" not in page and f"data-key=&quot;{secret}&quot;" in page
    assert f"Bearer {secret}" in page and f"write_key=&quot;{secret}&quot;" in page
    assert "no-store" in made.headers["Cache-Control"]
    assert secret in as_analyst.get(address).content.decode()  # loaded again
    assert secret not in as_superuser.get(address).content.decode()


def test_a_rotated_key_is_shown_after_a_redirect_and_the_old_one_ends_later(as_analyst, shop):
    old = shop.keys.get()
    asked = as_analyst.get(f"{ADDRESS}{shop.pk}/rotate/").content.decode()

    answer = as_analyst.post(f"{ADDRESS}{shop.pk}/rotate/", {"overlap_hours": "2"})
    page = as_analyst.get(page_of(shop)).content.decode()

    old.refresh_from_db()
    assert answer.headers["Location"] == page_of(shop)
    assert "shown once" in asked and SECRET.search(page) and "Ending" in page and "YOUR_WRITE_KEY" not in page
    assert timedelta(hours=1) < old.expires_at - timezone.now() <= timedelta(hours=2)


@pytest.mark.parametrize("hours", ["-1", "1e9", "x", "", "nan"])
def test_a_senseless_overlap_is_refused_in_the_dialog(as_analyst, shop, hours):
    page = as_analyst.post(f"{ADDRESS}{shop.pk}/rotate/", {"overlap_hours": hours}).content.decode()

    assert 'aria-invalid="true"' in page and shop.keys.count() == 1


def test_revoking_says_what_is_left_and_ends_the_key(as_analyst, shop):
    key = shop.keys.get()

    asked = as_analyst.get(f"{ADDRESS}{shop.pk}/keys/{key.pk}/revoke/").content.decode()
    as_analyst.post(f"{ADDRESS}{shop.pk}/keys/{key.pk}/revoke/")

    key.refresh_from_db()
    assert "the only valid key" in asked and key.expires_at <= timezone.now()


def test_anothers_key_is_not_revoked_by_this_address(as_analyst, shop):
    other = WriteKeyFactory()

    assert as_analyst.post(f"{ADDRESS}{shop.pk}/keys/{other.pk}/revoke/").status_code == 404


# --- Settings, pause ----------------------------------------------------------------------------------
def test_settings_are_saved_and_what_is_refused_keeps_what_was_typed(as_analyst, shop):
    as_analyst.post(page_of(shop), {**FIELDS, "name": "Store", "allowed_origins": "https://A.example\nhttp://b:8000"})
    refused = as_analyst.post(page_of(shop), {**FIELDS, "name": "X", "allowed_origins": "https://a.example/path"})

    shop.refresh_from_db()
    assert (shop.name, shop.unknown_types) == ("Store", "rejected")
    assert shop.allowed_origins == ["https://a.example", "http://b:8000"]
    assert "Not a valid origin" in refused.content.decode() and 'value="X"' in refused.content.decode()


def test_a_name_that_is_taken_is_refused_in_words(as_analyst, shop):
    page = as_analyst.post(f"{ADDRESS}add/", FIELDS).content.decode()

    assert "already" in page and Application.objects.count() == 1


def test_pausing_says_the_consequence_and_resuming_undoes_it(as_analyst, shop):
    asked = as_analyst.get(f"{ADDRESS}{shop.pk}/pause/").content.decode()
    as_analyst.post(f"{ADDRESS}{shop.pk}/pause/")
    shop.refresh_from_db()
    assert "not stored" in asked and shop.paused
    as_analyst.post(f"{ADDRESS}{shop.pk}/pause/", {"to": "paused"})  # a second user answers the same question
    shop.refresh_from_db()
    assert shop.paused and 'name="to" value="paused"' in asked

    as_analyst.post(f"{ADDRESS}{shop.pk}/pause/")
    shop.refresh_from_db()
    assert not shop.paused


# --- Who may ------------------------------------------------------------------------------------------
def test_a_viewer_looks_only(as_viewer, shop):
    page = as_viewer.get(page_of(shop)).content.decode()

    assert 'id="verb-' not in page and "Revoke" not in page and ">Save<" not in page
    for part in ("add/", f"{shop.pk}/change/", f"{shop.pk}/rotate/", f"{shop.pk}/pause/", f"{shop.pk}/keys/1/revoke/"):
        assert as_viewer.post(ADDRESS + part, FIELDS).status_code == 403


@pytest.mark.parametrize("make", [EventFactory, RejectedEventFactory])
def test_an_application_with_events_is_not_deleted_and_the_page_says_why(as_superuser, shop, make):
    make(application=shop)

    answer = as_superuser.post(f"{ADDRESS}{shop.pk}/delete/", follow=True)

    assert "has events, so it cannot be deleted" in answer.content.decode()
    assert Application.objects.filter(pk=shop.pk).exists()


def test_an_application_without_events_is_deleted_after_a_question(as_superuser, shop):
    question = as_superuser.get(f"{ADDRESS}{shop.pk}/delete/").content.decode()
    assert "Delete application" in question and Application.objects.filter(pk=shop.pk).exists()

    answer = as_superuser.post(f"{ADDRESS}{shop.pk}/delete/", follow=True)

    assert answer.redirect_chain == [(ADDRESS, 302)]
    assert not Application.objects.filter(pk=shop.pk).exists()


def test_who_may_not_delete_applications_is_offered_no_button(as_analyst, shop):
    assert "/delete/" not in as_analyst.get(page_of(shop)).content.decode()
    assert as_analyst.post(f"{ADDRESS}{shop.pk}/delete/").status_code == 403


@pytest.mark.parametrize("part", ["", "live/", "add/", "1/change/", "1/traffic/", "1/rotate/", "1/pause/"])
def test_a_stranger_sees_nothing(as_stranger, part):
    assert as_stranger.get(ADDRESS + part).status_code == 403


@pytest.mark.parametrize("part", ["rotate/", "pause/"])
def test_dialogs_are_posted_with_a_token_only(analyst, shop, part):
    client = Client(enforce_csrf_checks=True)
    client.force_login(analyst)

    asked = client.get(f"{ADDRESS}{shop.pk}/{part}", headers={"HX-Request": "true"}).content.decode()

    assert "csrfmiddlewaretoken" in asked and "<html" not in asked
    assert client.post(f"{ADDRESS}{shop.pk}/{part}", {"overlap_hours": "1"}).status_code == 403
