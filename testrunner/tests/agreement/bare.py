"""Bare pytest's result for a case: `python -m pytest --junitxml --report-log` in a folder of its own."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from testrunner.sandbox.results.plain_text import plain
from testrunner.tests.agreement.case import Case

ROOT = "uploads"  # the folder of the files, in both
# Only the plugins that cases use. The plugins of Opsroom's own tests take seconds to load.
PLUGINS = ["pytest_reportlog", "asyncio", "hypothesispytest"]


@dataclass
class Said:
    """The outcome of each test by its id, and the rest of pytest's output."""

    exit_code: int
    outcomes: dict[str, str] = field(default_factory=dict)
    double: set[str] = field(default_factory=set)  # tests whose call and teardown both failed
    skipped_files: bool = False
    counts: dict[str, int] = field(default_factory=dict)  # from pytest's last line
    junit: list[tuple[str, str, list[str]]] | None = None

    @property
    def state(self) -> str:
        if self.exit_code == 0 or (self.exit_code == 5 and self.skipped_files):
            return "success"
        return "failed" if self.exit_code == 1 and "failed" in self.outcomes.values() else "error"


def ask(case: Case, place: Path) -> Said:
    """Run the case with bare pytest below this folder."""
    for path, content in case.contents.items():
        file = place / ROOT / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    junit, log = place / "junit.xml", place / "log.jsonl"
    plugins = [word for plugin in PLUGINS for word in ("-p", plugin)]
    command = [sys.executable, "-B", "-m", "pytest", *plugins, f"--junitxml={junit}", f"--report-log={log}"]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(place), "LANG": "C.UTF-8"}
    done = subprocess.run(
        [*command, *(f"{ROOT}/{path}" for path in case.tests)], cwd=place, capture_output=True, timeout=100,
        stdin=subprocess.DEVNULL, env=environment | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )  # fmt: skip
    said = Said(done.returncode)
    _read(said, log.read_bytes() if log.exists() else b"")
    said.counts = _counts(done.stdout.decode(errors="replace"))
    said.junit = junit_of(junit.read_bytes()) if junit.exists() else None
    return said


def _read(said: Said, log: bytes) -> None:
    phases: dict[str, list[dict]] = {}
    for line in log.splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if record["$report_type"] == "CollectReport" and record["outcome"] != "passed":
            said.outcomes[record["nodeid"]] = "skipped" if record["outcome"] == "skipped" else "error"
            said.skipped_files |= record["outcome"] == "skipped"
        elif record["$report_type"] in ("TestReport", "SubTestReport"):
            phases.setdefault(record["nodeid"], []).append(record)
    for nodeid, records in phases.items():
        if any(record["when"] == "teardown" for record in records):
            said.outcomes[nodeid] = _outcome(records)
            if said.outcomes[nodeid] == "failed" and _breaks(records):
                said.double.add(nodeid)


def _outcome(records: list[dict]) -> str:
    if any(record["outcome"] == "failed" and record["when"] == "call" for record in records):
        return "failed"
    if _breaks(records):
        return "error"
    own = [record for record in records if "_subtest.context" not in record]
    if any("wasxfail" in record for record in own):
        return "xpassed" if all(record["outcome"] == "passed" for record in own) else "xfailed"
    return "skipped" if any(record["outcome"] == "skipped" for record in own) else "passed"


def _breaks(records: list[dict]) -> bool:
    return any(record["outcome"] == "failed" and record["when"] != "call" for record in records)


def _counts(output: str) -> dict[str, int]:
    lines = [line for line in plain(output).splitlines() if re.search(r" in [\d.]+s", line)]
    if not lines:
        return {}
    return {word.rstrip("s"): int(number) for number, word in re.findall(r"(\d+) (\w+)", lines[-1])}


def junit_of(document: bytes) -> list[tuple[str, str, list[str]]]:
    """Return each test case of a JUnit report as (class, name, sorted tags of its children)."""
    return [
        (case.get("classname", ""), case.get("name", ""), sorted(each.tag for each in case if each.tag != "properties"))
        for case in ElementTree.fromstring(document).iter("testcase")
    ]
