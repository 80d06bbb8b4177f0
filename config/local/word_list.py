"""Checks that docstrings and comments keep to plain words: `python -m config.local.word_list`, part of `make lint`.

The list holds words of a private dialect that readers had to read twice. A few may stay where they are the plain word;
more than MAX_SHARE of all words fail. docs/glossary.md has the words to use instead.
"""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
MAX_SHARE = 0.002
WORDS = re.compile(
    r"\b(?:whoever|nobody|somebody|(?:is|are|was|were) none|so many|told|tells?|said|mend(?:s|ed)?|lets? go|spoken for"
    r"|the house|house's|looks? again|looked again|for ever|by now|all the same|asked for by|under way|be there"
    r"|is no [a-z]+)\b",
    re.IGNORECASE,
)


def texts(source: str) -> Iterator[tuple[int, str]]:
    """Return each line of the docstrings and comments of a module, with its number."""
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(
            node
        ):
            docstring = node.body[0]
            for number in range(docstring.lineno, (docstring.end_lineno or docstring.lineno) + 1):
                yield number, lines[number - 1]
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def main() -> int:
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=PROJECT, capture_output=True, text=True, check=True)  # noqa: S607
    total, found = 0, []
    for name in listed.stdout.split():
        if "/migrations/" in name:
            continue
        for number, text in texts((PROJECT / name).read_text()):
            total += len(re.findall(r"[A-Za-z']+", text))
            found += [f"{name}:{number}: {word}" for word in WORDS.findall(text)]
    if len(found) <= MAX_SHARE * total:
        return 0
    print(*found, sep="\n")
    print(f"{len(found)} words of {total:,} are on the list of words to avoid. At most {MAX_SHARE * total:.0f} may be.")
    return 1


if __name__ == "__main__":
    sys.exit(main())
