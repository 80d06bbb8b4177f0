"""Leaves directories nested too deeply for recursion; the last one is not readable."""

import os


def test_it():
    here = os.open(".", os.O_RDONLY)
    for _ in range(1_500):
        os.mkdir("d")
        os.chdir("d")
    os.mkdir("closed", 0)
    os.fchdir(here)
