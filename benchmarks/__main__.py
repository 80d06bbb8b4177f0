"""`make bench`: measure every figure, or those named (`make bench ARGS="fanout press"`), and print them as a table."""

from __future__ import annotations

import argparse
import importlib
import os
import sys

from benchmarks.instance import set_up
from benchmarks.report import Figure, table

BENCHMARKS = [
    "events_read",
    "fanout",
    "fake_chats",
    "handover",
    "ingest",
    "lists",
    "live",
    "long_log",
    "press",
    "serving",
    "testrun",
]  # modules of this package, each with a measure()


def main() -> int:
    """Return 0 if all goals are met, else 1."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *BENCHMARKS], metavar="name", help=", ".join(BENCHMARKS))
    names = parser.parse_args().names or BENCHMARKS
    set_up()

    from benchmarks.machine import describe

    print(describe(), flush=True)
    figures: list[Figure] = []
    port = os.environ["PORT"]
    for name in names:
        os.environ["PORT"] = port  # the one before may have used others, but this process's settings know this one
        print(f"\n== {name} ==", flush=True)
        figures += importlib.import_module(f"benchmarks.{name}").measure()
    print("\n" + table(figures))
    return 0 if all(figure.met for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
