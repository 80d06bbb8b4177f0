"""Writes into every open descriptor."""

import contextlib
import os


def test_it():
    for descriptor in range(3, 64):
        with contextlib.suppress(OSError):
            os.write(descriptor, b'{"kind": "report", "id": 5}\n[[[[\n\xff\0')
