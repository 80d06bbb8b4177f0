"""Lists of REST views by way of the list cache: the same answer, with an ETag, and 304 where nothing has changed."""

from typing import Any
from urllib.parse import urlencode

from django.http import HttpResponse, HttpResponseNotModified
from django.utils.http import parse_etags
from rest_framework.mixins import ListModelMixin
from rest_framework.pagination import PageNumberPagination
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request

from projects import list_cache

SCOPE = ("projects.view_project", "projects.view_task")  # what may make a list differ from one reader to the next


class Pages(PageNumberPagination):
    """Pages by number, with the count: lists come in any order, also by dates that not every task has.

    A row that is added while somebody turns the pages moves the others on; order by `id` to miss none.
    """

    page_size_query_param = "page_size"
    max_page_size = 500


class CachedList(ListModelMixin):
    """ListModelMixin by way of the cache. The right to read the list has been checked before: see `initial`."""

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Any:
        """Answer from the cache, or from the database."""

        def build() -> bytes:
            return bytes(JSONRenderer().render(super(CachedList, self).list(request, *args, **kwargs).data))

        found = list_cache.listing(kind=type(self).__name__, scope=_scope(request), query=_query(request), build=build)
        if found.etag in _known(request):
            response: HttpResponse = HttpResponseNotModified()
        else:
            response = HttpResponse(found.body, content_type="application/json")
        response["ETag"] = found.etag
        response["Cache-Control"] = "private, no-cache"  # to be kept, and asked about each time
        return response


def _scope(request: Request) -> str:
    return " ".join(permission for permission in SCOPE if request.user.has_perm(permission))


def _query(request: Request) -> str:
    """The parameters in one order, and the address that the links to other pages begin with."""
    parameters = sorted((name, value) for name, values in request.query_params.lists() for value in values)
    return f"{request.build_absolute_uri(request.path)}?{urlencode(parameters)}"


def _known(request: Request) -> list[str]:
    """The ETags the client has; a proxy may have made them weak, which makes no difference here."""
    return [etag.removeprefix("W/") for etag in parse_etags(request.headers.get("If-None-Match", ""))]
