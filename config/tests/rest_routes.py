"""Every REST route of the resolver with its view and methods, for generated tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from django.urls import URLPattern, URLResolver, get_resolver
from drf_spectacular.views import SpectacularSwaggerSplitView
from rest_framework.views import APIView

from config.tests.matrix import address

PAGES = (SpectacularSwaggerSplitView,)  # pages for people


class RestRoute(NamedTuple):
    """A route as declared, its view class, and its methods with the action or method that handles each."""

    route: str
    view: type[APIView]
    methods: dict[str, str]

    @property
    def path(self) -> str:
        """The URL path of the row that `create_everything` creates."""
        return f"/{address(self.route)}"


def rest_routes(resolver: URLResolver | None = None, prefix: str = "") -> Iterator[RestRoute]:
    """Yield the routes of REST views."""
    for entry in (resolver or get_resolver()).url_patterns:
        route = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from rest_routes(entry, route)
        elif isinstance(entry, URLPattern) and _is_rest(view := getattr(entry.callback, "cls", object)):
            yield RestRoute(route, view, _methods(entry.callback, view))


def _is_rest(view: type) -> bool:
    return issubclass(view, APIView) and not issubclass(view, PAGES)


def _methods(callback: Any, view: type[APIView]) -> dict[str, str]:
    actions = getattr(callback, "actions", None)
    if actions is None:
        actions = {name: name for name in view.http_method_names if hasattr(view, name)}
    allowed = set(view.http_method_names) - {"options", "head"}
    return {method.upper(): action for method, action in actions.items() if method in allowed}


ROUTES = sorted(rest_routes())
