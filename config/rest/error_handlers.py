"""Error responses of the REST API, all in one shape: RFC 9457 problem details (application/problem+json)."""

import sys
from typing import Any

import structlog
from django.core.exceptions import PermissionDenied
from django.db import DataError, IntegrityError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.defaults import page_not_found, permission_denied
from rest_framework.exceptions import ValidationError
from rest_framework.response import Response
from rest_framework.views import exception_handler as drf_exception_handler

from config.pages.kept_forms import fields_of
from core.busy import Busy
from core.http.problem import CONTENT_TYPE, Body, problem, problem_response
from core.rest.unknown_names import CODE as SAYS_THE_NAME
from core.storage_failure import storage_failure

log = structlog.get_logger(__name__)

OUT_OF_RANGE = "A value is beyond what can be stored or compared."
STORAGE_RETRY = "60"  # seconds: an operator has to free space
GONE_MEANWHILE = "Something that this request refers to was deleted meanwhile. Nothing was changed."
DATABASE_AWAY = "The database does not answer. Please try again in a moment."


def exception_handler(exc: Exception, context: dict[str, Any]) -> Response | None:
    """REST framework's exception handler: API exceptions, 404 and 403 become problem details; others stay a 500."""
    if isinstance(exc, OperationalError | InterfaceError):
        return _response(503, DATABASE_AWAY, "5")
    if isinstance(exc, IntegrityError) and "foreign key" in str(exc):
        return _response(409, GONE_MEANWHILE)
    if isinstance(exc, DataError):
        # Values that pass field validation but not Postgres, such as a timestamp with offset +19:55.
        log.warning("value_out_of_range", error=str(exc))
        return _response(400, OUT_OF_RANGE)
    if isinstance(exc, Busy):
        return _response(503, str(exc), str(exc.seconds))
    if words := storage_failure(exc):
        log.error("storage_failed", error=words, exc_info=exc)
        return _response(503, words, STORAGE_RETRY)
    response = drf_exception_handler(exc, context)
    if response is None:
        return None
    response.content_type = CONTENT_TYPE
    if isinstance(exc, ValidationError):
        response.data = _validation_problem(exc)
    else:
        detail = response.data.get("detail", "") if isinstance(response.data, dict) else str(response.data)
        response.data = problem(response.status_code, str(detail), **(getattr(exc, "more", None) or {}))
    return response


def _response(status: int, detail: str, retry_after: str = "") -> Response:
    headers = {"Retry-After": retry_after} if retry_after else None
    return Response(problem(status, detail), status=status, headers=headers, content_type=CONTENT_TYPE)


def _validation_problem(exc: ValidationError) -> Body:
    fields = exc.detail if isinstance(exc.detail, dict) else {"non_field_errors": exc.detail}
    first_field, first = next(iter(fields.items()), ("", "Invalid input."))
    sentence = _first_sentence(first)
    named = first_field == "non_field_errors" or getattr(sentence, "code", None) == SAYS_THE_NAME
    where = "" if named else f"{first_field}: "
    return problem(400, f"{where}{sentence}", errors=fields)


def _first_sentence(error: Any) -> Any:
    if isinstance(error, dict):
        return _first_sentence(next(iter(error.values()), "Invalid input."))
    if isinstance(error, list):
        return _first_sentence(next((item for item in error if item), "Invalid input."))
    return error


def _wants_page(request: HttpRequest) -> bool:
    return request.path.startswith("/admin/") or "text/html" in request.headers.get("Accept", "")


def not_found(request: HttpRequest, exception: Http404) -> HttpResponse:
    """handler404: a page for people, problem details for programs."""
    if _wants_page(request):
        return page_not_found(request, exception)
    return problem_response(404, "There is nothing at this address.")


def forbidden(request: HttpRequest, exception: PermissionDenied) -> HttpResponse:
    """handler403."""
    if _wants_page(request):
        return permission_denied(request, exception)
    return problem_response(403, str(exception) or "You may not do this.")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """handler400: requests that Django itself refuses, such as a body that is too large."""
    if _wants_page(request):
        return render(request, "400.html", status=400)
    return problem_response(400, "The request is malformed or too large.")


def failed(request: HttpRequest) -> HttpResponse:
    """handler500; 503 with Retry-After if Postgres is restarting or full, the storage fails, or capacity is exhausted.

    The client may retry a 503: what failed was not committed, or a constraint reports the duplicate.
    """
    error = sys.exc_info()[1]
    if isinstance(error, OperationalError | InterfaceError):
        return _away(request, DATABASE_AWAY, retry_after=5)
    if words := storage_failure(error):
        return _away(request, words, retry_after=int(STORAGE_RETRY))
    if isinstance(error, Busy):
        return _away(request, str(error), retry_after=error.seconds)
    if _wants_page(request):
        return render(None, "500.html", _sent(request), status=500)
    return problem_response(500, "Something went wrong here. It has been logged.")


def _away(request: HttpRequest, words: str, *, retry_after: int) -> HttpResponse:
    if not _wants_page(request):
        return problem_response(503, words, retry_after=retry_after)
    # Not with the admin's own layout, which queries the database for the user.
    response = render(None, "503.html", {"words": words, **_sent(request)}, status=503)
    response["Retry-After"] = str(retry_after)
    return response


def _sent(request: HttpRequest) -> Body:
    """Return what the page needs to send a form again, so that it is not lost when the server fails."""
    fields, left_out = fields_of(request)
    token = [("csrfmiddlewaretoken", request.POST.get("csrfmiddlewaretoken", ""))] if fields else []
    return {"is_form": bool(fields), "path": request.get_full_path(), "fields": token + fields, "left_out": left_out}


def document_problems(result: Body, **_: Any) -> Body:
    """Schema hook: add the problem response to every operation."""
    schemas = result.setdefault("components", {}).setdefault("schemas", {})
    schemas["Problem"] = {
        "type": "object",
        "description": "RFC 9457 problem details.",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "errors": {"type": "object", "additionalProperties": True},
        },
    }
    answer = {"content": {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    for operations in result.get("paths", {}).values():
        for operation in operations.values():
            operation["responses"]["default"] = {"description": "Anything that went wrong.", **answer}
    return result
