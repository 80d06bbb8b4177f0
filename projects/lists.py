"""Lists of REST views by way of the list cache: the same answer, with an ETag, and 304 where nothing has changed."""

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

from django.contrib.auth import get_user_model
from django.http import HttpRequest, HttpResponse, HttpResponseNotModified
from django.utils.http import parse_etags
from rest_framework.mixins import ListModelMixin
from rest_framework.pagination import PageNumberPagination
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request

from projects import list_cache
from projects.callers import caller_of

SCOPE = ("projects.view_project", "projects.view_task")  # what may make a list differ from one reader to the next


class Pages(PageNumberPagination):
    """Pages by number, with the count: lists come in any order, also by dates that not every task has.

    A row that is added while somebody turns the pages moves the others on; order by `id` to miss none.
    """

    page_size_query_param = "page_size"
    max_page_size = 500


class CachedList(ListModelMixin):
    """ListModelMixin by way of the cache, of what `view_<model>` lets one see.

    1. A GET with a token whose answer is stored gets it before REST framework begins: one query for the caller's
       rights, one question to Redis.
    2. Every other one goes the ordinary way: `initial` has checked the right to read before `list` is called.
    """

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Answer at once where that can be done, else in the ordinary way."""
        return self._at_once(request) or super().dispatch(request, *args, **kwargs)  # type: ignore[misc]

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Any:
        """Answer from the cache, or from the database."""

        def build() -> bytes:
            return bytes(JSONRenderer().render(super(CachedList, self).list(request, *args, **kwargs).data))

        held = [permission for permission in SCOPE if request.user.has_perm(permission)]
        return _answer(request, list_cache.listing(self._question(request, held), build))

    def _at_once(self, request: HttpRequest) -> HttpResponse | None:
        if request.method != "GET" or self.action_map.get("get") != "list" or not _wants_json(request):  # type: ignore[attr-defined]
            return None
        caller = caller_of(request, SCOPE)
        if caller is None or self._right() not in caller.permissions:
            return None
        held = [permission for permission in SCOPE if permission in caller.permissions]
        found = list_cache.peek(self._question(request, held))
        if found is None:
            return None
        request.user = get_user_model()(pk=caller.user_id, username=caller.username)  # for the log
        response = _answer(request, found)
        response["Allow"] = ", ".join(self.allowed_methods)  # type: ignore[attr-defined]
        return response

    def _right(self) -> str:
        model = self.queryset.model._meta  # type: ignore[attr-defined]
        return f"{model.app_label}.view_{model.model_name}"

    def _question(self, request: HttpRequest | Request, held: Iterable[str]) -> str:
        return list_cache.question(kind=type(self).__name__, scope=" ".join(held), query=_query(request))


def _wants_json(request: HttpRequest) -> bool:
    """Whether JSON will do without doubt; REST framework knows what to make of other wishes."""
    return request.headers.get("Accept", "*/*") in ("*/*", "application/json")


def _answer(request: HttpRequest | Request, found: list_cache.Listing) -> HttpResponse:
    if found.etag in _known(request):
        response: HttpResponse = HttpResponseNotModified()
    else:
        response = HttpResponse(found.body, content_type="application/json")
    response["ETag"] = found.etag
    response["Cache-Control"] = "private, no-cache"  # to be kept, and asked about each time
    return response


def _query(request: HttpRequest | Request) -> str:
    """The parameters in one order, and the address that the links to other pages begin with."""
    parameters = sorted((name, value) for name, values in request.GET.lists() for value in values)
    return f"{request.build_absolute_uri(request.path)}?{urlencode(parameters)}"


def _known(request: HttpRequest | Request) -> list[str]:
    """The ETags the client has; a proxy may have made them weak, which makes no difference here."""
    return [etag.removeprefix("W/") for etag in parse_etags(request.headers.get("If-None-Match", ""))]
