"""The containers' health check: `python -m config.processes.container_healthcheck web|worker|runner|beat` exits with 0
if that process is alive.
"""

from __future__ import annotations

import http.client
import os
import socket
import sys

PORT = 8000  # inside the container
STALE = 30.0  # seconds, as in config/monitoring/health.py


def main(part: str) -> int:
    """Return the exit status, after printing the problem if it is not 0."""
    problem = web() if part == "web" else heard_of(part)
    if problem:
        print(problem, file=sys.stderr)
    return 1 if problem else 0


def web() -> str | None:
    """Request /ping/ with a Host that the settings allow, which the loopback address may not be."""
    host = (os.environ.get("ALLOWED_HOSTS") or "localhost").split(",")[0].strip().removeprefix(".")
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=4)
    try:
        connection.request("GET", "/ping/", headers={"Host": host})
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"web does not answer: {error}"
    finally:
        connection.close()
    return None if status == 200 else f"web answers {status}"


def heard_of(kind: str) -> str | None:
    """Check the last heartbeat of this host's worker, runner or beat, loading only Django's cache."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from config.processes.heartbeats import heartbeat_age

    age = heartbeat_age(kind, socket.gethostname())
    if age is None:
        return f"{kind} was never heard of"
    return None if age < STALE else f"{kind} was last heard of {age:.0f} s ago"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
