"""Settings of the theme: labels and colours, and one navigation and one search for all apps (core/registry.py)."""

import functools
from functools import partial
from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse
from django.utils.functional import lazy
from unfold.dataclasses import SearchResult

from core.registry import Page, all_apps

# The theme compares each link with each tab on each page; without caching, resolving takes half of a page's time.
_resolved = functools.cache(reverse)
reverse_lazy = lazy(_resolved, str)


def _item(page: Page) -> dict[str, Any]:
    permission = page.permission
    return {
        "title": page.title,
        "icon": page.icon,
        "link": reverse_lazy(page.url_name),
        "permission": (lambda request: request.user.has_perm(permission))
        if isinstance(permission, str)
        else permission,
        **({"active": partial(_is_active, page)} if page.except_in else {}),
    }


def _is_active(page: Page, request: HttpRequest) -> bool:
    is_below = request.path.startswith(_resolved(page.url_name))
    return is_below and not any(part in request.path for part in page.except_in)


def _tabs(*models: tuple[str, str, str]) -> dict[str, Any]:
    """Return related lists as tabs of each other: (title, app, model) each."""
    return {
        "models": [f"{app}.{model}" for _, app, model in models],
        "items": [
            _item(Page(title, "", f"admin:{app}_{model}_changelist", f"{app}.view_{model}"))
            for title, app, model in models
        ],
    }


ADMINISTRATION = [
    Page("Users", "person", "admin:auth_user_changelist", "auth.view_user"),
    Page("Groups", "group", "admin:auth_group_changelist", "auth.view_group"),
    Page("Tokens", "key", "admin:accounts_accesstoken_changelist", "accounts.view_accesstoken"),
    Page(
        "Schedules",
        "schedule",
        "admin:django_celery_beat_periodictask_changelist",
        "django_celery_beat.view_periodictask",
    ),
    Page("Locked accounts", "lock_clock", "admin:axes_accessattempt_changelist", "axes.view_accessattempt"),
]


@functools.cache
def _groups() -> list[dict[str, Any]]:
    of_apps = [page for app in all_apps() for page in app.administration]
    api = Page("API documentation", "api", "docs", lambda request: True)  # as the page itself: all who are signed in
    return [
        {"items": [{"title": "Front page", "icon": "dashboard", "link": reverse_lazy("admin:index")}]},
        *(
            {"title": app.title, "separator": True, "items": [_item(page) for page in app.pages]}
            for app in all_apps()
            if app.pages
        ),
        {
            "title": "Administration",
            "separator": True,
            "collapsible": True,
            "items": [_item(page) for page in (*ADMINISTRATION, *of_apps, api)],
        },
    ]


def groups(request: HttpRequest) -> list[dict[str, Any]]:
    """The theme's callback: return the groups of the sidebar, with the pages that each app registers."""
    return _groups()


def search(request: HttpRequest, term: str) -> list[SearchResult]:
    """The theme's callback for Ctrl+K: return what matches `term` and this user may see.

    It runs at every key press, so the search functions of the apps bound their queries, however large the tables are.
    """
    term = term.replace("\x00", "").strip()
    return [found for app in all_apps() for matching in app.search for found in matching(request, term)]


UNFOLD = {
    "SITE_TITLE": "Opsroom",
    "SITE_HEADER": "Opsroom",
    "SITE_SUBHEADER": "where the team runs its day",
    "SITE_SYMBOL": "hub",
    "SITE_URL": None,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_BACK_BUTTON": False,
    "DASHBOARD_CALLBACK": "config.dashboard.front_page",
    "STYLES": [lambda request: static("config/opsroom.css")],
    "SCRIPTS": [
        lambda request: static("config/opsroom.js"),
        lambda request: static("config/access.js"),
        lambda request: static("config/dialog.js"),
        lambda request: static("live/live.js"),
        lambda request: static("accounts/zone.js"),
    ],
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("config/favicon.svg")},
    ],
    "LOGIN": {"image": lambda request: static("config/login.svg")},
    "COLORS": {
        "primary": {
            "50": "oklch(97.0% .014 254.6)",
            "100": "oklch(93.2% .032 255.6)",
            "200": "oklch(88.2% .059 254.1)",
            "300": "oklch(80.9% .105 251.8)",
            "400": "oklch(70.7% .165 254.6)",
            "500": "oklch(62.3% .214 259.8)",
            "600": "oklch(54.6% .245 262.9)",
            "700": "oklch(48.8% .243 264.4)",
            "800": "oklch(42.4% .199 265.6)",
            "900": "oklch(37.9% .146 265.5)",
            "950": "oklch(28.2% .091 267.9)",
        },
    },
    "ACCOUNT": {
        "navigation": [
            {"title": "My access", "link": reverse_lazy("admin:my_access")},
            {"title": "Change password", "link": reverse_lazy("admin:password_change")},
        ],
    },
    "COMMAND": {
        "search_models": False,  # it would scan whole tables without limit
        "show_history": True,
        "search_callback": "config.pages.navigation.search",
    },
    "TABS": [
        _tabs(
            ("Tasks", "django_celery_beat", "periodictask"),
            ("Intervals", "django_celery_beat", "intervalschedule"),
            ("Crontabs", "django_celery_beat", "crontabschedule"),
            ("Moments", "django_celery_beat", "clockedschedule"),
            ("Sun", "django_celery_beat", "solarschedule"),
        ),
        _tabs(
            ("Locked accounts", "axes", "accessattempt"),
            ("Failed logins", "axes", "accessfailurelog"),
            ("Logins", "axes", "accesslog"),
        ),
    ],
    "SIDEBAR": {
        "show_search": False,
        "command_search": True,
        "show_all_applications": False,
        "navigation": groups,
    },
}
