"""Every admin page as every role: all links work, and invalid input is refused without errors."""

from collections import Counter

import pytest
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.db import transaction
from django.test import Client
from django.urls import URLResolver, get_resolver, reverse
from rest_framework.test import APIClient

from config.tests.crawler import HEADERS, IN_HEADERS, Visitor
from config.tests.matrix import create_everything
from config.tests.rest_routes import ROUTES

ROLES = ["viewer", "marketing", "planning", "analytics", "testing", "superuser"]


APPS = "chats|events|projects|testrunner|auth|accounts|axes|django_celery_beat"
AREAS = {app: f"/admin/{app}/" for app in APPS.split("|")} | {"other pages": f"/admin/(?!({APPS})/)"}


def visitor(role: str, inside: str = "") -> Visitor:
    user = User.objects.create_user(
        f"guest in {role}", f"{role}@localhost", is_staff=True, is_superuser=role == "superuser"
    )
    user.groups.set(Group.objects.filter(name=role))
    client = Client(raise_request_exception=False)
    client.force_login(user)
    return Visitor(client, inside)


@pytest.fixture
def demo(db, settings, monkeypatch) -> None:
    settings.LOCAL = True
    monkeypatch.setattr("chats.demo.fake.DEMO_CHATS", 5)
    monkeypatch.setattr("events.demo.fake.DEMO_EVENTS", 50)
    User.objects.create_superuser("admin", password="correct horse")
    call_command("create_demo", verbosity=0)


def test_no_two_addresses_of_the_admin_share_a_name():
    counts = Counter(_names(get_resolver("config.urls").url_patterns))

    assert [name for name, count in counts.items() if count > 1] == []


def _names(patterns: list) -> list[str]:
    """Return the names for `reverse`; several patterns of one view are one URL with fewer or more parts."""
    found: list[str] = []
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            if str(pattern.pattern) == "admin/" or (pattern.app_name is None and pattern.namespace is None):
                found += _names(pattern.url_patterns)
        elif pattern.name:
            found.append(pattern.name)
    return found


@pytest.mark.parametrize("role", ["viewer", "superuser"])
def test_the_first_pages_that_a_role_is_led_to_work(role, db):
    create_everything()
    guest = visitor(role)

    guest.visit("/admin/", most=30)

    assert guest.problems == [], "\n".join(guest.problems)
    assert sum(guest.seen.values()) == 30


def test_a_stranger_is_led_to_the_login_page_only(db):
    guest = Visitor(Client(raise_request_exception=False))

    guest.visit("/", "/admin/", "/admin/projects/task/?page=abc", "/admin/login/?next=//evil.example/")
    guest.try_nonsense()

    assert guest.problems == [], "\n".join(guest.problems)


@pytest.mark.django_db
def test_an_empty_name_of_a_column_in_an_address_or_a_form_is_no_failure():
    create_everything()
    guest = visitor("superuser")

    for model in admin.site._registry:
        meta = model._meta
        row = model._default_manager.first()
        for page in ("change", "delete"):
            address = reverse(f"admin:{meta.app_label}_{meta.model_name}_{page}", args=[quote(row.pk if row else 1)])
            answers = [guest.client.get(f"{address}?_to_field="), guest.client.post(address, {"_to_field": ""})]
            assert [answer for answer in answers if answer.status_code >= 500] == [], address


@pytest.mark.thorough
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore:DateTimeField .* received a naive datetime:RuntimeWarning")  # from a URL
@pytest.mark.parametrize("area", AREAS)
@pytest.mark.parametrize("role", ROLES)
def test_every_link_form_and_button_works_and_nonsense_is_refused_politely(role, area, demo):
    """The superuser tries a quarter of the invalid input, and each other role one part per role."""
    guest = visitor(role, AREAS[area])
    part = (0, 4) if role == "superuser" else (ROLES.index(role), len(ROLES))

    guest.visit("/admin/")
    guest.try_nonsense(*part)
    guest.try_nonsense_in_forms(*part)
    guest.try_ended_session()

    assert guest.problems == [], "\n".join(guest.problems)
    assert guest.forms or role != "superuser" or area in ("accounts", "axes")


@pytest.mark.thorough
def test_cookies_that_hold_anything_change_nothing(demo):
    guest = visitor("superuser")

    guest.try_cookies("/admin/", "/admin/projects/task/calendar/", "/admin/events/event/", "/admin/my-access/")

    assert guest.problems == [], "\n".join(guest.problems)


@pytest.mark.thorough
@pytest.mark.parametrize("value", IN_HEADERS)
def test_nonsense_in_every_header_of_every_rest_address_is_no_failure(value, superuser, settings):
    settings.BANNER_API_URL = "http://127.0.0.1:9/"
    create_everything()
    api = APIClient(raise_request_exception=False)
    api.force_authenticate(superuser)

    for route in ROUTES:
        for method in route.methods:
            with transaction.atomic():
                answer = api.generic(method, route.path, "{}", headers=dict.fromkeys(HEADERS, value))
                transaction.set_rollback(True)
            assert answer.status_code < 500 or answer.status_code == 502, (method, route.path, answer.content[:200])
