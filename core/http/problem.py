"""Problem details (RFC 9457): the one shape of every error response, of Django's views and of ASGI applications."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import orjson
from django.http import HttpResponse

CONTENT_TYPE = "application/problem+json"
Body = dict[str, Any]


def problem(status: int, detail: str, **more: Any) -> Body:
    """Return problem details: the title from the status, `detail` as text, and further members, such as `errors`."""
    return {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail, **more}


def problem_response(
    status: int, detail: str, *, retry_after: int | None = None, headers: dict[str, str] | None = None
) -> HttpResponse:
    """Return a problem response outside REST framework's views. `retry_after` is in seconds."""
    response = HttpResponse(
        orjson.dumps(problem(status, detail)), status=status, content_type=CONTENT_TYPE, headers=headers
    )
    if retry_after is not None:
        response["Retry-After"] = str(retry_after)
    return response


async def send_problem(send: Any, status: int, detail: str, *headers: tuple[bytes, bytes]) -> None:
    """Send a problem response from an ASGI application."""
    body = orjson.dumps(problem(status, detail))
    own = [(b"content-type", CONTENT_TYPE.encode()), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": [*own, *headers]})
    await send({"type": "http.response.body", "body": body})
