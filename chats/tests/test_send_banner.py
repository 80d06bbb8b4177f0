"""From the request to the message, with a real banner API that behaves well or badly."""

import io
import threading
import uuid
import zlib

import pytest
from django.db import connections
from PIL import Image

from chats import services
from chats.banners.api_client import NothingLeft
from chats.broadcasts.fanout import run
from chats.broadcasts.prepare import prepare
from chats.demo.fake import create_fake_chats
from chats.models import Banner, Broadcast, BroadcastNotAllowed, Message
from core.tests import evil_server as evil

pytestmark = pytest.mark.django_db


def picture(colour: str = "teal", kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (60, 40), colour).save(file, kind)
    return file.getvalue()


@pytest.fixture
def api(evil_server, settings):
    """A banner API with three photos whose pictures are valid."""
    settings.BANNER_API_URL = f"{evil_server.origin}/photos"
    settings.BANNER_TRUSTED_ORIGINS = [evil_server.origin]
    urls = [evil_server.on(f"/{number}.png", evil.answer(200, picture())) for number in (1, 2, 3)]
    offer(evil_server, urls)
    return evil_server


def offer(server: evil.EvilServer, urls: list[object]) -> None:
    """Make the API list photos with these addresses."""

    def page(connection: evil.Connection) -> None:
        offset = int(connection.request.query["offset"])
        photos = [{"id": number, "title": f"Photo {number}", "url": url} for number, url in enumerate(urls)]
        evil.answer_json({"success": True, "total_photos": len(urls), "photos": photos[offset:]})(connection)

    server.on("/photos", page)


def delivered(broadcast: Broadcast) -> Broadcast:
    """Do the workers' part."""
    if prepare(broadcast):
        run(broadcast, seconds=10)
    broadcast.refresh_from_db()
    return broadcast


def test_a_press_sends_the_next_banner_to_every_chat(api, marketer):
    create_fake_chats(120)

    broadcast = delivered(services.send_next_banner(actor=marketer))

    assert (broadcast.status, broadcast.delivered) == ("sent", 120)
    assert broadcast.banner.source_url == f"{api.origin}/1.png"
    assert broadcast.banner.sha256
    message = Message.objects.first()
    assert message.image.name == broadcast.image.name
    with message.image.open() as file:
        assert Image.open(file).size == (60, 40)


def test_banners_go_out_in_the_order_of_the_api_until_none_is_left(api, marketer):
    sent = [delivered(services.send_next_banner(actor=marketer)).banner.source_url for _ in range(3)]

    assert sent == [f"{api.origin}/{number}.png" for number in (1, 2, 3)]
    with pytest.raises(NothingLeft, match="No banner left to send"):
        services.send_next_banner(actor=marketer)
    assert Broadcast.objects.count() == 3


def test_the_same_press_twice_is_one_broadcast(api, marketer):
    key = uuid.uuid4()

    first = services.send_next_banner(actor=marketer, request_key=key)
    again = services.send_next_banner(actor=marketer, request_key=key)

    assert first == again
    assert Broadcast.objects.count() == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("keys", ["the same", "different"])
def test_two_presses_at_the_same_moment_never_send_one_banner_twice(api, keys):
    both_have_the_list = threading.Barrier(2, timeout=10)
    listed = api.behaviours["/photos"]

    def list_when_both_have_asked(connection: evil.Connection) -> None:
        both_have_the_list.wait()
        listed(connection)

    api.on("/photos", list_when_both_have_asked)
    key = uuid.uuid4()
    broadcasts: list[Broadcast] = []

    def press() -> None:
        request_key = key if keys == "the same" else uuid.uuid4()
        try:
            broadcasts.append(services.send_next_banner(actor=None, request_key=request_key))
        finally:
            connections.close_all()

    pressing = [threading.Thread(target=press) for _ in range(2)]
    for thread in pressing:
        thread.start()
    for thread in pressing:
        thread.join(10)

    assert len(broadcasts) == 2
    assert Broadcast.objects.count() == len({broadcast.banner_url for broadcast in broadcasts})
    assert Broadcast.objects.count() == (1 if keys == "the same" else 2)


def test_a_skipped_photo_is_passed_over_and_may_be_allowed_again(api, marketer):
    banner = services.skip_banner(url=f"{api.origin}/1.png", title="", actor=marketer)

    assert services.send_next_banner(actor=marketer).banner_url == f"{api.origin}/2.png"

    services.unskip_banner(banner=banner)
    assert services.send_next_banner(actor=marketer).banner_url == f"{api.origin}/1.png"


def test_a_photo_that_is_being_sent_cannot_be_skipped(api, marketer):
    broadcast = services.send_next_banner(actor=marketer)

    with pytest.raises(BroadcastNotAllowed, match="is being sent"):
        services.skip_banner(url=broadcast.banner_url, title="", actor=marketer)


def test_entries_without_a_usable_address_are_passed_over_and_counted(api, marketer):
    offer(api, [None, "javascript:alert(1)", f"{api.origin}/1.png"])

    assert services.send_next_banner(actor=marketer).banner_url == f"{api.origin}/1.png"
    with pytest.raises(NothingLeft, match="2 entries of the list have no usable address"):
        services.send_next_banner(actor=marketer)


def test_a_cancelled_broadcast_of_which_nothing_was_sent_gives_its_banner_back(api, marketer):
    services.cancel(broadcast=services.send_next_banner(actor=marketer), actor=marketer)

    assert services.send_next_banner(actor=marketer).banner_url == f"{api.origin}/1.png"


API_PROBLEMS = {
    "404": evil.answer(404),
    "500": evil.answer(500),
    "429": evil.answer(429, Retry_After="60"),
    "a page": evil.answer(200, b"<html>Login</html>", Content_Type="text/html"),
    "broken JSON": evil.answer(200, b'{"photos": ['),
    "a list": evil.answer_json([]),
    "photos are missing": evil.answer_json({"success": True}),
    "photos are a word": evil.answer_json({"success": True, "photos": "none"}),
    "failure": evil.answer_json({"success": False, "message": "Maintenance until noon", "photos": []}),
    "empty page": evil.answer_json({"success": True, "photos": []}),
    "missing url": evil.answer_json({"success": True, "photos": [{"id": 1}]}),
    "javascript": evil.answer_json({"success": True, "photos": [{"id": 1, "url": "javascript:alert(1)"}]}),
    "redirect to a file": evil.redirect("file:///etc/passwd"),
    "redirect inside": evil.redirect("http://169.254.169.254/latest/meta-data/"),
    "endless": evil.endless_body,
}


@pytest.mark.parametrize("behaviour", API_PROBLEMS.values(), ids=API_PROBLEMS.keys())
def test_a_problem_of_the_api_is_one_sentence_and_nothing_is_queued(api, marketer_api, behaviour):
    api.behaviours["/photos"] = lambda connection: (
        evil.answer_json({"photos": []})(connection)
        if connection.request.query["offset"] != "0"
        else behaviour(connection)
    )

    answer = marketer_api.post("/broadcasts/banner/")

    assert answer.status_code in (409, 502)
    assert answer.json()["detail"].rstrip(")").endswith(".")
    assert not Broadcast.objects.exists()
    assert not Message.objects.exists()


@pytest.mark.parametrize("behaviour", [evil.silent, evil.drip_headers, evil.drip_body], ids=lambda made: made.__name__)
def test_an_api_that_takes_for_ever_is_given_up_in_time(api, marketer_api, monkeypatch, behaviour):
    monkeypatch.setattr(services, "API_SECONDS", 0.5)
    api.on("/photos", behaviour)

    answer = marketer_api.post("/broadcasts/banner/")

    assert answer.status_code == 504
    assert "within 0.5 seconds" in answer.json()["detail"]
    assert not Broadcast.objects.exists()


@pytest.mark.parametrize("address", ["http://127.0.0.1:1/photos", "http://banners.invalid/photos"])
def test_an_api_that_cannot_be_reached_is_said_so(marketer_api, settings, address):
    settings.BANNER_API_URL = address

    assert marketer_api.post("/broadcasts/banner/").status_code == 502


def huge_png() -> bytes:
    """Return a PNG with 13,000 × 13,000 black pixels in a few kilobytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    header = (13_000).to_bytes(4, "big") * 2 + bytes([1, 0, 0, 0, 0])
    rows = zlib.compress(bytes(1 + 13_000 // 8) * 13_000, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


NOT_ITS_FAULT = {"500": evil.answer(500), "broken off": evil.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nx")}
ITS_OWN_FAULT = {
    "404": evil.answer(404),
    "no picture": evil.answer(200, b"<html></html>", Content_Type="image/png"),
    "truncated": evil.answer(200, picture(kind="JPEG")[:200], Content_Type="image/jpeg"),
    "far too large": evil.answer(200, huge_png()),
    "endless": evil.endless_body,
    "leads inside": evil.redirect("http://169.254.169.254/x.png"),
}


@pytest.mark.parametrize("behaviour", NOT_ITS_FAULT.values(), ids=NOT_ITS_FAULT.keys())
def test_a_download_that_fails_sends_nothing_and_gives_the_banner_back(api, marketer, behaviour):
    create_fake_chats(5)
    good = api.behaviours["/1.png"]
    api.on("/1.png", behaviour)

    failed = delivered(services.send_next_banner(actor=marketer))

    assert failed.status == "failed"
    assert failed.error.startswith("The banner could not be downloaded: ")
    assert not Message.objects.exists()
    api.on("/1.png", good)
    assert delivered(services.send_next_banner(actor=marketer)).banner_url == failed.banner_url


@pytest.mark.parametrize("behaviour", ITS_OWN_FAULT.values(), ids=ITS_OWN_FAULT.keys())
def test_a_picture_of_no_use_fails_its_broadcast_and_is_passed_over_from_then_on(api, marketer, behaviour):
    create_fake_chats(5)
    api.on("/1.png", behaviour)

    failed = delivered(services.send_next_banner(actor=marketer))

    assert failed.status == "failed"
    assert not Message.objects.exists()
    assert Banner.objects.get(source_url=failed.banner_url).skip_reason
    assert delivered(services.send_next_banner(actor=marketer)).banner_url == f"{api.origin}/2.png"


def test_a_failed_broadcast_is_tried_again_with_its_own_banner(api, marketer):
    create_fake_chats(5)
    good = api.behaviours["/1.png"]
    api.on("/1.png", evil.answer(500))
    broadcast = delivered(services.send_next_banner(actor=marketer))
    api.on("/1.png", good)

    services.retry(broadcast=broadcast, actor=marketer)

    assert delivered(broadcast).status == "sent"
    assert [step.verb for step in broadcast.steps.all()] == ["queued", "failed", "queued", "sending", "sent"]


def test_a_failed_broadcast_is_not_tried_again_once_its_banner_was_sent_by_another(api, marketer):
    good = api.behaviours["/1.png"]
    api.on("/1.png", evil.answer(500))
    failed = delivered(services.send_next_banner(actor=marketer))
    api.on("/1.png", good)
    delivered(services.send_next_banner(actor=marketer))

    with pytest.raises(BroadcastNotAllowed, match="sent by another broadcast"):
        services.retry(broadcast=failed, actor=marketer)

    failed.refresh_from_db()
    assert failed.status == "failed"


def test_two_workers_do_not_prepare_the_same_broadcast(api, marketer):
    broadcast = services.send_next_banner(actor=marketer)
    Broadcast.objects.filter(pk=broadcast.pk).update(lease_until="2999-01-01T00:00Z")

    assert prepare(broadcast) is False
    assert not [request for request in api.asked if request.path == "/1.png"]
