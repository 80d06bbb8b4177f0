"""The word list of `make lint` reads the texts of modules, templates and pages, and nothing else."""

from collections.abc import Callable

import pytest

from config.local.word_list import WORDS, Texts, of_messages, of_module, of_page, of_template

MODULE = '''"""Whoever reads this."""

told = "nobody"  # somebody


def mend():
    """Mends it.

    For ever.
    """
    raise ValueError("It is no number.", "There is no number.")
'''
TEMPLATE = '<p class="told">All the same\n<i title="Under way">{{ nobody }}{% if said %}</i></p>\n<script>told</script>'
PAGE = "It is told.\n```\nsomebody\n```\nNobody."


@pytest.mark.parametrize(
    ("read", "source", "words"),
    [
        (of_module, MODULE, [(1, ["Whoever"]), (3, ["somebody"]), (7, ["Mends"]), (9, ["For ever"])]),
        (of_messages, MODULE, [(1, ["Whoever"]), (7, ["Mends", "For ever"]), (11, ["is no number"])]),
        (of_template, TEMPLATE, [(1, ["All the same"]), (2, ["Under way"])]),
        (of_page, PAGE, [(1, ["told"]), (5, ["Nobody"])]),
    ],
)
def test_only_what_people_read_is_read(read: Callable[[str], Texts], source: str, words: list[tuple[int, list[str]]]):
    assert [(number, WORDS.findall(text)) for number, text in sorted(read(source)) if WORDS.search(text)] == words
