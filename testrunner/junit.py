"""JUnit XML: pytest's own, if it wrote a whole one, else one made from the results."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree.ElementTree import Element, SubElement, tostring
from xml.parsers import expat

from testrunner.results import TestResult

# What XML 1.0 cannot hold, in any spelling.
FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(written: bytes | None, results: Sequence[TestResult], *, reason: str) -> bytes:
    """Return well-formed JUnit XML. `written` is what came from the child: None if it was too much."""
    return written if written and is_junit(written) else made_from(results, reason=reason)


def is_junit(document: bytes) -> bool:
    """Return whether this is one whole document of test suites, without a document type (entities, outside files)."""
    roots: list[str] = []

    def refuse(*_: object) -> None:
        raise ValueError("a document type")

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = lambda name, _: roots.append(name) if not roots else None
    try:
        parser.Parse(document, True)
    except (expat.ExpatError, ValueError):
        return False
    return roots in (["testsuites"], ["testsuite"])


def made_from(results: Sequence[TestResult], *, reason: str) -> bytes:
    """Return a document in pytest's own shape, with the run's reason where there is one."""
    outcomes = [result.outcome for result in results]
    suites = Element("testsuites", name="pytest tests")
    suite = SubElement(
        suites,
        "testsuite",
        name="pytest",
        tests=str(len(results)),
        failures=str(outcomes.count("failed")),
        errors=str(outcomes.count("error")),
        skipped=str(outcomes.count("skipped") + outcomes.count("xfailed")),
        time=f"{sum(result.seconds for result in results):.3f}",
    )
    for result in results:
        _case(suite, result)
    if reason:
        SubElement(suite, "system-err").text = _allowed(reason)
    return tostring(suites, encoding="utf-8", xml_declaration=True)


def _case(suite: Element, result: TestResult) -> None:
    path, _, name = result.nodeid.partition("::")
    classname = path.removesuffix(".py").replace("/", ".")
    case = SubElement(suite, "testcase", classname=_allowed(classname), name=_allowed(name or path))
    case.set("time", f"{result.seconds:.3f}")
    element = {"failed": "failure", "error": "error", "skipped": "skipped", "xfailed": "skipped"}.get(result.outcome)
    if element:
        SubElement(case, element, message=_allowed(result.message)).text = _allowed(result.details)


def _allowed(text: str) -> str:
    return FORBIDDEN.sub("\ufffd", text)
