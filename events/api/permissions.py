"""Permissions of actions that do not follow from the HTTP method.

Each class requires one permission for every method.
"""

from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView


class MayChangeApplications(BasePermission):
    def has_permission(self, request: Request, view: APIView) -> bool:
        return request.user.has_perm("events.change_application")


class MayChangeEventTypes(BasePermission):
    def has_permission(self, request: Request, view: APIView) -> bool:
        return request.user.has_perm("events.change_eventtype")


class MaySeeEvents(BasePermission):
    """Permission for views that show events but have another model."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return request.user.has_perm("events.view_event")


class MayReplay(BasePermission):
    """Permission to replay rejected events and to view replays."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return request.user.has_perm("events.replay_rejectedevent")
