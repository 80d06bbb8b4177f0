"""Fair limit of concurrent work: client addresses take turns."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque


class QueueFull(Exception):
    """Too many are waiting already, or the wait timed out."""


class FairQueue:
    """`at_once` callers have a turn at a time. Others wait, and addresses alternate, however many wait of one address.

    At most `waiting` callers wait in total, and `per_address` of one address.
    """

    def __init__(self, at_once: int, *, waiting: int, per_address: int) -> None:
        self._free = at_once
        self._waiting, self._per_address = waiting, per_address
        self._queues: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    async def take(self, address: str, seconds: float) -> None:
        """Wait at most `seconds` for a turn, and hold it until `release`. Raises QueueFull."""
        if self._free:
            self._free -= 1
        else:
            await self._wait(address, seconds)

    async def _wait(self, address: str, seconds: float) -> None:
        queue = self._queues.get(address, deque())
        if len(queue) >= self._per_address or sum(map(len, self._queues.values())) >= self._waiting:
            raise QueueFull
        turn = asyncio.get_running_loop().create_future()
        queue.append(turn)
        self._queues[address] = queue
        try:
            async with asyncio.timeout(seconds):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():  # the turn was granted at the same moment
                self.release()
            else:
                self._forget(address, turn)
            raise QueueFull if isinstance(error, TimeoutError) else error from None

    def _forget(self, address: str, turn: asyncio.Future[None]) -> None:
        """Remove a caller that stopped waiting, so that it does not take a place in the queue."""
        queue = self._queues.get(address, deque())
        if turn in queue:
            queue.remove(turn)
        if not queue:
            self._queues.pop(address, None)

    def release(self) -> None:
        """Pass the turn to the first caller of the next address, or free it."""
        while self._queues:
            address, queue = self._queues.popitem(last=False)
            turn = queue.popleft()
            if queue:
                self._queues[address] = queue  # after the other addresses
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


class AttemptLimit:
    """`most` attempts per address, one of which is restored every `seconds`. Remembers `most_known` addresses."""

    def __init__(self, most: int, seconds: float, most_known: int = 10_000) -> None:
        self._most, self._seconds, self._most_known = most, seconds, most_known
        self._used: OrderedDict[str, tuple[float, float]] = OrderedDict()  # used attempts, and at which time

    def wait(self, address: str, now: float) -> float:
        """Return the seconds until the address has an attempt, 0 if it has one."""
        return max(0.0, (self._used_now(address, now) - self._most + 1) * self._seconds)

    def use(self, address: str, now: float, tries: int = 1) -> None:
        """Use an attempt, or return it with `tries=-1`."""
        used = max(0.0, self._used_now(address, now) + tries)
        self._used.pop(address, None)
        if used:
            self._used[address] = (used, now)
        while len(self._used) > self._most_known:
            self._used.popitem(last=False)

    def _used_now(self, address: str, now: float) -> float:
        used, at = self._used.get(address, (0.0, now))
        return max(0.0, used - (now - at) / self._seconds)
