"""The rules by which events are validated: the settings of their application, the event types, and the time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from django.conf import settings

from events.validation.budget import UNLIMITED, Budget
from events.validation.schemas import Checker

Types = Mapping[tuple[str, str], Checker]


@dataclass(frozen=True, slots=True)
class ApplicationSettings:
    """The columns of an application that the ingest and replays apply. Each is read from the row by its name."""

    id: int
    unknown_types: str = "accepted"
    allowed_origins: Sequence[str] = ()
    rate: int = 0

    @property
    def rejects_unknown_types(self) -> bool:
        return self.unknown_types == "rejected"


SETTINGS_COLUMNS = [field.name for field in fields(ApplicationSettings)]


class TimestampBounds(NamedTuple):
    """The limits for timestamps: the maximum age of an event, and how far in the future it may lie."""

    past: timedelta
    future: timedelta

    @classmethod
    def from_settings(cls) -> TimestampBounds:
        kept, skew = settings.EVENT_RETENTION_DAYS, settings.EVENT_CLOCK_SKEW
        return cls(timedelta(days=kept) if kept else timedelta.max, timedelta(seconds=skew))


class Rules(NamedTuple):
    """The rules by which the events of one request are validated."""

    application: ApplicationSettings
    types: Types
    now: datetime
    bounds: TimestampBounds
    budget: Budget = UNLIMITED  # the remaining work for the request

    @classmethod
    def for_application(
        cls,
        application: ApplicationSettings,
        types: Types,
        *,
        now: datetime | None = None,
        bounds: TimestampBounds | None = None,
        budget: Budget = UNLIMITED,
    ) -> Rules:
        """Return the rules, by default those of now and of the settings."""
        return cls(application, types, now or datetime.now(UTC), bounds or TimestampBounds.from_settings(), budget)
