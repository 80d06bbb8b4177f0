"""A refused form shows everything that was typed into it, in every form of the admin."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from config.tests.matrix import ENVIRONMENT, ID, create_everything
from config.tests.pages import Form, Page

pytestmark = pytest.mark.django_db
FORMS = [
    f"/admin/auth/user/{ID}/change/", "/admin/auth/user/add/", "/admin/auth/group/add/",
    "/admin/django_celery_beat/periodictask/add/", f"/admin/django_celery_beat/intervalschedule/{ID}/change/",
    f"/admin/django_celery_beat/crontabschedule/{ID}/change/", "/admin/projects/project/add/",
    f"/admin/projects/project/{ID}/change/", "/admin/projects/task/add/", f"/admin/projects/task/{ID}/change/",
    "/admin/events/application/add/", f"/admin/events/application/{ID}/change/", "/admin/events/eventtype/add/",
    f"/admin/events/eventtype/{ID}/change/", "/admin/chats/broadcast/add/", "/admin/testrunner/testrun/add/",
    f"/admin/testrunner/testenvironment/{ENVIRONMENT}/settings/",
    f"/admin/testrunner/testenvironment/{ENVIRONMENT}/reserve/", f"/admin/events/application/{ID}/rotate/",
]  # fmt: skip
TYPED = {"text": "typed \u00e9 <&> \"'", "textarea": "  two\nlines <&>", "number": "abc", "email": "not an address"}
# Secrets, the template row for new rows, and the field that keeps a pasted list.
LEFT_OUT = ("password", "secret", "__prefix__", "users_kept")
WRONG = {  # invalid values for forms that a wrong number does not make invalid
    "name": "", "username": "", "title": "", "category": "", "text": "", "requested_by": "x" * 300, "minutes": "-1",
    "send_at": "never", "crontab": "", "minute": "seventy", "note": "x" * 5_000,
}  # fmt: skip


@pytest.fixture
def user(db) -> Client:
    create_everything()
    client = Client()
    client.force_login(User.objects.create_superuser("root", password="correct horse"))
    return client


def main_form(page: str) -> Form:
    return max((form for form in Page(page).forms if form.method == "post"), key=lambda form: len(form.kinds))


def filled(form: Form) -> dict[str, list[str]]:
    data = form.data()
    for name, kind in form.kinds.items():
        if name.startswith(("_", "initial-", "csrf")) or name.endswith("_FORMS") or kind == "hidden":
            continue
        if kind == "select" and len(form.choices[name]) > 1:
            data[name] = [form.choices[name][-1]]
        elif kind == "checkbox":
            data[name] = form.choices[name][:1] if name not in data else []
        elif kind in TYPED:
            data[name] = [TYPED[kind]]
        if name in WRONG and kind != "select":
            data[name] = [WRONG[name]]
    return data


@pytest.mark.parametrize("address", FORMS)
def test_a_refused_form_shows_everything_that_was_typed(address: str, user: Client):
    sent = filled(main_form(user.get(address).content.decode()))

    answer = user.post(address, sent)
    shown = main_form(answer.content.decode()).data()

    assert answer.status_code == 200
    for name, values in sent.items():
        if not name.startswith(("_", "initial-", "csrf")) and not any(word in name for word in LEFT_OUT):
            assert [each.replace("\r\n", "\n") for each in shown.get(name, [])] == values, name


def test_rows_of_a_form_that_were_added_and_are_refused_stay(user: Client):
    address = f"/admin/testrunner/testenvironment/{ENVIRONMENT}/settings/"
    sent = main_form(user.get(address).content.decode()).data(**{
        "name": "", "variables-TOTAL_FORMS": "2", "variables-0-name": "API_URL", "variables-0-value": "https://a.example",
        "variables-1-name": "KEY", "variables-1-value": "two\nlines",
    })  # fmt: skip

    shown = main_form(user.post(address, sent).content.decode()).data()

    for name in ("variables-0-name", "variables-0-value", "variables-1-name", "variables-1-value"):
        assert [each.replace("\r\n", "\n") for each in shown[name]] == sent[name]
