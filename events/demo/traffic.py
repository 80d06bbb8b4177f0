"""Realistic traffic for demos and load tests: visitors by time of day, with several events each and some mistakes.

A visitor follows one of a few hundred journeys that are generated once, so that millions of events cost little more
than writing them.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

PAGES = ["/", "/pricing", "/blog/spring", "/products/7", "/products/12", "/basket", "/checkout", "/help", "/contact"]
_TEXT, _NUMBER = {"type": "string"}, {"type": "number", "minimum": 0}


def _schema(**members: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(members), "properties": members}


# Category, name, and the schema of data; None for an unknown event type.
TYPES: dict[tuple[str, str], dict[str, Any] | None] = {
    ("page interaction", "pageview"): _schema(host=_TEXT, path=_TEXT),
    ("page interaction", "cta click"): _schema(host=_TEXT, path=_TEXT, element=_TEXT),
    ("form interaction", "submit"): _schema(host=_TEXT, path=_TEXT, form={"type": "object"}),
    ("shop", "search"): _schema(query=_TEXT, results={"type": "integer", "minimum": 0}),
    ("shop", "add to basket"): _schema(sku=_TEXT, quantity={"type": "integer", "minimum": 1}),
    ("shop", "order placed"): _schema(order=_TEXT, amount=_NUMBER, currency={"enum": ["EUR", "USD", "GBP"]}),
    ("app", "opened"): _schema(platform={"enum": ["ios", "android", "web"]}, version=_TEXT),
    ("app", "crashed"): None,
}
# Mistakes with their relative frequency: members that replace those of a valid event.
MISTAKES: list[tuple[int, dict[str, Any]]] = [
    (9, {"category": "shop", "name": "order placed", "data": {"order": "A-1", "amount": "19.90", "currency": "EUR"}}),
    (6, {"category": "page interaction", "name": "pageview", "data": {"host": "www.example.com"}}),
    (4, {"timestamp": None}),  # a device clock that is days ahead
    (3, {"category": "shop", "name": "add to basket", "data": {"sku": "T-7", "quantity": 0}}),
    (2, {"session_id": ""}),
    (1, {"data": "none"}),
]
# Weights by hour of the day in UTC, and by day of the week from Monday.
_HOURS = [3, 2, 1, 1, 1, 2, 4, 7, 10, 12, 13, 13, 12, 12, 13, 13, 12, 11, 11, 12, 12, 10, 7, 5]
_DAYS = [10, 10, 10, 10, 9, 6, 6]


@dataclass(frozen=True)
class SessionStep:
    after: float  # seconds after the previous step
    category: str
    name: str
    data: str  # JSON


Journey = list[SessionStep]


def journeys(number: int = 400, seed: int = 7) -> list[Journey]:
    """Generate the visitors' journeys. Most have few steps, some have twenty."""
    chance = random.Random(seed)
    return [_journey(chance) for _ in range(number)]


def starts(sessions: float, since: datetime, until: datetime, chance: random.Random) -> Iterator[datetime]:
    """Yield the start times of about `sessions` sessions in order, with busy hours and quiet nights."""
    hours = max(int((until - since) / timedelta(hours=1)), 1)
    times = [since + timedelta(hours=hour) for hour in range(hours)]
    weights = [_HOURS[time.hour] * _DAYS[time.weekday()] for time in times]
    due = 0.0
    for time, weight in zip(times, weights, strict=True):
        due += sessions * weight / sum(weights)
        here, due = int(due), due - int(due)
        for second in sorted(chance.uniform(0, 3_600) for _ in range(here)):
            yield time + timedelta(seconds=second)


def mistakes(chance: random.Random, number: int) -> list[dict[str, Any]]:
    return chance.choices([members for _, members in MISTAKES], [weight for weight, _ in MISTAKES], k=number)


def _journey(chance: random.Random) -> Journey:
    steps = [_opened(chance)] if chance.random() < 0.3 else []
    for _ in range(min(int(chance.expovariate(1 / 5)) + 1, 20)):
        steps.append(_step(chance))
    return steps


def _opened(chance: random.Random) -> SessionStep:
    data = {"platform": chance.choice(["ios", "android"]), "version": f"4.{chance.randrange(9)}"}
    return SessionStep(0.0, "app", "opened", json.dumps(data))


def _step(chance: random.Random) -> SessionStep:
    page = {"host": "www.example.com", "path": chance.choice(PAGES)}
    category, name, data = chance.choices(
        [
            ("page interaction", "pageview", page),
            ("page interaction", "cta click", {**page, "element": chance.choice(["buy", "chat bubble", "newsletter"])}),
            ("shop", "search", {"query": chance.choice(["lamp", "chair", "desk"]), "results": chance.randrange(90)}),
            ("shop", "add to basket", {"sku": f"T-{chance.randrange(40)}", "quantity": chance.randrange(1, 4)}),
            ("form interaction", "submit", {**page, "form": {"first_name": "Ada", "last_name": "Moe"}}),
            ("shop", "order placed", {"order": f"A-{chance.randrange(10**6)}", "amount": 19.9, "currency": "EUR"}),
            ("app", "crashed", {"screen": chance.choice(["basket", "profile"])}),
        ],
        [50, 15, 12, 10, 6, 5, 2],
    )[0]
    return SessionStep(round(chance.lognormvariate(2.5, 1), 3), category, name, json.dumps(data))
