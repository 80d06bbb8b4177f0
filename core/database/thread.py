"""Thread with its own database connection, so that an asyncio program does not block on the database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from django.db import close_old_connections, connections

Args = ParamSpec("Args")
Result = TypeVar("Result")


class Reader:
    """Runs one function at a time on one connection, which is kept while it is healthy. `close` closes it."""

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None

    async def run(self, function: Callable[Args, Result], *args: Args.args, **kwargs: Args.kwargs) -> Result:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="live")
        work = partial(_on_a_healthy_connection, partial(function, *args, **kwargs))
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def close(self) -> None:
        """Close the connection after the function that is running. Does not wait for it."""
        if self._thread is not None:
            self._thread.submit(connections.close_all)
            self._thread.shutdown(wait=False)
            self._thread = None


def _on_a_healthy_connection(work: Callable[[], Result]) -> Result:
    close_old_connections()
    return work()
