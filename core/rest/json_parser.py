"""REST framework's parser of JSON bodies: uses the strict reader and reports its errors as 400 by field."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from rest_framework import exceptions, parsers, renderers, status

from core.rest.strict_json import NotStrictJson, by_field, read_json


class TooLarge(exceptions.APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_detail = "The request is too large."


class StrictJSONParser(parsers.BaseParser):
    """JSON in UTF-8 (RFC 8259), whatever charset the request declares."""

    media_type = "application/json"
    renderer_class = renderers.JSONRenderer

    def parse(self, stream: IO[bytes], media_type: str | None = None, context: Mapping[str, Any] | None = None) -> Any:
        content = stream.read(settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
        if len(content) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            raise TooLarge
        try:
            return read_json(content.removeprefix(codecs.BOM_UTF8))  # parsers may ignore a BOM, RFC 8259 §8.1
        except NotStrictJson as error:
            fields = by_field(error)
            if "" in fields:
                raise exceptions.ParseError(fields[""][0]) from error
            raise exceptions.ValidationError(fields) from error
