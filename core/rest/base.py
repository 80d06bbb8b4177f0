"""Base of every REST view of every app: config/tests/test_strict_requests.py fails for a view without it."""

from typing import Any

from rest_framework import exceptions, status
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from core.rest.idempotency import IdempotentPosts
from core.rest.preconditions import Preconditions
from core.rest.strict_queries import StrictQueries


class RestView(IdempotentPosts, StrictQueries, Preconditions):
    """The first base of a REST view.

    Unknown names are errors, representations have ETags, POST takes an Idempotency-Key, and errors are JSON.
    """

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)
        if isinstance(response, Response) and response.exception:
            response.accepted_renderer, response.accepted_media_type = JSONRenderer(), JSONRenderer.media_type
        return response


class Conflict(exceptions.APIException):
    """409: the request conflicts with the current state of the resource."""

    status_code = status.HTTP_409_CONFLICT
