"""Lost-update protection: an ETag on every representation that can be changed, and `If-Match` on changes.

1. GET returns an ETag, a hash of the representation, and 304 if `If-None-Match` contains it. Responses to PUT, PATCH
   and to creating POSTs have the ETag that the next GET will have.
2. A change with `If-Match` locks the row, reads what GET would return now, compares, and only then writes, all in one
   transaction: of two changes with the same ETag one succeeds and the other gets 412. Without the header nothing is
   compared.

Some members change by themselves, such as the queue of an environment. They count for `If-None-Match`, because the
representation differs, but not for `If-Match`, because users do not edit them. So an ETag has two parts if there are
such members, and `If-Match` compares only the first.

https://www.rfc-editor.org/rfc/rfc9110#section-13.1
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from django.db import transaction
from django.db.models import Model, QuerySet
from django.shortcuts import get_object_or_404
from rest_framework import exceptions, status
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
_LIST = re.compile(rf"{_TAG.pattern}(?:\s*,\s*{_TAG.pattern})*")
_WRITING = {"PUT", "PATCH", "DELETE"}


class PreconditionFailed(exceptions.APIException):
    """412: the representation has changed since the client read it."""

    status_code = status.HTTP_412_PRECONDITION_FAILED
    default_detail = (
        "This was changed since you read it. Read it again with GET, compare, and send your change with the new ETag "
        "in If-Match. Nothing was changed."
    )


class InvalidETag(exceptions.APIException):
    status_code = status.HTTP_400_BAD_REQUEST
    default_detail = (
        'If-Match is not a list of entity tags. Send the ETag as GET gave it, with its quotes: If-Match: "…".'
    )


class WeakETag(PreconditionFailed):
    default_detail = (
        "A weak entity tag (W/…) never matches in If-Match. Send the strong ETag that GET gave without a proxy's W/. "
        "Nothing was changed."
    )


class Preconditions(APIView):
    """Mixin for a view of one representation; see the module.

    `changing_members` change by themselves. `shown_once` are members of the response to a change that GET does not
    return. `etag_of_created` is for lists whose POST returns a representation that has its own URL.
    """

    changing_members: ClassVar[frozenset[str]] = frozenset()
    shown_once: ClassVar[frozenset[str]] = frozenset()
    etag_of_created: ClassVar[bool] = False

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(response, Response) and self._shows_a_representation(request, response):
            etag = self._etag(response.data)
            if request.method in ("GET", "HEAD") and _is_known(etag, request.headers.get("If-None-Match", "")):
                response = Response(status=status.HTTP_304_NOT_MODIFIED)
            response["ETag"] = etag
        return super().finalize_response(request, response, *args, **kwargs)

    @contextmanager
    def if_match(self, row: Model, first: Callable[[], Any] = lambda: None) -> Iterator[None]:
        """Change `row` inside this context. Raises PreconditionFailed if a precondition of the request does not hold.

        `first` acquires locks that the app takes before the row's lock.
        """
        wanted, unwanted = self.request.headers.get("If-Match"), self.request.headers.get("If-None-Match", "")
        if wanted is None and not unwanted:
            yield
            return
        tags = _tags(wanted) if wanted is not None else None
        with transaction.atomic():
            first()
            self.lock(row)
            current = self._etag(self.shown(row))
            if tags is not None and not _matches(current, tags):
                raise WeakETag() if all(tag.startswith("W/") for tag in tags) else PreconditionFailed()
            if _is_known(current, unwanted):
                raise PreconditionFailed()
            yield

    def lock(self, row: Model) -> None:
        """Lock the row until the end of the transaction. Raises NotFound if it was deleted."""
        rows: QuerySet[Any] = type(row)._base_manager.select_for_update().filter(pk=row.pk)
        if rows.values_list("pk").first() is None:
            raise exceptions.NotFound

    def shown(self, row: Model) -> Any:
        """Return what GET returns for the row now."""
        view: Any = self
        return view.get_serializer(get_object_or_404(view.get_queryset(), pk=row.pk)).data

    def _shows_a_representation(self, request: Request, response: Response) -> bool:
        view: Any = self
        if response.exception or not isinstance(response.data, dict):
            return False
        if request.method == "POST":
            created = self.etag_of_created or (view.action_name == "create" and hasattr(self, "retrieve"))
            return created and not view.is_detail and response.status_code < 300
        is_main = view.action_name in ("get", "put", "patch", "retrieve", "update", "partial_update")
        return is_main and view.is_detail and can_be_changed(type(self)) and response.status_code == 200

    def _etag(self, shown: Any) -> str:
        lasting = {name: value for name, value in shown.items() if name not in self.changing_members | self.shown_once}
        changing = {name: value for name, value in shown.items() if name in self.changing_members}
        return f'"{_hash(lasting)}{"." + _hash(changing) if self.changing_members else ""}"'


def can_be_changed(view: type[APIView]) -> bool:
    """Return whether a view of one representation has methods that change it."""
    return any(hasattr(view, name) for name in ("put", "patch", "delete", "update", "partial_update", "destroy"))


def _hash(shown: Any) -> str:
    return hashlib.sha256(JSONRenderer().render(shown)).hexdigest()[:24]


def _tags(header: str) -> list[str]:
    """Return the tags of a header, or ["*"]. Raises InvalidETag."""
    if header.strip() == "*":
        return ["*"]
    if not _LIST.fullmatch(header.strip()):
        raise InvalidETag
    return [tag[0] for tag in _TAG.finditer(header)]


def _matches(current: str, tags: list[str]) -> bool:
    """Compare strongly, by the part without self-changing members."""
    part = current.strip('"').partition(".")[0]
    return any(tag == "*" or tag.strip('"').partition(".")[0] == part for tag in tags)


def _is_known(current: str, header: str) -> bool:
    """Compare weakly, as caches do; an invalid list of tags matches nothing."""
    if header.strip() == "*":
        return True
    return any(f'"{tag[2]}"' == current for tag in _TAG.finditer(header))


IF_MATCH = (
    "The ETag of what you have read. If the representation has changed since, nothing changes and the answer is "
    "412. `*`: whatever it is."
)
IF_NONE_MATCH = "The ETag of what you have. The answer is 304 while the representation is the same."


def document_preconditions(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Schema hook: add ETag, `If-None-Match` and `If-Match` to each representation that can be changed."""
    for operations in result.get("paths", {}).values():
        writing = [operations[name] for name in ("put", "patch", "delete") if name in operations]
        if "get" not in operations or not writing:
            continue
        reading = operations["get"]
        _add_header(reading, "If-None-Match", IF_NONE_MATCH)
        reading["responses"]["304"] = {"description": "The representation is the same as in `If-None-Match`."}
        for operation in writing:
            _add_header(operation, "If-Match", IF_MATCH)
            operation["responses"]["412"] = {
                "description": "The representation is not the one that `If-Match` names. Nothing was changed.",
                "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
            }
        etag = {"ETag": {"schema": {"type": "string"}, "description": "For `If-Match` and `If-None-Match`."}}
        for operation in [reading, *writing]:
            if "200" in operation["responses"]:
                operation["responses"]["200"]["headers"] = etag
    return result


def _add_header(operation: dict[str, Any], name: str, description: str) -> None:
    header = {"in": "header", "name": name, "schema": {"type": "string"}, "description": description}
    operation.setdefault("parameters", []).append(header)
