"""Ends with exit code 0, and no report."""

import os


def test_it():
    os._exit(0)
