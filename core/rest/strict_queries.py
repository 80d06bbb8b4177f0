"""Query parameters of REST views: an unknown one is an error, never ignored."""

from __future__ import annotations

from collections.abc import Collection
from copy import deepcopy
from functools import cache
from typing import Any, ClassVar

from django.forms import MultipleChoiceField
from django_filters import rest_framework as filters
from django_filters.widgets import SuffixedMultiWidget
from rest_framework.request import Request
from rest_framework.views import APIView

from core.rest.strict_bodies import refuse_members
from core.rest.unknown_names import given_twice, unknown_names

FORMAT = "format"  # chooses a renderer: core/rest/negotiation.py


class StrictQueries(APIView):
    """Mixin that refuses unknown query parameters, and bodies for actions that take none.

    The parameters of a list are its filters and pagination. `parameters` are those of other reading actions, and
    `bodiless` the actions that take no body, by the name of the action or, in a view without actions, the method.
    """

    parameters: ClassVar[dict[str, Collection[str]]] = {}
    bodiless: ClassVar[frozenset[str]] = frozenset()

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        self._check_parameters(request)
        if request.method == "DELETE" or self.action_name in self.bodiless:
            refuse_members(request)

    @property
    def action_name(self) -> str:
        method = "get" if self.request.method == "HEAD" else str(self.request.method).lower()
        return getattr(self, "action", None) or method

    @property
    def is_detail(self) -> bool:
        """Return whether the URL identifies one row."""
        lookup = getattr(self, "lookup_url_kwarg", None) or getattr(self, "lookup_field", None)
        return bool(getattr(self, "detail", None)) or lookup in self.kwargs

    def _check_parameters(self, request: Request) -> None:
        if not (given := request.query_params):
            return
        known = {FORMAT: False} | (self._known() if request.method in ("GET", "HEAD") else {})
        if unknown := [name for name in given if name not in known]:
            has_formats = len(self.get_renderers()) > 1
            raise unknown_names("parameter", unknown, known if has_formats else set(known) - {FORMAT})
        for name, values in given.lists():
            if len(values) > 1 and not known[name]:
                raise given_twice("parameter", name)

    def _known(self) -> dict[str, bool]:
        """Return the parameter names of this action, and whether each may be repeated."""
        if (own := self.parameters.get(self.action_name)) is not None:
            return dict.fromkeys(own, False)
        if self.is_detail:
            return {}
        paginator = getattr(self, "paginator", None)
        pages = paginator.get_schema_operation_parameters(self) if paginator else []
        return dict.fromkeys((page["name"] for page in pages), False) | self._filters()

    def _filters(self) -> dict[str, bool]:
        filterset = getattr(self, "filterset_class", None)
        return _parameters_of(filterset) if filterset and getattr(self, "filter_backends", None) else {}


@cache
def _parameters_of(filterset: type[filters.FilterSet]) -> dict[str, bool]:
    found: dict[str, bool] = {}
    for name, one in filterset.base_filters.items():
        field = deepcopy(one).field  # the filter would cache it
        if isinstance(field.widget, SuffixedMultiWidget):
            found |= {field.widget.suffixed(name, suffix): False for suffix in field.widget.suffixes}
        else:
            found[name] = isinstance(field, MultipleChoiceField)
    return found
