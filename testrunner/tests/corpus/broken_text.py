"""Writes NUL, incomplete characters, lone surrogates, and a line of 100 kB."""

import os


def test_it():
    os.write(1, b"before\0after \xff\xfe \xc3 \xed\xa0\x80 \xf0\x9f\x98")
    os.write(1, b"\x80 whole\n" + b"y" * 100_000 + b"\nlast line\n")
