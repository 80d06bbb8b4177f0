"""Bars of charts: in proportion, and visible if they are not zero."""

from core.admin.chart import bar_height, sparkline_bars


def test_bars_are_in_proportion_and_small_ones_stay_visible():
    assert [bar_height(number, 1_000) for number in (1_000, 500, 1, 0)] == [100, 50, 1.5, 0]
    assert sparkline_bars([6, None, 3, 0]) == [(0, 100), (96, 4), (50, 50), (96, 4)]
    assert sparkline_bars([None]) == [(96, 4)] and sparkline_bars([]) == []
