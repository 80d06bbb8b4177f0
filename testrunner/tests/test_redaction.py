import base64
import html
import json
from collections.abc import Callable
from itertools import pairwise
from urllib.parse import quote, quote_plus, urlencode
from xml.etree.ElementTree import Element, tostring

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from testrunner.sandbox.redaction import Redactor


def xml_text(secret: str) -> str:
    element = Element("a")
    element.text = secret
    return tostring(element, encoding="unicode")


def xml_attribute(secret: str) -> str:
    return tostring(Element("a", key=secret), encoding="unicode")


def quotes_aside(text: str) -> str:
    """Remove the differences in quoting, because the quotes around a text depend on its content."""
    return text.replace("\\", "").replace("&quot;", '"').replace('"', "'")


def hidden(text: str, secrets: list[str]) -> str:
    """Return the text with every occurrence of a secret replaced by stars; overlapping ones share their stars."""
    spans = sorted(
        (start, start + len(secret))
        for secret in set(secrets)
        for start in range(len(text))
        if text.startswith(secret, start)
    )
    shown, place = "", 0
    for start, stop in spans:
        if start >= place or not shown:
            shown += text[place:start] + "***"
        place = max(place, stop)
    return shown + text[place:]


@settings(suppress_health_check=[HealthCheck.too_slow])  # the strategies are not the cause if a busy machine is slow
@given(
    st.lists(st.text("abc", min_size=4, max_size=9), min_size=1, max_size=3),
    st.text("abcd\n", max_size=60),
    st.lists(st.integers(0, 60), max_size=8),
)
def test_no_secret_passes_however_the_stream_is_cut(secrets: list[str], text: str, cuts: list[int]):
    redactor, stream = Redactor(secrets), text.encode()
    places = [0, *sorted(cuts), len(stream)]

    seen = b"".join(redactor.redact_stream(stream[a:b]) for a, b in pairwise(places)) + redactor.end_stream()

    assert not any(secret.encode() in seen for secret in secrets)
    assert seen.decode() == hidden(text, secrets) == Redactor(secrets).redact(text)


@pytest.mark.parametrize("cut", range(1, 20))
def test_the_tail_of_a_secret_that_begins_with_another_one_is_hidden(cut: int):
    redactor, text = Redactor(["hunter2", "hunter2-and-more", "more-of-it"]), b"x hunter2-and-more-of-it y"

    assert redactor.redact_stream(text[:cut]) + redactor.redact_stream(text[cut:]) + redactor.end_stream() == b"x *** y"


def test_what_is_held_back_stays_short_in_a_stream_of_secrets():
    redactor = Redactor(["aaaa"])

    seen = b"".join(redactor.redact_stream(b"a" * 100) for _ in range(100))

    assert len(redactor._withheld) < 4
    assert seen + redactor.redact_stream(b" end") + redactor.end_stream() == b"*** end"


def test_content_is_cut_beyond_secrets_that_overlap():
    redactor = Redactor(["abcd", "cdef", "efgh"])

    assert [redactor.safe_cut(b"-abcdefgh-", place) for place in range(11)] == [0, 1, *[9] * 7, 9, 10]


def test_without_secrets_nothing_is_held_back():
    assert Redactor([]).redact_stream(b"abc") == b"abc"


@pytest.mark.parametrize("secret", ["", "1", "abc"])
def test_what_is_too_short_to_be_a_secret_is_not_hidden(secret: str):
    assert Redactor([secret]).redact("1 abc") == "1 abc"


def test_every_line_of_a_secret_is_one():
    assert Redactor(["-----BEGIN\nMIIEow\n"]).redact("MIIEow") == "***"


@pytest.mark.parametrize(
    "secret",
    [
        "a<b>&c",
        "it's a secret",
        'say "friend"',
        "back\\slash",
        'it\'s "both" \\',
        "pässwörd ☃",
        "p@ss/word+1",
        "tab\tbed",
    ],
)
@pytest.mark.parametrize(
    "spell",
    [
        str,
        repr,
        lambda secret: repr(f"it's {secret}"),
        lambda secret: repr(f'"{secret}'),
        ascii,
        lambda secret: repr(secret.encode()),
        lambda secret: secret.encode("unicode_escape").decode(),
        json.dumps,
        lambda secret: json.dumps(secret, ensure_ascii=False),
        xml_text,
        xml_attribute,
        lambda secret: xml_text(repr(secret)),
        lambda secret: xml_attribute(repr(secret)),
        html.escape,
        quote,
        quote_plus,
        lambda secret: urlencode({"key": secret}),
    ],
)
def test_a_secret_is_hidden_in_every_spelling_that_ordinary_code_prints(secret: str, spell: Callable[[str], str]):
    masked = Redactor([secret]).redact(spell(secret))

    assert quotes_aside(masked) == quotes_aside(spell("SECRET").replace("SECRET", "***"))


@given(st.text("abc é☃+/", min_size=6, max_size=40).map(str.strip), st.binary(max_size=8), st.binary(max_size=8))
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_a_secret_is_hidden_in_base64_wherever_it_lies(encode: Callable[[bytes], bytes], secret, before, after):
    masked = Redactor([secret]).redact(encode(before + secret.encode() + after).decode())

    if len(secret.encode()) >= 5:
        assert "***" in masked
        # Around it, only digits that also encode neighbouring bytes remain.
        assert len(masked.replace("***", "")) <= len(encode(before)) + len(encode(after)) + 4


@pytest.mark.parametrize("user", ["", "a", "bo", "tim", "tess"])
def test_the_password_of_a_basic_authorization_header_is_hidden(user: str):
    header = base64.b64encode(f"{user}:s3cret-pässword".encode()).decode()

    masked = Redactor(["s3cret-pässword"]).redact(f"Authorization: Basic {header}")

    assert "***" in masked
    assert len(masked) < len("Authorization: Basic ***") + len(base64.b64encode(f"{user}:".encode())) + 4


@pytest.mark.parametrize("spell", [bytes.hex, lambda secret: secret.hex().upper()])
def test_a_secret_is_hidden_in_hexadecimal(spell: Callable[[bytes], str]):
    assert Redactor(["s3cret"]).redact(spell(b"s3cret")) == "***"


def test_what_postgres_cannot_hold_is_replaced():
    assert Redactor([]).redact("a\0b\ud800") == "a\N{REPLACEMENT CHARACTER}b?"
