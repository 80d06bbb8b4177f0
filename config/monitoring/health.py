"""`/ping/` and `/health/`: is it up, and does each part answer? Every check is bounded; none needs a login.

All askers share one look at the parts, which runs in threads of its own: the first one, or one whose last look is older
than KEPT, waits for it, for CHECK_TIMEOUT and a little. Others get the last look, and a new one begins meanwhile.
config/server/health_door.py answers in the event loop, so that neither address ever waits for Django's threads.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooSlow
from dataclasses import asdict, dataclass, field
from typing import Any

from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from redis.exceptions import RedisError

from config.monitoring import probes
from config.monitoring.disk import StorageFull
from config.monitoring.disk import probe as storage
from config.monitoring.probes import Unwell
from config.processes.heartbeats import KINDS, Sign, signs
from testrunner.worker.runner import isolation

CHECK_TIMEOUT = 2.5  # seconds
STALE = 30.0  # seconds without a sign of life, of a thing that gives one every five
FRESH = 0.5  # seconds for which a look is good enough for not beginning another
KEPT = 5.0  # seconds for which it is given while another one is taken
_pool = ThreadPoolExecutor(max_workers=8, thread_name_prefix="health")


@dataclass(frozen=True)
class Part:
    """One part of the house: does it answer, and in words how."""

    name: str
    ok: bool
    detail: str
    age: float | None = None
    processes: list[dict[str, Any]] = field(default_factory=list)

    def state(self) -> dict[str, Any]:
        """What the page says of it; the processes only of a part that has any."""
        said = asdict(self)
        return {key: value for key, value in said.items() if key != "name" and (key != "processes" or value)}


def _isolation() -> str:
    try:
        return isolation()
    finally:
        connection.close()


_asked: dict[str, Future[Any]] = {}


def _ask(name: str, check: Callable[[], Any]) -> Future[Any]:
    """Begin a check, unless the last one of this name is still at it: what hangs must not take all threads."""
    future = _asked.get(name)
    if future is None or future.done():
        future = _asked[name] = _pool.submit(check)
    return future


def _part(name: str, future: Future[str], until: float) -> Part:
    try:
        return Part(name, True, future.result(max(0.0, until - time.monotonic())))
    except TooSlow:
        return Part(name, False, "does not answer in time")
    except (Unwell, StorageFull) as error:
        return Part(name, False, str(error))
    except Exception as error:  # whatever the driver raises: the page must say so, not fail with it
        return Part(name, False, f"does not answer ({type(error).__name__})")


def _processes() -> list[Part]:
    """One part for each kind of process, by the signs that they leave in Redis."""
    try:
        found = signs()
    except (RedisError, OSError):
        return _unknown()
    return [_kind(kind, [sign for sign in found if sign.kind == kind]) for kind in KINDS]


def _unknown() -> list[Part]:
    return [Part(kind, False, "not known without Redis") for kind in KINDS]


def _kind(kind: str, found: list[Sign]) -> Part:
    """Whether each process of a kind was heard of lately; `age` is that of the youngest sign.

    This web process answers, so that one without a watchdog need not have left a sign.
    """
    if not found:
        return Part(kind, kind == "web", "not heard of yet")
    silent = [sign for sign in found if sign.age >= STALE]
    first = (silent or found)[0]
    words = f"{first.name} was last heard of {first.age:.0f} s ago"
    processes = [{"name": sign.name, "ok": sign.age < STALE, "age": round(sign.age, 1)} for sign in found]
    return Part(kind, not silent, words, round(found[0].age, 1), processes)


def parts() -> list[Part]:
    """Ask every part at the same time, and wait for CHECK_TIMEOUT at most."""
    until = time.monotonic() + CHECK_TIMEOUT
    checks: dict[str, Callable[[], str]] = {
        "database": probes.database,
        "redis": probes.redis,
        "broker": probes.broker,
        "storage": storage,
        "isolation": _isolation,
    }
    asked = [(name, _ask(name, check)) for name, check in checks.items()]
    processes = _ask("processes", _processes)
    answers = [_part(name, future, until) for name, future in asked]
    try:
        return [*answers, *processes.result(max(0.0, until - time.monotonic()))]
    except TooSlow:
        return [*answers, *_unknown()]


Look = tuple[int, dict[str, Any]]  # status and body


class SharedLook:
    """The look at all parts that all askers of this process share; never two at once."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="look")
        self._lock = threading.RLock()  # a look that is done at once is noted by the thread that began it
        self._running: Future[Look] | None = None
        self._last: Future[Look] | None = None
        self._taken_at = 0.0

    def take(self) -> Future[Look]:
        """Return the last look, or the one that is being taken."""
        with self._lock:
            age = time.monotonic() - self._taken_at if self._last is not None else float("inf")
            if self._running is None and age > FRESH:
                self._running = self._thread.submit(_look)
                self._running.add_done_callback(self._taken)
            if self._last is not None and age <= KEPT:
                return self._last
            return self._running or self._last  # type: ignore[return-value]  # one of them is there

    def _taken(self, look: Future[Look]) -> None:
        with self._lock:
            self._running, self._last, self._taken_at = None, look, time.monotonic()


def _look() -> Look:
    found = parts()
    fine = all(part.ok for part in found)
    body = {
        "status": "ok" if fine else "degraded",
        "time": timezone.now().isoformat(),
        "parts": {part.name: part.state() for part in found},
    }
    return 200 if fine else 503, body


shared = SharedLook()


def ping_body() -> dict[str, str]:
    return {"status": "ok", "time": timezone.now().isoformat()}


@never_cache
@require_safe
def ping(request: HttpRequest) -> HttpResponse:
    """Liveness: this process answers, and what time it thinks it is."""
    return JsonResponse(ping_body())


@never_cache
@require_safe
def health(request: HttpRequest) -> HttpResponse:
    """200 when every part answers, else 503; each part with its state."""
    status, body = shared.take().result()
    return JsonResponse(body, status=status)
