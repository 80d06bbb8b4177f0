"""Forms that are sent after the session has expired: their content is kept until after the login.

1. A signed cookie names the user who last signed in with this browser. It gives no access.
2. An admin form that is sent without a session, from a browser with that cookie, is stored in a new session in which no
   user is signed in. The response leads to the login page. Nothing is stored for anonymous senders without the cookie,
   nor for users who may not sign in any more.
3. After the same user's login, the page "Unsent forms" shows the content, with a button that sends it.

A form with an outdated CSRF token is handled in the same way: the user signed out and in again in another tab.
Passwords, secret values and files are not kept, nor the forms of the login and of a password change.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode, urlsplit

from django.conf import settings
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_POST, require_safe

from core.admin.dialog import go_to
from core.http.named_urls import split_url

COOKIE = f"{settings.SESSION_COOKIE_NAME}_user"
COOKIE_SECONDS = 30 * 86_400
KEY = "unsent_forms"  # key in the session
MAX_FORMS = 5  # per session: one per tab
MAX_CHARACTERS = 300_000  # per form
MAX_KEPT = 100  # forms of one user without a session, in SESSION_COOKIE_AGE seconds: each is a separate session
SECRET = re.compile(r"passw|secret|token|api_?key", re.IGNORECASE)
TECHNICAL = re.compile(r"^(_|initial-|request_key$|version$|instead_of$|zone$|step$)|_FORMS$|-id$", re.IGNORECASE)
Field = tuple[str, str]


class KeptForms:
    """Middleware that stores a form if its response leads to the login page, and removes it once it was sent."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if not request.path_info.startswith("/admin/") or response.status_code >= 400:
            return response
        if _leads_to_login(response) and request.path_info != reverse("admin:login"):
            return _to_login(request)
        if request.user.is_authenticated:
            _remember_user(request, response)
            if request.method == "POST" and KEY in request.session and not hasattr(request, "is_kept"):
                _forget(request, request.get_full_path())
        return response


def urls() -> list[URLPattern]:
    """Return the page's URLs, below /admin/."""
    wrap = admin.site.admin_view
    return [
        path("unsent-forms/", wrap(require_safe(page)), name="unsent_forms"),
        path("unsent-forms/discard/", wrap(require_POST(discard)), name="unsent_forms_discard"),
    ]


def page(request: HttpRequest) -> HttpResponse:
    """Show the forms that this user could not send, each with a button that sends it."""
    own = [form for form in request.session.get(KEY, []) if form["user"] == request.user.pk]
    if not own:
        return HttpResponseRedirect(reverse("admin:index"))
    forms = [{**form, "shown": [field for field in form["fields"] if is_shown(*field)]} for form in own]
    context = {**admin.site.each_context(request), "title": "Unsent forms", "forms": forms}
    return render(request, "config/unsent_forms.html", context)


def discard(request: HttpRequest) -> HttpResponse:
    """Delete the stored form of one URL."""
    _forget(request, request.POST.get("path", ""))
    return HttpResponseRedirect(reverse("admin:unsent_forms"))


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Keep a form of this site with an outdated token; refuse forms of other sites."""
    if request.path_info.startswith("/admin/") and _is_from_here(request):
        if request.path_info == reverse("admin:login"):
            return go_to(request, request.get_full_path())  # or on, after a login in another tab
        if request.user.is_authenticated and keep(request, request.user.pk):
            return go_to(request, reverse("admin:unsent_forms"))
        if not request.user.is_authenticated:
            return _to_login(request)
    return render(request, "403_csrf.html", status=403)


def keep(request: HttpRequest, user: int | None) -> bool:
    """Store the request's form in the session, for this user. Return whether there was anything to store."""
    fields, left_out = fields_of(request)
    if user is None or request.path_info in _never_kept() or not any(is_shown(*field) for field in fields):
        return False
    form = {
        "path": request.get_full_path(),
        "page": _page_of(request),
        "fields": fields,
        "left_out": left_out,
        "user": user,
    }
    others = [each for each in request.session.get(KEY, []) if each["path"] != form["path"] and each["user"] == user]
    request.session[KEY] = [*others, form][-MAX_FORMS:]
    request.is_kept = True  # type: ignore[attr-defined]
    return True


def fields_of(request: HttpRequest) -> tuple[list[Field], list[str]]:
    """Return the fields of a sent form, and the labels of those that are not kept."""
    if request.method != "POST":
        return [], []
    try:
        sent, files = request.POST, request.FILES
    except Exception:  # the body is unreadable, too large, or was already read by the view
        return [], []
    fields = [(name, value) for name, values in sent.lists() for value in values if name != "csrfmiddlewaretoken"]
    secret = [name for name, value in fields if value and _is_secret(name, sent)]
    if sum(len(name) + len(value) for name, value in fields) > MAX_CHARACTERS:
        return [], []
    left_out = [_label(name) for name in secret]
    left_out += [f"{_label(name)} (file {file.name})" for name in files for file in files.getlist(name)]
    return [(name, value) for name, value in fields if name not in secret], left_out


def is_shown(name: str, value: str) -> bool:
    """Return whether a user filled this field in."""
    return bool(value.strip()) and not TECHNICAL.search(name)


def _is_secret(name: str, sent: Any) -> bool:
    """Return whether the field is a password, or the value of an environment variable that is marked as secret."""
    row, _, column = name.rpartition("-")
    return bool(SECRET.search(name) and column != "secret") or (column == "value" and bool(sent.get(f"{row}-secret")))


def _label(name: str) -> str:
    return name.rpartition("-")[2].replace("_", " ").capitalize()


def _to_login(request: HttpRequest) -> HttpResponse:
    """Redirect to the login page, and afterwards to the kept form, or else to the page that contained the form."""
    if request.method != "POST":
        if request.headers.get("HX-Request"):
            return HttpResponse(status=401)  # htmx leaves the page unchanged, with what is being typed into it
        after = request.get_full_path()
    elif keep(request, _user_with_room(request)):
        after = reverse("admin:unsent_forms")
    else:
        after = _page_of(request)
    return go_to(request, f"{reverse('admin:login')}?{urlencode({'next': after})}")


def _leads_to_login(response: HttpResponse) -> bool:
    is_redirect = response.status_code == 302
    return is_redirect and urlsplit(response.headers.get("Location", "")).path == reverse("admin:login")


def _page_of(request: HttpRequest) -> str:
    """Return the admin page that contained the form, by the request's headers; else the front page."""
    came_from = split_url(request.headers.get("HX-Current-URL") or request.headers.get("Referer", ""))
    if came_from.netloc != request.get_host() or not came_from.path.startswith("/admin/"):
        return reverse("admin:index")
    return f"{came_from.path}?{came_from.query}" if came_from.query else came_from.path


def _is_from_here(request: HttpRequest) -> bool:
    """Return whether this site sent the form: other sites cannot forge the Origin that browsers send."""
    return request.headers.get("Origin") == f"{request.scheme}://{request.get_host()}"


def _last_user(request: HttpRequest) -> int | None:
    found = request.get_signed_cookie(COOKIE, default=None, salt=KEY, max_age=COOKIE_SECONDS)
    return int(found) if found else None


def _user_with_room(request: HttpRequest) -> int | None:
    """Return the last user, unless that user may not sign in any more or has MAX_KEPT kept forms."""
    user = _last_user(request)
    if user is None or not get_user_model()._default_manager.filter(pk=user, is_active=True, is_staff=True).exists():
        return None
    key = f"{KEY}:{user}"
    if cache.add(key, 1, settings.SESSION_COOKIE_AGE):
        return user
    try:
        return user if cache.incr(key) <= MAX_KEPT else None
    except ValueError:  # the counter expired between the two calls
        return user


def _never_kept() -> set[str]:
    return {reverse(f"admin:{name}") for name in ("login", "logout", "password_change")}


def _remember_user(request: HttpRequest, response: HttpResponse) -> None:
    if _last_user(request) == request.user.pk:
        return
    response.set_signed_cookie(
        COOKIE, str(request.user.pk), salt=KEY, max_age=COOKIE_SECONDS, path="/admin/", httponly=True,
        secure=settings.SESSION_COOKIE_SECURE, samesite="Lax",
    )  # fmt: skip


def _forget(request: HttpRequest, path: str) -> None:
    kept = request.session.get(KEY, [])
    request.session[KEY] = [form for form in kept if form["path"] != path]
