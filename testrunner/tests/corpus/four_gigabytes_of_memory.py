"""Allocates four gigabytes and touches them."""


def test_it():
    pieces = []
    for _ in range(64):
        pieces.append(bytearray(b"x") * 2**26)
    assert len(pieces) == 64
