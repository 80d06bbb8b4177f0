"""The fake banner API, read by the client that reads the real one."""

import json
from io import BytesIO

import pytest
from django.http import Http404, HttpRequest, HttpResponse
from django.test import RequestFactory
from django.urls import include, path
from PIL import Image

from chats.banners.api_client import photos as photos_of
from chats.fake_banner_api.pictures import NUMBER_OF_PICTURES, PROMOTIONS
from chats.fake_banner_api.pictures import picture as drawn
from chats.fake_banner_api.views import photos, picture
from core.images.conversion import reencode
from core.tests.evil_server import Connection, EvilServer, answer

urlpatterns = [path("fake-banner-api/", include("chats.fake_banner_api.views"))]
pytestmark = pytest.mark.urls(__name__)


def get(query: str = "", **headers: str) -> HttpRequest:
    return RequestFactory().get(f"/fake-banner-api/photos/{query}", headers=headers)


def body(response: HttpResponse) -> dict:
    return json.loads(response.content)


def test_a_page_has_the_fields_of_the_real_service():
    page = body(photos(get("?offset=0&limit=3")))

    assert list(page) == ["success", "total_photos", "message", "offset", "limit", "photos"]
    assert page["message"] == "Successfully fetched 3 of 24 photos"
    assert (page["success"], page["total_photos"], page["offset"], page["limit"]) == (True, 24, 0, 3)
    assert [list(entry) for entry in page["photos"]] == [["id", "title", "description", "url", "user"]] * 3


def test_addresses_are_absolute_and_of_the_host_that_was_asked():
    page = body(photos(get("?limit=1", host="127.0.0.1:8123")))

    assert page["photos"][0]["url"] == "http://127.0.0.1:8123/fake-banner-api/pictures/1.jpeg"


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("", list(range(1, 11))),
        ("?offset=20&limit=10", [21, 22, 23, 24]),
        ("?offset=24&limit=10", []),
        ("?offset=999999999999999999999&limit=1", []),
        ("?limit=0", []),
        ("?limit=1000", list(range(1, 25))),
    ],
)
def test_pages_end_where_the_photos_end(query, ids):
    assert [entry["id"] for entry in body(photos(get(query)))["photos"]] == ids


@pytest.mark.parametrize("query", ["?offset=x", "?limit=-1", "?offset=", "?limit=1e3"])
def test_nonsense_is_answered_as_a_failure(query):
    response = photos(get(query))

    assert response.status_code == 400
    assert body(response)["success"] is False


def test_the_client_finds_all_photos_and_can_store_their_pictures(evil_server: EvilServer):
    def fake(connection: Connection) -> None:
        asked = connection.request
        request = RequestFactory().get(asked.path, asked.query, headers={"host": asked.headers["host"]})
        answer(200, photos(request).content)(connection)

    found = list(photos_of(api_url=evil_server.on("/fake-banner-api/photos/", fake), budget=5))

    assert [photo.title for photo in found] == [promotion.headline for promotion in PROMOTIONS]
    assert len({photo.url for photo in found}) == NUMBER_OF_PICTURES == 24
    stored = reencode(drawn(1))
    assert (stored.width, stored.height) == (1200, 675)


def test_all_pictures_are_different_jpegs_of_one_size():
    pictures = [drawn(number) for number in range(1, NUMBER_OF_PICTURES + 1)]

    assert len(set(pictures)) == NUMBER_OF_PICTURES
    assert {(image.format, image.size) for image in map(Image.open, map(BytesIO, pictures))} == {("JPEG", (1200, 675))}


def test_a_picture_is_drawn_the_same_again():
    first = drawn(5)
    drawn.cache_clear()

    assert drawn(5) == first


def test_a_picture_is_served_as_a_jpeg():
    response = picture(get(), 24)

    assert response["Content-Type"] == "image/jpeg"
    assert response.content == drawn(24)


@pytest.mark.parametrize("number", [0, 25, 10**30])
def test_there_is_no_picture_beyond_the_last(number):
    with pytest.raises(Http404):
        picture(get(), number)
