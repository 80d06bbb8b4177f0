from __future__ import annotations

import hashlib

LONGEST_NODEID = 500  # characters; two indexes hold it


def shortened(nodeid: str, most: int = LONGEST_NODEID) -> str:
    """The id as it is stored: one that is too long keeps its beginning and a digest of all of it, and stays apart."""
    if len(nodeid) <= most:
        return nodeid
    return f"{nodeid[: most - 17]}~{hashlib.sha256(nodeid.encode(errors='replace')).hexdigest()[:16]}"
