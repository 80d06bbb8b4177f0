from __future__ import annotations

from dataclasses import dataclass
from textwrap import dedent


@dataclass(frozen=True)
class Case:
    """Files that bare pytest and Opsroom run, and what of bare pytest's words needs a second look."""

    name: str
    files: dict[str, str | bytes] | str  # by path; one text is test_it.py's
    subtests: bool = False  # pytest counts each failed subtest, Opsroom its test
    repeats: bool = False  # pytest counts each time that a test runs, Opsroom the test
    other_words: bool = False  # pytest's last line has words of a plugin
    unfinished: str = ""  # the test that never ends: Opsroom shows it as an error, bare pytest does not report it
    state: str = ""  # where it is not what pytest's exit code says: a test chose that one
    chosen: tuple[str, ...] = ()  # the tests; all test files if empty

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
