"""The address that stands in other people's pages."""

from django.test import Client


def test_any_page_may_load_and_keep_the_script():
    answer = Client().get("/events/opsroom.js")

    assert answer.status_code == 200
    assert answer["Content-Type"] == "text/javascript; charset=utf-8"
    assert answer["Access-Control-Allow-Origin"] == "*"
    assert answer["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert answer["Cache-Control"] == "public, max-age=3600"
    assert b"window.opsroom" in answer.content


def test_an_unchanged_script_is_not_sent_again():
    etag = Client().get("/events/opsroom.js")["ETag"]

    answer = Client().get("/events/opsroom.js", headers={"If-None-Match": etag})

    assert answer.status_code == 304
    assert answer.content == b""


def test_nothing_is_taken_there():
    assert Client().post("/events/opsroom.js").status_code == 405
