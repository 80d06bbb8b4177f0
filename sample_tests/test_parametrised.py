"""Many small tests, of which one is skipped and one fails as expected."""

import pytest


@pytest.mark.parametrize("number", range(100))
def test_a_square_is_not_negative(number):
    assert (number - 50) ** 2 >= 0


@pytest.mark.skip(reason="Shows how a skipped test looks.")
def test_skipped():
    raise AssertionError


@pytest.mark.xfail(reason="Shows how an expected failure looks.", strict=True)
def test_expected_to_fail():
    assert round(2.675, 2) == 2.68
