"""`/ping/` and `/health/`: is it up, and does each part answer? Every check is bounded; none needs a login."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooSlow
from dataclasses import asdict, dataclass
from typing import Any

from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from config import probes
from config.disk import StorageFull
from config.disk import probe as storage
from config.probes import Unwell
from config.signs import sign_age
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


def _heard_of(kind: str) -> Part:
    age = sign_age(kind)
    if age is None:
        return Part(kind, False, "not heard of yet")
    return Part(kind, age < STALE, f"last heard of {age:.0f} s ago", round(age, 1))


def parts() -> list[Part]:
    """Ask every part at the same time, then read the signs of worker, runner and beat."""
    running = [
        _checked("database", probes.database),
        _checked("redis", probes.redis),
        _checked("broker", probes.broker),
        _checked("storage", storage),
        _checked("isolation", _isolation),
    ]
    answers = [result() for result in running]
    return [*answers, *map(_heard_of, ("worker", "runner", "beat"))]


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
        "parts": {part.name: {key: value for key, value in asdict(part).items() if key != "name"} for part in found},
    }
    return JsonResponse(body, status=200 if body["status"] == "ok" else 503)
