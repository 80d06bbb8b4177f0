"""Support files of a chosen test: the files in its folder that a run needs besides the test.

A test file brings along
1. the files of its folder, and of the folders above it, that are not tests themselves: conftest.py, __init__.py,
   helpers, data;
2. the folders beside it that contain no test, with everything in them.

A test is a file named test_*.py or *_test.py. Opsroom's own tests run in the project's directory and need no support
files.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from pathlib import PurePosixPath

from testrunner.models import Root, TestFile


def is_test(path: str) -> bool:
    """Whether pytest would treat a file with this name as a test file."""
    name = PurePosixPath(path).name
    return name.endswith(".py") and (name.startswith("test_") or name.endswith("_test.py"))


def support_files_of(chosen: Iterable[TestFile]) -> list[TestFile]:
    """Return the support files of these tests, in the order of their paths."""
    chosen = list(chosen)
    found = {}
    for root in {file.root for file in chosen} - {Root.PROJECT}:
        mine = {file.path for file in chosen if file.root == root}
        others = list(TestFile.objects.existing().filter(root=root).order_by("path"))
        paths = _support_paths(mine, [file.path for file in others])
        found.update({(root, file.path): file for file in others if file.path in paths})
    return list(found.values())


def _support_paths(chosen: set[str], paths: list[str]) -> set[str]:
    with_tests = {folder for path in paths if is_test(path) for folder in _folders(path)}
    own = {path.rpartition("/")[0] for path in chosen}
    above = {folder for path in chosen for folder in _folders(path)}
    return {
        path
        for path in set(paths) - chosen
        if not is_test(path) and (path.rpartition("/")[0] in above or _is_in_a_folder_of(own, path, with_tests))
    }


def _is_in_a_folder_of(own: set[str], path: str, with_tests: set[str]) -> bool:
    """Whether a file is somewhere below a folder without tests that is beside a chosen test."""
    folders = _folders(path)  # from the file's own folder up to the root
    return any(inner not in with_tests and outer in own for inner, outer in pairwise(folders))


def _folders(path: str) -> list[str]:
    """Return the file's folder and all folders above it; the root is the empty string."""
    folders = [path.rpartition("/")[0]]
    while folders[-1]:
        folders.append(folders[-1].rpartition("/")[0])
    return folders
