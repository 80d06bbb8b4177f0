"""Memory limit for a process that serves untrusted clients: above the limit the process ends and is restarted.

1. A thread checks the process's memory every second. Above the limit it sends SIGTERM, so that requests in progress are
   finished and no new ones are accepted.
2. After GRACE seconds it ends the process with exit status ABOVE_LIMIT. The supervisor of `make run`, or a container's
   restart policy, starts it again.
3. Native code that allocates without pause holds the interpreter lock, so that thread cannot run. So the kernel limits
   the process to BACKSTOP times the limit, which ends such code.
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
EVERY = 1.0  # seconds between two checks
GRACE = 8.0  # seconds for the requests in progress; uvicorn gives them 5
BACKSTOP = 4  # times the limit
ABOVE_LIMIT = 70  # exit status
STATM = Path("/proc/self/statm")  # Linux only; without it the limit does not apply


def resident() -> int:
    """Return the resident memory of this process in bytes."""
    return int(STATM.read_text().split()[1]) * resource.getpagesize()


def limit_memory(megabytes: int) -> None:
    """Start watching this process; 0 means unlimited."""
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
