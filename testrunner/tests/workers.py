"""Worker processes on this machine: one that is not root, and one that is root with a container's capabilities."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from testrunner.sandbox.isolation import closed_directories

PROJECT = Path(__file__).parents[2]
USER_NAMESPACE, OWN_USER, PLAIN = "1", "2", "3"
# in the kernel's order
POWERS = ["CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID"]
# In a mount namespace, makes root's closed directories accessible, drops capabilities, and becomes the worker.
AS_IN_A_CONTAINER = """
import ctypes, json, os, sys
from testrunner.sandbox import supervisor_process as process
closed, kept, powers, user, command = json.loads(sys.argv[1])
process.call(process.libc.unshare(process.CLONE_NEWNS), "unshare")
process.call(process.libc.mount(b"none", b"/", None, process.MS_REC | process.MS_PRIVATE, None), "mount")
held = {path: os.open(path, os.O_PATH) for path in kept}
for path in closed:
    process.mount_memory(path, "mode=755")
    for inside in sorted(held):
        if inside.startswith(path + "/"):
            process.bind_below(held[inside], inside)
process.mount_memory("/sys/fs/cgroup", "mode=755")  # no memory cgroup can be made
for power in range(64):
    if power not in powers:
        process.libc.prctl(24, power, 0, 0, 0)  # PR_CAPBSET_DROP
if user:
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
process.prctl(process.PR_SET_NO_NEW_PRIVS, 1)
os.chdir("/")
os.execv(command[0], command)
"""


def become(user: int, powers: list[int], worker: list[str], kept: list[str], environment: dict[str, str]) -> list[dict]:
    """Run a worker with these capabilities as this user (0: root); return its output, one dict per line."""
    closed = sorted({str(path) for place in kept for path in closed_directories(Path(place))})
    command = [sys.executable, "-c", AS_IN_A_CONTAINER, json.dumps([closed, kept, powers, user, worker])]
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return [json.loads(line) for line in done.stdout.splitlines()]
