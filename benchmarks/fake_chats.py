"""`manage.py create_fake_chats --total 1000000`, in seconds: the whole command, and its COPY alone.

The peer is one INSERT … SELECT gen_random_uuid() FROM generate_series in psql into the same table and indexes: Postgres
alone, without a client that creates or sends rows.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable

from benchmarks.audience import CHATS, clear
from benchmarks.instance import PROJECT, psql, python, sql
from benchmarks.report import Figure, at_most, ratios, spread
from benchmarks.size import sized

ROUNDS = sized(5, 2)


def measure() -> list[Figure]:
    whole, copying, single = [], [], []
    for number in range(1, ROUNDS + 1):
        single.append(in_an_empty_table(insert_in_psql))
        whole.append(in_an_empty_table(run_command))
        copying.append(in_an_empty_table(copy_here))
        print(
            f"  round {number}: the command {whole[-1]:.2f} s, its COPY {copying[-1]:.2f} s, INSERT {single[-1]:.2f} s"
        )
    print(f"  COPY alone / INSERT: {spread(ratios(copying, single), '×')}")
    return [at_most(f"create_fake_chats {CHATS:,} / INSERT … generate_series", 1.5, ratios(whole, single))]


def in_an_empty_table(fill: Callable[[], float]) -> float:
    clear()
    sql("CHECKPOINT")
    took = fill()
    assert sql("SELECT count(*) FROM chats_chat") == CHATS
    return took


def insert_in_psql() -> float:
    return psql(f"INSERT INTO chats_chat (user_uuid) SELECT gen_random_uuid() FROM generate_series(1, {CHATS})")


def run_command() -> float:
    started = time.perf_counter()
    argv = python("manage.py", "create_fake_chats", "--total", str(CHATS))
    subprocess.run(argv, cwd=PROJECT, env=os.environ, capture_output=True, check=True, timeout=600)
    return time.perf_counter() - started


def copy_here() -> float:
    from chats.demo.fake import create_fake_chats

    started = time.perf_counter()
    create_fake_chats(CHATS)
    return time.perf_counter() - started
