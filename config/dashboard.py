"""The front page: the cards and buttons that each app registers (core/registry.py), and the state of all parts.

Each card is also a fragment with its own URL that reloads itself.
"""

from typing import Any

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.safestring import SafeString
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from config.monitoring.health import parts
from core.registry import Card, FrontPageCard, all_apps


def health(request: HttpRequest) -> Card:
    """State of all parts. Its time is bounded but not short, so it is loaded after the page."""
    found = parts()
    return Card("config/cards/health.html", {"parts": found, "all_well": all(part.ok for part in found)})


def front_page(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """The theme's callback: add the cards and the user's main buttons to the context."""
    cards = [_placeholder(card) if card.is_loaded_later else _rendered(card, request) for card in _cards()]
    return {**context, "title": "Front page", "cards": [card for card in cards if card], "buttons": _buttons(request)}


@never_cache
@require_safe
def front_page_card(request: HttpRequest, name: str) -> HttpResponse:
    """Return one card as a fragment, for the page that displays it."""
    if not admin.site.has_permission(request):
        # The user signed out meanwhile. A redirect would put the login page into the card.
        return HttpResponse(status=401, headers={"HX-Refresh": "true"})
    card = next((card for card in _cards() if card.name == name), None)
    if card is None:
        raise Http404
    return HttpResponse(_rendered(card, request))


def _cards() -> list[FrontPageCard]:
    return sorted((card for app in all_apps() for card in app.cards), key=lambda card: card.place)


def _rendered(card: FrontPageCard, request: HttpRequest) -> SafeString:
    content = card.build(request)
    if content is None:
        return SafeString("")
    about = {"name": card.name, "width": card.width, "every": content.every}
    return render_to_string(content.template, {**content.context, "card": about}, request)


def _placeholder(card: FrontPageCard) -> SafeString:
    about = {"name": card.name, "width": card.width, "every": 0}
    return render_to_string("config/cards/placeholder.html", {"card": about})


def _buttons(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the buttons for this user's permissions, most important first."""
    buttons: list[dict[str, Any]] = []
    for button in (button for app in all_apps() for button in app.buttons):
        if request.user.has_perm(button.permission):
            is_main = button.is_main and not any(earlier["main"] for earlier in buttons)
            link = reverse(button.url_name)
            buttons.append({"it": button, "link": link, "main": is_main})
    return buttons
