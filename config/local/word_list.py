"""Checks that texts keep to plain words: `python -m config.local.word_list`, part of `make lint`.

It reads docstrings, comments, messages and help texts of the modules, the templates, and the documentation. The list
holds words of a private dialect that readers had to read twice. A few may stay where they are the plain word; more than
MAX_SHARE of the words of one kind of file fail. docs/glossary.md has the words to use instead.
"""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Callable, Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
MAX_SHARE = 0.002
WORDS = re.compile(
    r"\b(?:whoever|nobody|somebody|(?:is|are|was|were) none|so many|told|tells?|said|mend(?:s|ed)?|lets? go|spoken for"
    r"|the house|house's|looks? again|looked again|for ever|by now|all the same|asked for by|under way|be there"
    r"|(?<!there )is no [a-z]+)\b",
    re.IGNORECASE,
)
_HIDDEN = re.compile(r"\{[%#{].*?[%#}]\}|<(style|script).*?</\1>", re.DOTALL)
_TAG = re.compile(r'<[^>]*?(?:(?:aria-label|title|placeholder)="([^"]*)"[^>]*)?>')
Texts = Iterator[tuple[int, str]]  # numbers of lines, and their texts


def of_module(source: str) -> Texts:
    """Yield the lines of the docstrings and comments of a module."""
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


def of_messages(source: str) -> Texts:
    """Yield the strings of a module that consist of several words: messages, labels and help texts."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.lineno, node.value


def of_template(source: str) -> Texts:
    """Yield the lines of an HTML template, without its tags."""
    shown = _HIDDEN.sub(lambda found: "\n" * found[0].count("\n"), source)
    yield from enumerate(_TAG.sub(lambda tag: f" {tag[1] or ''}" + "\n" * tag[0].count("\n"), shown).splitlines(), 1)


def of_page(source: str) -> Texts:
    """Yield the lines of a Markdown page, without its blocks of code."""
    is_code = False
    for number, line in enumerate(source.splitlines(), 1):
        is_code ^= line.lstrip().startswith("```")
        if not is_code:
            yield number, line


KINDS: list[tuple[str, Callable[[str], Texts], str]] = [
    ("*.py", of_module, r"/migrations/"),
    ("*.py", of_messages, r"/migrations/|/tests/|^(benchmarks|clients|loadtest)/|/word_list\.py"),
    ("*.html", of_template, r"/tests/"),
    ("*.md", of_page, r"^clients/generated/"),
]


def main() -> int:
    failed = False
    for pattern, read, left_out in KINDS:
        listed = subprocess.run(  # noqa: S603
            ["git", "ls-files", pattern], cwd=PROJECT, capture_output=True, text=True, check=True  # noqa: S607
        ).stdout.split()  # fmt: skip
        total, found = 0, []
        for name in listed:
            if re.search(left_out, name):
                continue
            for number, text in read((PROJECT / name).read_text()):
                total += len(re.findall(r"[A-Za-z']+", text))
                found += [f"{name}:{number}: {word}" for word in WORDS.findall(text)]
        if len(found) > MAX_SHARE * total:
            failed = True
            print(*found, sep="\n")
            print(
                f"{len(found)} of {total:,} words are on the list of words to avoid. Allowed: {MAX_SHARE * total:.0f}."
            )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
