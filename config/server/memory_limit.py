"""A limit of memory for a process that serves strangers: above it the process ends, and a new one takes its place.

1. A thread looks every second at how much memory the process has. Above the limit it sends the process SIGTERM, so that
   the requests in progress are answered and no new ones are taken.
2. A few seconds later it ends the process hard, with ABOVE_LIMIT as its status. Whatever runs the process starts it
   again: the supervisor of `make run`, a container's restart policy.
3. Native code that allocates without a break holds the interpreter, and the thread with it. So the kernel refuses the
   process more than BACKSTOP times the limit, which ends such code.
"""

from __future__ import annotations

import os
import resource
import signal
import threading
import time
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)

MB = 1024 * 1024
EVERY = 1.0  # seconds between two looks
GRACE = 8.0  # seconds for the requests in progress; uvicorn gives them 5
BACKSTOP = 4  # times the limit
ABOVE_LIMIT = 70  # exit status
STATM = Path("/proc/self/statm")  # Linux; elsewhere there is no limit


def resident() -> int:
    """Return the bytes of memory that this process has now."""
    return int(STATM.read_text().split()[1]) * resource.getpagesize()


def limit_memory(megabytes: int) -> None:
    """Watch this process from now on; 0 is no limit."""
    if not megabytes or not STATM.exists():
        return
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = BACKSTOP * megabytes * MB
    resource.setrlimit(resource.RLIMIT_DATA, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    threading.Thread(target=_watch, args=(megabytes,), name="memory-limit", daemon=True).start()


def _watch(megabytes: int) -> None:
    while resident() <= megabytes * MB:
        time.sleep(EVERY)
    log.error("memory_limit_exceeded", limit_mb=megabytes, resident_mb=resident() // MB)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os._exit(ABOVE_LIMIT)
