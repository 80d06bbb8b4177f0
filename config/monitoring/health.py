"""`/ping/` and `/health/`: whether the process runs, and whether each part responds. Checks have timeouts; no login.

All clients share one check of the parts, which runs in its own threads. The first client, and one that comes more than
KEPT seconds after the last check, waits for it: slightly more than CHECK_TIMEOUT. Others get the last result while a
new check runs. config/server/health_endpoint.py responds in the event loop, so neither URL ever waits for Django's
threads.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooSlow
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from redis.exceptions import RedisError

from config.monitoring import service_checks
from config.monitoring.disk import StorageFull
from config.monitoring.disk import probe as storage
from config.monitoring.service_checks import Unusable
from config.processes.heartbeats import KINDS, Heartbeat, all_heartbeats
from core.registry import all_apps

CHECK_TIMEOUT = 2.5  # seconds
STALE = 30.0  # seconds without a heartbeat, of which there is one every five
FRESH = 0.5  # seconds during which a result prevents a new check
KEPT = 5.0  # seconds during which a result is returned while a new check runs
_pool = ThreadPoolExecutor(max_workers=8, thread_name_prefix="health")


@dataclass(frozen=True)
class Part:
    """State of one part: whether it responds, and a text."""

    name: str
    ok: bool
    detail: str
    age: float | None = None
    processes: list[dict[str, Any]] = field(default_factory=list)

    def state(self) -> dict[str, Any]:
        """Return the part's JSON; `processes` only if it has any."""
        said = asdict(self)
        return {key: value for key, value in said.items() if key != "name" and (key != "processes" or value)}


def _closing(check: Callable[[], str]) -> str:
    """Return the result of an app's check, and close this thread's connection."""
    try:
        return check()
    finally:
        connection.close()


_asked: dict[str, Future[Any]] = {}


def _ask(name: str, check: Callable[[], Any]) -> Future[Any]:
    """Start a check, unless the previous one of this name still runs: a hanging check must not take all threads."""
    future = _asked.get(name)
    if future is None or future.done():
        future = _asked[name] = _pool.submit(check)
    return future


def _part(name: str, future: Future[str], until: float) -> Part:
    try:
        return Part(name, True, future.result(max(0.0, until - time.monotonic())))
    except TooSlow:
        return Part(name, False, "does not answer in time")
    except (Unusable, StorageFull) as error:
        return Part(name, False, str(error))
    except Exception as error:  # any driver error: the page must report it, not fail
        return Part(name, False, f"does not answer ({type(error).__name__})")


def _processes() -> list[Part]:
    """Return one part for each kind of process, from the heartbeats in Redis."""
    try:
        found = all_heartbeats()
    except (RedisError, OSError):
        return _unknown()
    return [_kind(kind, [sign for sign in found if sign.kind == kind]) for kind in KINDS]


def _unknown() -> list[Part]:
    return [Part(kind, False, "not known without Redis") for kind in KINDS]


def _kind(kind: str, found: list[Heartbeat]) -> Part:
    """Return whether each process of a kind has a recent heartbeat; `age` is that of the youngest.

    A web process without a watchdog may have no heartbeat, but it is responding to this request.
    """
    if not found:
        return Part(kind, kind == "web", "not heard of yet")
    silent = [sign for sign in found if sign.age >= STALE]
    first = (silent or found)[0]
    words = f"{first.name} was last heard of {first.age:.0f} s ago"
    processes = [{"name": sign.name, "ok": sign.age < STALE, "age": round(sign.age, 1)} for sign in found]
    return Part(kind, not silent, words, round(found[0].age, 1), processes)


def parts() -> list[Part]:
    """Check all parts concurrently, and wait at most CHECK_TIMEOUT."""
    until = time.monotonic() + CHECK_TIMEOUT
    checks: dict[str, Callable[[], str]] = {
        "database": service_checks.database,
        "redis": service_checks.redis,
        "broker": service_checks.broker,
        "storage": storage,
        **{name: partial(_closing, check) for app in all_apps() for name, check in app.health.items()},
    }
    asked = [(name, _ask(name, check)) for name, check in checks.items()]
    processes = _ask("processes", _processes)
    answers = [_part(name, future, until) for name, future in asked]
    try:
        return [*answers, *processes.result(max(0.0, until - time.monotonic()))]
    except TooSlow:
        return [*answers, *_unknown()]


CheckResult = tuple[int, dict[str, Any]]  # status and body


class SharedCheck:
    """The check of all parts that all clients of this process share; one runs at a time."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="look")
        self._lock = threading.RLock()  # reentrant: a check that ends at once calls `_finished` in the thread of `take`
        self._running: Future[CheckResult] | None = None
        self._last: Future[CheckResult] | None = None
        self._taken_at = 0.0

    def take(self) -> Future[CheckResult]:
        """Return the last result, or the one that is being computed."""
        with self._lock:
            age = time.monotonic() - self._taken_at if self._last is not None else float("inf")
            if self._running is None and age > FRESH:
                self._running = self._thread.submit(_check_all)
                self._running.add_done_callback(self._finished)
            if self._last is not None and age <= KEPT:
                return self._last
            return self._running or self._last  # type: ignore[return-value]  # one of them is there

    def _finished(self, look: Future[CheckResult]) -> None:
        with self._lock:
            self._running, self._last, self._taken_at = None, look, time.monotonic()


def _check_all() -> CheckResult:
    found = parts()
    fine = all(part.ok for part in found)
    body = {
        "status": "ok" if fine else "degraded",
        "time": timezone.now().isoformat(),
        "parts": {part.name: part.state() for part in found},
    }
    return 200 if fine else 503, body


shared = SharedCheck()


def ping_body() -> dict[str, str]:
    return {"status": "ok", "time": timezone.now().isoformat()}


@never_cache
@require_safe
def ping(request: HttpRequest) -> HttpResponse:
    """Liveness: this process responds, with its current time."""
    return JsonResponse(ping_body())


@never_cache
@require_safe
def health(request: HttpRequest) -> HttpResponse:
    """200 if every part responds, else 503; with the state of each part."""
    status, body = shared.take().result()
    return JsonResponse(body, status=status)
