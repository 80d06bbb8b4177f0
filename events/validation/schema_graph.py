"""The subschemas of a JSON Schema as a graph: which ones apply to the same value, and which to the values inside it.

It covers the keywords of drafts 4 to 2020-12. References are resolved only within the schema. A schema with references
to other documents, or with an embedded schema that has its own $id, is refused.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin

from events.validation.errors import pointer
from events.validation.schema_error import SchemaError
from events.validation.schema_regex import TooComplex
from events.validation.schema_weight import own_numbers, own_positions, own_reasons, own_weight, own_words

MAX_NODES = 5_000
SOME = ("allOf", "anyOf", "oneOf")
ONE = ("if", "then", "else", "not")
ASSERTS_CONTENT = re.compile(r"draft-0[67]/")  # searched in the whole schema, because a part may have its own $schema
EVERY = ("propertyNames", "unevaluatedProperties", "unevaluatedItems")
REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
CONTAINS = 3  # evaluating one element for `contains` takes as long as this number of evaluations
UNIQUE = 20  # comparing one element with up to 15 others, in pairs, takes as long as this number of evaluations
PAIRS = 7  # pairs of numbers that are compared for each element

Path = tuple[str | int, ...]


@dataclass(slots=True)
class Node:
    """A subschema. The lists hold the numbers of the nodes that it evaluates, one entry per evaluation."""

    number: int
    place: str  # JSON pointer
    weight: int = 1
    positions: int = 0
    numbers: int = 0
    reasons: int = 1
    words: int = 0  # bytes of the schema that one error copies, including its place
    branches: bool = False  # an error contains the errors of its alternatives
    names: bool = False  # an error about a name contains the whole object
    repeats: int = 1  # evaluations of `in_place`: unevaluatedProperties and unevaluatedItems evaluate it again
    in_place: list[int] = field(default_factory=list)  # all of them apply to the same value
    named: list[int] = field(default_factory=list)  # one of them applies to a member
    placed: list[int] = field(default_factory=list)  # one of them applies to an element
    every: list[int] = field(default_factory=list)  # all of them apply to each value inside


@dataclass(slots=True)
class Graph:
    """All subschemas that are reachable from the root, which is the first node."""

    nodes: list[Node]


def graph_of(schema: Any) -> Graph:
    """Return the graph of a schema.

    Raises SchemaError for a reference to nothing or to another document, and for more than MAX_NODES subschemas.
    """
    return _Builder(schema).build()


class _Builder:
    def __init__(self, schema: Any) -> None:
        self.schema = schema
        self.base = _address(schema)
        self.asserts_content = bool(ASSERTS_CONTENT.search(json.dumps(schema)))
        self.nodes: list[Node] = []
        self.numbers: dict[Path, int] = {}
        self.left: deque[tuple[Node, Path, Any]] = deque()
        self.anchors: dict[str, list[Path]] | None = None
        self.unique: int | None = None

    def build(self) -> Graph:
        self._number((), self.schema)
        while self.left:
            node, path, schema = self.left.popleft()
            self._link(node, path, schema)
        return Graph(self.nodes)

    def _number(self, path: Path, schema: Any) -> int:
        """Return the number of the node for the subschema at this path. A new node is queued for processing."""
        if path not in self.numbers:
            self.numbers[path] = len(self.nodes)
            node = self._new(pointer(path))
            if isinstance(schema, dict):
                if path and _address(schema):
                    raise SchemaError("Only the schema itself may have an $id, no part of it.", pointer(path))
                self.left.append((node, path, schema))
        return self.numbers[path]

    def _new(self, place: str) -> Node:
        if len(self.nodes) >= MAX_NODES:
            raise SchemaError(f"The schema has more than {MAX_NODES:,} parts.")
        self.nodes.append(Node(len(self.nodes), place))
        return self.nodes[-1]

    def _link(self, node: Node, path: Path, schema: dict[str, Any]) -> None:
        node.weight, node.positions = own_weight(schema), self._positions(path, schema)
        node.numbers, node.reasons = own_numbers(schema), own_reasons(schema)
        node.words = own_words(schema) + len(node.place)
        node.branches, node.names = "anyOf" in schema or "oneOf" in schema, "propertyNames" in schema
        node.repeats = 1 + any(name in schema for name in ("unevaluatedProperties", "unevaluatedItems"))
        node.in_place = [self._number(*found) for found in _in_place(path, schema)]
        for keyword in REFERENCES:
            if isinstance(schema.get(keyword), str):
                node.in_place += self._referred(keyword, schema[keyword], node.place)
        node.named = [self._number(*found) for found in _named(path, schema)]
        node.placed = [self._number(*found) for found in _placed(path, schema)]
        node.every = [self._number(*found) for found in _every(path, schema)]
        if schema.get("uniqueItems") is True:
            node.every.append(self._compared())

    def _compared(self) -> int:
        """Return the number of a node that represents comparing elements: it visits all values inside, at any depth."""
        if self.unique is None:
            node = self._new("")
            node.weight, node.numbers, node.reasons = UNIQUE, PAIRS, 0
            node.every, self.unique = [node.number], node.number
        return self.unique

    def _positions(self, path: Path, schema: dict[str, Any]) -> int:
        try:
            return own_positions(schema, asserts_content=self.asserts_content)
        except TooComplex as error:
            words = "This regex has too many positions. Use fewer and smaller counted repetitions."
            raise SchemaError(words, pointer((*path, *error.args))) from None

    def _referred(self, keyword: str, reference: str, place: str) -> list[int]:
        """Return the numbers of the nodes that a reference can resolve to."""
        document, fragment = urldefrag(urljoin(self.base, reference))
        if document != urldefrag(self.base)[0]:
            raise SchemaError("Retrieval is disabled: a reference may only lead to a place in this schema.", place)
        fragment = unquote(fragment)
        if not fragment:
            return [self._number((), self.schema)]
        if fragment.startswith("/"):
            path = self._path(fragment, place)
            return [self._number(path, self._at(path))]
        found = self._anchored().get(fragment, [])
        if not found:
            raise SchemaError(f"The anchor {fragment[:100]} does not exist in this schema.", place)
        return [self._number(path, self._at(path)) for path in found]

    def _path(self, fragment: str, place: str) -> Path:
        """Return the path in the schema to which a JSON pointer resolves."""
        one, path = self.schema, []
        for step in fragment[1:].split("/"):
            step = step.replace("~1", "/").replace("~0", "~")
            try:
                key: str | int = int(step) if isinstance(one, list) and step.isascii() and step.isdigit() else step
                one = one[key]
            except (KeyError, IndexError, TypeError, ValueError):  # ValueError: an index with thousands of digits
                raise SchemaError(f"The place {fragment[:100]} does not exist in this schema.", place) from None
            path.append(key)
        return tuple(path)

    def _at(self, path: Path) -> Any:
        one = self.schema
        for step in path:
            one = one[step]
        return one

    def _anchored(self) -> dict[str, list[Path]]:
        """Return the paths of each anchor. The whole schema is searched, so no keyword with a subschema is missed."""
        if self.anchors is None:
            self.anchors = {}
            left: list[tuple[Path, Any]] = [((), self.schema)]
            while left:
                path, one = left.pop()
                if isinstance(one, dict):
                    for keyword in ("$anchor", "$dynamicAnchor", "$id", "id"):
                        if isinstance(name := one.get(keyword), str):
                            self.anchors.setdefault(name.removeprefix("#"), []).append(path)
                    left += [((*path, name), child) for name, child in one.items()]
                elif isinstance(one, list):
                    left += [((*path, place), child) for place, child in enumerate(one)]
        return self.anchors


def _address(schema: Any) -> str:
    """Return the $id of a schema, which changes the base of the references inside it; "" if it has only an anchor."""
    if not isinstance(schema, dict):
        return ""
    for keyword in ("$id", "id"):
        if isinstance(name := schema.get(keyword), str) and not name.startswith("#"):
            return name
    return ""


def _in_place(path: Path, schema: dict[str, Any]) -> Iterator[tuple[Path, Any]]:
    for keyword in SOME:
        yield from _elements(path, schema, keyword)
    for keyword in ONE:
        if keyword in schema:
            yield (*path, keyword), schema[keyword]
    for keyword in ("dependentSchemas", "dependencies"):
        yield from _members(path, schema, keyword)


def _named(path: Path, schema: dict[str, Any]) -> Iterator[tuple[Path, Any]]:
    yield from _members(path, schema, "properties")
    if "additionalProperties" in schema:
        yield (*path, "additionalProperties"), schema["additionalProperties"]


def _placed(path: Path, schema: dict[str, Any]) -> Iterator[tuple[Path, Any]]:
    yield from _elements(path, schema, "prefixItems")
    yield from _elements(path, schema, "items")
    for keyword in ("items", "additionalItems"):
        if isinstance(schema.get(keyword), (dict, bool)):
            yield (*path, keyword), schema[keyword]


def _every(path: Path, schema: dict[str, Any]) -> Iterator[tuple[Path, Any]]:
    yield from _members(path, schema, "patternProperties")
    for keyword in EVERY:
        if keyword in schema:
            yield (*path, keyword), schema[keyword]
    if "contains" in schema:
        yield from [((*path, "contains"), schema["contains"])] * CONTAINS


def _elements(path: Path, schema: dict[str, Any], keyword: str) -> Iterator[tuple[Path, Any]]:
    if isinstance(schemas := schema.get(keyword), list):
        yield from (((*path, keyword, place), one) for place, one in enumerate(schemas))


def _members(path: Path, schema: dict[str, Any], keyword: str) -> Iterator[tuple[Path, Any]]:
    if isinstance(schemas := schema.get(keyword), dict):
        yield from (((*path, keyword, name), one) for name, one in schemas.items() if isinstance(one, (dict, bool)))
