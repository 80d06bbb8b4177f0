"""Fan-out: seconds from the call of the service to a message in each of 1,000,000 chats.

It measures `chats.services.compose` in this process, the wake-up through the broker, and freeze, chunks and finish in a
real Celery worker, until the broadcast's status is "sent". The peers use the same tables, indexes and chats:

- one INSERT … SELECT in psql, the minimum for a single connection. A ratio above 1 is the gain from sharing the work,
  after the cost of freezing, chunks, claims and counters;
- `bulk_create` in batches of 1,000 over the chats' ids, like a loop in Python. It is a sample, scaled to all chats.

It also measures how much the memory of the worker's processes grows, in MB (2**20 bytes), from before the send to the
maximum.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from typing import TYPE_CHECKING

import psutil

from benchmarks.audience import CHATS, fill, remove_messages
from benchmarks.instance import psql, sql, wait_until, worker
from benchmarks.report import Figure, at_least, at_most, ratios, spread
from benchmarks.size import sized

if TYPE_CHECKING:
    from chats.models import Broadcast

ROUNDS = sized(5, 1)
SAMPLE = sized(100_000, 5_000)  # chats for bulk_create
BATCH = 1_000
MAX_GROWTH = 50.0  # MB


def measure() -> list[Figure]:
    from django.conf import settings

    fill()
    print(f"fan-out to {CHATS:,} chats, chunks of {settings.BROADCAST_CHUNK:,}, {settings.BROADCAST_WORKERS} workers")
    ours, single, loop, growth = [], [], [], []
    with worker(settings.BROADCAST_WORKERS) as child:
        send_all()  # warm-up: every process opens its connection and imports its code
        for number in range(1, ROUNDS + 1):
            with memory_growth(child.pid) as grown:
                ours.append(send_all())
            growth.append(max(grown))
            single.append(insert_in_psql())
            loop.append(bulk_create_a_sample() * CHATS / SAMPLE)
            print(
                f"  round {number}: {ours[-1]:.2f} s, one INSERT {single[-1]:.2f} s,"
                f" bulk_create {loop[-1]:.1f} s (from {SAMPLE:,}), worker +{growth[-1]:.1f} MB,"
                f" load {os.getloadavg()[0]:.1f}"
            )
    print(f"  messages/s: ours {spread([CHATS / it for it in ours], digits=0)},"
          f" one INSERT {spread([CHATS / it for it in single], digits=0)},"
          f" bulk_create {spread([CHATS / it for it in loop], digits=0)}")  # fmt: skip
    return [
        at_least("fan-out / one INSERT … SELECT in psql", 1.25, ratios(single, ours)),
        at_least("fan-out / bulk_create(1000)", 3.5, ratios(loop, ours)),
        at_most("fan-out: growth of the worker's memory", MAX_GROWTH, growth, " MB", 1),
    ]


def send_all() -> float:
    """Send a text to all chats. Return the seconds from the call until the status "sent"."""
    from chats.services import compose

    remove_messages()
    started = time.perf_counter()
    broadcast = compose(actor=None, text="Good morning!")
    wait_until(lambda: status(broadcast) == "sent", "the broadcast is sent", seconds=300, poll=0.02)
    took = time.perf_counter() - started
    assert sql(f"SELECT count(*) FROM chats_message WHERE broadcast_id = {broadcast.pk}") == CHATS
    return took


def status(broadcast: Broadcast) -> str:
    return sql(f"SELECT status FROM chats_broadcast WHERE id = {broadcast.pk}")


def insert_in_psql() -> float:
    remove_messages()
    broadcast = unsent_broadcast()
    return psql(f"INSERT INTO chats_message (chat_id, broadcast_id) SELECT id, {broadcast.pk} FROM chats_chat")


def bulk_create_a_sample() -> float:
    from chats.models import Chat, Message

    remove_messages()
    broadcast = unsent_broadcast()
    started = time.perf_counter()
    ids = Chat.objects.order_by("pk").values_list("pk", flat=True)[:SAMPLE].iterator(BATCH)
    while batch := [Message(chat_id=pk, broadcast_id=broadcast.pk) for pk in islice(ids, BATCH)]:
        Message.objects.bulk_create(batch, batch_size=BATCH)
    return time.perf_counter() - started


def unsent_broadcast() -> Broadcast:
    """Return a cancelled broadcast, which no worker touches."""
    from django.utils import timezone

    from chats.models import Broadcast

    return Broadcast.objects.create(text="Good morning!", status="cancelled", finished_at=timezone.now())


@contextmanager
def memory_growth(pid: int) -> Iterator[list[float]]:
    """Sample ten times per second by how many MB the resident memory of the process and its children has grown."""
    grown: list[float] = []
    over = threading.Event()
    before = resident(pid)

    def sample() -> None:
        while not over.wait(0.1):
            grown.append((resident(pid) - before) / 2**20)

    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        yield grown
    finally:
        over.set()
        sampler.join()


def resident(pid: int) -> int:
    """Return the resident memory in bytes of a process and its descendants. Shared pages count once per process."""
    process = psutil.Process(pid)
    total = 0
    for one in [process, *process.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            total += one.memory_info().rss
    return total
