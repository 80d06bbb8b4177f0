"""`GET /schema/`: the description of the REST API."""

import threading
from typing import ClassVar

from django.http import HttpResponse
from drf_spectacular.views import SpectacularAPIView
from rest_framework.request import Request

from core.rest.base import RestView


class SchemaView(RestView, SpectacularAPIView):
    """The description of the REST API in OpenAPI 3, the same for all users.

    Generating it takes seconds. Each process generates it once per format.
    """

    parameters = {"get": ["lang"]}
    _making: ClassVar[threading.Lock] = threading.Lock()
    _documents: ClassVar[dict[str, str | bytes]] = {}  # by format

    def _get_schema_response(self, request: Request) -> HttpResponse:
        renderer = request.accepted_renderer
        with self._making:
            if renderer.media_type not in self._documents:
                document = self.generator_class().get_schema(public=True)
                self._documents[renderer.media_type] = renderer.render(document, renderer.media_type, {})
        return HttpResponse(
            self._documents[renderer.media_type],
            content_type=f"{renderer.media_type}; charset=utf-8",
            headers={"Content-Disposition": f'inline; filename="{self._get_filename(request, None)}"'},
        )
