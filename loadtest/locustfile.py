"""A limited load on the local instance: `make loadtest`, for 30 s, with its report in the terminal.

Applications send single events and batches, a service sends notifications, users view lists. It uses only the REST API,
with a token for LOADTEST_USER (by default the demo's admin) and a new application with a write key. The data it creates
is kept, so use a demo or a copy. It refuses to run against another machine.
"""

from __future__ import annotations

import os
import random
import uuid
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import requests
from locust import FastHttpUser, between, events, task
from locust.env import Environment

LOOPBACK = {"127.0.0.1", "localhost", "::1"}
USER = os.environ.get("LOADTEST_USER", "admin")
PASSWORD = os.environ.get("LOADTEST_PASSWORD", "12345")  # the demo's
BATCH = 50
given: dict[str, str] = {}  # Authorization headers: "token" for programs, "key" for applications
outcomes: dict[str, int] = {"accepted": 0, "duplicates": 0, "rejected": 0}


class NotToBeLoaded(SystemExit):
    """The load test cannot run. The exception's text says why."""


@events.test_start.add_listener  # also if another host was entered on Locust's page
def refuse_elsewhere(environment: Environment, **_: Any) -> None:
    if urlsplit(environment.host or "").hostname not in LOOPBACK:
        raise NotToBeLoaded(f"{environment.host or 'This'} is not on this machine: only 127.0.0.1 is to be loaded.")


@events.init.add_listener
def prepare(environment: Environment, **_: Any) -> None:
    """Check that the instance responds, and create a token and a write key."""
    refuse_elsewhere(environment)
    host = environment.host
    try:
        requests.get(f"{host}/ping/", timeout=5).raise_for_status()
        login = requests.post(f"{host}/auth/token/", {"username": USER, "password": PASSWORD}, timeout=10)
    except requests.RequestException as error:
        raise NotToBeLoaded(f"No Opsroom answers at {host}: start one with make run, or name its PORT.") from error
    if not login.ok:
        raise NotToBeLoaded(f"{USER} may not log in at {host}: name LOADTEST_USER and LOADTEST_PASSWORD.")
    given["token"] = f"Token {login.json()['token']}"
    name = f"Load test {datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
    made = requests.post(
        f"{host}/applications/", json={"name": name}, headers={"Authorization": given["token"]}, timeout=10
    )
    if not made.ok:
        raise NotToBeLoaded(f"{USER} may not make an application at {host}: {made.status_code}.")
    given["key"] = f"Bearer {made.json()['write_key']}"


@events.test_stop.add_listener
def report(**_: Any) -> None:
    """Print the results of the events below Locust's own table."""
    print(f"\nEvents: {', '.join(f'{number:,} {what}' for what, number in outcomes.items())}.\n")


def event(session: str) -> dict[str, Any]:
    return {
        "event_id": str(uuid.uuid4()),
        "session_id": session,
        "category": "page interaction",
        "name": random.choice(["pageview", "cta click"]),
        "data": {"host": "www.example.com", "path": f"/{random.randint(1, 50)}", "element": "chat bubble"},
        "timestamp": datetime.now(UTC).isoformat(),
    }


class Application(FastHttpUser):
    """Sends events. One in twenty requests repeats an event, as after a lost response."""

    weight = 6
    wait_time = between(0.01, 0.1)

    def on_start(self) -> None:
        self.session = str(uuid.uuid4())
        self.last: Any = event(self.session)

    def send(self, body: Any, name: str) -> None:
        headers = {"Authorization": given["key"]}
        with self.client.post("/events/", json=body, headers=headers, name=name, catch_response=True) as answer:
            if answer.status_code != 202:
                answer.failure(f"answer {answer.status_code}")
                return
            for what in outcomes:
                outcomes[what] += answer.json()[what]

    @task(16)
    def one(self) -> None:
        self.last = event(self.session)
        self.send(self.last, "POST /events/ (one)")

    @task(3)
    def batch(self) -> None:
        self.send([event(self.session) for _ in range(BATCH)], f"POST /events/ ({BATCH})")

    @task(1)
    def again(self) -> None:
        self.send(self.last, "POST /events/ (again)")


class Program(FastHttpUser):
    abstract = True
    wait_time = between(0.2, 1)

    def on_start(self) -> None:
        self.headers = {"Authorization": given["token"]}


class Service(Program):
    """Sends notifications and reads their state."""

    weight = 2

    @task
    def notify(self) -> None:
        body = {"user_id": f"load test {random.randint(1, 1_000)}", "description": "Your order is on its way."}
        with self.client.post("/notifications/", json=body, headers=self.headers, catch_response=True) as answer:
            if answer.status_code != 201:
                answer.failure(f"answer {answer.status_code}")
                return
            event_id = answer.json()["event_id"]
        self.client.get(f"/notifications/{event_id}/", headers=self.headers, name="GET /notifications/<id>/")


class Person(Program):
    """Views lists."""

    weight = 2

    @task
    def look(self) -> None:
        for path in ("/projects/", "/tasks/", "/chats/", "/events/?category=page interaction", "/notifications/"):
            self.client.get(path, headers=self.headers, name=f"GET {path.partition('?')[0]}")
