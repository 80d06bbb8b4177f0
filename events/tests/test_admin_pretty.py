"""JSON on a page: readable, marked, and whatever was sent."""

import pytest

from events.admin.widgets.json_html import json_html, raw_html


def marks(html: str) -> list[str]:
    return [part.split("</mark>")[0] for part in html.split('<mark class="json-line">')[1:]]


def test_the_place_of_a_reason_is_marked():
    html = json_html({"data": {"price": "free", "host": "x"}}, ["/data/price"])

    (mark,) = marks(html)
    assert "price" in mark and "free" in mark


def test_a_place_that_is_not_there_marks_what_should_hold_it():
    first, last = marks(json_html({"data": {"a": 1}, "name": "x"}, ["/data/host"]))

    assert "data" in first and last.strip() == "},"


def test_a_place_within_a_list_and_with_an_escaped_name_is_found():
    (mark,) = marks(json_html({"a/b": [{"c~d": 1}, 2]}, ["/a~1b/0/c~0d"]))

    assert "c~d" in mark


@pytest.mark.parametrize("number", ["1e400", "NaN", "-Infinity", "9" * 150])
def test_a_number_that_no_database_holds_is_shown_as_it_was_sent(number):
    assert number in raw_html(f'{{"a": {number}}}'.encode())


def test_doubled_keys_are_both_shown():
    html = raw_html(b'{"a": 1, "a": 2}')

    assert html.count("&quot;a&quot;") == 2


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"\x00\xff\xfe", b"{", b"null", b'"\\ud800"', b'{"\\ud800": "\\u0000"}', b"[" * 100_000,
        b"\x00plain\x1b[2J", b"9" * 10_000, b"[" * 900 + b"]" * 900, b'{"a":' * 30_000, "žluťoučký \U0001f600".encode(),
    ],
)  # fmt: skip
def test_whatever_was_sent_can_be_shown(raw):
    html = raw_html(raw)

    assert html.startswith("<pre") and html.encode()
    assert "\x00" not in html and "\x1b" not in html


def test_nothing_that_was_sent_is_markup():
    html = raw_html(b'{"<script>": "</pre><img src=x>"}') + raw_html(b"<script>")

    assert "<script>" not in html and "<img" not in html


def test_what_is_too_much_for_a_page_is_cut_and_said():
    assert "more lines" in json_html(list(range(5_000)))
    assert "more characters" in raw_html(b"x" * 100_000)
    assert "more bytes" in raw_html(b"\xff" * 100_000)
