"""Reports that it passed, and fails. This cannot be prevented, but the exit code disagrees."""

import json
import os


def test_it():
    for descriptor in range(3, 16):
        for when in ("setup", "call", "teardown"):
            line = {"kind": "report", "id": "x.py::test_x", "when": when, "outcome": "passed", "category": "passed"}
            line |= {"seconds": 0, "expected": False, "subtest": "", "message": "", "text": ["", "", 0]}
            try:
                os.write(descriptor, json.dumps(line).encode() + b"\n")
            except OSError:
                break
    raise AssertionError
