from __future__ import annotations

import hashlib
import re

from testrunner.sandbox.redaction import STARS

MAX_NODEID_LENGTH = 500  # characters; two indexes contain it


def shortened(nodeid: str, most: int = MAX_NODEID_LENGTH) -> str:
    """Return the id as it is stored. If it is longer than `most`, it is cut and ends in a digest."""
    if len(nodeid) <= most:
        return nodeid
    return f"{nodeid[: most - 17]}~{hashlib.sha256(nodeid.encode(errors='replace')).hexdigest()[:16]}"


def selection_for(nodeid: str) -> str:
    """Return the argument that makes pytest run the test with this stored id.

    It is the id itself. If the stored id is incomplete (shortened or redacted), it is a larger selection: the test with
    all its parameters if only these are affected, otherwise the whole file.
    """
    if STARS not in nodeid and not re.search(r"~[0-9a-f]{16}$", nodeid):
        return nodeid
    path, _, _ = nodeid.partition("::")
    test, bracket, _ = nodeid.partition("[")
    return test if bracket and STARS not in test else path
