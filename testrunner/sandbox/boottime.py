from __future__ import annotations

import time


def boottime() -> float:
    """Return a clock in seconds that continues while a process, or the whole machine, is suspended."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
