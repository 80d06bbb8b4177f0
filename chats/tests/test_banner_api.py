"""Errors and results shown to the user for every kind of response of the banner API."""

import json
from typing import Any

import pytest

from chats.banners.api_client import BannerApiError, NothingLeft, Photo, Photos, photos
from core.tests.evil_server import (
    Connection,
    EvilServer,
    answer,
    answer_json,
    drip_body,
    drip_headers,
    endless_body,
    redirect,
    silent,
)


def entry(number: int, **more: Any) -> dict[str, Any]:
    url = f"https://photos.example.com/{number}.jpeg"
    return {"id": number, "title": f"Photo {number}", "description": "…", "url": url, "user": 7} | more


def listing(*entries: Any, cap: int = 100):
    """Return a behaviour like that of the real service with these entries. `cap` is its maximum page size."""

    def behave(connection: Connection) -> None:
        offset, limit = (int(connection.request.query[name]) for name in ("offset", "limit"))
        page = list(entries[offset : offset + min(limit, cap)])
        answer_json({"success": True, "total_photos": len(entries), "offset": offset, "photos": page})(connection)

    return behave


def found_at(server: EvilServer, behaviour: Any, budget: float = 5.0) -> Photos:
    return photos(api_url=server.on("/photos", behaviour), budget=budget, trusted_origins=[])


def trouble(server: EvilServer, behaviour: Any, budget: float = 5.0) -> BannerApiError:
    with pytest.raises(BannerApiError) as caught:
        list(found_at(server, behaviour, budget))
    error = caught.value
    assert error.reason.endswith(".") and error.reason.isprintable()
    assert len(error.reason) < 350
    return error


# --- Valid lists --------------------------------------------------------------------------------


def test_photos_come_in_the_order_of_the_list(evil_server):
    found = found_at(evil_server, listing(entry(3), entry(1), entry(2)))

    assert [photo.title for photo in found] == ["Photo 3", "Photo 1", "Photo 2"]
    assert found.unusable == 0


def test_pages_are_asked_for_only_when_they_are_needed(evil_server):
    found = found_at(evil_server, listing(*map(entry, range(250))))
    assert evil_server.asked == []

    assert next(found) == Photo("https://photos.example.com/0.jpeg", "Photo 0")

    assert [request.query for request in evil_server.asked] == [{"offset": "0", "limit": "100"}]


def test_the_offset_follows_what_was_received_not_what_was_asked(evil_server):
    found = found_at(evil_server, listing(*map(entry, range(45)), cap=20))

    assert len(list(found)) == 45
    assert [request.query["offset"] for request in evil_server.asked] == ["0", "20", "40", "45"]


def test_what_the_operator_put_into_the_address_stays(evil_server):
    behave = listing()
    url = evil_server.on("/photos", behave)

    list(photos(api_url=f"{url}?key=a%20b&limit=3#top", budget=5, trusted_origins=[]))

    assert evil_server.asked[0].query == {"key": "a b", "offset": "0", "limit": "100"}


def test_an_empty_list_has_no_photos(evil_server):
    assert list(found_at(evil_server, listing())) == []


def test_an_address_that_is_listed_twice_is_found_once(evil_server):
    found = found_at(evil_server, listing(entry(1), entry(2), entry(1, id=9), entry(3), cap=2))

    assert [photo.title for photo in found] == ["Photo 1", "Photo 2", "Photo 3"]


@pytest.mark.parametrize(
    "broken",
    [
        {"id": 1, "title": "no url"},
        entry(1, url=None),
        entry(1, url=42),
        entry(1, url=""),
        entry(1, url="/photos/1.jpeg"),
        entry(1, url="//photos.example.com/1.jpeg"),
        entry(1, url="javascript:alert(1)"),
        entry(1, url="data:image/png;base64,AAAA"),
        entry(1, url="file:///etc/passwd"),
        entry(1, url="https://"),
        entry(1, url="https://[::1"),
        entry(1, url="https://example.com:port/"),
        entry(1, url="https://example.com/a b"),
        entry(1, url="https://example.com/\x00"),
        entry(1, url="https://example.com/\ud800"),
        entry(1, url="https://example.com/" + "x" * 2000),
        "https://photos.example.com/1.jpeg",
        None,
        [],
    ],
)
def test_an_entry_without_a_usable_address_is_left_out_and_counted(evil_server, broken):
    found = found_at(evil_server, listing(broken, entry(2)))

    assert [photo.title for photo in found] == ["Photo 2"]
    assert found.unusable == 1


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        (None, ""),
        (7, ""),
        ("  Two \n lines\t", "Two lines"),
        ("a\x00b\ud800c\u202ed", "a b c d"),
        ("x" * 500, "x" * 199 + "…"),
        ("Zürich 🎈", "Zürich 🎈"),
    ],
)
def test_titles_are_made_fit_for_a_line(evil_server, title, expected):
    (photo,) = found_at(evil_server, listing(entry(1, title=title)))

    assert photo.title == expected


# --- Endless lists ------------------------------------------------------------------------------


def test_a_service_that_ignores_the_offset_is_left_after_its_second_page(evil_server):
    same = answer_json({"success": True, "photos": [entry(1), entry(2)]})

    assert len(list(found_at(evil_server, same))) == 2
    assert len(evil_server.asked) == 2


def test_a_list_without_end_is_left_after_so_many_pages(evil_server, monkeypatch):
    monkeypatch.setattr("chats.banners.api_client.MAX_PAGES", 5)

    def more(connection: Connection) -> None:
        answer_json({"photos": [entry(int(connection.request.query["offset"]))]})(connection)

    assert len(list(found_at(evil_server, more))) == 5


def test_one_budget_holds_for_all_pages(evil_server):
    asked: list[Connection] = []

    def slowly(connection: Connection) -> None:
        asked.append(connection)
        connection.wait(0.15)
        answer_json({"photos": [entry(int(connection.request.query["offset"]))]})(connection)

    error = trouble(evil_server, slowly, budget=0.6)

    assert error.code == "timeout"
    assert len(asked) <= 5  # 4 have used up the time budget


# --- Errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize("behaviour", [silent, drip_headers, drip_body])
def test_a_service_that_does_not_finish_is_too_slow(evil_server, behaviour):
    error = trouble(evil_server, behaviour, budget=0.4)

    assert error.code == "timeout"
    assert f"127.0.0.1:{evil_server.port} did not answer completely within 0.4 seconds" in error.reason


def test_a_service_that_is_down_is_unreachable():
    with pytest.raises(BannerApiError, match=r"127.0.0.1:1 refused the connection") as caught:
        next(photos(api_url="http://127.0.0.1:1/photos", budget=2, trusted_origins=[]))

    assert caught.value.code == "refused"


def test_a_service_whose_name_is_unknown_is_named():
    with pytest.raises(BannerApiError, match=r"photos.invalid could not be resolved") as caught:
        next(photos(api_url="https://photos.invalid/", budget=5, trusted_origins=[]))

    assert caught.value.code == "unresolvable"


@pytest.mark.parametrize("api_url", ["", "photos", "http://[::1", "ftp://example.com/", "https://example.com:x/"])
def test_a_misconfigured_address_is_trouble_not_a_crash(api_url):
    with pytest.raises(BannerApiError):
        next(photos(api_url=api_url, budget=1, trusted_origins=[]))


@pytest.mark.parametrize("status", [404, 500, 503])
def test_a_status_other_than_200_is_told(evil_server, status):
    error = trouble(evil_server, answer(status, b'{"success": true, "photos": []}'))

    assert error.code == "status"
    assert f"answered {status} " in error.reason


def test_too_many_requests_says_how_long_to_wait(evil_server):
    error = trouble(evil_server, answer(429, Retry_After="30"))

    assert error.code == "status"
    assert error.reason.endswith("answered 429 Too Many Requests and asks to wait 30 seconds.")


@pytest.mark.parametrize("location", ["https://169.254.169.254/", "https://127.0.0.1/", "file:///etc/passwd"])
def test_a_redirect_to_somewhere_forbidden_is_told(evil_server, location):
    error = trouble(evil_server, redirect(location))

    assert error.code == "redirect"
    assert "redirects to a forbidden address" in error.reason


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<!doctype html><title>Maintenance</title>", "a web page"),
        (b'{"success": true, "photos": [', "something"),
        (b"", "something"),
        (b"\xff\xfe\xfa", "something"),
        ('{"photos": ["Zürich"]}'.encode("latin-1"), "something"),
        (b"[" * 200_000, "something"),
        (b'{"total_photos": ' + b"9" * 10_000 + b"}", "something"),
    ],
)
def test_what_is_not_json_is_called_so(evil_server, body, kind):
    error = trouble(evil_server, answer(200, body))

    assert error.code == "not_json"
    assert error.reason == f"The banner API answered with {kind} that is not JSON."


@pytest.mark.parametrize(
    "payload",
    [[], "photos", 7, None, {}, {"success": True}, {"photos": None}, {"photos": {"0": entry(1)}}, {"photos": "x"}],
)
def test_json_of_another_shape_is_called_so(evil_server, payload):
    error = trouble(evil_server, answer_json(payload))

    assert error.code == "wrong_shape"


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("Quota used up.", "Quota used up."),
        ("a\x00b\n<b>c</b>", "a b <b>c</b>."),
        ("x" * 5000, "x" * 199 + "…."),
        (None, "it does not say why."),
        ({"en": "no"}, "it does not say why."),
    ],
)
def test_a_reported_failure_comes_with_the_service_s_own_words(evil_server, message, words):
    error = trouble(evil_server, answer_json({"success": False, "message": message, "photos": []}))

    assert error.code == "unsuccessful"
    assert error.reason == f"The banner API reports a failure: {words}"


@pytest.mark.parametrize("behaviour", [endless_body, answer(200, json.dumps(["x" * 3_000_000]).encode())])
def test_a_page_without_end_is_too_large(evil_server, behaviour):
    assert trouble(evil_server, behaviour).code == "too_large"


def test_trouble_on_a_later_page_comes_after_the_photos_before_it(evil_server):
    def broken_later(connection: Connection) -> None:
        first = connection.request.query["offset"] == "0"
        (answer_json({"photos": [entry(1)]}) if first else answer(500))(connection)

    found = found_at(evil_server, broken_later)

    assert next(found).title == "Photo 1"
    with pytest.raises(BannerApiError, match="500"):
        next(found)


@pytest.mark.parametrize(
    ("unusable", "words"),
    [
        (0, "No banner left to send."),
        (1, "No banner left to send. (1 entry of the list has no usable address.)"),
        (3, "No banner left to send. (3 entries of the list have no usable address.)"),
    ],
)
def test_nothing_left_says_what_was_left_out(unusable, words):
    error = NothingLeft(unusable)

    assert (error.reason, error.code, error.unusable) == (words, "nothing_left", unusable)
    assert isinstance(error, BannerApiError)
