"""Content negotiation: by `?format=` with a renderer's name, or by `Accept`."""

from typing import Any

from rest_framework import exceptions
from rest_framework.negotiation import DefaultContentNegotiation


class ByNameOrType(DefaultContentNegotiation):
    """REST framework's negotiation with a validation error for an unknown format name."""

    def filter_renderers(self, renderers: Any, format: str) -> Any:
        found = [renderer for renderer in renderers if renderer.format == format]
        if not found:
            names = " or ".join(dict.fromkeys(renderer.format for renderer in renderers))
            raise exceptions.ValidationError({"format": [f"Choose {names}."]})
        return found
