"""List views of the REST API behind the list cache: the same response with an ETag, and 304 if nothing changed.

1. A GET with a token whose response is cached is answered by a middleware. It costs one query for the caller's
   permissions and one read from Redis; sessions, forms and REST framework are not involved.
2. Every other request is handled by REST framework as usual.
"""

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, NamedTuple

import structlog
from django.http import HttpRequest, HttpResponse, HttpResponseNotModified
from django.urls import resolve, reverse
from django.utils.http import parse_etags
from rest_framework.mixins import ListModelMixin
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request

from accounts.token_auth import caller_of
from core.list_cache import entries
from core.rest.snapshots import SnapshotPagination

log = structlog.get_logger(__name__)
SCOPE = ("projects.view_project", "projects.view_task")  # the permissions that can make a list differ between readers


class CachedPagination(SnapshotPagination):
    """Pagination for lists in any order, including by nullable dates. The export is one statement without pages."""

    page_size_query_param = "page_size"
    max_page_size = 500


class CachedListView(ListModelMixin):
    """ListModelMixin with the list cache, for the rows that `view_<model>` allows the user to see."""

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Any:
        """Return the list from the cache or the database. `initial` has already checked the read permission."""

        def build() -> bytes:
            return bytes(JSONRenderer().render(super(CachedListView, self).list(request, *args, **kwargs).data))

        if _depends_on_the_time(request):
            return _response(request, entries.build_uncached(build))
        held = [permission for permission in SCOPE if request.user.has_perm(permission)]
        return _response(request, entries.get_or_build(_cache_key(type(self).__name__, request, held), build))


class CachedListMiddleware:
    """Middleware that answers list requests from the cache. Place it after those that apply to every response."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self._from_cache(request) or self.get_response(request)

    def _from_cache(self, request: HttpRequest) -> HttpResponse | None:
        if request.method != "GET" or "Authorization" not in request.headers or not _wants_json(request):
            return None
        if _depends_on_the_time(request):
            return None
        route = _routes().get(request.path_info)
        caller = caller_of(request, SCOPE) if route else None
        if route is None or caller is None or route.right not in caller.permissions:
            return None
        held = [permission for permission in SCOPE if permission in caller.permissions]
        found = entries.peek(_cache_key(route.kind, request, held))
        if found is None:
            return None
        response = _response(request, found)
        response["Allow"] = route.allow
        log.info("list_at_once", request=request.get_full_path(), code=response.status_code, user_id=caller.user_id)
        return response


class _Route(NamedTuple):
    """A cached list: the name of its view, the permission to read it, and the value of its Allow header."""

    kind: str
    right: str
    allow: str


@cache
def _routes() -> dict[str, _Route]:
    """Return the cached lists by URL path."""
    found = {}
    for name in ("project-list", "task-list"):
        view: Any = resolve(reverse(name)).func
        model = view.cls.queryset.model._meta
        methods = [name.upper() for name in view.cls.http_method_names if name in {*view.actions, "head", "options"}]
        found[reverse(name)] = _Route(
            view.cls.__name__, f"{model.app_label}.view_{model.model_name}", ", ".join(methods)
        )
    return found


def _cache_key(kind: str, request: HttpRequest | Request, held: Iterable[str]) -> str:
    # The full URL as sent, because the order of repeated parameters can change the result.
    return entries.cache_key(kind=kind, scope=" ".join(held), query=request.build_absolute_uri())


def _wants_json(request: HttpRequest) -> bool:
    """Return whether JSON is clearly acceptable. REST framework negotiates all other Accept headers."""
    return request.headers.get("Accept", "*/*") in ("*/*", "application/json")


def _depends_on_the_time(request: HttpRequest | Request) -> bool:
    """Return whether the response can change without a write, because a task becomes overdue.

    Such lists are not cached.
    """
    return "overdue" in request.GET


def _response(request: HttpRequest | Request, found: entries.CachedList) -> HttpResponse:
    if found.etag in _client_etags(request):
        response: HttpResponse = HttpResponseNotModified()
    else:
        response = HttpResponse(found.body, content_type="application/json")
    response["ETag"] = found.etag
    response["Cache-Control"] = "private, no-cache"  # may be stored, but must be revalidated each time
    return response


def _client_etags(request: HttpRequest | Request) -> list[str]:
    """Return the client's ETags. A proxy may have made them weak; the `W/` prefix is ignored."""
    return [etag.removeprefix("W/") for etag in parse_etags(request.headers.get("If-None-Match", ""))]
