"""The OpenAPI document of /schema/, generated once for all tests that are derived from it."""

import functools
import json
from typing import Any

from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer


def openapi_document() -> dict[str, Any]:
    """Return a copy, which the caller may change."""
    return json.loads(_text())


@functools.cache
def _text() -> bytes:
    return OpenApiJsonRenderer().render(SchemaGenerator().get_schema(request=None, public=True), None, None)
