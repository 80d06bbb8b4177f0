"""Turns at something that only a few may do at a time, shared fairly between the addresses that ask."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque


class TooMany(Exception):
    """As many wait already as may, or the turn did not come in time."""


class Turns:
    """`at_once` have their turn at a time. The others wait, and addresses take turns, however many wait of one."""

    def __init__(self, at_once: int, *, waiting: int, of_one: int) -> None:
        self._free = at_once
        self._waiting, self._of_one = waiting, of_one
        self._queues: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    async def take(self, address: str, seconds: float) -> None:
        """Wait for a turn, `seconds` at most, and have it until `give_back`. Raises TooMany."""
        if self._free:
            self._free -= 1
        else:
            await self._wait(address, seconds)

    async def _wait(self, address: str, seconds: float) -> None:
        queue = self._queues.get(address, deque())
        if len(queue) >= self._of_one or sum(map(len, self._queues.values())) >= self._waiting:
            raise TooMany
        turn = asyncio.get_running_loop().create_future()
        queue.append(turn)
        self._queues[address] = queue
        try:
            async with asyncio.timeout(seconds):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():  # it came in the very moment
                self.give_back()
            else:
                self._forget(address, turn)
            raise TooMany if isinstance(error, TimeoutError) else error from None

    def _forget(self, address: str, turn: asyncio.Future[None]) -> None:
        """Nobody waits for this turn any more: it takes no place from those who come."""
        queue = self._queues.get(address, deque())
        if turn in queue:
            queue.remove(turn)
        if not queue:
            self._queues.pop(address, None)

    def give_back(self) -> None:
        """Give the turn to the first one of the next address, or leave it free."""
        while self._queues:
            address, queue = self._queues.popitem(last=False)
            turn = queue.popleft()
            if queue:
                self._queues[address] = queue  # behind the others
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


class Allowance:
    """`most` tries of one address, one more of which comes back every `seconds`. `most_known` addresses are kept."""

    def __init__(self, most: int, seconds: float, most_known: int = 10_000) -> None:
        self._most, self._seconds, self._most_known = most, seconds, most_known
        self._used: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tries, and at which time

    def wait(self, address: str, now: float) -> float:
        """Return the seconds until the address has a try, 0 if it has one."""
        return max(0.0, (self._used_now(address, now) - self._most + 1) * self._seconds)

    def use(self, address: str, now: float, tries: int = 1) -> None:
        """Use a try, or with -1 give it back."""
        used = max(0.0, self._used_now(address, now) + tries)
        self._used.pop(address, None)
        if used:
            self._used[address] = (used, now)
        while len(self._used) > self._most_known:
            self._used.popitem(last=False)

    def _used_now(self, address: str, now: float) -> float:
        used, at = self._used.get(address, (0.0, now))
        return max(0.0, used - (now - at) / self._seconds)
