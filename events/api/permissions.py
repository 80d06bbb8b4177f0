"""Permissions of actions that do not follow from the HTTP method."""

from __future__ import annotations

from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView


def _requires(permission: str) -> type[BasePermission]:
    """Return a class that requires this permission for every method."""

    class Required(BasePermission):
        def has_permission(self, request: Request, view: APIView) -> bool:
            return request.user.has_perm(permission)

    return Required


MayChangeApplications = _requires("events.change_application")
MayChangeEventTypes = _requires("events.change_eventtype")
MaySeeEvents = _requires("events.view_event")  # for views that show events but have another model
MayReplay = _requires("events.replay_rejectedevent")  # also for viewing replays
