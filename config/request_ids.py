"""Id and duration of each request: X-Request-ID is taken from the request or generated, logged, and returned."""

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
    """First middleware, so that responses of the other middlewares also have the id."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.META.get("HTTP_X_REQUEST_ID", "")
        name = given if _USABLE.fullmatch(given) else uuid4().hex
        request.META["HTTP_X_REQUEST_ID"] = name  # django-structlog logs it and passes it on to tasks
        request.META["opsroom.began"] = time.perf_counter()
        response = self.get_response(request)
        response.headers["X-Request-ID"] = name
        return response


def add_duration(*, request: HttpRequest, log_kwargs: dict[str, Any], **_: Any) -> None:
    """Receiver of django-structlog's signals: log how long the request took, in milliseconds."""
    began = request.META.get("opsroom.began")
    if began is not None:
        log_kwargs["duration_ms"] = round((time.perf_counter() - began) * 1000, 1)
