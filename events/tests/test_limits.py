"""What may be under way: its time, with one timer for all, its number and its weight."""

import asyncio

import pytest

from events.ingest.request_limits import LimitExceeded, RequestLimits


async def test_what_takes_too_long_is_ended():
    limits = RequestLimits()

    with pytest.raises(TimeoutError), limits.limit(0.01):
        await asyncio.Event().wait()

    await asyncio.sleep(0)  # the task can be awaited in again: nothing is left of the cancellation
    assert asyncio.current_task().cancelling() == 0


async def test_what_is_in_time_is_left_alone():
    with RequestLimits().limit(60):
        await asyncio.sleep(0)


async def test_an_error_of_its_own_passes_through():
    with pytest.raises(ValueError, match="mine"), RequestLimits().limit(60):
        raise ValueError("mine")


async def test_whoever_is_cancelled_by_others_is_cancelled():
    async def wait() -> None:
        with RequestLimits().limit(60):
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_only_so_many_may_be_under_way_at_once():
    limits = RequestLimits(max_requests=1)

    with limits.limit(60):
        with pytest.raises(LimitExceeded), limits.limit(60):
            pass
        assert len(limits.running) == 1

    with limits.limit(60):
        pass


async def test_only_so_much_may_be_under_way_and_what_ends_weighs_nothing():
    limits = RequestLimits(max_weight=10)

    with limits.limit(60) as one:
        one.add(6)
        with pytest.raises(LimitExceeded), limits.limit(60) as other:
            other.add(4)
            other.add(1)
        assert limits.weight == 6

    assert limits.weight == 0
