"""Whole numbers, mostly row ids, in forms and URLs: text that any client can change."""

MAX_DIGITS = 18  # every id has fewer, and Python refuses to parse thousands


def number(given: str) -> int:
    """Return the number in a text; 0, which is never an id, if the text is not a number."""
    return int(given) if given.isascii() and given.isdigit() and len(given) <= MAX_DIGITS else 0
