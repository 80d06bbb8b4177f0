"""Every page of the admin, as every role: what is shown works, and nonsense is refused politely."""

from collections import Counter

import pytest
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.test import Client
from django.urls import URLResolver, get_resolver, reverse

from config.management.commands import create_demo
from config.tests.crawler import Visitor
from config.tests.matrix import create_everything

ROLES = ["viewer", "marketing", "planning", "analytics", "testing", "superuser"]


def visitor(role: str) -> Visitor:
    user = User.objects.create_user(
        f"guest in {role}", f"{role}@localhost", is_staff=True, is_superuser=role == "superuser"
    )
    user.groups.set(Group.objects.filter(name=role))
    client = Client(raise_request_exception=False)
    client.force_login(user)
    return Visitor(client)


@pytest.fixture
def demo(db, settings, monkeypatch) -> None:
    settings.LOCAL = True
    monkeypatch.setattr(create_demo, "CHATS", 5)
    monkeypatch.setattr(create_demo, "EVENTS", 50)
    User.objects.create_superuser("admin", password="correct horse")
    call_command("create_demo", verbosity=0)


def test_no_two_addresses_of_the_admin_share_a_name():
    counts = Counter(_names(get_resolver("config.urls").url_patterns))

    assert [name for name, count in counts.items() if count > 1] == []


def _names(patterns: list) -> list[str]:
    """Names that `reverse` takes; several patterns of one view are one address with fewer and more parts."""
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
@pytest.mark.timeout(900)
@pytest.mark.parametrize("role", ROLES)
def test_every_link_and_every_form_that_a_role_is_shown_works(role, demo):
    guest = visitor(role)

    guest.visit("/admin/")

    assert guest.problems == [], "\n".join(guest.problems)
    assert sum(guest.seen.values()) > 40
