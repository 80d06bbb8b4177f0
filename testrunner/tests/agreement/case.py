from __future__ import annotations

from dataclasses import dataclass
from textwrap import dedent


@dataclass(frozen=True)
class Case:
    """Files that bare pytest and Opsroom both run, and the known differences between their reports."""

    name: str
    files: dict[str, str | bytes] | str  # by path; a single text is the content of test_it.py
    subtests: bool = False  # pytest counts each failed subtest, Opsroom counts its test
    repeats: bool = False  # pytest counts each repetition, Opsroom counts the test
    other_words: bool = False  # pytest's last line contains a plugin's own words
    unfinished: str = ""  # the test that never ends: an error in Opsroom, missing in bare pytest's report
    state: str = ""  # the run's status, if a test changed pytest's exit code
    chosen: tuple[str, ...] = ()  # the chosen test files; all if empty

    @property
    def contents(self) -> dict[str, bytes]:
        files = self.files if isinstance(self.files, dict) else {"test_it.py": self.files}
        return {
            path: text if isinstance(text, bytes) else dedent(text).lstrip("\n").encode()
            for path, text in files.items()
        }

    @property
    def tests(self) -> list[str]:
        return list(self.chosen) or [path for path in self.contents if path.rpartition("/")[2].startswith("test_")]
