"""The password in the README works on a local instance only."""

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client

from config.local.demo_password import DEMO_PASSWORD

pytestmark = pytest.mark.django_db
LOGIN = {"username": "admin", "password": DEMO_PASSWORD}


@pytest.mark.parametrize(("local", "statuses"), [(True, (302, 200)), (False, (200, 400))])
def test_it_opens_no_door_outside_of_local_mode(settings, local, statuses):
    User.objects.create_superuser("admin", password=DEMO_PASSWORD)
    settings.LOCAL = local

    admin, token = Client().post("/admin/login/", LOGIN), Client().post("/auth/token/", LOGIN)

    assert (admin.status_code, token.status_code) == statuses


def test_no_demo_users_are_created_outside_of_local_mode(settings):
    settings.LOCAL = False

    with pytest.raises(CommandError, match="local instances only"):
        call_command("create_demo")

    assert not User.objects.exists()
