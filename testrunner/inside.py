"""The program of the child: `python -m pytest`, which also reports how many tests it found and which one it is at.

The executor hands this file over as text (`python -c`), so that the child needs to read nothing of the project.
pytest-reportlog tells what each test came to, but not how many there should have been: a test that calls
`pytest.exit(returncode=0)` ends the run early with exit code 0. The first two arguments are the descriptors of the
report and of the JUnit XML.
"""

import json
import os
import sys

import pytest


class Recorder:
    """Adds lines of its own to the report. Both writers write whole lines, and only one thread of pytest reports."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def write(self, **line: object) -> None:
        os.write(self.descriptor, json.dumps(line).encode() + b"\n")

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.write(**{"$report_type": "Collected", "count": len(session.items)})

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.write(**{"$report_type": "Started", "nodeid": nodeid})


if __name__ == "__main__":
    report, junit = sys.argv[1:3]
    outputs = [f"--report-log=/dev/fd/{report}", f"--junitxml=/dev/fd/{junit}"]
    sys.exit(pytest.main([*outputs, *sys.argv[3:]], plugins=[Recorder(int(report))]))
