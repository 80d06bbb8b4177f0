"""Whole numbers, mostly ids of rows, in what pages send and addresses hold: text that anybody may have changed."""

MAX_DIGITS = 18  # digits: every id has fewer, and Python refuses to read thousands


def number(given: str) -> int:
    """Return the number that a text is; 0, which no row has, where it is none."""
    return int(given) if given.isascii() and given.isdigit() and len(given) <= MAX_DIGITS else 0
