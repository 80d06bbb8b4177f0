"""A correct banner API for the admin tests: `banner_list.offers(3)`, `banner_list.answers(behaviour)`."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from core.tests import evil_server as evil


def png(colour: str = "teal", size: tuple[int, int] = (60, 40)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return file.getvalue()


class BannerList:
    """The list at /photos of a real server on loopback, and its pictures."""

    def __init__(self, server: evil.EvilServer) -> None:
        self.server = server

    def offers(self, number: int, picture: bytes | None = None) -> list[str]:
        """List `number` photos, each with its picture. Return their addresses."""
        body = png() if picture is None else picture
        urls = [self.server.on(f"/{index}.png", evil.answer(200, body)) for index in range(number)]

        def page(connection: evil.Connection) -> None:
            offset = int(connection.request.query["offset"])
            photos = [{"id": index, "title": f"Photo {index}", "url": url} for index, url in enumerate(urls)]
            evil.answer_json({"success": True, "total_photos": number, "photos": photos[offset:]})(connection)

        self.answers(page)
        return urls

    def answers(self, behaviour: evil.Behaviour) -> None:
        """Make the list behave like this."""
        self.server.on("/photos", behaviour)

    @property
    def asked(self) -> list[str]:
        return [request.path for request in self.server.asked]


@pytest.fixture
def banner_list(evil_server, settings) -> BannerList:
    settings.BANNER_API_URL = f"{evil_server.origin}/photos"
    settings.BANNER_TRUSTED_ORIGINS = [evil_server.origin]
    return BannerList(evil_server)
