"""Stateful test that compares the queue with a small model in Python, step by step."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from testrunner import services
from testrunner.files.snapshot import Snapshot
from testrunner.models import RunNotAllowed, TestEnvironment, TestRun
from testrunner.queue import claims, sweeper

PLACES = [1, 2, 3]
FILE = Snapshot("samples", "test_a.py", b"")


@dataclass
class Model:
    """Expected state: waiting runs by environment, active runs, holders of reservations, disabled environments."""

    waiting: dict[int, list[tuple[int, str]]] = field(default_factory=lambda: {place: [] for place in PLACES})
    active: dict[int, int] = field(default_factory=dict)
    holder: dict[int, str] = field(default_factory=dict)
    closed: set[int] = field(default_factory=set)

    def startable(self) -> list[tuple[int, int]]:
        first = []
        for place in set(PLACES) - set(self.active) - self.closed:
            allowed = [run for run, who in self.waiting[place] if self.holder.get(place, who) == who]
            first += [(allowed[0], place)] if allowed else []
        return sorted(first)


class House:
    """Applies each step to both the model and the database."""

    def __init__(self, users: dict[str, User]) -> None:
        self.model, self.users = Model(), users

    def ask(self, place: int, who: str) -> None:
        run = services.start_run(user=self.users[who], environment=TestEnvironment(pk=place), files=[FILE])
        self.model.waiting[place].append((run.pk, who))

    def claim(self, place: int, who: str) -> None:
        expected = self.model.startable()
        run = claims.claim_next("w")
        assert (run and run.pk) == (expected[0][0] if expected else None)
        if run:
            self.model.active[run.environment_id] = run.pk
            self.model.waiting[run.environment_id] = [
                it for it in self.model.waiting[run.environment_id] if it[0] != run.pk
            ]

    def finish(self, place: int, who: str) -> None:
        if place in self.model.active:
            run = TestRun.objects.get(pk=self.model.active.pop(place))
            assert claims.end(run, Q(lease_token=run.lease_token), TestRun.Status.FAILED, exit_code=1)

    def die(self, place: int, who: str) -> None:
        if place in self.model.active:
            silent = TestRun.objects.filter(pk=self.model.active.pop(place))
            silent.update(lease_until=claims.database_now() - sweeper.LOST_DELAY - timedelta(seconds=1))
            assert sweeper.mark_lost_runs() == 1

    def cancel(self, place: int, who: str) -> None:
        if self.model.waiting[place]:
            run, _ = self.model.waiting[place].pop(len(self.model.waiting[place]) // 2)
            services.cancel_run(run=TestRun.objects.get(pk=run), user=self.users[who])

    def reserve(self, place: int, who: str) -> None:
        with self.refused_if(place in self.model.closed or self.model.holder.get(place, who) != who):
            services.reserve(
                environment=TestEnvironment(pk=place), user=self.users[who], duration=timedelta(hours=1),
                after_current=True,
            )  # fmt: skip
            self.model.holder[place] = who

    def release(self, place: int, who: str) -> None:
        with self.refused_if(place not in self.model.holder):
            services.release(environment=TestEnvironment(pk=place), user=self.users[who])
            del self.model.holder[place]

    def disable(self, place: int, who: str) -> None:
        with self.refused_if(place in self.model.active and place not in self.model.closed):
            services.change_environment(environment=TestEnvironment(pk=place), user=self.users[who], enabled=False)
            self.model.closed.add(place)

    def enable(self, place: int, who: str) -> None:
        services.change_environment(environment=TestEnvironment(pk=place), user=self.users[who], enabled=True)
        self.model.closed.discard(place)

    @staticmethod
    def refused_if(refused: bool):
        return pytest.raises(RunNotAllowed) if refused else contextlib.nullcontext()


STEPS = ["ask", "ask", "ask", "claim", "claim", "claim", "finish", "die", "cancel", "reserve", "release", "disable"]
step = st.tuples(st.sampled_from([*STEPS, "enable"]), st.sampled_from(PLACES), st.sampled_from(["tess", "cole"]))


@pytest.mark.django_db
@given(st.lists(step, min_size=5, max_size=25))
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_the_queue_does_what_its_model_does(tester, colleague, steps):
    with transaction.atomic():
        house = House({"tess": tester, "cole": colleague})
        for verb, place, who in steps:
            getattr(house, verb)(place, who)
            active = TestRun.objects.running().values_list("environment", "pk")
            assert dict(active) == house.model.active
            assert len(active) == len(house.model.active)
            assert claims.startable() == house.model.startable()
        transaction.set_rollback(True)
