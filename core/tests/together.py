"""Several functions at the same moment, each in a thread with its own database connection."""

import threading
from collections.abc import Callable
from typing import Any

from django.db import connection


def together(*works: Callable[[], Any], refusals: tuple[type[BaseException], ...] = ()) -> list[BaseException]:
    """Run these at once and return what they raised, except `refusals`, which are acceptable outcomes."""
    start, raised = threading.Barrier(len(works)), []

    def run(work: Callable[[], Any]) -> None:
        start.wait()
        try:
            work()
        except BaseException as error:
            if not isinstance(error, refusals):
                raised.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=[work]) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised
