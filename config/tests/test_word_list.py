"""The word list of `make lint` reads docstrings and comments, and nothing else."""

from config.local.word_list import WORDS, texts

SOURCE = '''"""Whoever reads this."""

told = "nobody"  # somebody


def mend():
    """Mends it.

    For ever.
    """
'''


def test_docstrings_and_comments_are_read_but_names_and_strings_are_not():
    assert [(number, WORDS.findall(text)) for number, text in sorted(texts(SOURCE)) if WORDS.search(text)] == [
        (1, ["Whoever"]),
        (3, ["somebody"]),
        (7, ["Mends"]),
        (9, ["For ever"]),
    ]
