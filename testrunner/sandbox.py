"""The limits of a run, and the walls around it."""

from __future__ import annotations

from dataclasses import dataclass

KIB, MIB, GIB = 2**10, 2**20, 2**30


@dataclass(frozen=True)
class Limits:
    """What a run may use. Times in seconds, sizes in bytes."""

    wall_seconds: float = 300
    grace_seconds: float = 5  # between the request to stop and the kill
    cpu_seconds: int = 300  # of each process
    memory_bytes: int = 2 * GIB  # address space of each process
    file_bytes: int = 256 * MIB  # each file
    disk_bytes: int = 512 * MIB  # all files together
    processes: int = 128  # processes and threads together
    open_files: int = 512  # of each process
    log_head: int = MIB
    log_tail: int = 3 * MIB
    results: int = 20_000  # tests; a run with more is an error
    report_bytes: int = 64 * MIB
    junit_bytes: int = 8 * MIB
