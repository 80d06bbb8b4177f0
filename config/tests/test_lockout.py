"""Five wrong passwords lock a name for its address, for a limited time, with a clear message."""

from datetime import timedelta

import pytest
import time_machine
from axes.models import AccessAttempt
from django.test import Client
from django.utils import timezone

pytestmark = pytest.mark.django_db
LOGIN = "/admin/login/"
TOKEN = "/auth/token/"
RIGHT = {"username": "vic", "password": "correct horse"}
WRONG = {"username": "vic", "password": "wrong"}


@pytest.fixture(autouse=True)
def _quick_hashes(settings) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # five tries compute five hashes


@pytest.fixture
def client(viewer) -> Client:
    return Client()


def fail(client: Client, times: int, address: str = LOGIN, **more: str) -> None:
    for _ in range(times):
        client.post(address, WRONG, **more)


def test_four_wrong_passwords_lock_nobody_out(client):
    fail(client, 4)

    assert client.post(LOGIN, RIGHT).status_code == 302


def test_the_fifth_wrong_password_locks_out_and_the_page_says_so(client):
    fail(client, 4)

    answer = client.post(LOGIN, WRONG)

    assert answer.status_code == 429
    page = answer.content.decode()
    assert "Locked out for a while" in page and "15 minutes" in page


def test_the_right_password_does_not_help_while_locked_out(client):
    fail(client, 5)

    assert client.post(LOGIN, RIGHT).status_code == 429


def test_others_at_the_same_address_and_the_same_name_elsewhere_still_get_in(client, marketer):
    fail(client, 5)

    assert client.post(LOGIN, {"username": "mara", "password": "correct horse"}).status_code == 302
    assert Client().post(LOGIN, RIGHT, REMOTE_ADDR="198.51.100.7").status_code == 302


def test_the_lock_ends_by_itself(client):
    fail(client, 5)

    with time_machine.travel(timezone.now() + timedelta(minutes=15, seconds=1)):
        assert client.post(LOGIN, RIGHT).status_code == 302


def test_an_administrator_lifts_it_at_once(client, as_superuser):
    fail(client, 5)
    attempt = AccessAttempt.objects.get()

    page = as_superuser.get("/admin/axes/accessattempt/").content.decode()
    as_superuser.post(f"/admin/axes/accessattempt/{attempt.pk}/delete/", {"post": "yes"})

    assert "Locked out" in page
    assert client.post(LOGIN, RIGHT).status_code == 302


def test_a_program_is_told_in_its_own_words(client):
    fail(client, 4, TOKEN)

    answer = client.post(TOKEN, WRONG)

    assert answer.status_code == 429
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Retry-After"] == "900"
    assert "15 minutes" in answer.json()["detail"]


def test_no_password_is_kept_of_a_failed_login(client):
    fail(client, 1)

    assert "wrong" not in AccessAttempt.objects.get().post_data


def test_the_log_names_the_account_that_is_locked_out_and_no_other_name(client, caplog):
    fail(client, 5)
    Client().post(LOGIN, {"username": "correct horse", "password": "vic"})  # typed into the wrong fields

    lines = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("axes"))

    assert "Locking out vic from 127.0.0.1 at /admin/login/ after repeated login failures" in lines
    assert "an unknown name from 127.0.0.1 at /admin/login/" in lines
    assert "correct horse" not in lines and "wrong" not in lines


def test_the_addresses_of_one_ipv6_network_are_counted_together(client):
    for number in range(5):
        client.post(LOGIN, WRONG, REMOTE_ADDR=f"2001:db8:1:2::{number}")

    assert client.post(LOGIN, RIGHT, REMOTE_ADDR="2001:db8:1:2:ffff::9").status_code == 429
    assert client.post(LOGIN, RIGHT, REMOTE_ADDR="2001:db8:1:3::9").status_code == 302
