"""Passes."""


def test_addition():
    assert 1 + 1 == 2


def test_a_word_contains_its_letters():
    assert set("room") <= set("opsroom")
