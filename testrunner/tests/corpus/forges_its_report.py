"""Says that it passed, and fails: nobody can prevent that, but the exit code disagrees."""

import json
import os


def test_it():
    for descriptor in range(3, 16):
        for when in ("setup", "call", "teardown"):
            line = {"$report_type": "TestReport", "nodeid": "x.py::test_x", "when": when, "outcome": "passed"}
            try:
                os.write(descriptor, json.dumps(line).encode() + b"\n")
            except OSError:
                break
    raise AssertionError
