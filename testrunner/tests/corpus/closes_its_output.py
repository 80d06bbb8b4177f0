"""Closes everything but the report."""

import os


def test_it():
    os.close(1)
    os.close(2)
