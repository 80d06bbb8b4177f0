"""Limits of time that share one timer."""

import asyncio

import pytest

from events.limits import Limits


async def test_what_takes_too_long_is_ended():
    limits = Limits()

    with pytest.raises(TimeoutError), limits.limit(0.01):
        await asyncio.Event().wait()

    await asyncio.sleep(0)  # the task can be awaited in again: nothing is left of the cancellation
    assert asyncio.current_task().cancelling() == 0


async def test_what_is_in_time_is_left_alone():
    with Limits().limit(60):
        await asyncio.sleep(0)


async def test_an_error_of_its_own_passes_through():
    with pytest.raises(ValueError, match="mine"), Limits().limit(60):
        raise ValueError("mine")


async def test_whoever_is_cancelled_by_others_is_cancelled():
    async def wait() -> None:
        with Limits().limit(60):
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
