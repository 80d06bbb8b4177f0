"""Forms that are sent after the session has expired, or while the server fails: their content is not lost."""

import html
import re
from datetime import timedelta

import pytest
import time_machine
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import OperationalError
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from config.pages.kept_forms import MAX_KEPT
from projects.factories import ProjectFactory
from projects.models import Project

FORM = {"name": "Winter sale", "description": 'Snow & "ice"\nfrom <Monday>', "owner": ""}
UNSENT = "/admin/unsent-forms/"


def sign_in(client: Client, name: str) -> str:
    """Sign in with the form, and return where the response redirects to."""
    address = client.login_page if hasattr(client, "login_page") else "/admin/login/?next=/admin/"
    answer = client.post(address, {"username": name, "password": "correct horse"})
    assert answer.status_code == 302
    client.get("/admin/")
    return answer.headers["Location"]


def end_session(client: Client) -> None:
    Session.objects.filter(session_key=client.session.session_key).delete()


def fields_of(page: str) -> dict[str, str]:
    """Return the fields of the page's first form, as a browser would send them."""
    form = re.search(r"<form method=\"post\" action=\"[^\"]*\" data-once>(.*?)</form>", page, re.DOTALL)[1]
    found = re.findall(r'<textarea name="([^"]*)"[^>]*>\n(.*?)</textarea>', form, re.DOTALL)
    return {name: html.unescape(value) for name, value in found}


@pytest.fixture
def at_form(client: Client, planner: User) -> Client:
    """Return a planner's browser whose session has ended while a form was open."""
    sign_in(client, "paula")
    end_session(client)
    return client


def test_a_form_sent_after_the_session_ended_is_shown_after_the_login_and_can_be_sent(at_form: Client):
    add = reverse("admin:projects_project_add")

    answer = at_form.post(add, FORM, headers={"referer": f"http://testserver{add}"})
    at_form.login_page = answer.headers["Location"]
    after = sign_in(at_form, "paula")
    page = at_form.get(after)

    assert answer.status_code == 302 and answer.headers["Location"].startswith("/admin/login/")
    assert after == UNSENT
    assert "Winter sale" in page.content.decode() and html.escape(FORM["description"]) in page.content.decode()
    assert not Project.objects.exists()

    sent = at_form.post(add, fields_of(page.content.decode()))

    assert sent.status_code == 302
    assert Project.objects.get().description.replace("\r\n", "\n") == FORM["description"]
    assert at_form.get(UNSENT).headers["Location"] == "/admin/"


def test_another_user_who_signs_in_does_not_see_what_was_typed(at_form: Client, marketer: User):
    at_form.post(reverse("admin:projects_project_add"), FORM)

    sign_in(at_form, "mara")

    assert at_form.get(UNSENT).headers["Location"] == "/admin/"


def test_a_stranger_cannot_store_anything(client: Client, db):
    answer = client.post(reverse("admin:projects_project_add"), FORM)

    assert answer.headers["Location"] == "/admin/login/?next=%2Fadmin%2F"
    assert not Session.objects.exists()


@pytest.mark.parametrize("header", ["referer", "hx-current-url"])
def test_a_header_that_is_not_an_address_leads_to_the_front_page(client: Client, db, header: str):
    answer = client.post(reverse("admin:projects_project_add"), FORM, headers={header: "http://[::1"})

    assert answer.headers["Location"] == "/admin/login/?next=%2Fadmin%2F"


def test_a_forged_user_cookie_stores_nothing(client: Client, planner: User):
    client.cookies[f"{settings.SESSION_COOKIE_NAME}_user"] = f"{planner.pk}:forged"

    client.post(reverse("admin:projects_project_add"), FORM)

    assert not Session.objects.exists()


def test_a_form_that_is_too_large_is_not_stored(at_form: Client):
    at_form.post(reverse("admin:projects_project_add"), {**FORM, "description": "x" * 400_000})

    assert not Session.objects.exists()


def test_a_user_who_may_not_sign_in_any_more_cannot_store_anything(at_form: Client, planner: User):
    User.objects.filter(pk=planner.pk).update(is_active=False)

    at_form.post(reverse("admin:projects_project_add"), FORM)

    assert not Session.objects.exists()


def test_a_program_with_the_cookie_of_a_user_cannot_fill_the_database(at_form: Client):
    kept = settings.SESSION_COOKIE_NAME + "_user"
    remembered = at_form.cookies[kept].value

    for number in range(MAX_KEPT + 20):
        sender = Client()
        sender.cookies[kept] = remembered
        sender.post(reverse("admin:projects_project_add"), {**FORM, "name": f"Sale {number}"})

    assert Session.objects.count() == MAX_KEPT


def test_a_login_form_with_an_old_token_is_not_kept_as_an_unsent_form(planner: User):
    client = Client(enforce_csrf_checks=True)
    client.force_login(planner)
    client.get("/admin/")
    form = {"username": "paula", "password": "correct horse", "csrfmiddlewaretoken": "x" * 32}
    login = "/admin/login/?next=/admin/projects/task/"

    signed_in = client.post(login, form, headers={"origin": "http://testserver"})
    end_session(client)
    signed_out = client.post(login, form, headers={"origin": "http://testserver"})

    assert signed_in.headers["Location"] == signed_out.headers["Location"] == login
    assert not Session.objects.exists()
    assert client.get(login).status_code == 200


def test_passwords_secret_values_and_files_are_not_kept_but_named(client: Client, superuser: User):
    sign_in(client, "root")
    end_session(client)
    form = {
        "name": "Env", "password1": "battery staple", "variables-0-name": "API", "variables-0-value": "hush",
        "variables-0-secret": "on", "variables-1-value": "public", "plan": SimpleUploadedFile("plan.txt", b"x"),
    }  # fmt: skip

    client.post("/admin/testrunner/testenvironment/17/settings/", form)
    stored = client.session["unsent_forms"][0]

    assert "battery staple" not in str(stored) and "hush" not in str(stored)
    assert ["variables-1-value", "public"] in stored["fields"]
    assert stored["left_out"] == ["Password1", "Value", "Plan (file plan.txt)"]


def test_a_form_of_another_tab_with_an_old_token_is_kept_for_the_user_who_is_signed_in(planner: User):
    client = Client(enforce_csrf_checks=True)
    client.force_login(planner)
    add = reverse("admin:projects_project_add")

    answer = client.post(add, {**FORM, "csrfmiddlewaretoken": "x" * 32}, headers={"origin": "http://testserver"})

    assert answer.headers["Location"] == UNSENT
    assert "Winter sale" in client.get(UNSENT).content.decode()


@pytest.mark.parametrize("origin", ["http://evil.example", "null", ""])
def test_a_form_of_another_site_is_refused_and_not_kept(planner: User, origin: str):
    client = Client(enforce_csrf_checks=True)
    client.force_login(planner)

    answer = client.post(reverse("admin:projects_project_add"), FORM, headers={"origin": origin} if origin else {})

    assert answer.status_code == 403
    assert client.get(UNSENT).headers["Location"] == "/admin/"


def test_a_kept_form_is_discarded(at_form: Client):
    add = reverse("admin:projects_project_add")
    at_form.post(add, FORM)
    sign_in(at_form, "paula")

    answer = at_form.post(f"{UNSENT}discard/", {"path": add})

    assert answer.headers["Location"] == UNSENT
    assert at_form.get(UNSENT).headers["Location"] == "/admin/"


def test_a_button_without_typed_text_leads_back_to_its_page_after_the_login(at_form: Client):
    board = reverse("admin:projects_task_calendar")

    answer = at_form.post(
        reverse("admin:projects_task_calendar_link"), {}, headers={"referer": f"http://testserver{board}"}
    )

    assert answer.headers["Location"] == "/admin/login/?next=%2Fadmin%2Fprojects%2Ftask%2Fcalendar%2F"


def test_htmx_opens_the_login_page_for_a_form_and_leaves_a_page_that_only_looks(at_form: Client):
    project = ProjectFactory()
    htmx = {"hx-request": "true"}

    looking = at_form.get(reverse("admin:projects_project_cards", args=[project.pk]), headers=htmx)
    sending = at_form.post(reverse("admin:projects_project_add"), FORM, headers=htmx)

    assert looking.status_code == 401 and looking.content == b""
    assert sending.headers["HX-Redirect"].startswith("/admin/login/")


def test_a_form_that_meets_a_failing_database_can_be_sent_again_from_the_page(as_planner: Client, monkeypatch):
    def away(*args: object, **kwargs: object) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr("projects.services.create_project", away)
    as_planner.raise_request_exception = False

    answer = as_planner.post(reverse("admin:projects_project_add"), FORM)
    page = answer.content.decode()

    assert answer.status_code == 503
    assert "http-equiv" not in page and html.escape(FORM["description"]) in page
    assert f'action="{reverse("admin:projects_project_add")}"' in page


def test_a_session_that_is_used_does_not_end(client: Client, planner: User):
    sign_in(client, "paula")
    soon = timezone.now() + timedelta(minutes=5)
    session = client.session
    session["renewed_at"] = 0
    session.save()
    Session.objects.update(expire_date=soon)

    client.get("/admin/", headers={"sec-fetch-mode": "cors"})
    unused = Session.objects.get().expire_date
    client.get("/admin/", headers={"sec-fetch-mode": "navigate"})

    assert unused == soon
    assert Session.objects.get().expire_date > soon + timedelta(hours=7)


def test_a_session_ends_thirty_days_after_the_login_however_often_it_is_used(client: Client, planner: User):
    with time_machine.travel("2030-01-01T12:00Z", tick=False) as clock:
        sign_in(client, "paula")
        statuses = []
        for _ in range(31 * 4):
            clock.shift(timedelta(hours=6))
            statuses.append(client.get("/admin/").status_code)
        sign_in(client, "paula")
        clock.shift(timedelta(hours=6))

        assert statuses == [200] * 119 + [302] * 5
        assert client.get("/admin/").status_code == 200


def test_a_session_that_is_too_old_ends_for_rest_too(client: Client, planner: User):
    with time_machine.travel("2030-01-01T12:00Z", tick=False) as clock:
        sign_in(client, "paula")
        Session.objects.update(expire_date=timezone.now() + timedelta(days=60))
        before = client.get("/tasks/").status_code
        clock.shift(timedelta(days=30))

        assert (before, client.get("/tasks/").status_code) == (200, 401)
