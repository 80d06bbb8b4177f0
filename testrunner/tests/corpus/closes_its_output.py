"""Closes its output: pytest writes to a stream of its own."""

import os


def test_it():
    os.close(1)
    os.close(2)
