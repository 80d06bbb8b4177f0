"""The page "My access": a user's time zone, tokens, calendar feed and sessions. All but the zone can be ended there."""

from __future__ import annotations

import re
from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from accounts.models import AccessToken
from accounts.passwords import with_current_password
from accounts.sessions import end_sessions, note_sign_in, sessions_of
from accounts.zones import choose_zone, zone_names
from config.pages import sliding_sessions
from core.http.client_ip import client_address
from core.numerals import number
from projects.calendar import feed
from projects.models import CalendarToken

SYSTEMS = ["Android", "iPhone", "iPad", "Windows", "Mac OS X", "CrOS", "Linux"]
BROWSERS = {"Edg": "Edge", "OPR": "Opera", "Firefox": "Firefox", "Chrome": "Chrome", "Safari": "Safari"}
ENDED = {
    "token": "The token no longer works.",
    "feed": "The calendar address no longer works.",
    "session": "The session was ended.",
    "all": "All tokens, the calendar address and all other sessions were ended.",
}


def urls() -> list[URLPattern]:
    """Return the page's URLs, below /admin/."""
    wrap = admin.site.admin_view
    return [
        path("my-access/", wrap(require_safe(page)), name="my_access"),
        path("my-access/end/", wrap(require_POST(end)), name="my_access_end"),
        path("my-access/time-zone/", wrap(require_POST(set_time_zone)), name="my_access_time_zone"),
    ]


def page(request: HttpRequest) -> HttpResponse:
    """Show what currently gives access to this user's account."""
    key = request.session.session_key
    found = sessions_of(request.user)
    sessions = [{"it": each, "is_this": each.key == key, "browser": browser_of(each.browser)} for each in found]
    context: dict[str, Any] = {
        **admin.site.each_context(request),
        "title": "My access",
        "zone": timezone.get_current_timezone_name(),
        "zones": zone_names(),
        "now": timezone.now(),
        "tokens": AccessToken.objects.valid().filter(user=request.user.pk),
        "feed": with_current_password(CalendarToken.objects.filter(user=request.user.pk)).first(),
        "may_have_feed": request.user.has_perm("projects.view_task"),
        "sessions": sorted(sessions, key=lambda session: not session["is_this"]),
    }
    return render(request, "config/my_access.html", context)


def end(request: HttpRequest) -> HttpResponse:
    """End one kind of access, or all except this session. Ending it twice is a success too."""
    what, which = request.POST.get("what", ""), request.POST.get("which", "")
    user = request.user
    if what in ("token", "all"):
        own = AccessToken.objects.filter(user=user.pk)
        (own if what == "all" else own.filter(pk=number(which))).delete()
    if what in ("feed", "all"):
        feed.revoke_token(user=user)
    if what == "all" or (what == "session" and which):
        end_sessions(user, mark="" if what == "all" else which, but=request.session.session_key)
    if what in ENDED:
        messages.success(request, ENDED[what])
    return HttpResponseRedirect(reverse("admin:my_access"))


def set_time_zone(request: HttpRequest) -> HttpResponse:
    """Set the time zone in which this user sees and enters times."""
    name = request.POST.get("time_zone", "")
    try:
        choose_zone(user=request.user, name=name)
        messages.success(request, f"Times are now shown in {name.replace('_', ' ')}.")
    except ValueError as error:
        messages.error(request, str(error))
    return HttpResponseRedirect(reverse("admin:my_access"))


def note_login(*, request: HttpRequest, **_: Any) -> None:
    """Receiver of user_logged_in: start the session's age, and record address and browser."""
    sliding_sessions.renew(request.session)
    note_sign_in(request.session, address=client_address(request), browser=request.META.get("HTTP_USER_AGENT", ""))


def browser_of(header: str) -> str:
    """Return a text such as "Firefox on Linux" for a User-Agent header, by which users recognise their browser."""
    system = next((name for name in SYSTEMS if name in header), "")
    browser = next((BROWSERS[name] for name in BROWSERS if re.search(rf"\b(?:Headless)?{name}\w*/", header)), "")
    return " on ".join(word for word in (browser or ("Browser" if header else ""), system) if word) or "Unknown browser"
