from __future__ import annotations

import hashlib
import re

from testrunner.sandbox.redaction import STARS

MAX_NODEID_LENGTH = 500  # characters; two indexes hold it


def shortened(nodeid: str, most: int = MAX_NODEID_LENGTH) -> str:
    """The id as it is stored: one that is too long keeps its beginning and a digest of all of it, and stays apart."""
    if len(nodeid) <= most:
        return nodeid
    return f"{nodeid[: most - 17]}~{hashlib.sha256(nodeid.encode(errors='replace')).hexdigest()[:16]}"


def to_select(nodeid: str) -> str:
    """What pytest is told so that it runs this test: its id, or where what is stored is not all of it, more than it.

    That is the test with all of its parameters where these are what was shortened or hid a secret, else its file.
    """
    if STARS not in nodeid and not re.search(r"~[0-9a-f]{16}$", nodeid):
        return nodeid
    path, _, _ = nodeid.partition("::")
    test, bracket, _ = nodeid.partition("[")
    return test if bracket and STARS not in test else path
