"""The cost of validating a value by a JSON Schema: how many subschemas are evaluated for one value, including
references.

A validator evaluates a subschema again for each reference to it. With 28 definitions that each refer twice to the one
before, it makes 2²⁸ evaluations for one value. The cost is computed for each depth of the value, without evaluating
anything:

1. The subschemas that are reachable from the root are the nodes of a graph (events/validation/schema_graph.py). An edge
   either applies to the same value (allOf, $ref, if, …) or to its members or elements (properties, items, …).
2. At depth 0, the cost of a node is its own weight plus the cost of the nodes that apply to the same value.
3. At depth n, it is the cost of the nodes for its members or elements at depth n - 1, plus the cost of the nodes that
   apply to the same value. Of named properties only the most expensive one counts, because a member has one name.
4. The cost of the schema is the maximum over all depths up to MAX_DEPTH.

Costs are capped just above their limit, so that the computation is fast for any schema.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from events.validation.schema_error import SchemaError
from events.validation.schema_graph import Graph, Node, graph_of

MAX_COST = 500  # limit for evaluations, positions, numbers and reasons, each
MAX_WORDS = 2_000_000  # bytes; errors that copy more of their schema than this are never listed
MAX_DEPTH = 32  # levels of a payload for which the cost is computed

Amount = Callable[[Node], int]


@dataclass(frozen=True, slots=True)
class Cost:
    """The maximum cost of validation per value, per character and per number.

    `evaluations`: evaluations of subschemas for one value.
    `positions`: positions of regular expressions that are active for one character.
    `numbers`: numbers with which one number is compared as exact fractions.
    `reasons`: validation errors for one value.
    `words`: bytes of the schema that these errors copy.
    `branches`: whether an error contains the errors of its alternatives.
    `names`: whether errors about names contain the whole object.
    `endless`: whether a part of the schema applies at any depth.
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
    """Return the cost of validating by this schema. Raises SchemaError if it is too high or infinite."""
    graph = graph_of(schema)
    order = _in_place_order(graph)
    evaluations, endless = _highest(graph, order, lambda node: node.weight)
    if evaluations > MAX_COST:
        raise SchemaError(
            f"Validating one value by this schema takes more than {MAX_COST} evaluations of its parts. Use fewer "
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
    """Return the nodes in topological order: each follows the nodes that it applies to the same value.

    Raises SchemaError for a cycle of such nodes.
    """
    order: list[Node] = []
    state = dict.fromkeys(range(len(graph.nodes)), 0)  # 1: started, 2: finished
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
    """Return the maximum cost of one value at any depth, capped at bound + 1, and whether every depth has a cost."""
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
