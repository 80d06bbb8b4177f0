"""Whether the folders that Opsroom writes to are writable, and how much space is left.

For `/health/` and for Prometheus. A full disk is reported before an image or an upload fails because of it.
"""

from __future__ import annotations

import os
import tempfile
from functools import partial

from django.conf import settings
from prometheus_client import Gauge

MIB = 2**20
LEAST_BYTES = 256 * MIB
LEAST_INODES = 1_000

free_bytes = Gauge("opsroom_storage_free_bytes", "Room left where files are stored, by folder", ["folder"])


def folders() -> dict[str, str]:
    """Return the folders that web and worker share, by the name of their content."""
    return {"media": settings.MEDIA_ROOT, "uploads": settings.TEST_UPLOADS_DIR}


def in_words(mib: int) -> str:
    """Return a size as text: 512 MiB, 77.6 GiB."""
    return f"{mib} MiB" if mib < 1024 else f"{mib / 1024:,.1f} GiB"


def probe() -> str:
    """Write a file to each folder; return the free space as text. Raises OSError, or StorageFull."""
    return ", ".join(f"{name}: {in_words(_probe(name, folder))} free" for name, folder in folders().items())


class StorageFull(OSError):
    """So little space is left that the next image or upload may fail."""


def _probe(name: str, folder: str) -> int:
    os.makedirs(folder, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"0" * 4096)
    usage = os.statvfs(folder)
    free = usage.f_bavail * usage.f_frsize
    if free < LEAST_BYTES:
        raise StorageFull(f"{name}: {free // MIB} MiB free, {LEAST_BYTES // MIB} needed")
    if usage.f_files and usage.f_favail < LEAST_INODES:
        raise StorageFull(f"{name}: {usage.f_favail} inodes free, {LEAST_INODES} needed")
    return free // MIB


def _free(folder: str) -> float:
    """Return the free bytes for Prometheus; NaN if the folder cannot be read."""
    try:
        usage = os.statvfs(folder)
    except OSError:
        return float("nan")
    return float(usage.f_bavail * usage.f_frsize)


def watch() -> None:
    """Register the free space of each folder as a metric."""
    for name, folder in folders().items():
        free_bytes.labels(name).set_function(partial(_free, folder))
