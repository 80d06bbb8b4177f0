"""Makes empty files without end."""

import itertools


def test_it():
    for number in itertools.count():
        open(f"file-{number}", "w").close()
