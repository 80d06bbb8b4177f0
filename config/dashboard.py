"""The front page: current problems and work in progress.

One function per card. It returns what its template shows, or None if this user may not see it. An app adds a card by
adding its function to CARDS. Each card is also a fragment with its own URL that reloads itself.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import Q, Sum
from django.http import Http404, HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from chats.chat_count import count_chats
from chats.models import Broadcast, Chunk
from config.monitoring.health import parts
from core.rest.snapshots import one_snapshot
from core.timezones import today
from events.admin.explorer_filters import Which
from events.admin.widgets.chart import chart_of
from events.admin.widgets.formatting import lateness
from projects.models import Report, Task
from testrunner.admin.environments import board as environment_board

MAX_MOVING = 50  # broadcasts in progress
MAX_DUE = 6  # tasks; the others are in the list
SOON, LATER = 2, 10  # seconds until a card reloads: while something changes, and otherwise


@dataclass(frozen=True)
class Card:
    """A card: its template under config/cards/ with this context; it reloads after `every` seconds."""

    template: str
    context: dict[str, Any] = field(default_factory=dict)
    every: int = LATER


# --- The cards --------------------------------------------------------------------------------------
def moving(request: HttpRequest) -> Card | None:
    """Broadcasts in progress."""
    if not request.user.has_perm("chats.view_broadcast"):
        return None
    order: list[str] = [
        Broadcast.Status.MISSED,
        Broadcast.Status.SENDING,
        Broadcast.Status.QUEUED,
        Broadcast.Status.PAUSED,
        Broadcast.Status.SCHEDULED,
    ]
    found = list(Broadcast.objects.unfinished().select_related("created_by", "banner").order_by("-id")[:MAX_MOVING])
    found.sort(key=lambda broadcast: order.index(broadcast.status))
    some_move = any(broadcast.status in order[1:3] for broadcast in found)
    return Card("moving.html", {"broadcasts": found}, every=SOON if some_move else LATER)


def recent(request: HttpRequest) -> Card | None:
    """The last five broadcasts that ended, in any state."""
    if not request.user.has_perm("chats.view_broadcast"):
        return None
    ended = Broadcast.objects.filter(status__in=Broadcast.FINISHED).select_related("created_by", "banner")
    return Card("recent.html", {"broadcasts": ended.order_by("-id")[:5]})


def due(request: HttpRequest) -> Card | None:
    """Open tasks that are overdue, or due today in the viewer's time zone."""
    if not request.user.has_perm("projects.view_task"):
        return None
    now = timezone.now()
    found = Task.objects.open().filter(due_date__lt=today()[1])
    with one_snapshot():
        tasks = list(found.for_reading().order_by("due_date", "id")[:MAX_DUE])
        counts = {"late": found.overdue(now).count(), "count": found.count()}
    return Card("due.html", {"tasks": tasks, **counts})


def report(request: HttpRequest) -> Card | None:
    """The totals of the last daily report."""
    last = Report.objects.first() if request.user.has_perm("projects.view_report") else None
    return Card("report.html", {"report": last, "totals": last.data["totals"]}) if last else None


def events(request: HttpRequest) -> Card | None:
    """Events per minute over 24 hours, and the share of rejected ones."""
    if not request.user.has_perm("events.view_event"):
        return None
    chart = chart_of(Which.of({"range": "24h"}))
    a_minute = (chart.events + chart.rejected) / (24 * 60)
    return Card("events.html", {"chart": chart, "a_minute": a_minute, "late": lateness()})


def figures(request: HttpRequest) -> Card | None:
    """The number of chats, and what was delivered to them in the last 24 hours."""
    if not request.user.has_perm("chats.view_chat"):
        return None
    return Card("figures.html", {"chats": count_chats(), **_last_day()})


def _last_day() -> dict[str, int]:
    """Count by the chunks of recent broadcasts: some hundred rows, while messages may be millions."""
    since = timezone.now() - timedelta(hours=24)
    recently = Broadcast.objects.filter(Q(finished_at=None) | Q(finished_at__gte=since))
    chunks = Chunk.objects.filter(broadcast__in=recently, done_at__gte=since)
    summed = chunks.aggregate(delivered=Sum("delivered"), skipped=Sum("skipped"))
    return {
        "delivered": summed["delivered"] or 0,
        "sent": recently.filter(status=Broadcast.Status.SENT).count(),
        "failed": recently.filter(status=Broadcast.Status.FAILED).count(),
    }


def environments(request: HttpRequest) -> Card | None:
    """The environments as small tiles."""
    if not request.user.has_perm("testrunner.view_testenvironment"):
        return None
    found = environment_board()
    return Card("environments.html", found, every=SOON if dict(found["counts"])["busy"] else LATER)


def health(request: HttpRequest) -> Card | None:
    """State of all parts. Its time is bounded but not short, so it is loaded after the page."""
    found = parts()
    return Card("health.html", {"parts": found, "all_well": all(part.ok for part in found)})


CARDS: dict[str, Callable[[HttpRequest], Card | None]] = {
    "moving": moving,
    "figures": figures,
    "events": events,
    "due": due,
    "report": report,
    "environments": environments,
    "recent": recent,
    "health": health,
}
WIDTHS = {
    "moving": "card-main",
    "figures": "card-side",
    "events": "card-main",
    "due": "card-main card-tall",
    "report": "card-side",
    "environments": "card-main",
    "recent": "card-main",
    "health": "card-side card-tall",
}
AFTERWARDS = {"health"}  # cards that the page loads after it is displayed


# --- The page ---------------------------------------------------------------------------------------
def front_page(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """The theme's callback: add the cards and the user's main buttons to the context."""
    cards = [_placeholder(name) if name in AFTERWARDS else _rendered(name, request) for name in CARDS]
    return {**context, "title": "Front page", "cards": [card for card in cards if card], "buttons": _buttons(request)}


@never_cache
@require_safe
def front_page_card(request: HttpRequest, name: str) -> HttpResponse:
    """Return one card as a fragment, for the page that displays it."""
    if not admin.site.has_permission(request):
        # The user signed out meanwhile. A redirect would put the login page into the card.
        return HttpResponse(status=401, headers={"HX-Refresh": "true"})
    if name not in CARDS:
        raise Http404
    return HttpResponse(_rendered(name, request))


def _rendered(name: str, request: HttpRequest) -> SafeString:
    card = CARDS[name](request)
    if card is None:
        return SafeString("")
    about = {"name": name, "width": WIDTHS[name], "every": card.every}
    return render_to_string(f"config/cards/{card.template}", {**card.context, "card": about}, request)


def _placeholder(name: str) -> SafeString:
    about = {"name": name, "width": WIDTHS[name], "every": 0}
    return render_to_string("config/cards/placeholder.html", {"card": about})


def _buttons(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the buttons for this user's permissions, most important first."""
    buttons: list[dict[str, Any]] = []
    if request.user.has_perm("chats.send_broadcast"):
        buttons += [
            {"title": "New broadcast", "icon": "edit", "link": reverse("admin:chats_broadcast_add")},
            {
                "title": "Send banner",
                "icon": "send",
                "link": reverse("admin:chats_chat_send_banner"),
                "dialog": True,
                "main": True,
            },
        ]
    if request.user.has_perm("projects.add_task"):
        address = reverse("admin:projects_task_add")
        buttons.append({"title": "New task", "icon": "add_task", "link": address, "main": not buttons})
    if request.user.has_perm("testrunner.add_testrun"):
        address = reverse("admin:testrunner_testrun_add")
        buttons.append({"title": "New run", "icon": "play_arrow", "link": address, "main": not buttons})
    return buttons
