"""FairQueue at work that only a few callers may do at a time."""

import pytest

from config.server.fair_queue import FairQueue, QueueFull


async def test_an_address_that_gave_up_waiting_takes_no_place_from_those_that_come():
    turns = FairQueue(1, waiting=2, per_address=1)
    await turns.take("holder", 1)

    for address in ("a", "b", "a", "c"):
        with pytest.raises(QueueFull) as refused:
            await turns.take(address, 0.01)
        assert isinstance(refused.value.__context__, TimeoutError)  # it waited, and was not refused at once

    turns.release()
    await turns.take("a", 1)
