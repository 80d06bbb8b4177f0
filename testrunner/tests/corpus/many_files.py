"""Creates empty files endlessly."""

import itertools


def test_it():
    for number in itertools.count():
        open(f"file-{number}", "w").close()
