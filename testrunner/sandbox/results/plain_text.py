"""Plain text without terminal codes, for pages, REST and JUnit."""

from __future__ import annotations

import re

# CSI sequences, OSC sequences up to their end, other two-character escapes. Source: ECMA-48, sections 5.4 and 5.6.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
# The same in JUnit XML, where pytest writes the escape character as "#x1B".
_IN_JUNIT = re.compile(rb"#x1B\[[0-9;:]*[A-Za-z]")


def plain(text: str) -> str:
    """Return the text without colours and cursor movements. Other control characters become replacement characters."""
    text = _ESCAPES.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text)


def plain_junit(document: bytes) -> bytes:
    """Return pytest's JUnit XML without colour codes."""
    return _IN_JUNIT.sub(b"", document)
