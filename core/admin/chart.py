"""Heights of the bars of charts that the server draws as SVG, so that pages load no script for them."""

from __future__ import annotations

from collections.abc import Sequence

HEIGHT = 100  # of a sparkline, in the units of its SVG


def bar_height(number: int, most: int, height: float = HEIGHT, least: float = 1.5) -> float:
    """Return the height of a bar whose highest neighbour is `most`. A bar that is not zero is always visible."""
    return round(max(number / most * height, least), 2) if number else 0.0


def sparkline_bars(numbers: Sequence[int | None]) -> list[tuple[float, float]]:
    """Return (top, height) of each bar of a sparkline; a bar of zero, or of no number, is a low one."""
    most = max((number or 0 for number in numbers), default=0)
    heights = [bar_height(number or 0, most, least=10) or 4 for number in numbers]
    return [(HEIGHT - height, height) for height in heights]
