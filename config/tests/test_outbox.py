"""Unsent bytes are counted exactly, in any interleaving of a thread and the event loop."""

import asyncio
import threading
import time
from typing import Any

import pytest

from config.server import response_buffer
from config.server.response_buffer import HungUp, ResponseBuffer

PARTS, PART = 5, b"x" * 10_000


class LateLock:
    """A lock that threads acquire with a delay, so that the event loop can run in between."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            time.sleep(0.02)
        self._lock.acquire()

    def __exit__(self, *_: Any) -> None:
        self._lock.release()


def put_all(box: ResponseBuffer) -> None:
    try:
        for _ in range(PARTS):
            box.put(PART)
    except HungUp:
        return
    box.end()


@pytest.mark.parametrize("hangs_up", [False, True])
async def test_nothing_is_counted_of_an_answer_that_is_closed(hangs_up: bool, monkeypatch):
    monkeypatch.setattr(response_buffer._all, "_lock", LateLock())
    box = ResponseBuffer(asyncio.get_running_loop())
    making = asyncio.create_task(asyncio.to_thread(put_all, box))

    taken = 0
    while part := await box.take():
        taken += len(part)
        if hangs_up:
            break
    box.close()
    await making

    assert hangs_up or taken == PARTS * len(PART)
    assert (response_buffer._all._size, len(response_buffer._all._sizes)) == (0, 0)
