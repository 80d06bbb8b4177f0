"""Every admin page works, in the theme's look, for users with permission."""

import pytest
from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.db import connection
from django.db.models import Model
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)
from unfold.admin import ModelAdmin

from accounts.tokens import issue_token
from chats.factories import BannerFactory, BroadcastFactory, ChatFactory, MessageFactory
from events.factories import EventFactory, EventTypeFactory, RejectedEventFactory
from events.models import Session
from projects.factories import TaskFactory
from projects.models import Reminder
from projects.reports import generate_report

pytestmark = pytest.mark.django_db
PASSWORD = "a long enough one"
REGISTERED = [model._meta.label_lower for model in admin.site._registry]


@pytest.fixture
def populated(superuser) -> None:
    """Create at least one row of every model that has a page."""
    MessageFactory(chat=ChatFactory())
    BroadcastFactory(banner=BannerFactory(), banner_url="https://photos.example.com/1.jpeg")
    Reminder.objects.create(task=TaskFactory(), due_date=timezone.now())
    generate_report()
    issue_token(user=superuser, key="abcdef0123456789")
    every_minute = IntervalSchedule.objects.create(every=1, period="minutes")
    PeriodicTask.objects.create(name="tidy", task="projects.tasks.send_reminders", interval=every_minute)
    CrontabSchedule.objects.create(hour="7")
    ClockedSchedule.objects.create(clocked_time=timezone.now())
    SolarSchedule.objects.create(event="sunrise", latitude=52, longitude=13)
    EventTypeFactory()
    RejectedEventFactory()
    seen = EventFactory().timestamp
    Session.objects.create(session_id="visit", first_seen=seen, last_seen=seen, event_count=1)
    access = {"username": "mara", "ip_address": "192.0.2.1", "user_agent": "a", "http_accept": "b", "path_info": "/c"}
    AccessAttempt.objects.create(**access, failures_since_start=5)
    AccessLog.objects.create(**access)
    AccessFailureLog.objects.create(**access)


def model_named(label: str) -> type[Model]:
    return next(model for model in admin.site._registry if model._meta.label_lower == label)


def address(model: type[Model], page: str, *args: object) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


@pytest.mark.parametrize("label", REGISTERED)
def test_every_list_and_every_form_answers(populated, as_superuser, rf, superuser, label):
    model = model_named(label)
    request = rf.get("/")
    request.user = superuser

    answers = {"list": as_superuser.get(address(model, "changelist"))}
    answers["search"] = as_superuser.get(address(model, "changelist"), {"q": "a"})
    if admin.site._registry[model].has_add_permission(request):
        answers["add"] = as_superuser.get(address(model, "add"))
    for row in model._default_manager.all()[:2]:
        answers[f"row {row.pk}"] = as_superuser.get(address(model, "change", row.pk), follow=True)

    assert len(answers) >= 3
    assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(answers, 200)


def test_every_page_has_the_theme():
    assert [label for label in REGISTERED if not isinstance(admin.site._registry[model_named(label)], ModelAdmin)] == []


def test_a_stranger_sees_no_list(populated, as_stranger):
    for label in REGISTERED:
        assert as_stranger.get(address(model_named(label), "changelist")).status_code == 403, label


@pytest.mark.parametrize("page", ["/admin/password_change/", "/admin/", "/admin/search/?s=chat&extended=1"])
def test_the_pages_beside_the_models_answer(as_superuser, page):
    assert as_superuser.get(page).status_code == 200


@pytest.mark.parametrize("label", ["axes.accessattempt", "axes.accesslog", "axes.accessfailurelog"])
def test_what_is_a_log_is_not_written_by_hand(populated, as_superuser, label):
    model = model_named(label)

    assert as_superuser.get(address(model, "add")).status_code == 403
    page = as_superuser.get(address(model, "change", model._default_manager.get(username="mara").pk)).content.decode()
    assert 'name="_save"' not in page


def test_the_list_of_tokens_shows_only_how_they_begin(populated, as_superuser):
    page = as_superuser.get(reverse("admin:accounts_accesstoken_changelist")).content.decode()

    assert "abcdef…" in page
    assert "abcdef0" not in page


def test_a_new_user_signs_in_with_the_role_of_the_first_form(as_superuser, client):
    viewers = Group.objects.get(name="viewer")
    form = {
        "username": "nora",
        "email": "nora@example.com",
        "groups": [viewers.pk],
        "password1": PASSWORD,
        "password2": PASSWORD,
    }

    as_superuser.post(reverse("admin:auth_user_add"), form)

    nora = User.objects.get(username="nora")
    assert list(nora.groups.all()) == [viewers]
    assert nora.email == "nora@example.com"
    signed_in = client.post(reverse("admin:login"), {"username": "nora", "password": PASSWORD}, follow=True)
    assert "Hello, nora" in signed_in.content.decode()
    assert client.get(reverse("admin:chats_chat_changelist")).status_code == 200


def test_a_new_user_needs_a_password(as_superuser):
    viewers = Group.objects.get(name="viewer")

    page = as_superuser.post(reverse("admin:auth_user_add"), {"username": "nora", "groups": [viewers.pk]})

    assert "password1" in page.context["adminform"].form.errors
    assert not User.objects.filter(username="nora").exists()


def test_the_navigation_shows_what_one_may_see(as_viewer, as_superuser):
    for_viewer = as_viewer.get("/admin/").content.decode()
    for_superuser = as_superuser.get("/admin/").content.decode()

    for title in ("Users", "Tokens", "Schedules", "Locked accounts"):
        assert f"<span>{title}</span>" in for_superuser
        assert f"<span>{title}</span>" not in for_viewer
    assert "<span>Chats</span>" in for_viewer


def test_the_palette_finds_a_chat_by_how_its_uuid_begins(as_viewer, as_stranger):
    chat = ChatFactory()
    term = {"s": str(chat.user_uuid)[:8], "extended": "1"}

    assert address(type(chat), "change", chat.pk) in as_viewer.get("/admin/search/", term).content.decode()
    assert str(chat.user_uuid) not in as_stranger.get("/admin/search/", term).content.decode()


def test_the_palette_does_not_look_for_what_may_mean_anybody(as_viewer):
    chat = ChatFactory()

    assert str(chat.user_uuid) not in as_viewer.get(
        "/admin/search/", {"s": str(chat.user_uuid)[:3], "extended": "1"}
    ).content.decode()  # fmt: skip


def filters() -> list[str]:
    """Return the URLs of all admin lists, each with one of its filters set to NUL."""
    found = []
    for model, its_admin in admin.site._registry.items():
        address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        names = [name for name in its_admin.list_filter if isinstance(name, str)]
        names += [name[0] for name in its_admin.list_filter if isinstance(name, tuple)]
        found += [f"{address}?{name}=%00" for name in [*names, "q", *(f"{name}__exact" for name in names)]]
    return found


def test_a_nul_in_a_query_is_not_handed_on_to_the_database(as_superuser):
    choices = "/admin/autocomplete/?app_label=projects&model_name=task&field_name=project&term=%00"

    answers = {address: as_superuser.get(address).status_code for address in [*filters(), choices]}

    assert [address for address, status in answers.items() if status not in (200, 302)] == []


def test_no_search_for_thousands_of_words_is_handed_on_to_the_database(as_superuser):
    words = "a " * 5_000
    lists = [reverse(f"admin:{label.replace('.', '_')}_changelist") for label in REGISTERED]
    choices = "/admin/autocomplete/?app_label=projects&model_name=task&field_name=project"

    with CaptureQueriesContext(connection) as asked:
        for address in lists:
            assert as_superuser.get(address, {"q": words}, follow=True).status_code == 200, address
        assert as_superuser.get(f"{choices}&term={words}").status_code == 200

    assert any("LIKE" in query["sql"] for query in asked)
    assert [query["sql"][:200] for query in asked if query["sql"].count("LIKE") > 2_000] == []
