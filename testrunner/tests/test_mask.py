from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testrunner.mask import Mask


@given(st.text("abc", min_size=4, max_size=8), st.text("abcd\n", max_size=60), st.lists(st.integers(0, 60), max_size=8))
def test_no_secret_passes_however_the_stream_is_cut(secret: str, text: str, cuts: list[int]):
    mask, stream = Mask([secret]), text.encode()
    places = [0, *sorted(cuts), len(stream)]

    seen = b"".join(mask.stream(stream[a:b]) for a, b in pairwise(places)) + mask.rest()

    assert secret.encode() not in seen
    assert seen.decode() == text.replace(secret, "***")


def test_without_secrets_nothing_is_held_back():
    assert Mask([]).stream(b"abc") == b"abc"


@pytest.mark.parametrize("secret", ["", "1", "abc"])
def test_what_is_too_short_to_be_a_secret_is_not_hidden(secret: str):
    assert Mask([secret]).text("1 abc") == "1 abc"


def test_every_line_of_a_secret_is_one():
    assert Mask(["-----BEGIN\nMIIEow\n"]).text("MIIEow") == "***"


def test_what_postgres_cannot_hold_is_replaced():
    assert Mask([]).text("a\0b\ud800") == "a\N{REPLACEMENT CHARACTER}b?"
