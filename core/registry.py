"""What each app adds to the pages, processes and commands that all apps share.

An app calls `register` in its AppConfig.ready. `config` reads the registry and names no app, so a further app is its
folder and its line in INSTALLED_APPS. Apps are in the order of INSTALLED_APPS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

from django.http import HttpRequest

SOON, LATER = 2, 10  # seconds until a card of the front page reloads: while something changes, and otherwise
MAX_SEARCH_RESULTS = 5  # of each kind


@dataclass(frozen=True)
class Page:
    """Entry of the sidebar, for users with a permission. It is not highlighted on paths that contain an `except_in`."""

    title: str
    icon: str
    url_name: str  # such as "admin:chats_chat_changelist"
    permission: str | Callable[[HttpRequest], bool]
    except_in: tuple[str, ...] = ()


@dataclass(frozen=True)
class Card:
    """Content of a card of the front page: a template with its context. It reloads after `every` seconds."""

    template: str
    context: Mapping[str, Any]
    every: int = LATER


@dataclass(frozen=True)
class FrontPageCard:
    """Card of the front page. `build` returns None if the user may not see it. Cards are sorted by `place`."""

    name: str
    place: int
    width: str  # CSS classes
    build: Callable[[HttpRequest], Card | None]
    is_loaded_later: bool = False  # after the page is displayed


@dataclass(frozen=True)
class Button:
    """Button of the front page, for users with a permission. The first one with `is_main` is highlighted."""

    title: str
    icon: str
    url_name: str
    permission: str
    is_dialog: bool = False
    is_main: bool = True


@dataclass(frozen=True)
class ScheduledTask:
    """Celery task that beat sends every `every` seconds. A message is dropped when it is `expires` seconds old.

    Messages expire after about one period: what a stopped worker missed need not be repeated message by message.
    """

    name: str
    task: str
    every: float
    expires: int


@dataclass(frozen=True)
class AsgiRoute:
    """Path whose requests an ASGI application handles in the event loop, instead of Django."""

    path: str
    methods: tuple[str, ...]
    application: str  # dotted path of its class


class RetentionRule(Protocol):
    """Rule that deletes old rows: see core/data/retention.py."""

    @property
    def name(self) -> str: ...

    @property
    def is_on(self) -> bool: ...

    def count(self) -> int:
        """Return how many rows are too old."""

    def delete_some(self) -> int:
        """Delete some of them in one short transaction; return how many."""


@dataclass(frozen=True)
class Person:
    """Who is erased: the UUID of a user of the product, and the ids of that user's sessions."""

    user_uuid: UUID | None = None
    sessions: list[str] = field(default_factory=list)

    @property
    def users(self) -> list[UUID]:
        return [] if self.user_uuid is None else [self.user_uuid]

    def spellings(self) -> list[str]:
        """Return the user id in all spellings that other services may have used."""
        plain = [text for user in self.users for text in (str(user), user.hex)]
        return [*plain, *(text.upper() for text in plain)]


@dataclass(frozen=True)
class Erasure:
    """How an app counts and erases what it stores about a person, by kind; `erase` may be repeated."""

    count: Callable[[Person], dict[str, int]]
    erase: Callable[[Person], dict[str, int]]


@dataclass(frozen=True)
class App:
    """Everything that one app registers."""

    title: str = ""  # of its group in the sidebar
    pages: Sequence[Page] = ()
    administration: Sequence[Page] = ()  # entries in the group Administration
    cards: Sequence[FrontPageCard] = ()
    buttons: Sequence[Button] = ()
    search: Sequence[Callable[[HttpRequest, str], Any]] = ()  # each returns some unfold.dataclasses.SearchResult
    urls: str = ""  # module of URL patterns
    asgi: Sequence[AsgiRoute] = ()
    own_threads: Mapping[str, int] = field(default_factory=dict)  # by prefix of paths: threads of a separate pool
    api_tags: Mapping[str, str] = field(default_factory=dict)  # descriptions of groups of REST operations
    schedule: Sequence[ScheduledTask] = ()
    queues: Mapping[str, str] = field(default_factory=dict)  # by task: its queue, if it is not the default one
    worker_problem: Callable[[], str | None] = lambda: None  # why this worker process makes no progress
    health: Mapping[str, Callable[[], str]] = field(default_factory=dict)  # parts of /health/: a text, or an exception
    may_see_file: Callable[[str, Any], bool | None] = lambda name, user: None  # None: the file is not this app's
    retention: Sequence[RetentionRule] = ()
    erasure: Erasure | None = None
    create_demo: Callable[[], object] = lambda: None  # demo data of a new local instance, if it has none yet


_apps: dict[str, App] = {}
beat_schedule: dict[str, dict[str, Any]] = {}  # Celery's setting, filled when the apps are ready


def register(name: str, app: App) -> None:
    """Add an app under its name in INSTALLED_APPS."""
    _apps[name] = app
    for entry in app.schedule:
        # The database scheduler reads `expire_seconds`, and drops Celery's own `expires`.
        options = {"expire_seconds": entry.expires}
        beat_schedule[entry.name] = {"task": entry.task, "schedule": entry.every, "options": options}


def all_apps() -> list[App]:
    """Return every registered app."""
    return list(_apps.values())


def periodic_tasks() -> set[str]:
    """Return the tasks that beat sends."""
    return {entry["task"] for entry in beat_schedule.values()}


def queue_of(name: str, *_: Any, **__: Any) -> dict[str, str] | None:
    """Celery's router: return the queue of the task of this name, or None for the default one."""
    return next(({"queue": app.queues[name]} for app in all_apps() if name in app.queues), None)
