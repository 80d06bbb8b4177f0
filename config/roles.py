"""Roles of a new installation: groups of users with their permissions in every app.

Migrations grant permissions that a role gains later. This table only creates missing roles, after `migrate` and after a
flush, so that an administrator's changes are kept. A test compares it with what the migrations grant.
"""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig, apps
from django.db import transaction

_SEE_CHATS = ["view_chat", "view_message", "view_banner", "view_broadcast"]
_SEE_EVENTS = [
    "view_application",
    "view_event",
    "view_eventtype",
    "view_notification",
    "view_rejectedevent",
    "view_schemaversion",
    "view_session",
]
_SEE_PROJECTS = ["view_project", "view_task", "view_comment", "view_reminder", "view_report"]
_SEE_TESTS = ["view_testenvironment", "view_testfile", "view_testrun", "view_testresult"]

ROLES: dict[str, dict[str, list[str]]] = {  # by role, then by app
    "viewer": {"chats": _SEE_CHATS, "events": _SEE_EVENTS, "projects": _SEE_PROJECTS, "testrunner": _SEE_TESTS},
    "marketing": {
        "chats": [
            *_SEE_CHATS,
            "add_chat",
            "add_message",
            "change_message",
            "change_banner",
            "add_broadcast",
            "change_broadcast",
            "send_broadcast",
        ],
    },
    "analytics": {
        "events": [
            *_SEE_EVENTS,
            "add_application",
            "change_application",
            "change_event",
            "delete_event",
            "add_eventtype",
            "change_eventtype",
            "add_notification",
            "change_notification",
            "delete_rejectedevent",
            "replay_rejectedevent",
            "mute_rejectedevent",
        ],
        "projects": ["view_project", "view_task", "add_task"],
    },
    "planning": {
        "projects": [
            *_SEE_PROJECTS,
            *(f"{verb}_{model}" for verb in ("add", "change", "delete") for model in ("project", "task", "comment")),
            "change_reminder",
            "resend_report",
        ],
    },
    "testing": {
        "testrunner": [
            *_SEE_TESTS,
            "change_testenvironment",
            "reserve_testenvironment",
            *(f"{verb}_environmentvariable" for verb in ("view", "add", "change", "delete")),
            "upload_testfile",
            "delete_testfile",
            "add_testrun",
            "cancel_testrun",
        ],
    },
}


def create_missing(*, sender: AppConfig, using: str = "default", **_: Any) -> None:
    """Receiver of post_migrate: create missing roles, once the permissions of every app exist."""
    from django.contrib.auth.models import Group, Permission

    if sender is not [found for found in apps.get_app_configs() if found.models_module][-1]:
        return  # post_migrate is sent once per app, and creates that app's permissions
    with transaction.atomic(using=using):
        for name in ROLES:
            # Of two concurrent migrations one creates the role: the name is unique, and the other waits for it.
            group, is_new = Group.objects.using(using).get_or_create(name=name)
            for app, codenames in ROLES[name].items() if is_new else ():
                permissions = Permission.objects.using(using).filter(content_type__app_label=app)
                group.permissions.add(*permissions.filter(codename__in=codenames))
