"""The embedded servers. Another one is a subclass of Server and its place in this list."""

from __future__ import annotations

from .home import Home
from .postgres import Postgres
from .processes import Server
from .valkey import Valkey


def servers_of(home: Home, *, durable: bool) -> list[Server]:
    """Return every embedded server of this folder, running or not."""
    return [Postgres(home, durable=durable), Valkey(home, durable=durable)]
