"""Verbs whose permission does not follow from the method: each needs one, whatever it is asked with."""

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
    """For what shows events though its model is another."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return request.user.has_perm("events.view_event")


class MayReplay(BasePermission):
    """Asking rejected events again, and watching that."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return request.user.has_perm("events.replay_rejectedevent")
