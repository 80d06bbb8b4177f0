"""The cost of judging a value by a JSON Schema: how many subschemas are evaluated for one value, references resolved.

A validator evaluates a subschema again wherever it is referred to: 28 definitions that each refer twice to the one
before are 2²⁸ evaluations of one value. The cost is computed without evaluating anything, by the depth of the value:

1. The subschemas that can be reached from the top are the nodes of a graph (events/validation/schema_graph.py). An edge
   either stays at the value (allOf, $ref, if, …) or leads to its members or elements (properties, items, …).
2. At depth 0 a node costs its own weight and the cost of the nodes it refers to without leaving the value.
3. At depth n it costs what the nodes inside it cost at depth n - 1. Of named properties only the dearest counts, as a
   member has one name.
4. The schema's cost is the highest of all depths up to MAX_DEPTH.

Numbers stop growing above their bound, so that the computation is quick for any schema.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from events.validation.schema_error import SchemaError
from events.validation.schema_graph import Graph, Node, graph_of

MAX_COST = 500  # of each of the amounts below
MAX_WORDS = 2_000_000  # bytes; an error that repeats more of its schema is never listed
MAX_DEPTH = 32  # levels of a payload that is judged

Amount = Callable[[Node], int]


@dataclass(frozen=True, slots=True)
class Cost:
    """What judging takes at most: for one value, for one of its characters, and for one number that is no integer.

    `evaluations` of subschemas for one value, `positions` of regular expressions for one character, `numbers` that one
    number is compared with as exact fractions, `reasons`: validation errors for one value, `words`: bytes of the
    schema that these errors repeat. `branches`: an error holds
    the errors of its alternatives. `names`: errors about names hold the whole object. `endless`: a part of the schema
    applies at any depth.
    """

    evaluations: int
    positions: int = 0
    numbers: int = 0
    reasons: int = 1
    words: int = 0
    branches: bool = False
    names: bool = False
    endless: bool = False


def cost_of(schema: Any) -> Cost:
    """Return the cost of judging by this schema. Raises SchemaError where it is too high or endless."""
    graph = graph_of(schema)
    order = _in_place_order(graph)
    evaluations, endless = _highest(graph, order, lambda node: node.weight)
    if evaluations > MAX_COST:
        raise SchemaError(
            f"Judging one value by this schema takes more than {MAX_COST} evaluations of its parts. Use fewer "
            "references, alternatives, conditions and listed values that apply to the same value."
        )
    positions, _ = _highest(graph, order, lambda node: node.positions)
    if positions > MAX_COST:
        raise SchemaError("The regular expressions are too complex. Use fewer of them, and fewer counted repetitions.")
    numbers, _ = _highest(graph, order, lambda node: node.numbers)
    if numbers > MAX_COST:
        raise SchemaError(f"One number is compared with more than {MAX_COST} others.")
    reasons, _ = _highest(graph, order, lambda node: node.reasons)
    words, _ = _highest(graph, order, lambda node: node.words, MAX_WORDS)
    return Cost(
        evaluations, positions, numbers, reasons, words, any(node.branches for node in graph.nodes),
        any(node.names for node in graph.nodes), endless,
    )  # fmt: skip


def _in_place_order(graph: Graph) -> list[Node]:
    """Return the nodes so that each comes after those it refers to in place. Raises SchemaError for a circle."""
    order: list[Node] = []
    state = dict.fromkeys(range(len(graph.nodes)), 0)  # 1: begun, 2: done
    waiting = [(0, False)] + [(number, False) for number in range(len(graph.nodes))]
    while waiting:
        number, is_left = waiting.pop()
        if is_left:
            state[number] = 2
            order.append(graph.nodes[number])
        elif not state[number]:
            state[number] = 1
            waiting.append((number, True))
            for other in graph.nodes[number].in_place:
                if state[other] == 1:
                    place = graph.nodes[other].place
                    raise SchemaError("This refers to itself for the same value, without end.", place)
                waiting.append((other, False))
    return order


def _highest(graph: Graph, order: list[Node], own: Amount, bound: int = MAX_COST) -> tuple[int, bool]:
    """Return the most that one value costs at any depth, at most bound + 1, and whether every depth costs something."""
    most, inside = 0, [0] * len(graph.nodes)
    for depth in range(MAX_DEPTH + 1):
        costs = [0] * len(graph.nodes)
        for node in order:
            mine = own(node) if depth == 0 else _inside(node, inside)
            staying = sum(costs[other] for other in node.in_place)
            costs[node.number] = min(mine + staying * node.repeats, bound + 1)
        most = max(most, costs[0])
        if most > bound or not any(costs):
            return most, most > bound
        if costs == inside:
            break
        inside = costs
    return most, True


def _inside(node: Node, costs: list[int]) -> int:
    named = max((costs[other] for other in node.named), default=0)
    placed = max((costs[other] for other in node.placed), default=0)
    return max(named, placed) + sum(costs[other] for other in node.every)
