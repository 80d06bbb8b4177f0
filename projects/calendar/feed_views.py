"""HTTP views of the calendar feed: the feed at its secret address, and the REST endpoints that create and revoke it."""

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_safe
from drf_spectacular.utils import extend_schema
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response

from core.rest.base import RestView
from projects.calendar import feed
from projects.serializers import CalendarTokenSerializer


class MayViewTasks(BasePermission):
    """Permission for one's own feed: only the permission to view tasks is needed."""

    def has_permission(self, request: Request, view: Any) -> bool:
        return request.user.has_perm("projects.view_task")


@extend_schema(tags=["calendar"])
class CalendarTokenView(RestView):
    """The secret address of your calendar."""

    permission_classes = [MayViewTasks]
    bodiless = frozenset({"post"})

    @extend_schema(request=None, responses={201: CalendarTokenSerializer})
    def post(self, request: Request) -> Response:
        """Create a new address. The previous one stops working."""
        token, secret = feed.new_token(user=request.user)
        url = request.build_absolute_uri(reverse("calendar", args=[secret]))
        body = CalendarTokenSerializer({"token": secret, "url": url, "created_at": token.created_at})
        return Response(body.data, status=201)

    @extend_schema(request=None, responses={204: None})
    def delete(self, request: Request) -> Response:
        """Revoke the address, if there is one."""
        feed.revoke_token(user=request.user)
        return Response(status=204)


@require_safe
def calendar_feed(request: HttpRequest, token: str) -> HttpResponse:
    """Return the iCalendar feed. `?mine=1` keeps only the owner's tasks.

    404 if the token is unknown or no longer valid.
    """
    user = feed.owner_of(token)
    if user is None:
        raise Http404
    text = feed.feed(user, only_mine=request.GET.get("mine") == "1")
    return HttpResponse(
        text,
        content_type="text/calendar; charset=utf-8",
        headers={"Cache-Control": "private, max-age=300", "Content-Disposition": 'inline; filename="opsroom.ics"'},
    )
