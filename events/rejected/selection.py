"""Selection of rejected events: by their ids, or by the values of a group."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from django.db.models import QuerySet

from events.models import RejectedEvent

MAX_IDS = 1_000


@dataclass(frozen=True)
class Selection:
    """Either `ids`, or any of the other members. None matches any value, an empty text only the empty text."""

    ids: tuple[int, ...] | None = None
    application: int | None = None
    category: str | None = None
    name: str | None = None
    code: str | None = None
    pointer: str | None = None

    def __post_init__(self) -> None:
        members = self.as_json()
        if not members or (self.ids is not None and len(members) > 1):
            raise ValueError("Select rejected events either by `ids` or by the values of their group.")
        if self.ids is not None and not 0 < len(self.ids) <= MAX_IDS:
            raise ValueError(f"Select between one and {MAX_IDS:,} rejected events.")

    def rows(self) -> QuerySet[RejectedEvent]:
        if self.ids is not None:
            return RejectedEvent.objects.filter(pk__in=self.ids)
        return RejectedEvent.objects.filter(**self.as_json())

    def as_json(self) -> dict[str, Any]:
        found = {name: value for name, value in asdict(self).items() if value is not None}
        return {**found, "ids": list(self.ids)} if self.ids is not None else found

    @classmethod
    def from_json(cls, members: dict[str, Any]) -> Selection:
        return cls(**{**members, "ids": tuple(members["ids"])} if "ids" in members else members)
