"""Ends with exit code 0, and a report of only half of the tests."""

import pytest


def test_first():
    pass


def test_second():
    pytest.exit("enough", returncode=0)


def test_third():
    raise AssertionError
