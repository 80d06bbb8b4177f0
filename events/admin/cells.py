"""Cells of tables, in the house's words for moments and states."""

from __future__ import annotations

from datetime import datetime

from django.template.loader import render_to_string


def when(moment: datetime | None, style: str = "short") -> str:
    return render_to_string("events/when.html", {"moment": moment, "style": style})


def state(value: str, word: str = "") -> str:
    return render_to_string("events/state.html", {"value": value, "word": word})
