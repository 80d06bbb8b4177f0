"""Size of a benchmark run: full, for figures, or small, to check in seconds that it works.

`make bench ARGS=--small` selects the small size.
"""

from __future__ import annotations

import os
from typing import TypeVar

Number = TypeVar("Number", int, float)


def is_small() -> bool:
    return os.environ.get("BENCH_SMALL") == "1"


def sized(full: Number, small: Number) -> Number:
    """Return the number for the size of this run."""
    return small if is_small() else full
