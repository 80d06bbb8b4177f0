from __future__ import annotations

import hashlib

from testrunner.models.record import LONGEST_NODEID


def shortened(nodeid: str) -> str:
    """The id as it is stored: one that is too long for an index keeps its beginning and a digest of all of it."""
    if len(nodeid) <= LONGEST_NODEID:
        return nodeid
    return f"{nodeid[: LONGEST_NODEID - 17]}~{hashlib.sha256(nodeid.encode()).hexdigest()[:16]}"
