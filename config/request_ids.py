"""An id and a duration for each request: X-Request-ID is taken from the request or made, logged, and returned."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from django.http import HttpRequest, HttpResponse

_USABLE = re.compile(r"[A-Za-z0-9._-]{1,128}")
GetResponse = Callable[[HttpRequest], HttpResponse]


class RequestIds:
    """Middleware, before all others: also an answer that one of them gives has the id."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.META.get("HTTP_X_REQUEST_ID", "")
        name = given if _USABLE.fullmatch(given) else uuid4().hex
        request.META["HTTP_X_REQUEST_ID"] = name  # which django-structlog logs, and gives on to tasks
        request.META["opsroom.began"] = time.perf_counter()
        response = self.get_response(request)
        response.headers["X-Request-ID"] = name
        return response


def add_duration(*, request: HttpRequest, log_kwargs: dict[str, Any], **_: Any) -> None:
    """A receiver of django-structlog's signals: write how long the request took, in milliseconds."""
    began = request.META.get("opsroom.began")
    if began is not None:
        log_kwargs["duration_ms"] = round((time.perf_counter() - began) * 1000, 1)
