"""The page "My access": it shows a user's own tokens, feed and sessions, and ends each of them, or all."""

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client

from accounts.sessions import sessions_of
from accounts.tokens import issue_token
from accounts.zones import choose_zone, zone_of
from config.pages.my_access import browser_of
from projects.calendar.feed import new_token

pytestmark = pytest.mark.django_db
PAGE, END = "/admin/my-access/", "/admin/my-access/end/"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


def signed_in(name: str = "paula", **headers: str) -> Client:
    """Return a client that signed in with the form, as users do."""
    client = Client(headers=headers)
    answer = client.post("/admin/login/", {"username": name, "password": "correct horse"}, REMOTE_ADDR="192.0.2.7")
    assert answer.status_code == 302
    return client


def shown(client: Client) -> str:
    answer = client.get(PAGE)
    assert answer.status_code == 200
    return answer.content.decode()


def end(client: Client, what: str, which: object = "") -> None:
    assert client.post(END, {"what": what, "which": which}).headers["Location"] == PAGE


def works(key: str) -> bool:
    return Client().get("/tasks/", headers={"Authorization": f"Token {key}"}).status_code == 200


def test_it_shows_what_opens_the_account_and_no_secret(planner, viewer):
    client = signed_in(user_agent=FIREFOX)
    _, key = issue_token(user=planner)
    _, foreign = issue_token(user=viewer)
    _, secret = new_token(user=planner)

    page = shown(client)

    assert key[:6] in page and "Calendar of tasks" in page
    assert "Firefox on Linux" in page and "192.0.2.7" in page and "This session" in page
    session = client.session.session_key
    assert [hidden for hidden in (key, foreign, foreign[:6], secret, session) if hidden in page] == []


def test_each_thing_is_ended_by_itself(planner):
    client, other = signed_in(), signed_in()
    (token, key), (_, kept) = issue_token(user=planner), issue_token(user=planner)
    _, secret = new_token(user=planner)
    mark = next(each.mark for each in sessions_of(planner) if each.key == other.session.session_key)

    end(client, "token", token.pk)
    assert (works(key), works(kept)) == (False, True)
    assert Client().get(f"/calendar/{secret}.ics").status_code == 200
    end(client, "feed")
    assert Client().get(f"/calendar/{secret}.ics").status_code == 404
    end(client, "session", mark)

    assert other.get(PAGE).status_code == 302
    assert client.get(PAGE).status_code == 200


def test_everything_ends_but_this_session(planner, viewer):
    client, other, neighbour = signed_in(), signed_in(), signed_in("vic")
    keys = [issue_token(user=planner)[1] for _ in range(3)]
    _, foreign = issue_token(user=User.objects.get(pk=viewer.pk))

    end(client, "all")

    assert [works(key) for key in keys] == [False] * 3
    assert works(foreign)
    assert [each.get(PAGE).status_code for each in (client, other, neighbour)] == [200, 302, 200]


def test_nothing_of_another_user_can_be_ended(planner, viewer):
    client, neighbour = signed_in(), signed_in("vic")
    token, key = issue_token(user=viewer)
    mark = next(sessions_of(viewer)).mark

    end(client, "token", token.pk)
    end(client, "session", mark)

    assert works(key)
    assert neighbour.get(PAGE).status_code == 200


@pytest.mark.parametrize("body", [{}, {"what": "token"}, {"what": "token", "which": "x"}, {"what": "session"}])
def test_a_request_that_names_nothing_ends_nothing(planner, body):
    client, other = signed_in(), signed_in()
    _, key = issue_token(user=planner)

    assert client.post(END, body).status_code == 302

    assert works(key)
    assert other.get(PAGE).status_code == 200


def test_another_session_ends_with_the_password_and_is_not_shown_any_more(planner):
    client, other = signed_in(), signed_in()
    new = "a long enough one"
    form = {"old_password": "correct horse", "new_password1": new, "new_password2": new}
    assert client.post("/admin/password_change/", form).status_code == 302

    page = shown(client)

    assert other.get(PAGE).status_code == 302
    assert len(re.findall('<span class="access-name">', page)) == 1


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (FIREFOX, "Firefox on Linux"),
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0", "Edge on Windows"),
        ("Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 Chrome/140.0 Mobile Safari/537.36", "Chrome on Android"),
        ("curl/8.5", "Browser"),
        ("", "Unknown browser"),
    ],
)
def test_a_browser_is_named_as_people_name_it(header, words):
    assert browser_of(header) == words


# --- The time zone ------------------------------------------------------------------------------------
def test_a_chosen_time_zone_is_that_of_all_pages(as_planner, planner):
    answer = as_planner.post("/admin/my-access/time-zone/", {"time_zone": "America/New_York"}, follow=True)

    page = answer.content.decode()
    assert "Times are now shown in America/New York." in page
    assert '<option value="America/New_York" selected>' in page and 'data-zone="America/New_York"' in page
    assert str(zone_of(planner)) == "America/New_York"


@pytest.mark.parametrize("name", ["", "Europe/Atlantis", "../../etc/passwd", "x" * 300, "\x00"])
def test_an_unknown_time_zone_is_refused_and_changes_nothing(as_planner, planner, name):
    choose_zone(user=planner, name="Asia/Kolkata")

    answer = as_planner.post("/admin/my-access/time-zone/", {"time_zone": name}, follow=True)

    assert "is not a known time zone." in answer.content.decode()
    assert str(zone_of(planner)) == "Asia/Kolkata"
