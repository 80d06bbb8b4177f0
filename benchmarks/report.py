"""Result type of benchmarks, and formatting of numbers as a median with minimum and maximum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Figure:
    """One row of the final table."""

    name: str
    goal: str
    measured: str
    met: bool
    failed: bool = False  # nothing was measured


def spread(values: Sequence[float], unit: str = "", digits: int = 2) -> str:
    """Return `median (minimum to maximum)` with the unit after the median."""
    low, middle, high = (f"{value:,.{digits}f}" for value in (min(values), median(values), max(values)))
    return f"{middle}{unit} ({low} to {high})"


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    """Return the ratio of each round. A disturbance of the machine in a round affects both of its sides."""
    return [above / below for above, below in zip(numerators, denominators, strict=True)]


def at_least(name: str, goal: float, measured: Sequence[float], unit: str = "×") -> Figure:
    return Figure(name, f"≥ {goal:g}{unit}", spread(measured, unit), median(measured) >= goal)


def at_most(name: str, goal: float, measured: Sequence[float], unit: str = "×", digits: int = 2) -> Figure:
    return Figure(name, f"≤ {goal:g}{unit}", spread(measured, unit, digits), median(measured) <= goal)


def failure(name: str, error: Exception) -> Figure:
    """Return the row of a benchmark that raised an exception. The other benchmarks still count."""
    reason = " ".join(str(error).split())[:200]
    return Figure(name, "runs", f"failed: {type(error).__name__}: {reason}".replace("|", "/"), met=False, failed=True)


def table(figures: Sequence[Figure]) -> str:
    """Return the figures as a Markdown table."""
    rows = [("figure", "goal", "measured: median (lowest to highest)", "met")]
    rows += [(figure.name, figure.goal, figure.measured, "yes" if figure.met else "NO") for figure in figures]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    rule = tuple("-" * width for width in widths)
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in (rows[0], rule, *rows[1:])
    )
