"""Everything that the app has: a card, a search, a view, and an ASGI application."""

from collections.abc import Iterator
from datetime import date
from typing import Any

from celery import current_app
from django.http import HttpRequest, JsonResponse
from django.urls import path
from unfold.dataclasses import SearchResult

from core import report_sections
from core.registry import Card


def card(request: HttpRequest) -> Card:
    return Card("fifth_app/plants.html", {"words": "7 plants are thirsty"})


def search(request: HttpRequest, term: str) -> Iterator[SearchResult]:
    if term in "rosemary":
        yield SearchResult(title="Rosemary", description="Plant", link="/plants/", icon="yard")


def plants(request: HttpRequest) -> JsonResponse:
    sections = report_sections.happened_on(date(2030, 1, 1))
    return JsonResponse({"report": sections, "schedule": sorted(current_app.conf.beat_schedule)})


class Seeds:
    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 202, "headers": []})
        await send({"type": "http.response.body", "body": b"sown"})


urlpatterns = [path("plants/", plants, name="plants")]
