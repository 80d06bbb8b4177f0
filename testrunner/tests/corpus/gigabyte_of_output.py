"""Writes a gigabyte of lines, and a last line that must be kept."""

import os


def test_it():
    piece = b"0123456789abcdef" * 4 + b"\n"
    for _ in range(1024):
        left = memoryview(piece * (2**20 // len(piece)))
        while left:
            left = left[os.write(1, left) :]
    print("the very end")
