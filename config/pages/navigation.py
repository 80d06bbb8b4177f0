"""Settings of the theme: one navigation for all apps, with Opsroom's labels and colours."""

import functools
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse
from django.utils.functional import lazy

# The theme compares each link with each tab on each page; without caching, resolving takes half of a page's time.
_resolved = functools.cache(reverse)
reverse_lazy = lazy(_resolved, str)


def _may_view(permission: str) -> Callable[[HttpRequest], bool]:
    return lambda request: request.user.has_perm(permission)


def _item(title: str, icon: str, address: str, permission: str) -> dict[str, Any]:
    return {"title": title, "icon": icon, "link": reverse_lazy(address), "permission": _may_view(permission)}


def may_read_mails(request: HttpRequest) -> bool:
    from projects.admin.mails import may_read  # imported here: the settings read this file before models are loaded

    return may_read(request)


def _but(parts: tuple[str, ...], item: dict[str, Any]) -> dict[str, Any]:
    """Return an item that is not highlighted on paths with one of `parts`, which begin with its own path."""
    return {
        **item,
        "active": lambda request: (
            request.path.startswith(str(item["link"])) and not any(part in request.path for part in parts)
        ),
    }


def _tabs(*models: tuple[str, str, str]) -> dict[str, Any]:
    """Return related lists as tabs of each other: (title, app, model) each."""
    return {
        "models": [f"{app}.{model}" for _, app, model in models],
        "items": [
            _item(title, "", f"admin:{app}_{model}_changelist", f"{app}.view_{model}") for title, app, model in models
        ],
    }


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
        "search_callback": "config.pages.admin_search.search",
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
        "navigation": [
            {
                "items": [
                    {"title": "Front page", "icon": "dashboard", "link": reverse_lazy("admin:index")},
                ],
            },
            {
                "title": "Chats",
                "separator": True,
                "items": [
                    _item("Chats", "forum", "admin:chats_chat_changelist", "chats.view_chat"),
                    _item("Broadcasts", "campaign", "admin:chats_broadcast_changelist", "chats.view_broadcast"),
                    _item("Banners", "photo_library", "admin:chats_banner_changelist", "chats.view_banner"),
                ],
            },
            {
                "title": "Projects",
                "separator": True,
                "items": [
                    _but(
                        ("/cache/", "/mails/"),
                        _item("Projects", "view_kanban", "admin:projects_project_changelist", "projects.view_project"),
                    ),
                    _but(
                        ("/calendar/",),
                        _item("Tasks", "task_alt", "admin:projects_task_changelist", "projects.view_task"),
                    ),
                    _item("Calendar", "calendar_month", "admin:projects_task_calendar", "projects.view_task"),
                    _item("Reports", "summarize", "admin:projects_report_changelist", "projects.view_report"),
                    _item("Reminders", "notifications", "admin:projects_reminder_changelist", "projects.view_reminder"),
                    {
                        "title": "Outgoing e-mail",
                        "icon": "mail",
                        "link": reverse_lazy("admin:projects_project_mails"),
                        "permission": "config.pages.navigation.may_read_mails",
                    },
                ],
            },
            {
                "title": "Events",
                "separator": True,
                "items": [
                    _item("Explorer", "monitoring", "admin:events_event_changelist", "events.view_event"),
                    _item("Sessions", "footprint", "admin:events_session_changelist", "events.view_session"),
                    _item("Rejected", "rule", "admin:events_rejectedevent_changelist", "events.view_rejectedevent"),
                    _item("Event types", "schema", "admin:events_eventtype_changelist", "events.view_eventtype"),
                    _item("Applications", "key", "admin:events_application_changelist", "events.view_application"),
                    _item(
                        "Notifications",
                        "mark_chat_unread",
                        "admin:events_notification_changelist",
                        "events.view_notification",
                    ),
                ],
            },
            {
                "title": "Test runner",
                "separator": True,
                "items": [
                    _item("Runs", "science", "admin:testrunner_testrun_changelist", "testrunner.view_testrun"),
                    _item(
                        "Environments",
                        "grid_view",
                        "admin:testrunner_testenvironment_changelist",
                        "testrunner.view_testenvironment",
                    ),
                    _item(
                        "Test files", "folder_open", "admin:testrunner_testfile_changelist", "testrunner.view_testfile"
                    ),
                ],
            },
            {
                "title": "Administration",
                "separator": True,
                "collapsible": True,
                "items": [
                    _item("Users", "person", "admin:auth_user_changelist", "auth.view_user"),
                    _item("Groups", "group", "admin:auth_group_changelist", "auth.view_group"),
                    _item("Tokens", "key", "admin:accounts_accesstoken_changelist", "accounts.view_accesstoken"),
                    _item(
                        "Schedules",
                        "schedule",
                        "admin:django_celery_beat_periodictask_changelist",
                        "django_celery_beat.view_periodictask",
                    ),
                    _item(
                        "Locked accounts",
                        "lock_clock",
                        "admin:axes_accessattempt_changelist",
                        "axes.view_accessattempt",
                    ),
                    {
                        "title": "List cache",
                        "icon": "cached",
                        "link": reverse_lazy("admin:projects_project_cache"),
                        "permission": lambda request: request.user.is_superuser,
                    },
                    _item("API documentation", "api", "docs", "chats.view_chat"),
                ],
            },
        ],
    },
}
