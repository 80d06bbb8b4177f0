"""A log of 100 MB in the browser: time to the first lines, time per jump, and memory that does not grow with the log.

It opens the run's page in headless Chromium, from a web process as started by the launcher. Times are in ms: from the
page's request to the first visible lines, and from a jump to a random place until its lines are drawn. The JavaScript
heap is in MB, after every line was read once and after the jumps. The limits are those of a usable page: a second or
two to the first line, a quarter of a second per jump, and a heap far below the log's size plus the page's own.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count, islice
from statistics import quantiles

from playwright.sync_api import Page

from benchmarks.instance import cookie, sql, web
from benchmarks.report import Figure, at_most
from benchmarks.size import sized
from config.tests.browser import find_chromium, running_browser

MEGABYTES = sized(100, 2)
PIECE = 64 * 1024  # bytes per row, as the runner writes them
LINE = 70  # bytes
ROUNDS, JUMPS = sized(3, 1), sized(30, 5)
FIRST_LINES, ONE_JUMP, HEAP = 2_000, 250, 200  # ms, ms, MB
# Scroll to a fraction of the log, and resolve when the line at that place is drawn.
JUMP = """share => new Promise(done => {
  const view = document.querySelector("[data-log-view]"), from = performance.now();
  view.scrollTop = (view.scrollHeight - view.clientHeight) * share;
  const look = () => {
    const shown = [...document.querySelectorAll("[data-log-rows] .log-row")];
    const box = view.getBoundingClientRect();
    const place = row => row.getBoundingClientRect();
    const inView = shown.filter(row => place(row).top < box.bottom && place(row).bottom > box.top);
    if (inView.length > 5 && inView.every(row => row.textContent !== "…")) done(performance.now() - from);
    else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
})"""


def measure() -> list[Figure]:
    if find_chromium() is None:
        print("No Chromium here: left out.")
        return []
    run = write_log()
    first, jumps, heaps = [], [], []
    with web():
        for _ in range(ROUNDS):
            with page_of(cookie()) as page:
                started = time.perf_counter()
                page.goto(f"http://127.0.0.1:{os.environ['PORT']}/admin/testrunner/testrun/{run}/change/")
                page.locator("[data-log-rows] .log-row").first.wait_for()
                first.append((time.perf_counter() - started) * 1000)
                page.wait_for_function("!document.querySelector('[data-log-count]').textContent.includes('reading')")
                took = [page.evaluate(JUMP, random.random()) for _ in range(JUMPS)]
                jumps.append(quantiles(took, n=20)[-1])
                heaps.append(page.evaluate("performance.memory.usedJSHeapSize / 1e6"))
    return [
        at_most(f"a log of {MEGABYTES} MB: first lines", FIRST_LINES, first, " ms", 0),
        at_most(f"a log of {MEGABYTES} MB: p95 of a jump", ONE_JUMP, jumps, " ms", 0),
        at_most(f"a log of {MEGABYTES} MB: heap", HEAP, heaps, " MB", 0),
    ]


def write_log() -> int:
    """Create a finished run with its log. Return its id."""
    from testrunner.factories import RunFactory
    from testrunner.models import LogChunk, TestRun

    sql("TRUNCATE testrunner_testrun CASCADE")
    run: TestRun = RunFactory.create(success=True)
    size = 0
    for data in pieces():
        LogChunk.objects.create(run=run, offset=size, data=data)
        size += len(data)
    run.log_size = size
    run.save(update_fields=["log_size"])
    print(f"{size:,} bytes of log in pieces of {PIECE:,}, {ROUNDS} rounds of {JUMPS} jumps")
    return run.pk


def pieces() -> Iterator[bytes]:
    line = "\x1b[3{}mline {:08}\x1b[0m: checked the answer of the service, as expected\n"
    numbers = count(1)
    for _ in range(MEGABYTES * 10**6 // PIECE):
        lines = [line.format(number % 7 + 1, number) for number in islice(numbers, PIECE // LINE)]
        yield "".join(lines).encode()


@contextmanager
def page_of(session: dict[str, str]) -> Iterator[Page]:
    with running_browser(find_chromium() or "") as browser:
        context = browser.new_context(viewport={"width": 1300, "height": 900})
        context.add_cookies([{**session, "url": f"http://127.0.0.1:{os.environ['PORT']}"}])  # type: ignore[typeddict-item]
        page = context.new_page()
        page.set_default_timeout(120_000)
        yield page
