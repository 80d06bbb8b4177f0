"""Data of the permission matrix: every URL of the resolver, every role, and one row of everything."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from uuid import UUID

from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.contrib.auth.models import Group, User
from django.db import connection, transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)

from accounts.models import AccessToken
from accounts.tokens import issue_token
from chats.factories import BannerFactory, BroadcastFactory, ChatFactory, MessageFactory
from chats.models import Broadcast
from events.factories import (
    ApplicationFactory,
    EventFactory,
    EventTypeFactory,
    NotificationFactory,
    RejectedEventFactory,
    WriteKeyFactory,
)
from events.models import Application, EventType, Replay, Session
from projects.factories import CommentFactory, ProjectFactory, TaskFactory
from projects.models import Project, Reminder, Report, Task
from testrunner.factories import FileFactory, ResultFactory, RunFactory
from testrunner.models import TestEnvironment

ID = 1_000_000  # far beyond what sequences reach in tests
ENVIRONMENT = 17
KEY = UUID(int=1)
DAY = "2030-01-01"
VERSIONED = {"project": Project, "task": Task, "application": Application, "eventtype": EventType,
             "broadcast": Broadcast, "testenvironment": TestEnvironment}  # fmt: skip

# "interface": may see everything, but only with the REST API. "none": may enter the admin, without any permission.
ROLES = ["anonymous", "interface", "none", "viewer", "marketing", "planning", "analytics", "testing", "superuser"]
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
APP_LABELS = re.compile(r"(?<=\(\?P<app_label>)[\w|]+")  # in the order of the apps' registration
WRITES = re.compile(r"\s*(INSERT|UPDATE|DELETE|TRUNCATE|ALTER|CREATE|DROP|COPY|MERGE)\b", re.IGNORECASE)


# --- URLs ----------------------------------------------------------------------------------------
def routes(resolver: URLResolver | None = None, prefix: str = "") -> Iterator[str]:
    """Yield every route as declared, with the prefix of its include."""
    for entry in (resolver or get_resolver()).url_patterns:
        route = prefix + APP_LABELS.sub(lambda found: "|".join(sorted(found[0].split("|"))), str(entry.pattern))
        if isinstance(entry, URLResolver):
            yield from routes(entry, route)
        else:
            assert isinstance(entry, URLPattern)
            yield route


def address(route: str) -> str:
    """Return the route filled with the ids of `create_everything`."""
    model = route.split("/")[2] if route.startswith("admin/") and route.count("/") > 2 else ""
    row = {"testenvironment": ENVIRONMENT, "notification": KEY, "session": "visit"}.get(model, ID)
    if "^([^/]+)/history/([^/]+)/$" in route:
        return route.replace("^([^/]+)/history/([^/]+)/$", f"{row}/history/{_version(model)}/")
    named = {"object_id": row, "user_uuid": KEY, "event_id": KEY, "date": DAY, "session_id": "visit", "number": 1}
    named |= {"content_type_id": 1, "token": "secret", "name": "secret", "url": "nothing", "verb": "pause"}
    named |= {"app_label": "chats", "pk": ENVIRONMENT if route.startswith("environments/") else row}
    filled = re.sub(r"\(\?P<(\w+)>(?:[^()]|\([^()]*\))*\)", lambda found: str(named[found[1]]), route)
    filled = re.sub(r"<(?:\w+:)?(\w+)>", lambda found: str(named.get(found[1], ID)), filled)
    return filled.replace("^", "").replace("$", "")


def _version(model: str) -> int:
    row = ENVIRONMENT if model == "testenvironment" else ID
    return VERSIONED[model].history.filter(id=row).latest("history_id").history_id  # type: ignore[attr-defined]


# --- Rows ----------------------------------------------------------------------------------------
def create_everything() -> None:
    """Create one row of everything that a URL names."""
    chat = ChatFactory(pk=ID, user_uuid=KEY)
    BroadcastFactory(pk=ID)
    MessageFactory(pk=ID, chat=chat)
    BannerFactory(pk=ID)
    task = TaskFactory(pk=ID, project=ProjectFactory(pk=ID))
    CommentFactory(pk=ID, task=task)
    Reminder.objects.create(pk=ID, task=task, due_date=timezone.now())
    totals = dict.fromkeys(
        ["total", "pending", "in_progress", "completed", "due_today", "overdue", "done_yesterday"], 1
    )  # fmt: skip
    Report.objects.create(pk=ID, date=DAY, data={"totals": totals, "projects": []})
    _create_events()
    run = RunFactory(pk=ID, success=True)
    ResultFactory(pk=ID, run=run)
    FileFactory(pk=ID)
    TestEnvironment.objects.get(pk=ENVIRONMENT).save()  # the first version of its history
    _create_administration()


def _create_events() -> None:
    sender = ApplicationFactory(pk=ID)
    WriteKeyFactory(pk=ID, application=sender)
    EventTypeFactory(pk=ID)
    moment = EventFactory(pk=ID, application=sender, session_id="visit").timestamp
    Session.objects.create(pk="visit", first_seen=moment, last_seen=moment, event_count=1)
    RejectedEventFactory(pk=ID, application=sender)
    Replay.objects.create(pk=ID, selection={"ids": [ID]}, last_id=ID, total=1)
    NotificationFactory(pk=KEY)


def _create_administration() -> None:
    user = User.objects.create_user("somebody", pk=ID)
    Group.objects.create(pk=ID, name="some group")
    AccessToken.objects.filter(pk=issue_token(user=user)[0].pk).update(id=ID)
    interval = IntervalSchedule.objects.create(pk=ID, every=1, period="minutes")
    PeriodicTask.objects.create(pk=ID, name="tidy", task="config.tasks.tick", interval=interval)
    CrontabSchedule.objects.create(pk=ID)
    ClockedSchedule.objects.create(pk=ID, clocked_time=timezone.now())
    SolarSchedule.objects.create(pk=ID, event="sunrise", latitude=52, longitude=13)
    access = {"username": "mara", "ip_address": "192.0.2.1", "user_agent": "a", "http_accept": "b", "path_info": "/c"}
    AccessAttempt.objects.create(pk=ID, **access, failures_since_start=5)
    AccessLog.objects.create(pk=ID, **access)
    AccessFailureLog.objects.create(pk=ID, **access)


def signed_in(role: str) -> Client:
    """Return a client that is signed in as a user with the role, or anonymous."""
    client = Client(raise_request_exception=False)
    if role != "anonymous":
        user = User.objects.create_user(role, is_staff=role != "interface", is_superuser=role == "superuser")
        user.groups.set(Group.objects.filter(name="viewer" if role == "interface" else role))
        client.force_login(user)
    return client


# --- Requests ------------------------------------------------------------------------------------
@dataclass
class Column:
    """Results of one role: the response to each (route, method), and what GET has written."""

    answers: dict[tuple[str, str], str] = field(default_factory=dict)
    written: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    cacheable: list[str] = field(default_factory=list)


def methods(route: str) -> list[str]:
    """Return the methods to try. The admin's views support two; another test tries the others."""
    return ["GET", "POST"] if route.startswith("admin/") else METHODS


def column(role: str) -> Column:
    """Send one request per cell, with an empty body, and roll its effects back."""
    create_everything()
    client, found = signed_in(role), Column()
    cookies = client.cookies.output().replace("Set-Cookie: ", "")
    for route in routes():
        for method in methods(route):
            client.cookies.clear()  # the previous request may have signed out
            client.cookies.load(cookies)
            with transaction.atomic():
                _ask(client, route, method, found)
                transaction.set_rollback(True)
    return found


def _ask(client: Client, route: str, method: str, found: Column) -> None:
    statements: list[str] = []

    def listen(execute, sql, params, many, context):
        statements.append(str(sql))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(listen):
        body = {} if route.startswith("admin/") or method == "GET" else {"content_type": "application/json"}
        answer = client.generic(method, f"/{address(route)}", **body)
        if answer.streaming:
            answer.getvalue()  # reads to the end, where the response closes its file
            for close in answer._resource_closers:  # for HEAD, the test client does not close resources
                close()
    to_login = answer.status_code == 302 and answer.headers["Location"].startswith("/admin/login/")
    found.answers[route, method] = "login" if to_login else str(answer.status_code)
    written = [sql for sql in statements if WRITES.match(sql)]
    if method == "GET" and written:
        found.written[route, method] = written
    if method == "GET" and not {"private", "no-store"} & set(re.split(r"[, ]+", answer.headers["Cache-Control"])):
        found.cacheable.append(route)
