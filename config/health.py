"""`/ping/` and `/health/`: is it up, and does each part answer? Every check is bounded; none needs a login."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooSlow
from dataclasses import asdict, dataclass, field
from typing import Any

from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from redis.exceptions import RedisError

from config import probes
from config.disk import StorageFull
from config.disk import probe as storage
from config.probes import Unwell
from config.signs import KINDS, Sign, signs
from testrunner.runs import isolation

LONGEST_CHECK = 2.5  # seconds
STALE = 30.0  # seconds without a sign of life, of a thing that gives one every five
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


def _checked(name: str, check: Callable[[], str]) -> Callable[[], Part]:
    future = _pool.submit(check)

    def result() -> Part:
        try:
            return Part(name, True, future.result(timeout=LONGEST_CHECK))
        except TooSlow:
            return Part(name, False, "does not answer in time")
        except (Unwell, StorageFull) as error:
            return Part(name, False, str(error))
        except Exception as error:  # whatever the driver raises: the page must say so, not fail with it
            return Part(name, False, f"does not answer ({type(error).__name__})")

    return result


def _processes() -> list[Part]:
    """One part for each kind of process, by the signs that they leave in Redis."""
    try:
        found = signs()
    except (RedisError, OSError):
        return [Part(kind, False, "not known without Redis") for kind in KINDS]
    return [_kind(kind, [sign for sign in found if sign.kind == kind]) for kind in KINDS]


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
    """Ask every part at the same time, then read the signs of the processes."""
    running = [
        _checked("database", probes.database),
        _checked("redis", probes.redis),
        _checked("broker", probes.broker),
        _checked("storage", storage),
        _checked("isolation", _isolation),
    ]
    answers = [result() for result in running]
    return [*answers, *_processes()]


@never_cache
@require_safe
def ping(request: HttpRequest) -> HttpResponse:
    """Liveness: this process answers, and what time it thinks it is."""
    return JsonResponse({"status": "ok", "time": timezone.now().isoformat()})


@never_cache
@require_safe
def health(request: HttpRequest) -> HttpResponse:
    """200 when every part answers, else 503; each part with its state."""
    found = parts()
    body: dict[str, Any] = {
        "status": "ok" if all(part.ok for part in found) else "degraded",
        "time": timezone.now().isoformat(),
        "parts": {part.name: part.state() for part in found},
    }
    return JsonResponse(body, status=200 if body["status"] == "ok" else 503)
