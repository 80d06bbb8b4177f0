"""Leaves directories so deep within each other that no recursion reaches their end, and nobody may read the last."""

import os


def test_it():
    here = os.open(".", os.O_RDONLY)
    for _ in range(1_500):
        os.mkdir("d")
        os.chdir("d")
    os.mkdir("closed", 0)
    os.fchdir(here)
