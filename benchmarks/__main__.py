"""`make bench`: run all benchmarks, or those named (`make bench ARGS="fanout press"`), and print a table of figures.

`--small` runs each one in seconds, to check that it works. Its figures are meaningless, and only a failure counts.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import traceback

from benchmarks.instance import set_up
from benchmarks.report import Figure, failure, table

BENCHMARKS = [
    "events_read",
    "fanout",
    "fake_chats",
    "handover",
    "hostile_clients",
    "hostile_senders",
    "ingest",
    "lists",
    "live",
    "long_log",
    "press",
    "serving",
    "testrun",
]  # modules of this package, each with a measure()


def main() -> int:
    """Return 0 if every benchmark ran and, in full size, met its goals; otherwise 1."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *BENCHMARKS], metavar="name", help=", ".join(BENCHMARKS))
    parser.add_argument("--small", action="store_true", help="seconds each; only a failure counts")
    given = parser.parse_args()
    os.environ["BENCH_SMALL"] = "1" if given.small else "0"  # before the modules read it
    set_up()

    from benchmarks.machine import describe

    print(describe(), flush=True)
    figures: list[Figure] = []
    port = os.environ["PORT"]
    for name in given.names or BENCHMARKS:
        os.environ["PORT"] = port  # an earlier benchmark may have changed it, but not this process's settings
        print(f"\n== {name} ==", flush=True)
        figures += measured(name)
    print("\n" + table(figures))
    counted = [figure for figure in figures if figure.failed] if given.small else figures
    return 0 if all(figure.met for figure in counted) else 1


def measured(name: str) -> list[Figure]:
    """Return the benchmark's figures. If it raises, print the traceback and return a row that reports the failure."""
    try:
        found: list[Figure] = importlib.import_module(f"benchmarks.{name}").measure()
    except Exception as error:  # an error of any type must not hide the figures of the other benchmarks
        traceback.print_exc()
        return [failure(name, error)]
    return found


if __name__ == "__main__":
    sys.exit(main())
