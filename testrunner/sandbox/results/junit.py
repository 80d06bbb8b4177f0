"""JUnit XML of a run: pytest's own if it is complete, otherwise one made from the results."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree.ElementTree import Element, SubElement, tostring
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

from testrunner.sandbox.redaction import Redactor
from testrunner.sandbox.results.outcome import TestOutcome
from testrunner.sandbox.results.plain_text import plain_junit

NEWLINES = {"\n": "&#10;", "\r": "&#13;", "\t": "&#9;"}  # an XML parser would read these as spaces in an attribute
# The attribute names of pytest's documents.
OWN_WORDS = {"classname", "errors", "failures", "file", "hostname", "line", "message", "name", "skipped", "tests"}
OWN_WORDS |= {"time", "timestamp", "type", "value"}
# Characters that XML 1.0 cannot contain, not even escaped.
FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(written: bytes | None, results: Sequence[TestOutcome], *, reason: str, redactor: Redactor) -> str:
    """Return well-formed JUnit XML without colours and secrets.

    `written` is pytest's own document; None if it was too large.
    """
    own = redacted(plain_junit(written), redactor) if written else ""
    return own or redacted(made_from(results, reason=reason), redactor)


def redacted(document: bytes, redactor: Redactor) -> str:
    """Return a JUnit document with secrets redacted in its values and texts; empty if it is not one complete document.

    Names of the format, such as "testcase", stay even if they equal a secret. Attributes that a test added are left out
    if their name contains a secret. A document type is refused, because of entities and external files.
    """

    def refuse(*_: object) -> None:
        raise ValueError("a document type")

    copy = _RedactedCopy(redactor)
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler, parser.EndElementHandler = copy.start, copy.end
    parser.CharacterDataHandler = copy.pieces.append
    try:
        parser.Parse(document, True)
    except (expat.ExpatError, ValueError):
        return ""
    return "".join(copy.written)


class _RedactedCopy:
    """Writes a redacted copy of a document while it is parsed."""

    def __init__(self, redactor: Redactor) -> None:
        self.redactor, self.pieces = redactor, list[str]()  # the parser may split a text into several pieces
        self.written = ['<?xml version="1.0" encoding="utf-8"?>\n']

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if len(self.written) == 1 and name not in ("testsuites", "testsuite"):
            raise ValueError("not JUnit")
        self._finish_text()
        shown = (key for key in attributes if key in OWN_WORDS or self.redactor.redact(key) == key)
        values = "".join(f" {key}={quoteattr(self._hide(attributes[key]), NEWLINES)}" for key in shown)
        self.written.append(f"<{name}{values}>")

    def end(self, name: str) -> None:
        self._finish_text()
        self.written.append(f"</{name}>")

    def _finish_text(self) -> None:
        self.written.append(escape(self._hide("".join(self.pieces))))
        self.pieces.clear()

    def _hide(self, text: str) -> str:
        return _allowed(self.redactor.redact(text))


def made_from(results: Sequence[TestOutcome], *, reason: str) -> bytes:
    """Return a document in pytest's format, with the run's reason where there is one."""
    outcomes = [outcome for result in results for outcome in result.counts_as]
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


def _case(suite: Element, result: TestOutcome) -> None:
    classname, name = _address(result.nodeid)
    case = SubElement(suite, "testcase", classname=_allowed(classname), name=_allowed(name))
    case.set("time", f"{result.seconds:.3f}")
    element = {"failed": "failure", "error": "error", "skipped": "skipped", "xfailed": "skipped"}.get(result.outcome)
    if element:
        SubElement(case, element, message=_allowed(result.message)).text = _allowed(result.details)
    if result.fails_twice:  # pytest also writes a second test case
        again = SubElement(suite, "testcase", classname=_allowed(classname), name=_allowed(name), time="0.000")
        SubElement(again, "error", message=_allowed(result.message)).text = _allowed(result.details)


def _address(nodeid: str) -> tuple[str, str]:
    """Return the class and the name that pytest's own reports use for a test, or for a file."""
    base, bracket, parameters = nodeid.partition("[")
    path, *names = base.split("::")
    above = [path.removesuffix(".py").replace("/", "."), *names]
    return ".".join(above[:-1]), above[-1] + bracket + parameters


def _allowed(text: str) -> str:
    return FORBIDDEN.sub("\ufffd", text)
